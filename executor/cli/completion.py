"""completion: what a shell asks while somebody types, and the few lines that make it ask.

The shells know nothing of podwire: each hands over the words so far (``podwire complete -- WORDS``) and gets the
candidates for the last of them, a line each.
"""

from __future__ import annotations

import argparse
import os
from contextlib import suppress

from executor.cli.output import put

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


def completion_command(arguments: argparse.Namespace) -> int:
    """Print the lines that make a shell complete podwire's words."""
    put(_SCRIPTS[arguments.shell])
    return 0


def complete_command(arguments: argparse.Namespace) -> int:
    """Print the candidates for the last of the words so far."""
    *before, last = arguments.words or [""]
    put("".join(f"{word}\n" for word in sorted(set(_candidates(before, last, arguments))) if word.startswith(last)))
    return 0


def _candidates(before: list[str], last: str, arguments: argparse.Namespace) -> list[str]:
    from executor.cli.arguments import COMMAND_NAMES, options_of  # noqa: PLC0415  it imports this module's names

    if not before:
        return [*COMMAND_NAMES, "--help", "--version"]
    options = options_of(before[0])
    asked = options.get(before[-1])
    if asked is not None and asked.nargs != 0:
        return _values(asked, arguments)
    if last.startswith("-"):
        return [option for option in options if option.startswith("--")]
    return _ids(arguments) if before[0] in ("teardown", "log", "recover", "check", "confirm") else []


def _values(option: argparse.Action, arguments: argparse.Namespace) -> list[str]:
    if option.dest == "format":
        return list(getattr(option.type, "words", ()))
    if option.dest in ("netns", "dummy_netns"):
        return _names("/run/netns")
    return _ids(arguments) if option.dest == "id" else []


def _ids(arguments: argparse.Namespace) -> list[str]:
    return [name.removesuffix(".json") for name in _names(os.path.join(arguments.state_dir, "wirings"))]


def _names(directory: str) -> list[str]:
    with suppress(OSError):
        return [name for name in os.listdir(directory) if not name.startswith(".")]
    return []
