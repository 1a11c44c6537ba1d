"""Commands in order, but programs beside ``ip``: taking links and rules away, the kernel waits long for either.

There are three lanes: ``ip``, ``ebtables`` and the others, which are ``sysctl``. Commands of one lane run one after the
other. A command waits for those before it in other lanes on which it depends; what that is, ``_depends`` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from executor.operations.execution import Execution, first_ended
from planner.plan.render import Command

# Begins the command at a position; None where it is not to be run.
Begin = Callable[[int, Command], Execution | None]
# Collects the job of the command at a position, which has ended; says whether others are still to be begun.
End = Callable[[int, Command, Execution], bool]

_IP = "ip"


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
        self._lanes: dict[str, list[int]] = {_IP: [], "ebtables": [], "others": []}
        for at in reversed(range(len(commands))):
            self._lanes[_lane(commands[at])].append(at)
        own = {lane: tuple(positions) for lane, positions in self._lanes.items()}
        self._others = {lane: [at for other in own if other != lane for at in own[other]] for lane in own}
        self._lane_of = {at: lane for lane in own for at in own[lane]}
        self._busy: set[str] = set()
        self._ended: set[int] = set()
        # For what a command was found to wait: the last that it depends on, since the last of a lane come first below.
        self._waits_for: dict[int, int] = {}

    def next(self) -> int | None:
        """Return the position of a command that can begin now, and take it as begun; None where there is none."""
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
            if before < at and before not in self._ended and _depends(self._commands[at], self._commands[before]):
                self._waits_for[at] = before
                return True
        return False


def _depends(later: Command, earlier: Command) -> bool:
    """Say whether ``later`` has to wait for ``earlier``, which is of another lane.

    No link may be a port of a bridge without its rules: they are there before any link gets a master, and stay until it
    has lost it. Otherwise links and rules don't depend on each other (KERNEL). The same goes for the sysctls of
    bridges. One of a link waits for all of ``ip`` before it, since that link is to be there; and before links go up,
    become ports or get addresses, it must be set.

    While addresses go nothing else runs: IPv6 tells its neighbours of each within milliseconds, and is silent only if
    the link-local address has gone as well by then (tests/executor/test_frames.py heard it one time in three).
    """
    if is_of_ebtables(later) or is_of_ebtables(earlier) or not _is_about_links(later):
        return any(_changes_ports(command) or _takes_address(command) for command in (later, earlier))
    return later.argv[0] != "ip" or _changes_ports(later) or _brings_up(later) or _takes_address(later)


def _lane(command: Command) -> str:
    return "ebtables" if is_of_ebtables(command) else _IP if is_of_ip(command) else "others"


def is_of_ip(command: Command) -> bool:
    """Say whether this is a command of ``ip``."""
    return command.argv[0] == _IP


def is_of_ebtables(command: Command) -> bool:
    """Say whether this is one of the programs of ebtables."""
    return command.argv[0].startswith("ebtables")


def _is_about_links(command: Command) -> bool:
    """Say whether this is ``ip``, or sets sysctls of links."""
    return is_of_ip(command) or "/conf/" in (command.stdin or "")


def _changes_ports(command: Command) -> bool:
    return is_of_ip(command) and ("master" in command.argv or "nomaster" in command.argv)


def _takes_address(command: Command) -> bool:
    return command.argv[:3] == ("ip", "addr", "del")


def _brings_up(command: Command) -> bool:
    return "up" in command.argv or command.argv[:3] in {("ip", "addr", "add"), ("ip", "addr", "change")}
