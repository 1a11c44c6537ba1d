"""Changes to commands: the template of each resource's kind, rendered for before → after, split into words once.

A template reads like a session: ``$ `` starts a command, ``| `` a line of its standard input, other lines go on. ``& ``
starts one whose input may be joined with that of its neighbours.
Values are quoted here, not by the template's author, and only validated types are taken.
"""

from __future__ import annotations

import functools
import itertools
import re
import shlex
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import overload

import jinja2
from attrs import evolve, field

from planner.changes.change import Change
from planner.errors import RenderError
from planner.kinds.kind import Touches, kind_of
from planner.text.codec import ADDRESS_TYPES
from planner.text.frozen import frozen
from planner.text.values import NetnsPath, Token

_COMMAND_MARK = "$ "
# A command whose input may be joined with that of others of the same words.
_JOINED_MARK = "& "
_STDIN_MARK = "| "
_UNQUOTED = re.compile(r"[A-Za-z0-9 ._:/@%+=,~^*-]*")
# Words that shlex.quote leaves as they are, which it looks at one by one.
_UNQUOTED_WORDS = re.compile(r"[A-Za-z0-9_@%+=:,./-]+(?: [A-Za-z0-9_@%+=:,./-]+)*")
_TRIM = True
# What a compiled template hangs on besides its text.
COMPILED_FOR = f"jinja-{jinja2.__version__}-trim-{_TRIM}"
# ``{% include "parts/route_ways.j2" %}``, with the blanks that jinja2 would strip before it.
_INCLUDE = re.compile(r'^[ ]*(?={% include "[a-z0-9_/]+\.j2" %})|{% include "([a-z0-9_/]+\.j2)" %}', re.MULTILINE)
# Changes whose commands are remembered: each is rendered to show it, to run it, to roll it back and to verify that.
_REMEMBERED = 4096
# The commands of so many changes are kept.
_KEPT = 16384

# The words of a command, its standard input, and whether that may be joined.
_Words = tuple[tuple[str, ...], str | None, bool]


@frozen
class Command:
    """One program to run: its words, the namespace it runs in (None is the host's), its standard input.

    ``changes`` are the indexes of the changes that it carries out. What is previewed, scripted, run, journalled and
    logged are these, one to one. The rest follows from the changes, as their kinds say it (planner.kinds.kind): what
    they touch (None is everything), the features of the host that they need, what a failure stops, whether others may
    be sent right after it, whether it is slow, and the links without which its resources cannot be.
    """

    argv: tuple[str, ...]
    netns: NetnsPath | None
    stdin: str | None
    changes: tuple[int, ...]
    touches: Touches = field(default=None, eq=False, repr=False)
    features: frozenset[str] = field(default=frozenset(), eq=False, repr=False)
    stops_at_failure: bool = field(default=False, eq=False, repr=False)
    is_joined: bool = field(default=False, eq=False, repr=False)
    goes_ahead: bool = field(default=False, eq=False, repr=False)
    is_slow: bool = field(default=False, eq=False, repr=False)
    links: frozenset[str] = field(default=frozenset(), eq=False, repr=False)

    @property
    def line(self) -> str:
        """Return the words as a POSIX shell reads them, without namespace and standard input."""
        line = " ".join(self.argv)
        is_plain = _UNQUOTED_WORDS.fullmatch(line) and line.count(" ") == len(self.argv) - 1
        return line if is_plain else shlex.join(self.argv)

    @property
    def program(self) -> str:
        """Return the name of the program."""
        return self.argv[0]


