# podwire: completion for fish.  podwire completion fish | source
function __podwire
    set -l words (commandline -opc) (commandline -ct)
    set -l found (podwire complete -- $words[2..-1] 2>/dev/null)
    if test -n "$found"
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c podwire -f -a '(__podwire)'
