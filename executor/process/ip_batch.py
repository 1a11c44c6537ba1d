"""One ``ip`` kept open inside a namespace: a command costs a line and its answer, not a process (ip(8), ``-batch``).

``ip`` answers line by line, its errors in the same pipe, and does not say where an answer ends. So after every command
goes a line that must fail: the answer is all that comes before that failure.

    link set eth0 mtu 1400         line 1, answers nothing
    ./5f2c…                        line 2, the marker
                               ◀── Object "./5f2c…" is unknown, try "ip help".
                               ◀── Command failed -:2

Had the command failed, ``Command failed -:1`` would come before that, after its reason.
"""

from __future__ import annotations

import itertools
import re
import time
from collections import deque
from collections.abc import Sequence
from typing import Self

from executor.errors import ExecutorError, TimedOut
from executor.netns.namespace import Namespace
from executor.process.ip_process import Ended, IpProcess, Late
from executor.process.result import CommandResult
from planner.text.values import shown

# What the batch language of ip takes as part of a word and nothing else: no blank, quote, backslash or ``#``. A dash
# may come first only in a number.
_TOKEN = re.compile(r"(?!-)[A-Za-z0-9._:/@%+=,~^-]+|-[0-9]+")

# With so many lines under way ``ip`` has enough to do, and so many more are sent at a time.
_ENOUGH, _MOST_AT_ONCE = 64, 256

# What ``ip`` writes to its standard error beside a result that it does give.
_REMARKS = ("RTNETLINK answers: ", "Error: ", "Warning: ", "Dump was interrupted", "Dump terminated")


def batch_line(argv: Sequence[str]) -> str:
    """Return the line that tells an open ``ip`` to do what the command ``argv`` does, without its end.

    Raises ExecutorError if a word could be read as anything but itself, or this is not an ``ip`` command.
    """
    program, *words = argv or [""]
    if program != "ip" or not words:
        raise ExecutorError(f"{shown(' '.join(argv))} is not an ip command")
    for token in words:
        if not _TOKEN.fullmatch(token):
            raise ExecutorError(f"{shown(token)} is not a word that podwire gives to ip")
    return " ".join(words)


