"""Commands in order, but side by side if they touch nothing in common: the kernel waits long for some of them.

There is a lane for each program. Commands of one lane run one after the other. A command waits for those before it in
other lanes with which it conflicts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from executor.operations.execution import Execution, first_ended
from planner.plan.render import Command

# Begins the command at a position; None if it is not to be run.
Begin = Callable[[int, Command], Execution | None]
# Collects the job of the command at a position, which has ended; says whether others are still to be begun.
End = Callable[[int, Command, Execution], bool]

IP = "ip"


def run_scheduled(commands: Sequence[Command], begin: Begin, end: End) -> None:
    """Run all commands until ``end`` says no or one of the two raises; what is under way then is waited for."""
    order = _Order(commands)
    jobs: dict[int, Execution] = {}
    raised: BaseException | None = None
    goes_on = True
    while True:
        begins = order.next() if goes_on else None
        if begins is None and not jobs:
            break
        at = first_ended(jobs) if begins is None else begins
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


class _Order:
    """Which command is to be begun next."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self._commands = commands
        # Positions by lane, the next one last. ``ip`` is open and so goes first, while others are started.
        self._lanes: dict[str, list[int]] = {IP: []}
        for at in reversed(range(len(commands))):
            self._lanes.setdefault(commands[at].program, []).append(at)
        own = {lane: tuple(positions) for lane, positions in self._lanes.items()}
        self._others = {lane: [at for other in own if other != lane for at in own[other]] for lane in own}
        self._lane_of = {at: lane for lane in own for at in own[lane]}
        self._busy: set[str] = set()
        self._ended: set[int] = set()
        # For what a command was found to wait: the last that it depends on, since the last of a lane come first below.
        self._waits_for: dict[int, int] = {}

    def next(self) -> int | None:
        """Return the position of a command that can begin now, and take it as begun; None if there is none."""
        for lane, waiting in self._lanes.items():
            if waiting and lane not in self._busy and not self._has_to_wait(waiting[-1], lane):
                self._busy.add(lane)
                return waiting.pop()
        return None

    def end(self, at: int) -> None:
        """Take note that the command at a position has ended."""
        self._busy.remove(self._lane_of[at])
        self._ended.add(at)

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

    What a command touches is said by the kinds of its changes; one that says nothing touches everything.
    """
    if one.touches is None or other.touches is None or not one.touches.isdisjoint(other.touches):
        return True
    return not set(one.changes).isdisjoint(other.changes)
