"""The arguments of every command. Only the standard library is needed to say what they are."""

from __future__ import annotations

import argparse
import os

from executor.cli.output import complain, put
from executor.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing itself would be a tenth of the time that --help takes
    from typing import NoReturn

    from _typeshed import SupportsWrite

DEFAULT_STATE_DIR = "/var/lib/podwire"
PLAN_FORMATS = ("text", "commands", "script", "json", "markdown", "html", "svg")
LOG_FORMATS = ("text", "commands", "script", "json", "html")
_SHORT = ("text", "json")
_MANY = 3
_WIDEST = 100

DESCRIPTION = "Give a virtual machine the network of the pod that it runs in: plan, preview, apply and take back."
EXIT = """\
exit status:
  0  done, or nothing to do
  1  refused, bad input or wrong usage: nothing was changed
  2  changes are pending (plan --detailed-exitcode), or drift was found (check)
  3  apply failed, and was taken back
  4  failed, and not wholly taken back: podwire recover is next
"""

_BETTER_WORDS = {
    "the following arguments are required:": "missing:",
    "ignored explicit argument": "it takes no value, but was given",
    "expected one argument": "a value is missing",
}


class _UsageError(Exception):
    """The arguments are wrong; the text is a sentence."""


class _Parser(argparse.ArgumentParser):
    """A parser that raises instead of exiting with 2, which means something else here."""

    def error(self, message: str) -> NoReturn:
        text = message.removeprefix("argument ")
        for words, better in _BETTER_WORDS.items():
            text = text.replace(words, better)
        raise _UsageError(f"{text} (see {self.prog} --help)")

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        del file  # standard output, with whatever may befall it
        put(self.format_help())


def parse(argv: list[str]) -> argparse.Namespace | int:
    """Return the arguments, or the exit status where there is nothing more to do (--help, --version, wrong usage)."""
    try:
        arguments, strange = _parser(_command_in(argv)).parse_known_args(argv)
    except _UsageError as error:
        return complain(error, 1)
    except SystemExit:
        return 0
    if strange:
        return complain(f"{_quoted(strange[0])} is unknown here (see podwire {arguments.command} --help)", 1)
    if arguments.json:
        arguments.format = "json"
    return arguments


def parser_of(name: str) -> argparse.ArgumentParser:
    """Return the parser of one command, with its options."""
    found: argparse.ArgumentParser = _commands_of(_parser(name))[name]
    return found


def options_of(name: str) -> dict[str, argparse.Action]:
    """Return the options of a command by their names; none for what is no command."""
    return dict(parser_of(name)._option_string_actions) if name in _COMMANDS else {}  # noqa: SLF001


def example_of(name: str) -> str:
    """Return the examples of a command, a line each."""
    return _COMMANDS[name][2]


def _commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    groups = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001
    return dict(next(groups).choices)


def _command_in(argv: list[str]) -> str | None:
    """Return the command, None for --help and --version; _UsageError where there is none of that name."""
    if not argv:
        raise _UsageError(f"a command is missing: {', '.join(COMMAND_NAMES)} (see podwire --help)")
    if argv[0] in _COMMANDS:
        return argv[0]
    if argv[0] in ("-h", "--help", "--version"):
        return None
    if argv[0].startswith("-"):
        raise _UsageError(f"{_quoted(argv[0])} is unknown here (see podwire --help)")
    raise _UsageError(f"there is no command {_quoted(argv[0])}: {', '.join(COMMAND_NAMES)} (see podwire --help)")


def _quoted(text: str) -> str:
    from planner.text.values import shown  # noqa: PLC0415  only what is wrong needs quoting

    return shown(text)


def _parser(wanted: str | None) -> _Parser:
    """Return the parser; the options of commands other than ``wanted`` are left out, nobody will see them."""
    parser = _Parser(prog="podwire", description=DESCRIPTION, epilog=EXIT, formatter_class=_layout, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"podwire {__version__}", help="print the version")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", prog="podwire")
    for name, (add, text, example) in _COMMANDS.items():
        if name in _HIDDEN and name != wanted:
            continue
        command = commands.add_parser(name, help=text, formatter_class=_layout, allow_abbrev=False)
        if name == wanted:
            command.description, command.epilog = f"{text[:1].upper()}{text[1:]}.", _epilog(example)
            add(command)
    return parser


def _layout(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, width=min(_terminal_width(), _WIDEST) - 2)


def _terminal_width() -> int:
    # What shutil.get_terminal_size does, without the time that shutil takes to load.
    try:
        return int(os.environ.get("COLUMNS") or os.get_terminal_size().columns)
    except (ValueError, OSError):
        return 80


def _epilog(example: str) -> str:
    lines = example.splitlines()
    return "\n".join(["example:" if len(lines) == 1 else "examples:", *(f"  {line}" for line in lines)])


