"""A command on its way: what it needs is there, it is begun at once, and collected when it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from select import POLLIN, poll
from typing import TypeVar

from executor.errors import HostError
from executor.netns.namespace import Namespace
from executor.process.ip_batch import IpBatch
from executor.process.result import CommandResult, one_line
from executor.process.run import RunningProgram, find_program
from executor.taps.open import check_taps
from planner.kinds.ebtables import RULES
from planner.kinds.link import TAPS
from planner.plan.render import Command
from planner.text.frozen import frozen

T = TypeVar("T")

IP = "ip"

# What looks whether the host has a feature that changes need (planner.kinds.kind.Kind.features).
FEATURES: dict[str, Callable[[], None]] = {TAPS: check_taps}


@frozen
class Failure:
    """Why an operation cannot go on, in one sentence."""

    why: str


def failure_of(command: Command, reply: CommandResult) -> Failure:
    """Return what to say of a command that failed with ``reply``."""
    said = one_line(reply.stderr or reply.stdout)
    return Failure(f"{command.line} failed: {said or f'status {reply.rc}'}")


def changes_rules(command: Command) -> bool:
    """Say whether a command may change the rules of ebtables."""
    return command.program != IP and (command.touches is None or RULES in command.touches)


def refuse_strangers(command: Command, numbers: Mapping[str, int], namespace: Namespace) -> None:
    """Raise HostError if a link that ``command`` names in ``namespace`` is not the one that had the name.

    ``numbers`` are those of the links by name, as the look found them that the command follows from. Who renames a link
    and makes another in the moment between this and the command is not noticed.
    """
    if command.netns != namespace.path:
        return
    for name in command.links:
        seen, now = numbers.get(name), namespace.link_number(name)
        if seen and now and seen != now:
            raise HostError(f"{name} is now another link, renamed or replaced in the meantime: it is left alone")


@frozen
class Execution:
    """A command that was begun.

    What ``fd`` returns becomes readable when it has ended; it is -1 if there is nothing to wait for. ``collect``
    returns what it answered and is to be called once, then or at the ``deadline`` (seconds of the monotonic clock); it
    raises TimedOut, or HostError if the command could not be started. ``withdraw``, in its place, takes the command
    back and says so if it has not been run.
    """

    fd: Callable[[], int]
    deadline: Callable[[], float]
    collect: Callable[[], CommandResult]
    withdraw: Callable[[], bool] = lambda: False


def check_programs(commands: Iterable[Command]) -> None:
    """Raise HostError if a program of ``commands`` is missing (it names the package), or a feature that they need."""
    wanted = tuple(commands)
    for name in dict.fromkeys(["nsenter", *(command.program for command in wanted)]):
        find_program(name)
    for feature in sorted({feature for command in wanted for feature in command.features}):
        FEATURES[feature]()


def first_ended(jobs: Mapping[T, Execution]) -> T:
    """Wait for the first of ``jobs`` to end, or to be overdue, and return its key; a single one is not waited for."""
    if len(jobs) == 1:
        return next(iter(jobs))
    waiting = poll()
    keys = {}
    for key, job in jobs.items():
        fd = job.fd()
        if fd < 0:
            return key
        keys[fd] = key
        waiting.register(fd, POLLIN)
    left = min(job.deadline() for job in jobs.values()) - time.monotonic()
    for fd, _ in waiting.poll(max(0.0, left) * 1000):
        return keys[fd]
    return min(jobs, key=lambda key: jobs[key].deadline())


def ip_execution(session: IpBatch, command: Command) -> Execution:
    """Begin a command of ``ip`` in an open session, whose commands are to be collected in that order.

    Raises HostError if ``ip`` cannot be started.
    """
    session.begin(command.argv)
    return Execution(lambda: session.answer_fd, lambda: session.deadline, session.answer, session.withdraw)


def program_execution(running: RunningProgram) -> Execution:
    """Return the job of a program that was started."""

    def collect() -> CommandResult:
        with running:
            return running.result()

    return Execution(lambda: running.ended_fd, lambda: running.deadline, collect)


def failed_execution(error: HostError) -> Execution:
    """Return the job of a command that could not be started."""

    def collect() -> CommandResult:
        raise error

    return Execution(lambda: -1, lambda: 0.0, collect)
