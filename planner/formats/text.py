"""The preview that a person reads before saying yes."""

from __future__ import annotations

from itertools import groupby

from planner.changes.change import Change
from planner.formats.ansi import PLAIN, Style, paint
from planner.formats.words import subject_of, words_of
from planner.kinds.kind import kind_of
from planner.network import VmInterface
from planner.plan.plan import Plan
from planner.plan.render import Command
from planner.wiring.base import wiring_named

# A reason stands beside its command where that is no longer than this, else it would be far away.
_COMMAND_WIDTH = 66
_WORDS_WIDTH = 52


def render_text(plan: Plan, *, style: Style = PLAIN) -> str:
    """Return the preview of ``plan``: what appears, changes and goes, the commands with their reasons, the totals."""
    title = f"podwire {'teardown' if plan.is_reverse else 'plan'} {plan.id}"
    kind = "back to before the wiring" if plan.is_reverse else wiring_named(plan.options.wiring).title
    lines = [f"{paint(style.strong, title)} · {plan.netns} · {kind}", ""]
    if not plan.changes:
        return "\n".join([*lines, "  nothing to do: the namespace is as wanted", ""])
    lines += _change_lines(plan, style)
    lines += _command_lines(plan, style)
    if not plan.is_reverse:
        lines += ["", *(_vm_line(interface, style) for interface in plan.interfaces)]
    return "\n".join([*lines, "", _totals(plan), ""])


def reason_of(change: Change, plan: Plan) -> str:
    """Return why ``plan`` makes a change; on the way back it is always the same: so it was before."""
    if not plan.is_reverse:
        return change.reason
    if not change.happens_by_itself:
        return ""
    return f"comes with {kind_of(change.resource).returns_with(change.resource)}"


def _change_lines(plan: Plan, style: Style) -> list[str]:
    width = max(len(subject_of(change)) for change in plan.changes)
    lines = []
    for change in plan.changes:
        first, *more = words_of(change, plan.netns)
        sign = paint(style.sign(change.sign), change.sign)
        subject = paint(style.strong, f"{subject_of(change):<{width}}")
        reason = paint(style.faint, reason_of(change, plan))
        lines.append(f"  {sign} {subject}  {first:<{_WORDS_WIDTH}}  {reason}".rstrip())
        lines += [f"    {'':<{width}}  {line}" for line in more]
    return lines


def _command_lines(plan: Plan, style: Style) -> list[str]:
    lines: list[str] = []
    said: set[int] = set()
    number = 0
    for netns, commands in groupby(plan.commands, key=lambda command: command.netns):
        lines += ["", f"  in {paint(style.strong, netns or 'the host')}" if netns else "  on the host"]
        for command in commands:
            number += 1
            reason = _why(command, plan, said)
            lines += _command_with_reason(f"  {paint(style.faint, f'{number:>3}')}  ", command, reason, style)
    return lines


def _command_with_reason(head: str, command: Command, reason: str, style: Style) -> list[str]:
    """Return a command with its reason beside it, or below where it is long: as a comment, so that it can be copied."""
    comment = paint(style.faint, f"# {reason}") if reason else ""
    beside = comment and len(command.line) <= _COMMAND_WIDTH
    lines = [f"{head}{command.line:<{_COMMAND_WIDTH}} {comment}" if beside else head + command.line]
    lines += [f"       | {line}" for line in (command.stdin or "").splitlines()]
    return [*lines, f"       {comment}"] if comment and not beside else lines


def _why(command: Command, plan: Plan, said: set[int]) -> str:
    """Return why a command is run; of several that carry out one change only the first says it."""
    first = [index for index in command.changes if index not in said]
    said.update(first)
    if len(command.changes) > 1 and not command.is_joined:
        return ", ".join(subject_of(plan.changes[index]) for index in first)
    return "; ".join(dict.fromkeys(filter(None, (reason_of(plan.changes[index], plan) for index in first))))


def _vm_line(interface: VmInterface, style: Style) -> str:
    name = paint(style.strong, interface.name)
    text = f"  the VM opens {name} with mac {interface.mac}, mtu {interface.mtu}"
    if interface.queues > 1:
        text += f", {interface.queues} queues"
    if interface.dhcp_address:
        text += f"; a DHCP server for it can listen on {interface.bridge}, {interface.dhcp_address.ip}"
    for neighbour in interface.neighbours:
        text += f"\n  the guest needs a neighbour entry there: {neighbour.address} is {neighbour.lladdr}"
    return text


def _totals(plan: Plan) -> str:
    count = {sign: sum(change.sign == sign for change in plan.changes) for sign in "+~-"}
    words = [
        f"{count[sign]} to {verb}" for sign, verb in (("+", "add"), ("~", "change"), ("-", "remove")) if count[sign]
    ]
    commands = len(plan.commands)
    text = f"{', '.join(words)}: {commands} command{'' if commands == 1 else 's'}"
    return text if plan.is_reverse else f"{text}, {len(plan.reverse_commands)} to take it back"
