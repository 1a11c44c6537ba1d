# podwire: completion for fish.  podwire completion fish | source
function __podwire
    set -l words (commandline -opc) (commandline -ct)
    podwire complete -- $words[2..-1] 2>/dev/null
end
complete -c podwire -a '(__podwire)'
