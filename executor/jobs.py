"""A command on its way: begun at once, and collected when it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from select import POLLIN, poll
from typing import TypeVar

from attrs import frozen

from executor.errors import Unusable
from executor.programs import RunningProgram
from executor.reply import Reply
from executor.session import IpSession
from planner.render import Command

T = TypeVar("T")


@frozen
class Job:
    """A command that was begun.

    What ``fd`` returns becomes readable when it has ended; it is -1 where there is nothing to wait for. ``collect``
    returns what it answered and is to be called once, then or at the ``deadline`` (seconds of the monotonic clock); it
    raises TimedOut, or Unusable where the command could not be started.
    """

    fd: Callable[[], int]
    deadline: float
    collect: Callable[[], Reply]


def first_ended(jobs: Mapping[T, Job]) -> T:
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
    left = min(job.deadline for job in jobs.values()) - time.monotonic()
    for fd, _ in waiting.poll(max(0.0, left) * 1000):
        return keys[fd]
    return min(jobs, key=lambda key: jobs[key].deadline)


def ip_job(session: IpSession, command: Command) -> Job:
    """Begin a command of ``ip`` in an open session. Raises Unusable where ``ip`` cannot be started."""
    session.begin(command.argv)
    return Job(lambda: session.answer_fd, session.deadline, lambda: session.finish()[0])


def program_job(running: RunningProgram) -> Job:
    """Return the job of a program that was started."""

    def collect() -> Reply:
        with running:
            return running.result()

    return Job(lambda: running.ended_fd, running.deadline, collect)


def failed_job(error: Unusable) -> Job:
    """Return the job of a command that could not be started."""

    def collect() -> Reply:
        raise error

    return Job(lambda: -1, 0.0, collect)
