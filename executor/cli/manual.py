"""The man page, from the same parser as ``--help`` (man-pages(7), groff_man(7))."""

from __future__ import annotations

import argparse

from executor.cli.commands import COMMANDS
from executor.cli.parser import DESCRIPTION, EXIT, example_of, parser_of
from executor.version import __version__

_ENVIRONMENT = {
    "PODWIRE_STATE_DIR": "the state directory (default /var/lib/podwire); --state-dir takes precedence",
    "PODWIRE_RUN_DIR": "the directory of the locks and of the agent's socket (default /run/podwire)",
    "PODWIRE_PAGER, PAGER": "the pager for long text on a terminal (default less -FRX; empty for none)",
    "NO_COLOR": "if not empty, no colours on a terminal",
    "PODWIRE_AGENT_TIMEOUT": "how many seconds podwire-cni waits for the agent (default 60)",
    "PODWIRE_TRACEBACK": "if not empty, print the traceback of an unexpected error",
    "PODWIRE_PID_NAMESPACE": (
        "the PID namespace (such as pid:[4026532281], see /proc/self/ns/pid) in which the absence of a network "
        "namespace proves that it is gone, as it does in the host's initial one. Set it only if every process and "
        "mount that can hold a wired namespace is visible from there: otherwise podwire gc removes the record of one "
        "that still exists"
    ),
    "CNI_PATH": "where the plugins of --dummy-conflist are looked for",
}
_FILES = {
    "/var/lib/podwire/wirings/ID.json": "what is wired: the plan, and how far it has been carried out",
    "/var/lib/podwire/journal/ID.jsonl": "the commands that were run (podwire log), with a copy of each state entry",
    "/var/lib/podwire/dummies/ID.json": "the dummy gateway that CNI plugins gave, until it is given back",
    "/var/lib/podwire/dhcp/ID.json, ID.log": "the background server of a guest, and what it printed",
    "/var/lib/podwire/attachments/ID.json": "the container and network of a podwire-cni wiring",
    "/var/lib/podwire/damaged/": "what was found in the place of a state entry and moved away",
    "/run/podwire/": "locks, and the agent's socket, agent.sock",
}


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
    lines += [".SH ENVIRONMENT", *(line for item in _ENVIRONMENT.items() for line in _item(*item))]
    lines += [".SH FILES", *(line for item in _FILES.items() for line in _item(*item))]
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
