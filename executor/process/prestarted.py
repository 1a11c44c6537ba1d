"""Programs that are started ahead and wait for their input: what a program costs is mostly its start."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import chain
from select import PIPE_BUF

from executor.netns.namespace import Namespace
from executor.process.memory_file import MOST_OUTPUT, MemoryFile
from executor.process.run import RunningProgram
from executor.process.spawn import ChildProcess, limit_output
from planner.plan.render import Command
from planner.text.values import NetnsPath

# Where a program is to be started, and its words.
_Key = tuple[NetnsPath | None, tuple[str, ...]]


class PrestartedProcess:
    """A program that was started ahead and waits for its standard input, which is all that it does anything for.

    What a program costs is mostly its start: ``ebtables-restore`` takes 2.6 ms, and of these 0.6 from its input on. One
    that gets none ends at once, having done nothing.
    """

    def __init__(self, argv: Sequence[str], *, namespace: Namespace | None, timeout: float) -> None:
        """Start ``argv``. Raises HostError if it is not installed or cannot be started."""
        self._argv = tuple(argv)
        self._timeout = timeout
        self._is_fed = False
        self._child: ChildProcess | None = None
        with ExitStack() as afterwards, ExitStack() as on_failure:
            child_in, self._input = os.pipe2(os.O_CLOEXEC)
            afterwards.callback(os.close, child_in)
            on_failure.callback(self._end_input)
            self._stdout = on_failure.enter_context(MemoryFile("stdout"))
            self._stderr = on_failure.enter_context(MemoryFile("stderr"))
            streams = (child_in, self._stdout.fd, self._stderr.fd)
            self._child = ChildProcess.start(argv, namespace=namespace, streams=streams, is_ahead=True)
            limit_output(self._child.pid, MOST_OUTPUT)
            on_failure.pop_all()

    @staticmethod
    def takes(stdin: str | None) -> bool:
        """Say whether a program can be started ahead for this input: there is some, and a pipe takes it whole."""
        return stdin is not None and 0 < len(stdin.encode()) <= PIPE_BUF

    def feed(self, stdin: str) -> RunningProgram:
        """Give the program its input, which it ``takes``, and return it running. To be called once."""
        child, self._child = self._child, None
        assert child is not None  # noqa: S101  neither fed nor closed before
        self._is_fed = True  # its output is the running program's
        running = RunningProgram(
            child, self._argv, self._stdout, self._stderr, started=time.monotonic(), timeout=self._timeout
        )
        child.raise_priority()
        with suppress(BrokenPipeError):  # it has ended: the result will say why
            os.write(self._input, stdin.encode())
        self._end_input()
        return running

    def close(self) -> None:
        """Let a program go that was given nothing; a second time, or after ``feed``, does nothing."""
        child, self._child = self._child, None
        self._end_input()
        if child is not None:
            child.kill()
        if not self._is_fed:
            self._stdout.close()
            self._stderr.close()

    def _end_input(self) -> None:
        fd, self._input = self._input, -1
        if fd >= 0:
            os.close(fd)


class PrestartedPrograms:
    """The programs that were started ahead in an operation, by where they are and their words."""

    def __init__(self, open_namespace: Callable[[NetnsPath | None], Namespace | None], timeout: float) -> None:
        """Nothing is started yet; ``open_namespace`` returns the one at a path, ``timeout`` seconds are for each."""
        self._open_namespace = open_namespace
        self._timeout = timeout
        self._waiting: dict[_Key, deque[PrestartedProcess]] = {}

    def start(self, netns: NetnsPath | None, argv: tuple[str, ...]) -> None:
        """Start a program that will be given input. Raises HostError if that cannot be done."""
        started = PrestartedProcess(argv, namespace=self._open_namespace(netns), timeout=self._timeout)
        self._waiting.setdefault((netns, argv), deque()).append(started)

    def start_for(self, command: Command) -> None:
        """Start the program of ``command``, if it is one that waits for input. Raises HostError."""
        if PrestartedProcess.takes(command.stdin):
            self.start(command.netns, command.argv)

    def feed(self, command: Command) -> RunningProgram | None:
        """Give one that waits for it the input of ``command`` and return it running; None if there is none."""
        waiting = self._waiting.get((command.netns, command.argv))
        if waiting and command.stdin and PrestartedProcess.takes(command.stdin):
            return waiting.popleft().feed(command.stdin)
        return None

    def missing(self, commands: Iterable[Command]) -> Iterator[Command]:
        """Yield those of ``commands`` for which none waits."""
        waiting = {key: len(started) for key, started in self._waiting.items()}
        for command in commands:
            key = (command.netns, command.argv)
            if waiting.get(key):
                waiting[key] -= 1
            else:
                yield command

    def close(self) -> None:
        """End those that were given nothing."""
        for started in chain.from_iterable(self._waiting.values()):
            started.close()
        self._waiting.clear()
