"""One ``ip -batch`` process: lines in, answers out, in step by counting lines (executor.process.ip_batch)."""

from __future__ import annotations

import os
import re
import select
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from executor.errors import HostError
from executor.netns.namespace import Namespace
from executor.process.spawn import ChildProcess

_DELETES_GROUP = re.compile(r"link del(?:ete)? .*\bgroup ")
_CREATES_LINK = re.compile(r"(?:link|tuntap) add ")
_VALUES = re.compile(r"\b(proto|scope|tos)(?:col)? (\S)")

# How long it may take to end when asked to.
_CLOSING = 2.0

# What is written ahead must fit into the pipe (64 KiB), and no honest answer is larger than this.
_MOST_AHEAD = 32 * 1024
_MOST_ANSWER = 64 * 1024 * 1024
_CHUNK = 64 * 1024  # what a pipe holds


class Late(Exception):
    """No answer within the time allowed, or ``why`` else nobody waits for its end."""

    def __init__(self, why: str = "") -> None:
        super().__init__()
        self.why = why


_TOO_MUCH = Late(f"printed more than {_MOST_ANSWER // 2**20} MiB")


class Ended(Exception):
    """``ip`` has ended before it gave a whole answer; what there is of that, and the exit status."""

    def __init__(self, answer: list[str], status: int) -> None:
        super().__init__()
        self.answer = answer
        self.status = status


class _Memory:
    """What an open ``ip`` remembers wrongly: a line that it would misunderstand must go to a new one.

    It knows the number of every link that it has met, and forgets it when it deletes the link by name, but not when it
    deletes a group: a new link of the old name would be looked for under the old number. And it keeps what the last
    protocol, scope or tos that had a name was, which one that is a number takes the place of: the same name would then
    be that number (iproute2, rt_names.c, rtnl_rtprot_a2n).
    """

    def __init__(self) -> None:
        self._deleted = False
        self._numbered: set[str] = set()

    def copy(self) -> _Memory:
        """Return another one that remembers the same."""
        other = _Memory()
        other._deleted, other._numbered = self._deleted, set(self._numbered)
        return other

    def misleads(self, line: str) -> bool:
        """Say whether a line would be misunderstood."""
        if self._deleted and _CREATES_LINK.match(line):
            return True
        values = _VALUES.findall(line) if self._numbered else ()
        return any(word in self._numbered and not first.isdigit() for word, first in values)

    def note(self, line: str) -> None:
        """Take note of what a line leaves."""
        self._deleted = self._deleted or bool(_DELETES_GROUP.match(line))
        self._numbered.update(word for word, first in _VALUES.findall(line) if first.isdigit())


