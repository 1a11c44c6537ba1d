"""What is no longer as it was applied, as a diff, and the commands that would repair each."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from planner.changes.change import Change
from planner.formats.ansi import PLAIN, Style, paint
from planner.formats.fit import continued, fit
from planner.formats.markup import clean
from planner.formats.plan_words import input_lines
from planner.formats.words import drift_words_of, subject_of, words_of
from planner.kinds.shown import counted
from planner.plan.render import Command

# What repairing adds is gone, what it removes has come.
_DRIFT = {"+": ("-", "is gone"), "-": ("+", "exists, but was not applied"), "~": ("~", "")}


def render_drift(
    changes: Sequence[Change],
    commands: Sequence[Command],
    *,
    plan_id: str,
    netns: str,
    gone: Sequence[str] = (),
    is_fixing: bool = False,
    style: Style = PLAIN,
) -> str:
    """Return the drift of a wiring: ``-`` is gone, ``+`` has come, ``~`` differs from what was applied.

    ``changes`` go from what is observed to what was applied, as ``pending`` returns them; ``commands`` carry them out.
    Links that are ``gone`` took along what they had. Whoever ``is_fixing`` it need not be told how.
    """
    head = f"{paint(style.strong, f'podwire check {plan_id}')} · {netns}"
    if not changes and not gone:
        return f"{head}\n\n  no drift: everything is as it was applied\n"
    lines = [head, ""]
    width = max(map(len, [*map(subject_of, changes), *gone]))
    for link in gone:
        lines.append(f"  {paint(style.sign('-'), '-')} {paint(style.strong, f'{link:<{width}}')}  the link is gone")
        lines.append(paint(style.faint, "      no command repairs this: tear down what is left"))
    for index, change in enumerate(changes):
        lines += _change_lines(change, netns, width, style)
        lines += _repair_lines(index, commands, style)
    total = f"{counted(len(changes) + len(gone), 'resource')} drifted"
    return "\n".join([*lines, "", f"{total}: {_next(commands, gone, plan_id, is_fixing=is_fixing)}", ""])


def _change_lines(change: Change, netns: str, width: int, style: Style) -> list[str]:
    sign, what = _DRIFT[change.sign]
    first, *more = _words(change, netns)
    text = f"{sign} {subject_of(change):<{width}}  {clean(f'{first} {what}'.rstrip())}"
    texts = [f"  {text}", *(f"    {'':<{width}}  {clean(line)}" for line in more)]
    pieces = (piece for line in texts for piece in fit(line, style.width, hang=width + 6))
    return [paint(style.sign(sign), piece) for piece in pieces]


def _words(change: Change, netns: str) -> list[str]:
    """Return what differs: of a resource that is there but differs, how it is and how it should be."""
    return words_of(change, netns) if change.sign != "~" else drift_words_of(change, netns)


def _repair_lines(index: int, commands: Sequence[Command], style: Style) -> list[str]:
    """Return the commands that repair one change; one that repairs several is shown with the last of them."""
    lines = []
    for command in commands:
        if index in command.changes and index < max(command.changes):
            lines.append(paint(style.faint, "      repaired together with what follows"))
        elif index in command.changes:
            head, words = paint(style.faint, "      repair  "), [shlex.quote(word) for word in command.argv]
            lines += continued(head, words, style.width, hang=18)
            lines += [piece for line in input_lines(command) for piece in fit(f"{'':<14}{line}", style.width)]
    return lines or [paint(style.faint, "      no command repairs this: tear down and apply again")]


def _next(commands: Sequence[Command], gone: Sequence[str], plan_id: str, *, is_fixing: bool) -> str:
    if gone:
        return f"the wiring cannot be repaired (podwire teardown {plan_id})"
    if not commands:
        return "no command repairs it"
    how = "" if is_fixing else f" (podwire check {plan_id} --fix)"
    return f"{counted(len(commands), 'command')} to repair it{how}"
