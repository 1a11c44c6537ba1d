"""Changes to commands: the template of each resource's kind, rendered for before → after, split into words once.

A template reads like a session: ``$ `` starts a command, ``| `` a line of its standard input, other lines go on.
Values are quoted here, not by the template's author, and only validated types are taken.
"""

from __future__ import annotations

import functools
import itertools
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

import jinja2
from attrs import evolve, frozen

from planner.changes.change import Change
from planner.errors import RenderError
from planner.resources import Link, LinkState, Sysctl
from planner.text.codec import ADDRESS_TYPES
from planner.text.values import NetnsPath, Token

_COMMAND_MARK = "$ "
_STDIN_MARK = "| "
_UNQUOTED = re.compile(r"[A-Za-z0-9 ._:/@%+=,~^*-]*")
_TRIM = True
# What a compiled template hangs on besides its text.
COMPILED_FOR = f"jinja-{jinja2.__version__}-trim-{_TRIM}"
# Changes whose commands are remembered: each is rendered to show it, to run it, to take it back and to verify that.
_REMEMBERED = 4096

# The words of a command and its standard input.
_Words = tuple[tuple[str, ...], str | None]


@frozen
class Command:
    """One program to run: its words, the namespace it runs in (None is the host's), its standard input.

    ``changes`` are the indexes of the changes that it carries out. What is previewed, scripted, run, journalled and
    logged are these, one to one.
    """

    argv: tuple[str, ...]
    netns: NetnsPath | None
    stdin: str | None
    changes: tuple[int, ...]

    @property
    def line(self) -> str:
        """Return the words as a POSIX shell reads them, without namespace and standard input."""
        return shlex.join(self.argv)


class Templates:
    """The loaded templates: ``sources`` maps a file's name to its text; reading files is the caller's work.

    ``compiled`` may keep what they were compiled to, for other processes; it must be made for ``COMPILED_FOR``.
    """

    def __init__(self, sources: Mapping[str, str], *, compiled: jinja2.BytecodeCache | None = None) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.DictLoader(sources),
            bytecode_cache=compiled,
            undefined=jinja2.StrictUndefined,
            finalize=quote,
            autoescape=False,  # noqa: S701  this is no HTML: every value is quoted for a shell by finalize
            trim_blocks=_TRIM,
            lstrip_blocks=_TRIM,
        )
        self._words = functools.lru_cache(_REMEMBERED)(lambda change: _split(self.render(change)))

    def render(self, change: Change) -> str:
        """Return the text of the block that carries out ``change`` (add, remove or change).

        What cannot be changed in place, such as an address found with another label, is removed and added.
        """
        block = "add" if change.before is None else "remove" if change.after is None else "change"
        template = self._environment.get_template(change.resource.TEMPLATE)
        blocks = ("remove", "add") if block == "change" and block not in template.blocks else (block,)
        return "".join(self._block(template, name, change) for name in blocks)

    def _block(self, template: jinja2.Template, block: str, change: Change) -> str:
        if block not in template.blocks:
            raise RenderError(f"{change.resource.TEMPLATE} has no block {block}, which {change.resource} needs")
        values = {"resource": change.resource, "before": change.before, "after": change.after}
        try:
            return "".join(template.blocks[block](template.new_context(values)))
        except jinja2.TemplateError as error:
            raise RenderError(f"{change.resource.TEMPLATE}, {block}: {error}") from error

    def commands(self, changes: Iterable[Change]) -> tuple[Command, ...]:
        """Return the commands that carry out ``changes`` in order; those that go together are one command."""
        wanted = tuple(changes)
        found = [
            Command(argv, change.netns, stdin, (index,))
            for index, change in enumerate(wanted)
            if not change.happens_by_itself
            for argv, stdin in self._words(change)
        ]
        return _together(found, wanted)


def quote(value: object) -> str:
    """Return a template's value as one shell word (jinja2's finalize); RenderError where its type is not validated."""
    if isinstance(value, jinja2.Undefined):
        return str(value)  # raises UndefinedError, which says what is undefined
    if isinstance(value, bool) or not isinstance(value, (Token, int, *ADDRESS_TYPES)):
        raise RenderError(f"a template may not print a {type(value).__name__}: only validated values become words")
    return shlex.quote(str(value))


