"""Commands in order, but programs beside ``ip``: taking links and rules away, the kernel waits long for either.

There are three lanes: ``ip``, ``ebtables`` and the others, which are ``sysctl``. Commands of one lane run one after the
other. A command waits for those before it in other lanes on which it depends; what that is, ``_depends`` says.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from planner.render import Command

# Runs the command at a position; says whether those behind it are still to be run.
Run = Callable[[int, Command], bool]

_IP = "ip"


def run_side_by_side(commands: Sequence[Command], run: Run) -> None:
    """Run all commands, each by ``run``, until it says no or raises; what is under way then is waited for."""
    order = _Order(commands, run)
    threads = [threading.Thread(target=order.follow, args=(lane,), name=lane) for lane in order.lanes if lane != _IP]
    for thread in threads:
        thread.start()
    try:
        order.follow(_IP)
    finally:
        for thread in threads:
            thread.join()
    order.raise_what_was_raised()


class _Order:
    """What has been done of some commands; threads follow it, each along its lane."""

    def __init__(self, commands: Sequence[Command], run: Run) -> None:
        self._commands = commands
        self.lanes: dict[str, list[int]] = {_IP: []}  # which positions are whose
        for at, command in enumerate(commands):
            self.lanes.setdefault(_lane(command), []).append(at)
        self._run = run
        self._done: set[int] = set()
        self._stopped = False
        self._raised: BaseException | None = None
        self._changed = threading.Condition()

    def follow(self, lane: str) -> None:
        """Run the commands of a lane, each in its turn."""
        goes_on = True
        others = [at for other, positions in self.lanes.items() if other != lane for at in positions]
        for at in self.lanes[lane]:
            if not (goes_on and self._wait_for_turn(at, others)):
                break
            try:
                goes_on = self._run(at, self._commands[at])
            except BaseException as error:  # noqa: BLE001  raised again by who started the threads
                self._raised = self._raised or error
                goes_on = False
            self._note(at, stopped=not goes_on)

    def raise_what_was_raised(self) -> None:
        """Raise what a command raised, if one did."""
        if self._raised is not None:
            raise self._raised

    def _wait_for_turn(self, at: int, others: Sequence[int]) -> bool:
        """Wait until those of ``others`` are done on which the command at ``at`` depends; say if it is still to run."""
        command = self._commands[at]
        needed = {before for before in others if before < at and _depends(command, self._commands[before])}
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or needed <= self._done)
            return not self._stopped

    def _note(self, at: int, *, stopped: bool) -> None:
        with self._changed:
            self._done.add(at)
            self._stopped = self._stopped or stopped
            self._changed.notify_all()


def _depends(later: Command, earlier: Command) -> bool:
    """Say whether ``later`` has to wait for ``earlier``, which is of another lane.

    No link may be a port of a bridge without its rules: they are there before any link gets a master, and stay until it
    has lost it. Otherwise links and rules don't depend on each other (KERNEL). A sysctl is about a link that is there,
    so it waits for all of ``ip`` before it; and before links go up, become ports or get addresses, it must be set.

    While addresses go nothing else runs: IPv6 tells its neighbours of each within milliseconds, and is silent only if
    the link-local address has gone as well by then (tests/executor/test_frames.py heard it one time in three).
    """
    if is_of_ebtables(later) or is_of_ebtables(earlier):
        return any(_changes_ports(command) or _takes_address(command) for command in (later, earlier))
    return later.argv[0] != "ip" or _changes_ports(later) or _brings_up(later) or _takes_address(later)


def _lane(command: Command) -> str:
    return "ebtables" if is_of_ebtables(command) else _IP if command.argv[0] == "ip" else "others"


def is_of_ebtables(command: Command) -> bool:
    """Say whether this is one of the programs of ebtables."""
    return command.argv[0].startswith("ebtables")


def _changes_ports(command: Command) -> bool:
    return command.argv[0] == "ip" and ("master" in command.argv or "nomaster" in command.argv)


def _takes_address(command: Command) -> bool:
    return command.argv[:3] == ("ip", "addr", "del")


def _brings_up(command: Command) -> bool:
    return "up" in command.argv or command.argv[:3] in {("ip", "addr", "add"), ("ip", "addr", "change")}
