"""Commands in order, but side by side if they touch nothing in common: the kernel waits long for some of them.

There is a lane for each program, and one more for what ``ip`` does after the removal of a link, for which the kernel
takes 40 ms. Commands of one lane run one after the other: the next one begins when the last has ended or, if neither
minds (planner.kinds.kind, ``goes_ahead``), is sent right after it. A command waits for those before it in other lanes
with which it conflicts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Mapping, Sequence

from executor.operations.execution import IP, Execution, first_ended
from planner.plan.render import Command
from planner.text.values import NetnsPath

# Begins the command at a position; None if it is not to be run.
Begin = Callable[[int, Command], Execution | None]
# Collects the job of the command at a position, which has ended; says whether others are still to be begun.
End = Callable[[int, Command, Execution], bool]

# The lane of what ``ip`` does after something slow.
BESIDE = "ip, beside"
# At most this many commands of a lane are under way: a request to stop waits for all of them.
_MOST_UNDER_WAY = 64


def run_scheduled(
    commands: Sequence[Command],
    begin: Begin,
    end: End,
    *,
    awaited: Container[int] = (),
    idle: Callable[[], None] = lambda: None,
) -> None:
    """Run all commands until ``end`` says no or one of the two raises; what is under way then is waited for.

    What is at the positions ``awaited`` is answered before the next of its lane begins. ``idle`` is called before
    each wait.
    """
    order = _Order(commands, awaited)
    jobs: dict[int, Execution] = {}
    raised: BaseException | None = None
    goes_on = True
    while True:
        begins = order.next() if goes_on else None
        if begins is None and not jobs:
            break
        if begins is None:
            idle()
        at = first_ended(order.first(jobs)) if begins is None else begins
        try:
            if begins is None:
                goes_on = end(at, commands[at], jobs.pop(at)) and goes_on
            elif job := begin(at, commands[at]):
                jobs[at] = job
        except BaseException as error:  # noqa: BLE001  raised again when nothing is under way any more
            raised, goes_on = raised or error, False
        if at not in jobs:
            order.end(at)
    if raised is not None:
        raise raised


def lanes(commands: Sequence[Command]) -> list[str]:
    """Return the lane of each command."""
    found: list[str] = []
    slow: set[NetnsPath | None] = set()
    for command in commands:
        found.append(BESIDE if command.program == IP and command.netns in slow else command.program)
        if command.is_slow:
            slow.add(command.netns)
    return found


class _Order:
    """Which command is to be begun next."""

    def __init__(self, commands: Sequence[Command], awaited: Container[int]) -> None:
        self._commands = commands
        self._awaited = awaited
        self._lane_of = lanes(commands)
        # Positions by lane, the next one last. ``ip`` is open and so goes first, while others are started.
        self._lanes: dict[str, list[int]] = {IP: []}
        for at in reversed(range(len(commands))):
            self._lanes.setdefault(self._lane_of[at], []).append(at)
        own = {lane: tuple(positions) for lane, positions in self._lanes.items()}
        self._others = {lane: [at for other in own if other != lane for at in own[other]] for lane in own}
        self._under_way: dict[str, deque[int]] = {lane: deque() for lane in own}
        self._ended: set[int] = set()
        # For what a command was found to wait: the last that it depends on, since the last of a lane come first below.
        self._waits_for: dict[int, int] = {}

    def next(self) -> int | None:
        """Return the position of a command that can begin now, and take it as begun; None if there is none."""
        for lane, waiting in self._lanes.items():
            if waiting and self._may_follow(waiting[-1], lane) and not self._has_to_wait(waiting[-1], lane):
                self._under_way[lane].append(waiting[-1])
                return waiting.pop()
        return None

    def first(self, jobs: Mapping[int, Execution]) -> dict[int, Execution]:
        """Return of ``jobs`` those that are the first under way in their lanes: only they can end."""
        return {under_way[0]: jobs[under_way[0]] for under_way in self._under_way.values() if under_way}

    def end(self, at: int) -> None:
        """Take note that the command at a position has ended."""
        self._under_way[self._lane_of[at]].remove(at)
        self._ended.add(at)

    def _may_follow(self, at: int, lane: str) -> bool:
        """Say whether a command can begin although those before it in its lane have not been answered."""
        under_way = self._under_way[lane]
        if not under_way:
            return True
        last = self._commands[under_way[-1]]
        return (
            last.program == IP
            and last.goes_ahead
            and last.netns == self._commands[at].netns
            and under_way[-1] not in self._awaited
            and len(under_way) < _MOST_UNDER_WAY
        )

    def _has_to_wait(self, at: int, lane: str) -> bool:
        waits_for = self._waits_for.get(at)
        if waits_for is not None and waits_for not in self._ended:
            return True
        for before in self._others[lane]:
            if before < at and before not in self._ended and conflict(self._commands[at], self._commands[before]):
                self._waits_for[at] = before
                return True
        return False


def conflict(one: Command, other: Command) -> bool:
    """Say whether two commands have to run in their order: they touch something in common, or carry out one change.

    The kinds of its changes say what a command touches; one that says nothing touches everything.
    """
    if one.touches is None or other.touches is None or not one.touches.isdisjoint(other.touches):
        return True
    return not set(one.changes).isdisjoint(other.changes)