def _split(text: str) -> tuple[_Words, ...]:
    """Return the commands in a rendered block: ``$ `` starts one, ``| `` a line of its input, the rest goes on."""
    commands: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith(_COMMAND_MARK):
            commands.append([line.removeprefix(_COMMAND_MARK)])
        elif line.startswith(_STDIN_MARK) and commands:
            commands[-1].append(line.removeprefix(_STDIN_MARK))
        elif commands:
            commands[-1][-1] += " " + line
        elif line.strip():
            raise RenderError(f"a template's text must start with {_COMMAND_MARK!r}, not with {line!r}")
    return tuple(_command(lines) for lines in commands)


def _command(lines: Sequence[str]) -> _Words:
    argv, *stdin = (_words_of(line) for line in lines)
    return argv, "".join(f"{' '.join(words)}\n" for words in stdin) or None


def _words_of(line: str) -> tuple[str, ...]:
    # Where nothing is quoted blanks part the words, and shlex.split, which is 20 times slower, has nothing to add.
    return tuple(line.split() if _UNQUOTED.fullmatch(line) else shlex.split(line))


def _together(commands: Sequence[Command], changes: Sequence[Change]) -> tuple[Command, ...]:
    """Join neighbours that one program does at once: sysctls, and the removal of links of one group."""
    found: list[Command] = []
    for command in _settings_gathered(commands, changes):
        joined = _join(found[-1], command, changes) if found else None
        if joined:
            found[-1] = joined
        else:
            found.append(command)
    return tuple(found)


def _settings_gathered(commands: Sequence[Command], changes: Sequence[Change]) -> Iterator[Command]:
    """Yield the commands; where links are made, what makes them first, then all their sysctls and those before them."""

    def kind(command: Command) -> tuple[bool, NetnsPath | None]:
        return _only_makes_links(changes[command.changes[0]]), command.netns

    for (makes_links, _), run in itertools.groupby(commands, kind):
        together = tuple(run)
        yield from _gathered(together) if makes_links else together


def _only_makes_links(change: Change) -> bool:
    return isinstance(change.resource, Sysctl) or (isinstance(change.resource, Link) and change.after is not None)


def _gathered(run: Sequence[Command]) -> tuple[Command, ...]:
    """Return the commands with their sysctls side by side: what such a one needs before it, all of them, the rest."""
    last_setting = {command.changes: at for at, command in enumerate(run) if _sets_sysctls(command)}

    def rank(at: int) -> int:
        if _sets_sysctls(run[at]):
            return 1
        return 0 if at < last_setting.get(run[at].changes, -1) else 2

    return tuple(run[at] for at in sorted(range(len(run)), key=rank))


def _sets_sysctls(command: Command) -> bool:
    return command.argv[0] == "sysctl"


def _join(one: Command, other: Command, changes: Sequence[Change]) -> Command | None:
    """Return one command that does both, or None where there is none."""
    if one.netns != other.netns:
        return None
    both = (*one.changes, *other.changes)
    if _sets_sysctls(one) and _sets_sysctls(other):
        return evolve(one, stdin=f"{one.stdin or ''}{other.stdin or ''}", changes=both)
    # All that one of them carries out already is of one kind: its last change tells.
    group = _group_removed((one.changes[-1], *other.changes), changes)
    if group:
        return evolve(one, argv=("ip", "link", "del", "group", str(group)), changes=both)
    return None


def _group_removed(indexes: Iterable[int], changes: Sequence[Change]) -> int:
    """Return the group that all these changes remove a link of, else 0: the kernel waits (RCU) once for a group."""
    groups = {_removed_link_group(changes[index]) for index in indexes}
    return groups.pop() if len(groups) == 1 else 0


def _removed_link_group(change: Change) -> int:
    goes = isinstance(change.resource, Link) and change.after is None
    return change.before.group if goes and isinstance(change.before, LinkState) else 0
