"""What is no longer as it was applied, as a diff, and the commands that would repair each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import fields, has

from planner.changes.change import Change
from planner.formats.ansi import PLAIN, Style, paint
from planner.formats.markup import clean
from planner.formats.plan_words import counted, input_lines
from planner.formats.words import subject_of, words_of
from planner.plan.render import Command
from planner.resources import Address, LinkSysctl, Neighbour, Route, RulesState, Sysctl

# What repairing adds is gone, what it removes has come.
_DRIFT = {"+": ("-", "is gone"), "-": ("+", "is there, and was not applied"), "~": ("~", "")}


def render_drift(
    changes: Sequence[Change], commands: Sequence[Command], *, plan_id: str, netns: str, style: Style = PLAIN
) -> str:
    """Return the drift of a wiring: ``-`` is gone, ``+`` has come, ``~`` is otherwise than it was applied.

    ``changes`` go from what is observed to what was applied, as ``pending`` returns them; ``commands`` carry them out.
    """
    head = f"{paint(style.strong, f'podwire check {plan_id}')} · {netns}"
    if not changes:
        return f"{head}\n\n  no drift: everything is as it was applied\n"
    lines = [head, ""]
    width = max(len(subject_of(change)) for change in changes)
    for index, change in enumerate(changes):
        lines += _change_lines(change, width, style)
        lines += _repair_lines(index, commands, style)
    return "\n".join([*lines, "", f"{counted(len(changes), 'resource')} drifted: {_repaired(commands)}", ""])


def _change_lines(change: Change, width: int, style: Style) -> list[str]:
    sign, what = _DRIFT[change.sign]
    first, *more = _words(change)
    subject = paint(style.strong, f"{subject_of(change):<{width}}")
    text = f"{first} {what}".rstrip()
    lines = [f"  {paint(style.sign(sign), sign)} {subject}  {clean(text)}"]
    return lines + [f"    {'':<{width}}  {clean(line)}" for line in more]


def _words(change: Change) -> list[str]:
    """Return what differs: of a resource that is there but otherwise, how it is and how it should be."""
    if change.sign != "~":
        return words_of(change)
    if isinstance(change.before, RulesState) and isinstance(change.after, RulesState):
        missing = sum(rule not in change.before.rules for rule in change.after.rules)
        return [f"{missing} of {counted(len(change.after.rules), 'rule')} missing"]
    words = list(_differences(change.before, change.after))
    if isinstance(change.resource, Sysctl):
        return [f"{change.resource.key} {word.removeprefix('value ')}" for word in words]
    named = not isinstance(change.resource, (Address, Route, Neighbour))
    return words if named else [words_of(change)[0], *words]


def _differences(seen: Any, wanted: Any) -> Iterator[str]:
    """Yield what is otherwise in two states, or parts of states, of one type."""
    for attribute in fields(type(wanted)):
        name = attribute.name
        one, other = getattr(seen, name, None), getattr(wanted, name)
        if one == other:
            continue
        if has(type(one)) and type(one) is type(other):
            yield from _differences(one, other)
        elif isinstance(other, bool):
            yield f"{_said(name, yes=bool(one))}, was applied as {_said(name, yes=other)}"
        else:
            yield f"{name.replace('_', ' ')} {_value(one)}, was applied as {_value(other)}"


def _said(name: str, *, yes: bool) -> str:
    if name == "up":
        return "up" if yes else "down"
    return f"{name.replace('_', ' ')} {'on' if yes else 'off'}"


def _value(value: object) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, LinkSysctl):
        return f"{value.key}={value.value}"
    return ", ".join(map(_value, value)) if isinstance(value, tuple) else str(value)


def _repair_lines(index: int, commands: Sequence[Command], style: Style) -> list[str]:
    """Return the commands that repair one change; one that repairs several stands with the last of them."""
    lines = []
    for command in commands:
        if index in command.changes and index < max(command.changes):
            lines.append(paint(style.faint, "      repaired together with what follows"))
        elif index in command.changes:
            lines.append(paint(style.faint, "      repair  ") + command.line)
            lines += [f"              {line}" for line in input_lines(command)]
    return lines or [paint(style.faint, "      no command repairs this by itself: tear down and apply again")]


def _repaired(commands: Sequence[Command]) -> str:
    if not commands:
        return "no command repairs it"
    return f"{counted(len(commands), 'command')} to repair it (podwire check --fix)"
