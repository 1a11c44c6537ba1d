"""The parser: which command it is, and its options. Only the standard library is needed to say what they are."""

from __future__ import annotations

import argparse
import os
from functools import partial
from importlib import import_module
from types import ModuleType

from executor.cli.commands import COMMANDS, HIDDEN
from executor.cli.options import quoted
from executor.cli.output import complain, put
from executor.cli.words import command_meant, in_order, leading_options, option_meant, word_too_many
from executor.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing itself would be a tenth of the time that --help takes
    from collections.abc import Callable
    from typing import NoReturn

    from _typeshed import SupportsWrite

_WIDEST = 100

DESCRIPTION = (
    "Connect a virtual machine to the network of the pod it runs in: plan, preview, apply and roll back the changes."
)
EXIT = """\
exit status:
  0  done, or nothing to do
  1  refused, bad input or wrong usage: nothing was changed (with --all,
     recover and gc: one wiring was skipped, the others were handled)
  2  changes are pending (plan --detailed-exitcode), or drift was found (check)
  3  apply failed, and was rolled back
  4  failed and was only partly rolled back: run podwire recover
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
        if text.startswith("missing: "):
            text = text.replace("--netns", "--netns or --pid")
        raise _UsageError(f"{text} (see {self.prog} --help)")

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        del file  # standard output, with whatever may befall it
        put(self.format_help())


class _Listed(argparse.ArgumentParser):
    """A stand-in for the parser of a command where commands are only listed: to make one takes 0.4 ms."""

    def __init__(self, **_: object) -> None:
        """Make nothing: nobody parses with it."""


def parse(argv: list[str]) -> argparse.Namespace | int:
    """Return the arguments, or the exit status if there is nothing more to do (--help, --version, wrong usage)."""
    try:
        words = in_order(argv)
        command = _command_in(words)
        parser = _parser(command)
        if command is not None:
            _refuse_unknown_options(words[1:], command, _commands_of(parser)[command])
            _refuse_word_too_many(words[1:], command, _commands_of(parser)[command])
        arguments, strange = parser.parse_known_args(words)
        if strange:
            raise _unknown(strange[0], arguments.command, _commands_of(parser)[arguments.command])
        arguments.format = _format(arguments, _commands_of(parser)[arguments.command])
    except _UsageError as error:
        return _refuse(error, in_json="--json" in argv)
    except SystemExit:
        return 0
    return arguments


def _format(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> str:
    """Return the format that is meant; --json and another one contradict each other."""
    option = parser._option_string_actions["--format"]  # noqa: SLF001  argparse has no other way to ask
    given: str | None = arguments.format
    if not arguments.json:
        return given or str(option.type.words[0])  # type: ignore[union-attr]  # see OneOf
    if given not in (None, "json"):
        raise _UsageError(f"--json and --format {given}: give one of them (see podwire {arguments.command} --help)")
    return "json"


def _refuse(error: _UsageError, *, in_json: bool) -> int:
    if in_json:
        import json  # noqa: PLC0415  it takes a while to load

        put(json.dumps({"outcome": "failed", "kind": "usage", "error": str(error), "exit_status": 1}, indent=1) + "\n")
    return complain(error, 1)


def _refuse_unknown_options(words: list[str], command: str, parser: argparse.ArgumentParser) -> None:
    """Refuse an option that is not known, and ``-out=x``, which argparse would take for ``-o ut=x``.

    Short options without a value may be run together. It is reported before what is missing, which may be what was
    meant.
    """
    options = parser._option_string_actions  # noqa: SLF001  argparse has no other way to ask
    flags = {name[1:] for name, action in options.items() if len(name) == 2 and action.nargs == 0}
    for word in words:
        if word == "--":
            return
        is_long = word.startswith("--")
        if not is_long and not (word[:1] == "-" and word[1:2].isalpha()):
            continue
        is_known = word.partition("=")[0] in options if is_long else word in options or flags.issuperset(word[1:])
        if not is_known:
            raise _unknown(word, command, parser)


def _refuse_word_too_many(words: list[str], command: str, parser: argparse.ArgumentParser) -> None:
    """Refuse a word that is neither an option nor its value, before saying what is missing: it may be just that."""
    options = parser._option_string_actions  # noqa: SLF001
    if any(not action.option_strings for action in parser._actions):  # noqa: SLF001
        return
    word = word_too_many(words, {name: action.nargs != 0 for name, action in options.items()})
    if word is None:
        return
    given = {options[name].dest for name in (each.partition("=")[0] for each in words) if name in options}
    missing = (action for action in options.values() if action.required and action.dest not in given)
    meant = next((f"{action.option_strings[0]} {quoted(word)}" for action in missing), None)
    if command == "list":
        meant = f"podwire show {quoted(word)}"
    raise _UsageError(f"{quoted(word)} is unknown here{_did_you_mean(meant)} (see podwire {command} --help)")


def _unknown(word: str, command: str, parser: argparse.ArgumentParser) -> _UsageError:
    meant = option_meant(word, tuple(parser._option_string_actions)) if word[:1] == "-" else None  # noqa: SLF001
    return _UsageError(f"{quoted(word)} is unknown here{_did_you_mean(meant)} (see podwire {command} --help)")


def _did_you_mean(meant: str | None) -> str:
    return f": did you mean {meant}?" if meant else ""


def parser_of(name: str) -> argparse.ArgumentParser:
    """Return the parser of one command, with its options."""
    found: argparse.ArgumentParser = _commands_of(_parser(name))[name]
    return found


def options_of(name: str) -> dict[str, argparse.Action]:
    """Return the options of a command by their names; none for what is no command."""
    return dict(parser_of(name)._option_string_actions) if name in COMMANDS | HIDDEN else {}  # noqa: SLF001


def example_of(name: str) -> str:
    """Return the examples of a command, a line each."""
    text: str = module_of(name).EXAMPLES
    return text


def module_of(name: str) -> ModuleType:
    """Return the module of a command: its options, its examples, and what runs it."""
    return import_module(f"executor.cli.commands.{name}")


def _commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    groups = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001
    return dict(next(groups).choices)


def _command_in(argv: list[str]) -> str | None:
    """Return the command, None for --help and --version; _UsageError if there is none of that name."""
    if leading_options(argv) >= len(argv):
        raise _UsageError(f"a command is missing: {', '.join(COMMANDS)} (see podwire --help)")
    if argv[0] in COMMANDS | HIDDEN:
        return argv[0]
    if argv[0] in ("-h", "--help", "--version"):
        return None
    if argv[0].startswith("-"):
        raise _too_early(argv)
    if meant := command_meant(argv[0], tuple(COMMANDS)):
        raise _UsageError(f"there is no command {quoted(argv[0])}: did you mean podwire {meant}? (see podwire --help)")
    raise _UsageError(f"there is no command {quoted(argv[0])}: {', '.join(COMMANDS)} (see podwire --help)")


def _too_early(argv: list[str]) -> _UsageError:
    """Return what to say of an option in the place of the command."""
    word, name = argv[0], argv[0].partition("=")[0]
    command = next((each for each in argv if each in COMMANDS | HIDDEN), None)
    if command is not None and name in options_of(command):
        return _UsageError(f"{quoted(word)} comes after the command: podwire {command} {name} … (see podwire --help)")
    meant = option_meant(word, ("--version", "--help"))
    return _UsageError(f"{quoted(word)} is unknown here{_did_you_mean(meant)} (see podwire --help)")


def _parser(wanted: str | None) -> _Parser:
    """Return the parser of one command, or of --help and --version, which list the commands."""
    layout = _layout()
    parser = _Parser(prog="podwire", description=DESCRIPTION, epilog=EXIT, formatter_class=layout, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"podwire {__version__}", help="print the version")
    kind = _Listed if wanted is None else _Parser
    commands = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", prog="podwire", parser_class=kind
    )
    if wanted is None:
        for name, text in COMMANDS.items():
            commands.add_parser(name, help=text)
        return parser
    text = (COMMANDS | HIDDEN)[wanted]
    command = commands.add_parser(wanted, formatter_class=layout, allow_abbrev=False)
    command.description, command.epilog = f"{text[:1].upper()}{text[1:]}.", _epilog(example_of(wanted))
    module_of(wanted).add_options(command)
    return parser


def _layout() -> Callable[..., argparse.HelpFormatter]:
    """Return what lays help out; argparse makes one for each option, so the terminal is asked for its width once."""
    return partial(argparse.RawDescriptionHelpFormatter, width=min(_terminal_width(), _WIDEST) - 2)


def _terminal_width() -> int:
    # What shutil.get_terminal_size does, without the time that shutil takes to load.
    try:
        return int(os.environ.get("COLUMNS") or os.get_terminal_size().columns)
    except (ValueError, OSError):
        return 80


def _epilog(example: str) -> str:
    lines = example.splitlines()
    return "\n".join(["example:" if len(lines) == 1 else "examples:", *(f"  {line}" for line in lines)])
