"""completion: the few lines that make a shell ask podwire for the candidates (``podwire complete``)."""

from __future__ import annotations

import argparse

from executor.cli.options import OneOf, add_common

EXAMPLES = """\
source <(podwire completion bash)
podwire completion fish | source"""
# By the names under which the shells look for them.
_FILES = {"bash": "podwire", "zsh": "_podwire", "fish": "podwire.fish"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("shell", type=OneOf(("bash", "zsh", "fish")), metavar="SHELL", help="bash, zsh or fish")
    add_common(parser, ("text",))


def run(arguments: argparse.Namespace) -> int:
    """Print the lines that make a shell complete podwire's words."""
    from importlib import resources

    from executor.cli.output import put

    folder = resources.files("executor.cli") / "completions"
    put((folder / _FILES[arguments.shell]).read_text(encoding="utf-8"))
    return 0
