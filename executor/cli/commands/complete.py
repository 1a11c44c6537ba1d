"""complete: what a shell asks while somebody types.

The shells know nothing of podwire: each hands over the words so far (``podwire complete -- WORDS``) and gets the
candidates for the last of them, a line each.
"""

from __future__ import annotations

import argparse
import os
from contextlib import suppress

from executor.cli.options import add_common

_OF_AN_ID = ("teardown", "log", "show", "recover", "check", "confirm", "guest", "dhcp", "exec", "taps")
EXAMPLES = "podwire complete -- tear"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("words", nargs="*", metavar="WORD", help="the words so far, without podwire")
    add_common(parser, ("text",))


def run(arguments: argparse.Namespace) -> int:
    """Print the candidates for the last of the words so far."""
    from executor.cli.output import put

    *before, last = arguments.words or [""]
    put("".join(f"{word}\n" for word in sorted(set(_candidates(before, last, arguments))) if word.startswith(last)))
    return 0


def _candidates(before: list[str], last: str, arguments: argparse.Namespace) -> list[str]:
    from executor.cli.commands import COMMANDS
    from executor.cli.parser import options_of

    if not before:
        return [*COMMANDS, "--help", "--version"]
    options = options_of(before[0])
    asked = options.get(before[-1])
    if asked is not None and asked.nargs != 0:
        return _values(asked, arguments)
    if last.startswith("-"):
        return [option for option in options if option.startswith("--")]
    return (
        _ids(arguments)
        if before[0] in ("teardown", "log", "show", "recover", "check", "confirm", "guest", "dhcp", "exec", "taps")
        else []
    )


def _values(option: argparse.Action, arguments: argparse.Namespace) -> list[str]:
    if words := getattr(option.type, "words", ()):
        return list(words)
    if option.dest in ("netns", "dummy_netns"):
        return _names("/run/netns")
    if option.dest == "wiring":
        from planner.wiring.base import every_wiring

        return [wiring.name for wiring in every_wiring()]
    return _ids(arguments) if option.dest == "id" else []


def _ids(arguments: argparse.Namespace) -> list[str]:
    return [name.removesuffix(".json") for name in _names(os.path.join(arguments.state_dir, "wirings"))]


def _names(directory: str) -> list[str]:
    with suppress(OSError):
        return [name for name in os.listdir(directory) if not name.startswith(".")]
    return []