def _common(parser: argparse.ArgumentParser, formats: tuple[str, ...] = _SHORT) -> None:
    text = " or ".join(formats) if len(formats) < _MANY else f"one of {', '.join(formats)}"
    parser.add_argument("--format", type=_OneOf(formats), default=formats[0], metavar="F", help=text)
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    parser.add_argument(
        "--state-dir",
        default=os.environ.get("PODWIRE_STATE_DIR") or DEFAULT_STATE_DIR,
        metavar="DIR",
        help=f"where the state is kept (default {DEFAULT_STATE_DIR}, or $PODWIRE_STATE_DIR)",
    )


def _limits(parser: argparse.ArgumentParser, *, locks: bool = False) -> None:
    text = "how long one command may take (default 30)"
    parser.add_argument("--timeout", type=_some_seconds, default=30.0, metavar="SECONDS", help=text)
    if locks:
        text = "how long to wait for another podwire (default 10)"
        parser.add_argument("--lock-timeout", type=_seconds, default=10.0, metavar="SECONDS", help=text)


class _OneOf:
    """Reads one of a few words, which completion knows too."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words

    def __call__(self, text: str) -> str:
        """Return ``text`` where it is one of the words."""
        if text not in self.words:
            known = f"none of {', '.join(self.words)}" if len(self.words) > 1 else f"not {self.words[0]}"
            raise argparse.ArgumentTypeError(f"{_quoted(text)} is {known}")
        return text


def _some_seconds(text: str) -> float:
    """Return a time limit that is more than nothing."""
    if (seconds := _seconds(text)) <= 0:
        raise argparse.ArgumentTypeError(f"{_quoted(text)} leaves no time for anything")
    return seconds


def _seconds(text: str) -> float:
    """Return a time limit: ``30``, ``1.5``, ``60s`` or ``2m``."""
    number, factor = (text[:-1], 60.0) if text.endswith("m") else (text.removesuffix("s"), 1.0)
    try:
        seconds = float(number) * factor
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{_quoted(text)} is not a time (such as 30, 1.5 or 2m)")
    return seconds


def _moment(text: str) -> float:
    """Return a moment in seconds since the epoch: so long ago, or a date and perhaps a time (local unless it says)."""
    import time  # noqa: PLC0415  only this option needs them
    from datetime import datetime  # noqa: PLC0415

    factor = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1:])
    try:
        if factor and text[:-1].isascii() and text[:-1].isdecimal():
            return time.time() - int(text[:-1]) * factor
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(f"{_quoted(text)} is neither a time ago (such as 2h) nor a date") from None


def _netns(parser: argparse.ArgumentParser, *, required: bool) -> None:
    text = "the namespace: a path (/run/netns/pod1, /proc/4242/ns/net) or a name under /run/netns"
    parser.add_argument("--netns", required=required, metavar="NETNS", help=text)


def _wiring(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("--result", required=required, metavar="FILE", help="the CNI result, - for standard input")
    _netns(parser, required=required)
    parser.add_argument("--id", metavar="ID", help="what to call the wiring (default: the base name of the namespace)")
    parser.add_argument("--tap-owner", metavar="UID[:GID]", help="who may open the taps besides root, as numbers")
    parser.add_argument("--tap-queues", metavar="N", help="queues of each tap (default 1)")
    parser.add_argument("--tap-vnet-hdr", action="store_true", help="taps with the virtio-net header")
    _calico(parser)
    text = "the bridge's own address, for a DHCP server; again for further bridges (default 169.254.254.2/24 …)"
    parser.add_argument("--dhcp-address", action="append", default=[], metavar="ADDR", help=text)


def _calico(parser: argparse.ArgumentParser) -> None:
    text = "the gateway for Calico's links, an address that its IPAM gave away for this"
    parser.add_argument("--dummy-gateway", metavar="ADDR", help=text)
    parser.add_argument("--dummy-result", metavar="FILE", help="the same, as the CNI result of --dummy-netns")
    parser.add_argument(
        "--dummy-netns", metavar="NETNS", help="the namespace that carries the address of --dummy-result"
    )
    text = "how many bits the subnet of Calico's addresses is to have (default 24)"
    parser.add_argument("--calico-subnet", metavar="BITS", help=text)


def _facts(parser: argparse.ArgumentParser) -> None:
    _netns(parser, required=True)
    _common(parser, ("json",))
    _limits(parser)


def _plan(parser: argparse.ArgumentParser) -> None:
    _wiring(parser, required=True)
    parser.add_argument("--facts", metavar="FILE", help="plan from captured facts, without root or the namespace")
    parser.add_argument("-o", "--output", metavar="PLAN", help="also write the plan to a file, for apply")
    text = "exit with 2 where there are changes, 0 where there are none"
    parser.add_argument("--detailed-exitcode", action="store_true", help=text)
    _common(parser, PLAN_FORMATS)
    _limits(parser)


def _show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan", metavar="PLAN", help="the file of a stored plan, - for standard input")
    parser.add_argument("--reverse", action="store_true", help="show what takes it back")
    _common(parser, PLAN_FORMATS)


def _apply(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan", nargs="?", metavar="PLAN", help="the file of a stored plan")
    _wiring(parser, required=False)
    text = "get Calico's dummy gateway from the CNI plugins of a conflist; teardown gives it back"
    parser.add_argument("--dummy-conflist", metavar="FILE", help=text)
    text = "take it back by itself after that time (such as 60s), unless podwire confirm ID comes first"
    parser.add_argument("--confirm-within", type=_some_seconds, metavar="SECONDS", help=text)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    text = "take a plan file that belongs to, or can be written by, somebody else"
    parser.add_argument("--allow-untrusted-plan", action="store_true", help=text)
    _common(parser)
    _limits(parser, locks=True)


def _teardown(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="?", metavar="ID", help="the wiring")
    parser.add_argument("--all", action="store_true", help="every wiring of the state directory")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be run")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    _common(parser, PLAN_FORMATS)
    _limits(parser, locks=True)


def _list(parser: argparse.ArgumentParser) -> None:
    _common(parser)


def _log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="?", metavar="ID", help="only of this wiring")
    text = "only since then: as long ago as 90s, 30m, 2h or 1d, or a date (2026-11-24, 2026-11-24T09:30)"
    parser.add_argument("--since", type=_moment, metavar="WHEN", help=text)
    _netns(parser, required=False)
    parser.add_argument("--failed", action="store_true", help="only what failed, or was not seen to end")
    parser.add_argument("--follow", action="store_true", help="go on with what is run from now on")
    parser.add_argument("--reverse", action="store_true", help="the newest first")
    _common(parser, LOG_FORMATS)


def _recover(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="?", metavar="ID", help="only this wiring (default: all that are half done)")
    parser.add_argument("--forward", action="store_true", help="finish what was begun instead of taking it back")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be run")
    _common(parser, PLAN_FORMATS)
    _limits(parser, locks=True)


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", type=_OneOf(("bash", "zsh", "fish")), metavar="SHELL", help="bash, zsh or fish")
    _common(parser, ("text",))


def _complete(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="WORD", help="the words so far, without podwire")
    _common(parser, ("text",))


def _check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the wiring")
    parser.add_argument("--fix", action="store_true", help="repair what drifted, after showing it")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    _common(parser)
    _limits(parser, locks=True)


def _confirm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the wiring")
    _common(parser)
    _limits(parser, locks=True)


def _gc(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    _limits(parser, locks=True)


_COMMANDS = {
    "facts": (
        _facts,
        "print what is in a namespace, as JSON",
        "podwire facts --netns pod1 > facts.json\npodwire facts --netns /proc/4242/ns/net",
    ),
    "plan": (
        _plan,
        "show what would be done; touches nothing",
        """\