class _Rendered(Sequence[Command]):
    """Commands that are rendered again whenever they are gone through: kept, very many would fill the memory."""

    def __init__(self, render: Callable[[], Iterator[Command]]) -> None:
        self._render = render

    def __iter__(self) -> Iterator[Command]:
        return self._render()

    @functools.cached_property
    def _count(self) -> int:
        return sum(1 for _ in self)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> Command: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Command, ...]: ...
    def __getitem__(self, at: int | slice) -> Command | tuple[Command, ...]:
        return tuple(self)[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and all(
            one == another for one, another in itertools.zip_longest(self, other)
        )

    def __hash__(self) -> int:
        return hash(tuple(self))


class Templates:
    """The loaded templates: ``sources`` maps a file's name to its text; reading files is the caller's work.

    ``compiled`` may keep what they were compiled to, for other processes; it must be made for ``COMPILED_FOR``.
    """

    def __init__(self, sources: Mapping[str, str], *, compiled: jinja2.BytecodeCache | None = None) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.DictLoader({name: _with_includes(text, sources) for name, text in sources.items()}),
            bytecode_cache=compiled,
            undefined=jinja2.StrictUndefined,
            finalize=quote,
            autoescape=False,  # noqa: S701  this is no HTML: every value is quoted for a shell by finalize
            trim_blocks=_TRIM,
            lstrip_blocks=_TRIM,
        )
        self._shapes: dict[Hashable, tuple[str, tuple[Command, ...]]] = {}
        self._last: tuple[Hashable, tuple[str, tuple[Command, ...]]] | None = None
        self._rendered = functools.lru_cache(_REMEMBERED)(lambda change: _split(self.render(change)))

    def compile(self) -> None:
        """Compile all of them, so that what comes of it is kept."""
        for name in self._environment.list_templates():
            self._environment.get_template(name)

    def _commands_of(self, change: Change, index: int) -> tuple[Command, ...]:
        """Return the commands of a change, if need be from those of another resource that differs by one word only."""
        kind = kind_of(change.resource)
        shape = kind.shape(change.resource)
        if shape is None:
            return tuple(_command(words, change, (index,)) for words in self._rendered(change))
        common, own_word = shape
        key = (kind.name, common, change.before, change.after)
        last = self._last
        if last is None or last[0] != key:  # neighbours are most often alike, and comparing is less than hashing
            last = self._last = (key, self._shape(key, change))
        its_word, commands = last[1]
        return tuple([_like(command, its_word, own_word, change, index) for command in commands])

    def _shape(self, key: Hashable, change: Change) -> tuple[str, tuple[Command, ...]]:
        if key not in self._shapes:
            if len(self._shapes) >= _REMEMBERED:
                self._shapes.clear()
            resource, word = kind_of(change.resource).stand_in(change.resource)
            other = evolve(change, resource=resource, reason="")
            self._shapes[key] = word, tuple(_command(words, other, ()) for words in self._rendered(other))
        return self._shapes[key]

    def render(self, change: Change) -> str:
        """Return the text of the block that carries out ``change`` (add, remove or change).

        What cannot be changed in place, such as an address found with another label, is removed and added.
        """
        block = "add" if change.before is None else "remove" if change.after is None else "change"
        template = self._template(change)
        blocks = ("remove", "add") if block == "change" and block not in template.blocks else (block,)
        return "".join(self._block(template, name, change) for name in blocks)

    def _template(self, change: Change) -> jinja2.Template:
        return self._environment.get_template(kind_of(change.resource).template)

    def _block(self, template: jinja2.Template, block: str, change: Change) -> str:
        if block not in template.blocks:
            raise RenderError(f"{template.name} has no block {block}, which {change.resource} needs")
        values = {"resource": change.resource, "before": change.before, "after": change.after}
        try:
            return "".join(template.blocks[block](template.new_context(values)))
        except jinja2.TemplateError as error:
            raise RenderError(f"{template.name}, {block}: {error}") from error

    def commands(self, changes: Iterable[Change], *, made_first: bool = True) -> Sequence[Command]:
        """Return the commands that carry out ``changes`` in order; those that go together are one command.

        Links are made first, unless ``made_first`` is False: plans of earlier versions kept to the order throughout.
        Of very many changes they are rendered when they are accessed, and RenderError is raised only then.
        """
        wanted = changes if isinstance(changes, Sequence) else tuple(changes)
        if len(wanted) <= _KEPT:
            return tuple(self._each(wanted, made_first=made_first))
        return _Rendered(lambda: self._each(wanted, made_first=made_first))

    def _each(self, changes: Sequence[Change], *, made_first: bool) -> Iterator[Command]:
        ordered = _made_first(changes) if made_first else enumerate(changes)
        found = (
            each
            for key, run in itertools.groupby(ordered, key=lambda item: _together_key(item[1]))
            for each in (self._at_once(tuple(run)) if key is not None else self._one_by_one(run))
        )
        return _joined(_gathered(found, apart=made_first))

    def _one_by_one(self, changes: Iterable[tuple[int, Change]]) -> Iterator[tuple[Change, Command]]:
        for index, change in changes:
            if not change.happens_by_itself:
                for command in self._commands_of(change, index):
                    yield change, command

    def _at_once(self, changes: tuple[tuple[int, Change], ...]) -> Iterator[tuple[Change, Command]]:
        """Yield the command of neighbouring changes that one command makes; a single one is made as always."""
        if len(changes) == 1:
            yield from self._one_by_one(changes)
            return
        first = changes[0][1]
        for words in _split(self._block(self._template(first), "together", first)):
            commands = [_command(words, change, (index,)) for index, change in changes]
            yield first, functools.reduce(_both, commands)


