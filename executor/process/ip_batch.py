"""One ``ip`` kept open inside a namespace: a command costs a line and its answer, not a process (ip(8), ``-batch``).

``ip`` answers line by line, its errors in the same pipe, and does not say where an answer ends. So behind every command
goes a line that must fail: the answer is all that comes before that failure.

    link set eth0 mtu 1400         line 1, answers nothing
    link show dev ./5f2c…          line 2, the marker
                               ◀── Device "./5f2c…" does not exist.
                               ◀── Command failed -:2

Had the command failed, ``Command failed -:1`` would come before that, after its reason.
"""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from executor.errors import ExecutorError, HostError, TimedOut
from executor.netns.namespace import Namespace
from executor.process.result import CommandResult
from executor.process.spawn import ChildProcess
from planner.text.values import shown

# What the batch language of ip takes as part of a word and nothing else: no blank, quote, backslash or ``#``. A dash
# may come first only in a number.
_TOKEN = re.compile(r"(?!-)[A-Za-z0-9._:/@%+=,~^-]+|-[0-9]+")

# An open ``ip`` remembers the number of every link that it has met, and forgets it when it deletes the link by name,
# but not when it deletes a group: a new link of the old name would then be looked for under the old number.
_DELETES_GROUP = re.compile(r"link del(?:ete)? .*\bgroup ")
_CREATES_LINK = re.compile(r"(?:link|tuntap) add ")

# How long it may take to end when told to.
_CLOSING = 2.0

# What is written ahead must fit into the pipe (64 KiB), and no honest answer is larger than this.
_MOST_AHEAD = 32 * 1024
_MOST_ANSWER = 64 * 1024 * 1024
_CHUNK = 256 * 1024

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
        self._batch: _Batch | None = None
        self._begun: Sequence[str] = ()
        self._sent: Sequence[str] = ()
        self._asked = 0.0

    def run(self, argv: Sequence[str]) -> CommandResult:
        """Run one command, ``("ip", "link", …)``, and return what it answered; see ``run_many``."""
        return self.run_many([argv])[0]

    def run_many(self, argvs: Sequence[Sequence[str]]) -> tuple[CommandResult, ...]:
        """Run several commands, each sent without waiting for the one before, and return their answers in order.

        A failed command does not keep the later ones from being run. One that ends ``ip`` (an argument that it cannot
        parse, any failure of ``ip neighbour add``) has that exit status; those behind it are sent to a new one.

        Raises ExecutorError before anything is run if a word is not safe, HostError if ``ip`` cannot be started,
        TimedOut if one took too long: it was killed then, and those behind it were not run.
        """
        self.begin(*argvs)
        return self.finish()

    def begin(self, *argvs: Sequence[str]) -> None:
        """Send commands without waiting for their answers, which are for ``finish``. Raises as ``run_many`` does."""
        self._begun = [batch_line(argv) for argv in argvs]
        self._send(self._begun)

    @property
    def answer_fd(self) -> int:
        """What becomes readable when the first command that was begun has ended; -1 if ``ip`` has."""
        return -1 if self._batch is None else self._batch.output

    @property
    def deadline(self) -> float:
        """When the first command that was begun has to have ended (monotonic clock)."""
        return self._asked + self._timeout

    def finish(self) -> tuple[CommandResult, ...]:
        """Return what the commands that were begun answered, waiting for it. Raises as ``run_many`` does."""
        lines, self._begun = self._begun, []
        replies = self._collect()
        while len(replies) < len(lines):
            self._send(lines[len(replies) :])
            replies += self._collect()
        return tuple(replies)

    def abandon(self) -> None:
        """Let ``ip`` go, whose answers nobody will read; the next command opens a new one."""
        self._kill()

    def end(self) -> None:
        """Tell ``ip`` to end, without waiting for that; the next command would open a new one."""
        if self._batch is not None:
            self._batch.end()

    def close(self) -> None:
        """End ``ip`` and collect it; the next command would open a new one."""
        batch, self._batch = self._batch, None
        if batch is not None:
            batch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, lines: Sequence[str]) -> None:
        """Send as many of ``lines`` as one ``ip`` can be given, at least one of them."""
        self._sent = ()
        if lines:
            batch = self._open_batch(lines[0])
            self._sent = batch.fitting(lines)
            self._asked = time.monotonic()
            batch.write(self._sent)

    def _collect(self) -> list[CommandResult]:
        """Return the replies to what was sent; to fewer of them, but at least one, if a line ended ``ip``."""
        batch, lines, asked = self._batch, self._sent, self._asked
        replies: list[CommandResult] = []
        if not lines:
            return replies
        assert batch is not None  # noqa: S101  it was sent there
        try:
            for _ in lines:
                answer, rc = batch.read_answer(asked + self._timeout)
                now = time.monotonic()
                replies.append(self._reply(answer, rc, now - asked))
                asked = now
        except _Ended as end:
            self._batch = None
            text = end.answer
            if end.status < 0 or not text:  # what a killed one said before is not why
                text = [*text, f"ip ended by itself, with status {end.status}\n"]
            replies.append(self._reply(text, end.status or 1, time.monotonic() - asked))
        except _Late as late:
            raise self._timed_out(lines[len(replies)], late.why) from None
        except BaseException:
            # Interrupted between a question and its answer: nothing that this ip says can be trusted to be in step.
            self._kill()
            raise
        return replies

    def _open_batch(self, line: str) -> _Batch:
        """Return an ``ip`` that is there and can be given ``line``."""
        if self._batch is not None and (self._batch.ended() or not self._batch.fitting([line])):
            self.close()
        if self._batch is None:
            self._batch = _Batch(self._namespace, ("-j", "-d") if self._json else ("-d", "-o"))
        return self._batch

    def _timed_out(self, line: str, why: str) -> TimedOut:
        killed = self._kill()
        what_then = "and was killed" if killed else "and cannot be killed: the kernel hangs in it"
        why = why or f"did not end within {self._timeout:g} s"
        return TimedOut(f"ip {line} {why} in {self._namespace.path} {what_then}")

    def _kill(self) -> bool:
        batch, self._batch = self._batch, None
        return batch is None or batch.kill()

    def _reply(self, answer: list[str], rc: int, duration: float) -> CommandResult:
        stdout, stderr = _split_json(answer) if self._json else _split_text(answer, failed=rc != 0)
        return CommandResult(rc, "".join(stdout), "".join(stderr), duration)


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