class IpBatch:
    """An ``ip`` that is open for the length of an operation. Not for use by several threads.

    It is started when it is first needed, and again after a command that ended it. Opening takes some 5 ms, a command
    0.1 ms and the kernel's work. It equals ``nsenter --net=NETNS ip -j -d -force -batch -``.
    """

    def __init__(self, namespace: Namespace, *, timeout: float, json: bool = True) -> None:
        """Say where, how many seconds one command may take, and whether answers are JSON or text (``ip -d -o``).

        As text only links, addresses, routes, neighbours and rules may be shown: ``ip`` does not flush the others in
        time, and a link's alias may contain line ends.
        """
        self._namespace = namespace
        self._timeout = timeout
        self._json = json
        self._batch: IpProcess | None = None
        # What was begun and is not answered yet; the first so many of it were sent to the open ip.
        self._lines: deque[str] = deque()
        self._sent = 0
        self._asked = 0.0

    def run(self, argv: Sequence[str]) -> CommandResult:
        """Run one command, ``("ip", "link", …)``, and return what it answered; see ``run_many``."""
        return self.run_many([argv])[0]

    def run_many(self, argvs: Sequence[Sequence[str]]) -> tuple[CommandResult, ...]:
        """Run several commands, each sent without waiting for the one before, and return their answers in order.

        A failed command does not keep the later ones from being run. One that ends ``ip`` (an argument that it cannot
        parse, any failure of ``ip neighbour add``) has that exit status; those after it are sent to a new one.

        Raises ExecutorError before anything is run if a word is not safe, HostError if ``ip`` cannot be started,
        TimedOut if one took too long: it was killed then, and those after it were not run.
        """
        self.begin(*argvs)
        return self.finish()

    def begin(self, *argvs: Sequence[str]) -> None:
        """Send commands after those that were begun, without waiting for their answers.

        These are for ``finish``, or ``answer`` by ``answer``. Raises as ``run_many`` does.
        """
        lines = [batch_line(argv) for argv in argvs]
        self._lines += lines
        try:
            self._send()
        except BaseException:
            for _ in lines:
                self._lines.pop()
            raise

    @property
    def answer_fd(self) -> int:
        """What becomes readable when the first command that was begun may have ended; -1 if nothing need be awaited."""
        if self._batch is None or not self._sent or self._batch.has_answer():
            return -1
        return self._batch.output

    @property
    def deadline(self) -> float:
        """When the first command that was begun has to have ended (monotonic clock)."""
        return self._asked + self._timeout

    def finish(self) -> tuple[CommandResult, ...]:
        """Return what the commands that were begun answered, waiting for it. Raises as ``run_many`` does."""
        replies = []
        try:
            while self._lines:
                replies.append(self.answer())
        finally:
            self._lines.clear()
        return tuple(replies)

    def answer(self) -> CommandResult:
        """Return what the first command that was begun answered, waiting for it. Raises as ``run_many`` does.

        If it ended ``ip``, or did not end in time, those after it were not run, and are sent to a new one by the next
        call, unless they are taken back before.
        """
        try:
            self._send()
        except BaseException:
            self._lines.popleft()
            raise
        batch = self._batch
        assert batch is not None  # noqa: S101  it was sent there
        try:
            answer, rc = batch.read_answer(self.deadline)
        except Ended as end:
            self._batch = None
            text = end.answer
            if end.status < 0 or not text:  # what a killed one said before is not why
                text = [*text, f"ip ended unexpectedly, with status {end.status}\n"]
            return self._answered(text, end.status or 1, sent=0)
        except Late as late:
            self._sent = 0
            raise self._timed_out(self._lines.popleft(), late.why) from None
        except BaseException:
            # Interrupted between a question and its answer: nothing that this ip says can be trusted to be in step.
            self.abandon()
            raise
        return self._answered(answer, rc, sent=self._sent - 1)

    def withdraw(self) -> bool:
        """Take the first command that was begun back if it was not sent; say whether that could be."""
        if self._sent or not self._lines:
            return False
        self._lines.popleft()
        return True

    def abandon(self) -> None:
        """Let ``ip`` go, whose answers nobody will read; the next command opens a new one."""
        self._lines.clear()
        self._sent = 0
        self._kill()

    def end(self) -> None:
        """Tell ``ip`` to end, without waiting for that; the next command would open a new one."""
        if self._batch is not None:
            self._batch.end()

    def close(self) -> None:
        """End ``ip`` and collect it; the next command would open a new one."""
        self._lines.clear()
        self._sent = 0
        batch, self._batch = self._batch, None
        if batch is not None:
            batch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self) -> None:
        """Send as many of the commands as one ``ip`` can be given; at least one if none is under way."""
        if self._sent == len(self._lines) or self._sent > _ENOUGH:
            return
        waiting = list(itertools.islice(self._lines, self._sent, self._sent + _MOST_AT_ONCE))
        if not self._sent:
            self._asked = time.monotonic()
            self._open_batch(waiting[0])
        assert self._batch is not None  # noqa: S101  it has what was sent
        sent = self._batch.fitting(waiting)
        self._batch.write(sent)
        self._sent += len(sent)

    def _answered(self, answer: list[str], rc: int, *, sent: int) -> CommandResult:
        """Return the reply to the first command; ``sent`` of those after it are under way."""
        self._lines.popleft()
        self._sent = sent
        asked, self._asked = self._asked, time.monotonic()
        stdout, stderr = _split_json(answer) if self._json else _split_text(answer, failed=rc != 0)
        return CommandResult(rc, "".join(stdout), "".join(stderr), self._asked - asked)

    def _open_batch(self, line: str) -> None:
        """Have an ``ip`` open, to which nothing else was sent, that can be given ``line``."""
        if self._batch is not None and (self._batch.ended() or not self._batch.fitting([line])):
            batch, self._batch = self._batch, None
            batch.close()
        if self._batch is None:
            self._batch = IpProcess(self._namespace, ("-j", "-d") if self._json else ("-d", "-o"))

    def _timed_out(self, line: str, why: str) -> TimedOut:
        killed = self._kill()
        what_then = "and was killed" if killed else "and cannot be killed: the kernel hangs in it"
        why = why or f"did not end within {self._timeout:g} s"
        return TimedOut(f"ip {line} {why} in {self._namespace.path} {what_then}")

    def _kill(self) -> bool:
        batch, self._batch = self._batch, None
        return batch is None or batch.kill()


def _split_json(lines: list[str]) -> tuple[list[str], list[str]]:
    """Part the JSON document, on however many lines, from what ``ip`` says around it."""
    first = next((at for at, line in enumerate(lines) if line.startswith(("[", "{"))), len(lines))
    past = next((at for at in range(len(lines), first, -1) if lines[at - 1].rstrip().endswith(("]", "}"))), len(lines))
    return lines[first:past], lines[:first] + lines[past:]


def _split_text(lines: list[str], *, failed: bool) -> tuple[list[str], list[str]]:
    """Part what was shown from what was remarked; all that a failed command says is about its failure."""
    if failed:
        return [], lines
    remarks = [line for line in lines if line.startswith(_REMARKS)]
    return [line for line in lines if not line.startswith(_REMARKS)], remarks
