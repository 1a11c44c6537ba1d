"""Programs that run once each: everything that is not a line for an open ``ip`` (ebtables, bridge, sysctl, nft)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Self

from executor.child import Child, find_program
from executor.errors import TimedOut
from executor.netns import Namespace
from executor.reply import Reply

__all__ = ["RunningProgram", "find_program", "run_program", "start_program"]

# Output is collected in chunks of this many bytes; line by line would only cost time.
_CHUNK = 65536


def run_program(
    argv: Sequence[str],
    *,
    namespace: Namespace | None,
    stdin: str | None,
    timeout: float,
    pass_fds: Iterable[int] = (),
) -> Reply:
    """Run a program to its end and return what it answered; equals ``printf … | nsenter --net=NETNS argv``.

    ``namespace`` None is where podwire runs, ``stdin`` None an empty standard input, ``timeout`` in seconds.
    A program in the namespace shares its lock; of one outside, ``pass_fds`` can say that it should.
    Raises Unusable where it cannot be started, TimedOut where it took too long; its whole process group is killed then.
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
) -> RunningProgram:
    """Start a program as ``run_program`` does and return at once. Use it in a ``with``, so that it ends with that."""
    started = time.monotonic()
    child = Child.start(
        argv,
        namespace=namespace,
        pass_fds=pass_fds,
        _in=None if stdin is None else stdin.encode(),
        _out_bufsize=_CHUNK,
        _err_bufsize=_CHUNK,
    )
    return RunningProgram(child, argv, started=started, timeout=timeout)


class RunningProgram:
    """A program on its way, for running two side by side."""

    def __init__(self, child: Child, argv: Sequence[str], *, started: float, timeout: float) -> None:
        self._child = child
        self._argv = tuple(argv)
        self._started = started
        self._timeout = timeout
        self._finished = False

    @property
    def pid(self) -> int:
        """The id of the process, which is that of its group too."""
        return self._child.pid

    def result(self) -> Reply:
        """Wait for the program to end and return what it answered; the time allowed counts from its start.

        To be called once. Raises TimedOut; the whole process group is killed then.
        """
        if not self._child.wait(self._started + self._timeout - time.monotonic()):
            killed = self._kill()
            raise TimedOut(
                f"{self._argv[0]} did not end within {self._timeout:g} s"
                + (" and was killed" if killed else " and cannot be killed: the kernel hangs in it")
            )
        rc = self._child.reap()
        self._finished = True
        return Reply(rc, self._child.stdout, self._child.stderr, time.monotonic() - self._started)

    def _kill(self) -> bool:
        self._finished = True
        return self._child.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._finished:
            self._kill()