def _with_includes(text: str, sources: Mapping[str, str]) -> str:
    """Return a template with the text of those that it includes by name: looking them up costs more than the rest."""

    def included(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return ""
        return _with_includes(sources[name].removesuffix("\n"), sources) if name in sources else found[0]

    return _INCLUDE.sub(included, text)


def _made_first(changes: Sequence[Change]) -> Iterator[tuple[int, Change]]:
    """Yield the changes with their numbers, first those that only make something that no earlier one touches.

    So the pod is without its network for a shorter time, and one program sets what all that is made needs.
    """
    first = tuple(_early(changes))
    early = {index for index, _ in first}
    yield from first
    yield from (item for item in enumerate(changes) if item[0] not in early)


def _early(changes: Sequence[Change]) -> Iterator[tuple[int, Change]]:
    """Yield the changes that only make something and touch nothing that a change before them does."""
    touched: set[str] = set()
    for index, change in enumerate(changes):
        kind = kind_of(change.resource)
        touches = kind.touches(change)
        if kind.only_makes(change) and touches is not None and touches.isdisjoint(touched):
            yield index, change
        elif touches is None:
            return
        else:
            touched |= touches


def _together_key(change: Change) -> tuple[Hashable, ...] | None:
    """Return what neighbouring changes that are made at once have in common, None for a change that is made alone."""
    kind = kind_of(change.resource)
    key = None if change.happens_by_itself else kind.together(change)
    return None if key is None else (kind.name, change.netns, key)


def _command(words: _Words, change: Change, indexes: tuple[int, ...]) -> Command:
    argv, stdin, is_joined = words
    kind = kind_of(change.resource)
    return Command(
        argv,
        change.netns,
        stdin,
        indexes,
        touches=None if kind.runs_alone(change) else kind.touches(change),
        features=frozenset(kind.features(change)),
        stops_at_failure=kind.stops_at_failure,
        is_joined=is_joined,
        goes_ahead=kind.goes_ahead,
        is_slow=kind.is_slow(change),
        links=kind.links(change.resource),
    )


def _like(command: Command, its_word: str, own_word: str, change: Change, index: int) -> Command:
    """Return the command of a change that differs from that of another one by one word."""
    return Command(
        tuple([own_word if word == its_word else word for word in command.argv]),
        change.netns,
        command.stdin,
        (index,),
        command.touches,
        command.features,
        command.stops_at_failure,
        command.is_joined,
        command.goes_ahead,
        command.is_slow,
        command.links,
    )


def quote(value: object) -> str:
    """Return a template's value as one shell word (jinja2's finalize); RenderError if its type is not validated."""
    if isinstance(value, jinja2.Undefined):
        return str(value)  # raises UndefinedError, which says what is undefined
    if isinstance(value, bool) or not isinstance(value, (Token, int, *ADDRESS_TYPES)):
        raise RenderError(f"a template may not print a {type(value).__name__}: only validated values become words")
    return shlex.quote(str(value))


def _split(text: str) -> tuple[_Words, ...]:
    """Return the commands in a rendered block: a mark starts one, ``| `` a line of its input, the rest goes on."""
    commands: list[tuple[list[str], bool]] = []
    for line in text.splitlines():
        if line.startswith((_COMMAND_MARK, _JOINED_MARK)):
            commands.append(([line[len(_COMMAND_MARK) :]], line.startswith(_JOINED_MARK)))
        elif line.startswith(_STDIN_MARK) and commands:
            commands[-1][0].append(line.removeprefix(_STDIN_MARK))
        elif commands:
            commands[-1][0][-1] += " " + line
        elif line.strip():
            raise RenderError(f"a template's text must start with {_COMMAND_MARK!r}, not with {line!r}")
    return tuple(_words_and_input(lines, is_joined) for lines, is_joined in commands)


def _words_and_input(lines: Sequence[str], is_joined: bool) -> _Words:  # noqa: FBT001
    argv, *stdin = (_words_of(line) for line in lines)
    return argv, "".join(f"{' '.join(words)}\n" for words in stdin) or None, is_joined


def _words_of(line: str) -> tuple[str, ...]:
    # If nothing is quoted blanks part the words, and shlex.split, which is 20 times slower, has nothing to add.
    return tuple(line.split() if _UNQUOTED.fullmatch(line) else shlex.split(line))


def _gathered(commands: Iterable[tuple[Change, Command]], *, apart: bool) -> Iterator[Command]:
    """Yield the commands; of changes that only make something, what makes it first, then all that may be joined.

    Each comes with the change that it carries out, the first of several. ``apart``: see ``_joined_side_by_side``.
    """

    def kind(item: tuple[Change, Command]) -> tuple[bool, NetnsPath | None]:
        change, command = item
        return kind_of(change.resource).only_makes(change), command.netns

    for (only_makes, _), run in itertools.groupby(commands, kind):
        found = (command for _, command in run)
        yield from _joined_side_by_side(tuple(found), apart=apart) if only_makes else found


def _joined_side_by_side(run: Sequence[Command], *, apart: bool) -> tuple[Command, ...]:
    """Return the commands with those that may be joined side by side: what they need before, all of them, the rest.

    With ``apart`` the rest of the same changes comes before that of others.
    """
    last_joined = {command.changes: at for at, command in enumerate(run) if command.is_joined}

    def rank(at: int) -> int:
        if run[at].is_joined:
            return 1
        joined = last_joined.get(run[at].changes, -1)
        return 0 if at < joined else 3 if apart and joined < 0 else 2

    return tuple(run[at] for at in sorted(range(len(run)), key=rank))


def _joined(commands: Iterable[Command]) -> Iterator[Command]:
    """Yield the commands, neighbours of the same words that may be joined as one with the input of all."""
    last: Command | None = None
    for command in commands:
        if last and last.is_joined and command.is_joined and (last.argv, last.netns) == (command.argv, command.netns):
            last = evolve(_both(last, command), stdin=f"{last.stdin or ''}{command.stdin or ''}")
            continue
        if last:
            yield last
        last = command
    if last:
        yield last


def _both(one: Command, other: Command) -> Command:
    """Return ``one`` as what carries out the changes of both."""
    touches = None if one.touches is None or other.touches is None else one.touches | other.touches
    return evolve(
        one,
        changes=(*one.changes, *other.changes),
        touches=touches,
        features=one.features | other.features,
        stops_at_failure=one.stops_at_failure or other.stops_at_failure,
        goes_ahead=one.goes_ahead and other.goes_ahead,
        is_slow=one.is_slow or other.is_slow,
        links=one.links | other.links,
    )
