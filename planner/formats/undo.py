"""Commands and what rolls them back, side by side: both carry out the same changes, one way and the other."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from planner.changes.change import Change
from planner.formats.text import reason_of
from planner.kinds.shown import counted
from planner.plan.plan import Plan
from planner.plan.render import Command
from planner.text.frozen import frozen


@frozen
class Step:
    """A command and its number in its plan, from 1."""

    number: int
    command: Command


@frozen
class Pair:
    """Changes that go together, the commands that make them and those that roll them back.

    ``also_back`` are the numbers of commands that roll these changes back together with those of an earlier pair.
    """

    changes: tuple[Change, ...]
    reason: str
    steps: tuple[Step, ...]
    back: tuple[Step, ...]
    also_back: tuple[int, ...]


def pairs_of(plan: Plan) -> tuple[Pair, ...]:
    """Return the changes of ``plan`` in their order, each command in exactly one pair in each direction."""
    count = len(plan.changes)
    steps = [Step(number, command) for number, command in enumerate(plan.commands, 1)]
    back = [
        Step(number, evolve(command, changes=tuple(count - 1 - index for index in command.changes)))
        for number, command in enumerate(plan.reverse_commands, 1)
    ]
    said: set[int] = set()
    pairs = []
    for group in _groups(count, plan.commands):
        own_back = [step for step in back if group & set(step.command.changes)]
        changes = tuple(plan.changes[index] for index in sorted(group))
        reasons = filter(None, (reason_of(change, plan) for change in changes))
        pairs.append(
            Pair(
                changes=changes,
                reason="; ".join(dict.fromkeys(reasons)),
                steps=tuple(step for step in steps if group & set(step.command.changes)),
                back=tuple(step for step in own_back if step.number not in said),
                also_back=tuple(step.number for step in own_back if step.number in said),
            )
        )
        said |= {step.number for step in own_back}
    return tuple(pairs)


def _groups(count: int, commands: Sequence[Command]) -> list[set[int]]:
    """Return the indexes of the changes, those together that one command carries out, in the order of the commands.

    What has commands between those of a group is in it too; what happens on its own comes after the change before it.
    """
    first, last = dict[int, int](), dict[int, int]()
    for number, command in enumerate(commands):
        for index in command.changes:
            first.setdefault(index, number)
            last[index] = number
    before = -1
    for index in range(count):
        before = first.setdefault(index, before)
    groups: list[set[int]] = []
    reach = -1
    for index in sorted(range(count), key=lambda index: (first[index], index)):
        if index in last and groups and first[index] <= reach:
            groups[-1].add(index)
        else:
            groups.append({index})
        reach = max(reach, last.get(index, reach))
    return groups


def totals(plan: Plan) -> str:
    """Return how much is added, changed and removed, and by how many commands each way."""
    count = {sign: sum(change.sign == sign for change in plan.changes) for sign in "+~-"}
    verbs = {"+": "add", "~": "change", "-": "remove"}
    words = [f"{count[sign]} to {verb}" for sign, verb in verbs.items() if count[sign]]
    commands = counted(len(plan.commands), "command")
    return f"{', '.join(words)} · {commands}, {len(plan.reverse_commands)} to roll it back"
