"""complete: what a shell asks while somebody types.

The shells know nothing of podwire: each hands over the words so far (``podwire complete -- WORDS``) and gets the
candidates for the last of them, a line each.
"""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from itertools import chain, pairwise

from executor.cli.options import PLAN_FORMATS, add_common

EXAMPLES = "podwire complete -- tear"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("words", nargs="*", metavar="WORD", help="the words so far, without podwire")
    add_common(parser, ("text",))


def run(arguments: argparse.Namespace) -> int:
    """Print the candidates for the last of the words so far."""
    from executor.cli.output import put

    *before, last = _without_equals(arguments.words or [""])
    found = set(_candidates(before, last, arguments))
    put("".join(f"{word}\n" for word in sorted(found) if word.startswith(last)))
    return 0


def _without_equals(words: list[str]) -> list[str]:
    """Return the words as they were typed: bash makes three of ``--wiring=tc``, and replaces only the last."""
    found = [word for word in words if word != "="]
    return [*found, ""] if words[-1] == "=" else found


def _candidates(before: list[str], last: str, arguments: argparse.Namespace) -> list[str]:
    from executor.cli.commands import COMMANDS
    from executor.cli.parser import parser_of
    from executor.cli.words import leading_options

    count = leading_options(before)
    if count > len(before):
        return list(PLAN_FORMATS) if before[-1] == "--format" else []
    if count == len(before):
        return [*COMMANDS, "--help", "--version"]
    command, *words = before[count:]
    if command == "help":
        return [] if words else list(COMMANDS)
    if command not in COMMANDS or "--" in words:
        return []
    return _of_command(parser_of(command), words, last, _state_dir(before, arguments))


def _of_command(parser: argparse.ArgumentParser, words: list[str], last: str, state_dir: str) -> list[str]:
    """Return what may follow ``words`` of a command: the value of an option, an option, or what the command is of."""
    from executor.cli.words import word_too_many

    options = parser._option_string_actions  # noqa: SLF001  argparse has no other way to ask
    name, equals, _ = last.partition("=")
    if equals and name in options:
        return [f"{name}={value}" for value in _values(options[name], state_dir)]
    if words and words[-1] in options and options[words[-1]].nargs != 0:
        return _values(options[words[-1]], state_dir)
    if last.startswith("-"):
        return [option for option in options if option.startswith("--")]
    if word_too_many(words, {option: action.nargs != 0 for option, action in options.items()}) is not None:
        return []
    return next((_values(action, state_dir) for action in parser._actions if not action.option_strings), [])  # noqa: SLF001


def _values(action: argparse.Action, state_dir: str) -> list[str]:
    if words := getattr(action.type, "words", ()):
        return list(words)
    if action.dest in ("netns", "dummy_netns"):
        return _names("/run/netns")
    if action.dest == "wiring":
        from planner.wiring.base import every_wiring

        return [wiring.name for wiring in every_wiring()]
    is_an_id = action.metavar in ("ID", "ID|PLAN")
    return [name.removesuffix(".json") for name in _names(os.path.join(state_dir, "wirings"))] if is_an_id else []


def _state_dir(before: list[str], arguments: argparse.Namespace) -> str:
    """Return the state directory that is named on the line so far."""
    after = (value for option, value in pairwise(before) if option == "--state-dir")
    joined = (word.partition("=")[2] for word in before if word.startswith("--state-dir="))
    return next(chain(after, joined), str(arguments.state_dir))


def _names(directory: str) -> list[str]:
    with suppress(OSError):
        return [name for name in os.listdir(directory) if not name.startswith(".")]
    return []