class IpProcess:
    """One ``ip -batch`` process: lines in, answers out, in step by counting lines."""

    def __init__(self, namespace: Namespace, options: Sequence[str]) -> None:
        self._answered = 0
        # How many bytes were written of each line that was not answered yet, and of all of them.
        self._sizes: deque[int] = deque()
        self._ahead = 0
        self._memory = _Memory()
        self._status: int | None = None
        # No object of ip is called so, and the kernel is not asked, as it would be for a link that is not there. Who
        # sets an alias in the pod cannot know it, and so cannot end an answer by it.
        marker = f"./{os.urandom(8).hex()}"
        self._marker_line = f"{marker}\n"
        self._marker_answer = f'Object "{marker}" is unknown, try "ip help".\n'
        self._answers = bytearray()
        self._searched = 0
        self._readable = select.poll()
        self._input = self.output = -1
        with ExitStack() as afterwards, ExitStack() as on_failure:
            on_failure.callback(self._close_pipes)
            child_in, self._input = os.pipe2(os.O_CLOEXEC)
            afterwards.callback(os.close, child_in)
            self.output, child_out = os.pipe2(os.O_CLOEXEC)
            afterwards.callback(os.close, child_out)
            self._readable.register(self.output, select.POLLIN)
            self._child = ChildProcess.start(
                ["ip", *options, "-force", "-batch", "-"], namespace=namespace, streams=(child_in, child_out, child_out)
            )
            on_failure.pop_all()

    def fitting(self, lines: Sequence[str]) -> Sequence[str]:
        """Return the first of ``lines``: as many as fit ahead, up to one that must go to a new ``ip``."""
        memory = self._memory.copy()
        ahead = self._ahead
        for at, line in enumerate(lines):
            ahead += self._size(line)
            if (at or self._ahead) and ahead > _MOST_AHEAD:
                return lines[:at]
            if memory.misleads(line):
                return lines[:at]
            memory.note(line)
        return lines

    def _size(self, line: str) -> int:
        return len(line) + len(self._marker_line) + 1

    def write(self, lines: Sequence[str]) -> None:
        """Send ``lines``, each followed by a marker; they fit into the pipe, so that this never blocks."""
        if not lines:
            return
        for line in lines:
            self._memory.note(line)
        sizes = [self._size(line) for line in lines]
        self._sizes += sizes
        self._ahead += sum(sizes)
        # An ip that has ended takes nothing more; reading its answer says so.
        with suppress(BrokenPipeError):
            os.write(self._input, "".join(f"{line}\n{self._marker_line}" for line in lines).encode("ascii"))

    def read_answer(self, deadline: float) -> tuple[list[str], int]:
        """Return the answer to the next line and whether it failed (1) or not (0).

        Raises Late at ``deadline`` (monotonic clock), Ended if ``ip`` ended first.
        """
        command = 2 * self._answered + 1
        last = self._marker_failed()
        self._answered += 1
        answer = [] if self._is_next(last) else self._read_to_marker(last, deadline)
        self._ahead -= self._sizes.popleft()
        if answer and answer[-1] == f"Command failed -:{command}\n":
            return answer[:-1], 1
        return answer, 0

    def _is_next(self, last: str) -> bool:
        """Say whether an answer that is ``last`` and says nothing was read already, and take it."""
        nothing = f"{self._marker_answer}{last}".encode("ascii")
        if not self._answers.startswith(nothing):
            return False
        del self._answers[: len(nothing)]
        self._searched = 0
        return True

    def has_answer(self) -> bool:
        """Say whether the answer to the next line was read already, together with one before it."""
        return self._marker_failed().encode("ascii") in self._answers

    def _marker_failed(self) -> str:
        """Return what ``ip`` says last in answer to the next line."""
        return f"Command failed -:{2 * self._answered + 2}\n"

    def ended(self) -> bool:
        """Say whether ``ip`` was asked to end, or has ended, which it should not on its own."""
        return self._input < 0 or self._child.wait(0)

    def end(self) -> None:
        """Tell ``ip`` that there is no more to do."""
        fd, self._input = self._input, -1
        if fd >= 0:
            os.close(fd)

    def close(self) -> None:
        """Tell ``ip`` that there is no more to do, and collect it."""
        self.end()
        if self._child.wait(_CLOSING):
            with suppress(HostError):  # it has done everything that was sent to it
                self._reap()
        else:
            self._child.kill()
        self._close_pipes()

    def kill(self) -> bool:
        """Kill ``ip`` and collect it; say whether that worked."""
        killed = self._child.kill()
        self._close_pipes()
        return killed

    def _close_pipes(self) -> None:
        self.end()
        fd, self.output = self.output, -1
        if fd >= 0:
            os.close(fd)

    def _read_to_marker(self, last: str, deadline: float) -> list[str]:
        lines: list[str] = []
        size = 0
        while True:
            try:
                lines.append(self._read_line(deadline))
                size += len(lines[-1])
            except EOFError:
                raise Ended(lines, self._reap()) from None
            if lines[-1] == last and len(lines) > 1 and lines[-2].endswith(self._marker_answer):
                rest = lines[-2].removesuffix(self._marker_answer)
                return [*lines[:-2], rest] if rest else lines[:-2]
            if size > _MOST_ANSWER:
                raise _TOO_MUCH
            if time.monotonic() > deadline:  # it goes on and on
                raise Late

    def _read_line(self, deadline: float) -> str:
        """Return the next line of output; EOFError if there is and will be none, Late at ``deadline``."""
        # An answer is a line of many chunks: each is searched once, and the line is copied once.
        while (end := self._answers.find(b"\n", self._searched)) < 0:
            self._searched = len(self._answers)
            left = deadline - time.monotonic()
            if not self._readable.poll(max(0.0, left) * 1000):
                raise Late
            if len(self._answers) > _MOST_ANSWER:
                raise _TOO_MUCH
            chunk = os.read(self.output, _CHUNK)
            if not chunk and not self._answers:
                raise EOFError
            if not chunk:
                chunk = b"\n"
            self._answers += chunk
        with memoryview(self._answers) as answers, answers[: end + 1] as found:
            line = str(found, "utf-8", "replace")
        del self._answers[: end + 1]
        self._searched = 0
        return line

    def _reap(self) -> int:
        """Collect ``ip``, which has ended or is about to: it has closed its output."""
        if self._status is None:
            self._child.wait(_CLOSING)
            self._status = self._child.reap()
            self._close_pipes()
        return self._status
