"""Programs that run once each: everything that is not a line for an open ``ip`` (ebtables, bridge, sysctl, nft)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Self

from executor.errors import TimedOut
from executor.netns.namespace import Namespace
from executor.process.memory_file import MOST_OUTPUT, MemoryFile, answered
from executor.process.result import CommandResult
from executor.process.spawn import ChildProcess, find_program, limit_output

__all__ = ["RunningProgram", "find_program", "run_program", "start_program"]


def run_program(
    argv: Sequence[str],
    *,
    namespace: Namespace | None,
    stdin: str | None,
    timeout: float,
    pass_fds: Iterable[int] = (),
) -> CommandResult:
    """Run a program to its end and return what it answered; equals ``printf … | nsenter --net=NETNS argv``.

    ``namespace`` None is where podwire runs, ``stdin`` None an empty standard input, ``timeout`` in seconds.
    A program in the namespace shares its lock; of one outside, ``pass_fds`` can say that it should.
    Raises HostError if it cannot be started, TimedOut if it took too long: its process group is killed then.
    """
    with start_program(argv, namespace=namespace, stdin=stdin, timeout=timeout, pass_fds=pass_fds) as running:
        return running.result()


def start_program(
    argv: Sequence[str],
    *,
    namespace: Namespace | None,
    stdin: str | None,
    timeout: float,
    pass_fds: Iterable[int] = (),
    is_ahead: bool = False,
) -> RunningProgram:
    """Start a program as ``run_program`` does, without waiting. Use it in a ``with``, so that it ends with that.

    With ``is_ahead`` it gives way to whatever else wants to run, until ``result`` is asked for.
    """
    started = time.monotonic()
    with ExitStack() as on_failure:
        files = [on_failure.enter_context(MemoryFile(name)) for name in ("stdin", "stdout", "stderr")]
        if stdin is not None:
            files[0].write(stdin)
        streams = (files[0].fd, files[1].fd, files[2].fd)
        child = ChildProcess.start(argv, namespace=namespace, streams=streams, pass_fds=pass_fds, is_ahead=is_ahead)
        limit_output(child.pid, MOST_OUTPUT)
        files[0].close()
        on_failure.pop_all()
    return RunningProgram(child, argv, files[1], files[2], started=started, timeout=timeout, is_ahead=is_ahead)


class RunningProgram:
    """A program on its way, for running two side by side."""

    def __init__(
        self,
        child: ChildProcess,
        argv: Sequence[str],
        stdout: MemoryFile,
        stderr: MemoryFile,
        *,
        started: float,
        timeout: float,
        is_ahead: bool = False,
    ) -> None:
        self._child = child
        self._is_ahead = is_ahead
        self._argv = tuple(argv)
        self._stdout = stdout
        self._stderr = stderr
        self._started = started
        self._timeout = timeout
        self._finished = False

    @property
    def pid(self) -> int:
        """The id of the process, which is that of its group too."""
        return self._child.pid

    @property
    def ended_fd(self) -> int:
        """What becomes readable when the program has ended; -1 once that was collected."""
        return self._child.ended_fd

    @property
    def deadline(self) -> float:
        """When the program has to have ended (monotonic clock)."""
        return self._started + self._timeout

    def result(self) -> CommandResult:
        """Wait for the program to end and return what it answered; the time allowed counts from its start.

        To be called once. Raises TimedOut, having killed the whole process group; HostError if its status is lost.
        """
        if self._is_ahead:
            self._child.raise_priority()
        if not self._child.wait(self.deadline - time.monotonic()):
            killed = self._kill()
            raise TimedOut(
                f"{self._argv[0]} did not end within {self._timeout:g} s"
                + (" and was killed" if killed else " and cannot be killed: the kernel hangs in it")
            )
        self._finished = True
        rc = self._child.reap()
        return answered(rc, self._stdout, self._stderr, time.monotonic() - self._started)

    def _kill(self) -> bool:
        self._finished = True
        return self._child.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the program, which is killed if it has not ended."""
        if not self._finished:
            self._kill()
        self._stdout.close()
        self._stderr.close()
