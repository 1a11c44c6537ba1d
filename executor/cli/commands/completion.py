"""completion: the few lines that make a shell ask podwire for the candidates (``podwire complete``)."""

from __future__ import annotations

import argparse

from executor.cli.options import OneOf, add_common

EXAMPLES = """\
source <(podwire completion bash)
podwire completion fish | source"""
_SCRIPTS = {
    "bash": """\
# podwire: completion for bash.  source <(podwire completion bash)
_podwire() {
  local IFS=$'\\n'
  COMPREPLY=($(podwire complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
  [[ ${#COMPREPLY[@]} -gt 0 ]] || compopt -o default
}
complete -F _podwire podwire
""",
    "zsh": """\
#compdef podwire
# podwire: completion for zsh.  source <(podwire completion zsh)
_podwire() {
  local -a found
  found=("${(@f)$(podwire complete -- "${(@)words[2,$CURRENT]}" 2>/dev/null)}")
  [[ -n ${found[1]} ]] && compadd -- "${found[@]}" || _files
}
compdef _podwire podwire
""",
    "fish": """\
# podwire: completion for fish.  podwire completion fish | source
function __podwire
    set -l words (commandline -opc) (commandline -ct)
    podwire complete -- $words[2..-1] 2>/dev/null
end
complete -c podwire -a '(__podwire)'
""",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("shell", type=OneOf(("bash", "zsh", "fish")), metavar="SHELL", help="bash, zsh or fish")
    add_common(parser, ("text",))


def run(arguments: argparse.Namespace) -> int:
    """Print the lines that make a shell complete podwire's words."""
    from executor.cli.output import put

    put(_SCRIPTS[arguments.shell])
    return 0