class _Late(Exception):
    """No answer within the time allowed, or ``why`` else nobody waits for its end."""

    def __init__(self, why: str = "") -> None:
        super().__init__()
        self.why = why


_TOO_MUCH = _Late(f"printed more than {_MOST_ANSWER // 2**20} MiB")


class _Ended(Exception):
    """``ip`` has ended before it gave a whole answer; what there is of that, and the exit status."""

    def __init__(self, answer: list[str], status: int) -> None:
        super().__init__()
        self.answer = answer
        self.status = status


class _Batch:
    """One ``ip -batch`` process: lines in, answers out, in step by counting lines."""

    def __init__(self, namespace: Namespace, options: Sequence[str]) -> None:
        self._answered = 0
        self._remembers_deleted = False
        self._status: int | None = None
        # No link has a slash in its name, and who can name links or set aliases in the pod cannot know this one: an
        # altname "." would make the plain marker succeed (Linux allows it), and no answer would ever end.
        marker = f"./{os.urandom(8).hex()}"
        self._marker_line = f"link show dev {marker}\n"
        self._marker_answer = f'Device "{marker}" does not exist.\n'
        child_in, self._input = os.pipe2(os.O_CLOEXEC)
        self.output, child_out = os.pipe2(os.O_CLOEXEC)
        self._answers = bytearray()
        self._searched = 0
        self._readable = select.poll()
        self._readable.register(self.output, select.POLLIN)
        try:
            self._child = ChildProcess.start(
                ["ip", *options, "-force", "-batch", "-"], namespace=namespace, streams=(child_in, child_out, child_out)
            )
        except BaseException:
            self._close_pipes()
            raise
        finally:
            os.close(child_in)
            os.close(child_out)

    def fitting(self, lines: Sequence[str]) -> Sequence[str]:
        """Return the first of ``lines``: as many as fit ahead, up to one that must go to a new ``ip``.

        That is if this one remembers wrong.
        """
        remembers_deleted = self._remembers_deleted
        ahead = 0
        for at, line in enumerate(lines):
            ahead += len(line) + len(self._marker_line) + 1
            if at and ahead > _MOST_AHEAD:
                return lines[:at]
            if remembers_deleted and _CREATES_LINK.match(line):
                return lines[:at]
            remembers_deleted = remembers_deleted or bool(_DELETES_GROUP.match(line))
        return lines

    def write(self, lines: Sequence[str]) -> None:
        """Send ``lines``, each with a marker behind it; they fit into the pipe, so that this never blocks."""
        self._remembers_deleted = self._remembers_deleted or any(map(_DELETES_GROUP.match, lines))
        # An ip that has ended takes nothing more; reading its answer says so.
        with suppress(BrokenPipeError):
            os.write(self._input, "".join(f"{line}\n{self._marker_line}" for line in lines).encode("ascii"))

    def read_answer(self, deadline: float) -> tuple[list[str], int]:
        """Return the answer to the next line and whether it failed (1) or not (0).

        Raises _Late at ``deadline`` (monotonic clock), _Ended if ``ip`` ended first.
        """
        command = 2 * self._answered + 1
        self._answered += 1
        answer = self._read_to_marker(f"Command failed -:{command + 1}\n", deadline)
        if answer and answer[-1] == f"Command failed -:{command}\n":
            return answer[:-1], 1
        return answer, 0

    def ended(self) -> bool:
        """Say whether ``ip`` was told to end, or has ended, which it should not by itself."""
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
            with suppress(HostError):  # it has done all that it was told to
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
                raise _Ended(lines, self._reap()) from None
            if lines[-1] == last and len(lines) > 1 and lines[-2].endswith(self._marker_answer):
                rest = lines[-2].removesuffix(self._marker_answer)
                return [*lines[:-2], rest] if rest else lines[:-2]
            if size > _MOST_ANSWER:
                raise _TOO_MUCH
            if time.monotonic() > deadline:  # it goes on and on
                raise _Late

    def _read_line(self, deadline: float) -> str:
        """Return the next line of output; EOFError if there is and will be none, _Late at ``deadline``."""
        # An answer is a line of many chunks: each is searched once, and the line is copied once.
        while (end := self._answers.find(b"\n", self._searched)) < 0:
            self._searched = len(self._answers)
            left = deadline - time.monotonic()
            if not self._readable.poll(max(0.0, left) * 1000):
                raise _Late
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
