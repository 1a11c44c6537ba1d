"""The man page, from the same parser as ``--help`` (man-pages(7), groff_man(7))."""

from __future__ import annotations

import argparse

from executor.cli.commands import COMMANDS
from executor.cli.parser import DESCRIPTION, EXIT, example_of, parser_of
from executor.version import __version__


def manual_page() -> str:
    """Return podwire(8) as roff."""
    lines = [
        f'.TH PODWIRE 8 "" "podwire {__version__}"',
        ".SH NAME",
        f"podwire \\- {_roff(DESCRIPTION)}",
        ".SH SYNOPSIS",
        ".B podwire",
        ".I COMMAND",
        "[\\fIOPTIONS\\fR]",
        ".SH COMMANDS",
    ]
    for name in COMMANDS:
        lines += _command(name)
    lines += [".SH EXIT STATUS", ".nf", *(_roff(line) for line in EXIT.splitlines()[1:]), ".fi"]
    lines += [".SH ENVIRONMENT", *_item("PODWIRE_STATE_DIR", "where the state is kept, unless --state-dir says so")]
    lines += _item("PODWIRE_PAGER, PAGER", "the pager for long text on a terminal (default less -FRX)")
    lines += _item("NO_COLOR", "no colours on a terminal")
    lines += _item("PODWIRE_RUN_DIR", "where locks and the socket of the agent are (default /run/podwire)")
    lines += _item("PODWIRE_AGENT_TIMEOUT", "for how many seconds podwire-cni waits for the agent (default 60)")
    lines += _item("CNI_PATH", "where the plugins of --dummy-conflist are looked for")
    return "\n".join([*lines, ".SH SEE ALSO", "ip(8), nsenter(1), ebtables(8), sysctl(8)"]) + "\n"


def _command(name: str) -> list[str]:
    parser = parser_of(name)
    lines = [f'.SS "podwire {name}"', _roff(parser.description or "")]
    for action in parser._actions:  # noqa: SLF001  argparse has no other way to ask
        if action.dest != "help" and action.help != argparse.SUPPRESS:
            lines += _item(_usage(action), action.help or "")
    return [*lines, ".PP", ".nf", *(f"    {_roff(line)}" for line in example_of(name).splitlines()), ".fi"]


def _usage(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else f" {action.metavar}"
    return ", ".join(action.option_strings) + value if action.option_strings else str(action.metavar)


def _item(head: str, text: str) -> list[str]:
    return [".TP", f".B {_roff(head)}", _roff(text)]


def _roff(text: str) -> str:
    """Return text that roff prints as it is; a dash is a dash that can be copied."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped
