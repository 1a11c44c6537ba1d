"""The preview that a person reads before saying yes."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from itertools import chain, groupby, repeat

from attrs import evolve

from planner.changes.change import Change
from planner.formats.ansi import PLAIN, Style, paint
from planner.formats.fit import continued, fit
from planner.formats.guest import guest_things
from planner.formats.words import subject_of, words_of
from planner.kinds.kind import kind_of
from planner.plan.plan import Plan, guests
from planner.plan.render import Command
from planner.wiring.base import wiring_named

# A reason is beside its command if that is no longer than this, else it would be far away.
_COMMAND_WIDTH = 66
_WORDS_WIDTH = 52
_INDENT = 7
# On a terminal that is narrower than this, reasons have lines of their own.
_NARROW = 120
# This many changes in a row with the same words become one.
_MANY = 3
# A guest's settings of one kind are on one line if that is no longer than this.
_TOLD_WIDTH = 100
# Of a command that does more than this, the changes say why.
_MOST_REASONS = 3


def render_text(plan: Plan, *, style: Style = PLAIN) -> str:
    """Return the preview of ``plan``: what appears, changes and goes, the commands with their reasons, the totals."""
    return "".join(f"{line}\n" for line in text_lines(plan, style=style))


def text_lines(plan: Plan, *, style: Style = PLAIN) -> Iterator[str]:
    """Yield the lines of the preview of ``plan``: there may be very many."""
    title = f"podwire {'teardown' if plan.is_reverse else 'plan'} {plan.id}"
    kind = "back to before the wiring" if plan.is_reverse else wiring_named(plan.options.wiring).title
    yield f"{paint(style.strong, title)} · {plan.netns} · {kind}"
    yield ""
    if not plan.changes:
        yield "  nothing to do: the namespace is already as requested"
        return
    yield from _change_lines(plan, style)
    yield from _command_lines(plan, style)
    if not plan.is_reverse:
        yield ""
        for line in chain(_vm_lines(plan, style), (f"  {note}" for note in plan.notes)):
            yield from fit(line, style.width)
    yield ""
    yield from fit(_totals(plan), style.width)


def render_summary(plan: Plan, *, style: Style = PLAIN) -> str:
    """Return what a plan does in some lines: how many of each kind, and why; what the VM opens; the totals."""
    empty = render_text(evolve(plan, changes=(), commands=()), style=style)
    if not plan.changes:
        return empty
    lines = empty.splitlines()[:2]
    found: dict[tuple[str, str], list[Change]] = {}
    for change in plan.changes:
        found.setdefault((change.sign, kind_of(change.resource).name), []).append(change)
    for (sign, name), changes in found.items():
        subjects = dict.fromkeys(subject for change in changes if (subject := subject_of(change)) != name)
        reasons = {reason_of(change, plan) for change in changes}
        head = paint(style.sign(sign), f"{sign} {len(changes):>3} {name:<12}")
        whose = paint(style.sign(sign), ", ".join(subjects)) if subjects else ""
        why = paint(style.faint, reasons.pop()) if len(reasons) == 1 else ""
        lines += fit(f"  {head} {'  '.join(filter(None, (whose, why)))}".rstrip(), style.width, hang=21)
    if not plan.is_reverse:
        lines += ["", *(piece for line in _vm_lines(plan, style, brief=True) for piece in fit(line, style.width))]
    return "\n".join([*lines, "", *fit(_totals(plan), style.width), ""])


def reason_of(change: Change, plan: Plan) -> str:
    """Return why ``plan`` makes a change; of a rollback it is always the same: so it was before."""
    if not plan.is_reverse:
        return change.reason
    if not change.happens_by_itself:
        return ""
    return f"comes with {kind_of(change.resource).returns_with(change.resource, change.after)}"


def _change_lines(plan: Plan, style: Style) -> Iterator[str]:
    """Yield the changes, a line or more each; what several in a row have in common is printed once."""
    width = max(len(subject_of(change)) for change in plan.changes)
    is_narrow = style.width is not None and style.width < _NARROW
    for reason, run in groupby(plan.changes, key=lambda change: reason_of(change, plan)):
        changes = list(run)
        for (words, sign), alike in groupby(changes, key=lambda change: (words_of(change, plan.netns), change.sign)):
            for subjects in _folded([subject_of(change) for change in alike]):
                texts = [*words, *([f"the same of {', '.join(subjects[1:])}"] if len(subjects) > 1 else [])]
                beside = "" if is_narrow else reason
                yield from _painted(f"{sign} {subjects[0]:<{width}}", texts, beside, style.sign(sign), style)
        if is_narrow and reason:
            said = reason if len(changes) == 1 else f"all {len(changes)}: {reason}"
            yield from fit(f"{'':<{width + 6}}{paint(style.faint, said)}", style.width, hang=width + 6)


def _folded(subjects: list[str]) -> list[list[str]]:
    """Return the subjects that share their words: many of them together, few one by one."""
    return [subjects] if len(subjects) >= _MANY else [[subject] for subject in subjects]


def _painted(head: str, texts: list[str], reason: str, marks: tuple[str, str], style: Style) -> list[str]:
    """Return the lines of one change: all of its words in its colour, the reason next to the first, or below."""
    hang = len(head) + 4
    first, *more = (line for text in texts for line in fit(f"{'':<{hang}}{text}", style.width, hang=hang))
    said = f"{head}  {first[hang:]}"
    pad = " " * max(0, _WORDS_WIDTH - len(first[hang:])) + "  " if reason else ""
    beside = f"  {paint(marks, said)}{pad}{paint(style.faint, reason)}".rstrip()
    others = [paint(marks, line) for line in more]
    if fit(beside, style.width) == [beside]:
        return [beside, *others]
    below = fit(f"{'':<{hang}}{paint(style.faint, reason)}", style.width, hang=hang) if reason else []
    return [f"  {paint(marks, said)}", *others, *below]


def _command_lines(plan: Plan, style: Style) -> Iterator[str]:
    said: set[int] = set()
    number = 0
    for netns, commands in groupby(plan.commands, key=lambda command: command.netns):
        yield ""
        yield f"  in {paint(style.strong, netns or 'the host')}" if netns else "  on the host"
        for command in commands:
            number += 1
            reason = _why(command, plan, said)
            yield from _command_with_reason(f"  {paint(style.faint, f'{number:>3}')}  ", command, reason, style)


def _command_with_reason(head: str, command: Command, reason: str, style: Style) -> list[str]:
    """Return a command with its reason beside it, or below if it is long: as a comment, so that it can be copied."""
    comment = paint(style.faint, f"# {reason}") if reason else ""
    line = command.line
    beside = f"{head}{line:<{_COMMAND_WIDTH}} {comment}"
    is_beside = reason and len(line) <= _COMMAND_WIDTH and fit(beside, style.width) == [beside]
    if is_beside:
        lines = [beside]
    elif style.width is None:
        lines = [head + line]
    else:
        lines = continued(head, [shlex.quote(word) for word in command.argv], style.width, hang=_INDENT + 4)
    lines += [piece for line in (command.stdin or "").splitlines() for piece in fit(f"       | {line}", style.width)]
    return lines if is_beside or not reason else [*lines, *fit(f"{'':<{_INDENT}}{comment}", style.width)]


def _why(command: Command, plan: Plan, said: set[int]) -> str:
    """Return why a command is run; of several that carry out one change only the first says it."""
    first = [index for index in command.changes if index not in said]
    said.update(first)
    if len(first) == len(command.changes) == 1:
        return reason_of(plan.changes[first[0]], plan)
    if len(command.changes) > 1 and not command.is_joined:
        return ", ".join(subject_of(plan.changes[index]) for index in first)
    reasons = dict.fromkeys(filter(None, (reason_of(plan.changes[index], plan) for index in first)))
    return "; ".join(reasons) if len(reasons) <= _MOST_REASONS else ""


def _vm_lines(plan: Plan, style: Style, *, brief: bool = False) -> Iterator[str]:
    """Yield what the VM opens, and its guest's configuration unless it is to be ``brief``."""
    for interface, guest in zip(plan.interfaces, guests(plan), strict=True):
        name = paint(style.strong, interface.device)
        how = f"is given {name} ({interface.link})" if interface.pci_address else f"opens {name}"
        text = f"  the VM {how} with mac {guest.mac}, mtu {guest.mtu}"
        if interface.vlan:
            text += f", vlan {interface.vlan}"
        if interface.queues > 1:
            text += f", {interface.queues} queues"
        if not guest.addresses and not interface.pci_address:
            text += "; its guest asks the network for an address"
        elif interface.dhcp_address:
            server = interface.bridge or interface.name
            text += f"; a DHCP server for it can listen on {server}, {interface.dhcp_address.ip}"
        yield text
        for what, things in ({} if brief else guest_things(guest)).items():
            together = ", ".join(map(str, things[:_TOLD_WIDTH]))  # each is a character and more
            words = [together] if len(together) <= _TOLD_WIDTH else map(str, things)
            heads = chain([f"{what:<10}"], repeat(f"{'':10}"))
            yield from (f"    {head}  {word}" for head, word in zip(heads, words, strict=False))


def _totals(plan: Plan) -> str:
    count = Counter(change.sign for change in plan.changes)
    words = [
        f"{count[sign]} to {verb}" for sign, verb in (("+", "add"), ("~", "change"), ("-", "remove")) if count[sign]
    ]
    commands = len(plan.commands)
    text = f"{', '.join(words)}: {commands} command{'' if commands == 1 else 's'}"
    return text if plan.is_reverse else f"{text}, {len(plan.reverse_commands)} to roll it back"