podwire plan --result result.json --netns pod1 -o pod1.plan
podwire plan --result result.json --netns pod1 --facts facts.json   # off the host""",
    ),
    "show": (
        _show,
        "show a stored plan, or its reverse",
        "podwire show pod1.plan --reverse\npodwire show pod1.plan --format html > pod1.html",
    ),
    "apply": (
        _apply,
        "wire a namespace as a plan says",
        "podwire apply pod1.plan\npodwire apply --result result.json --netns pod1 --yes",
    ),
    "teardown": (
        _teardown,
        "take a wiring back, exactly",
        "podwire teardown pod1 --dry-run\npodwire teardown pod1 --yes",
    ),
    "list": (
        _list,
        "show what is wired here",
        "podwire list\npodwire list --json",
    ),
    "log": (
        _log,
        "show the commands that were run",
        "podwire log pod1 --since 2h\npodwire log --failed --format html > log.html",
    ),
    "recover": (
        _recover,
        "take back what a crash left half done, or finish it",
        "podwire recover --dry-run\npodwire recover pod1 --forward",
    ),
    "check": (
        _check,
        "show whether a wiring still is what was applied",
        "podwire check pod1\npodwire check pod1 --fix",
    ),
    "confirm": (
        _confirm,
        "keep what was applied with --confirm-within",
        "podwire apply pod1.plan --yes --confirm-within 60s\npodwire confirm pod1",
    ),
    "gc": (
        _gc,
        "forget what belongs to namespaces that are gone",
        "podwire gc\npodwire gc --json",
    ),
    "completion": (
        _completion,
        "print what makes a shell complete podwire's words",
        "source <(podwire completion bash)\npodwire completion fish | source",
    ),
}
# What is not for people: shells ask it.
_HIDDEN = {"complete": (_complete, "print the candidates for the last word", "podwire complete -- tear")}
COMMAND_NAMES = tuple(_COMMANDS)
_COMMANDS |= _HIDDEN
