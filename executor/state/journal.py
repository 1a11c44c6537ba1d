"""The journal: a JSON line before and after each command, so that a process killed at any instant leaves a trace.

What is written outlives the process, not the machine: a namespace dies with the machine too. The same lines are the
log of everything that was ever run.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

from executor.errors import HostError
from executor.state.document import MOST_OF_ENTRY, open_ours, refuse_foreign
from executor.state.events import Began, Ended, Event, Ran, RollingBack, Running
from executor.state.rotation import MOST_BYTES, rotate, with_older
from planner.errors import InvalidInput
from planner.text.document import MAX_BYTES, Node, no_constant
from planner.text.values import PlanId, shown_path

_KEPT_OUTPUT = 64 * 1024
# No line that podwire writes is longer (one holds a copy of the state entry), and no journal larger: it is put behind
# the older ones when it is full, and one operation adds less than this to it.
_LONGEST_LINE = MOST_OF_ENTRY + MAX_BYTES
_MOST_READ = 512 * 1024 * 1024
_as_line = json.JSONEncoder(separators=(",", ":")).encode


class LogRecord(NamedTuple):
    """One command that was run. ``time`` in seconds since the epoch; ``rc`` None if podwire died before its end.

    Commands of one ``operation`` were run for one command line, in one go.
    """

    time: float
    id: str
    netns: str | None
    verb: str
    requested_by: str
    argv: tuple[str, ...]
    stdin: str | None
    rc: int | None = None
    stdout: str = ""
    stderr: str = ""
    duration_ms: float | None = None
    operation: str = ""


class Journal:
    """The journal of one id, open for appending by the one podwire that works under it (``own``)."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open (make) the journal at ``path``; a full one is put after the older ones. Raises HostError."""
        # O_NONBLOCK: a pipe in its place would wait for a reader, forever.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            fd = os.open(path, flags, 0o600)
        except OSError as error:
            raise HostError(f"the journal {shown_path(path)} cannot be written: {error.strerror}") from None
        try:
            refuse_foreign(os.fstat(fd), f"the journal {shown_path(path)}")
        except HostError:
            os.close(fd)
            raise
        if os.fstat(fd).st_size < MOST_BYTES:
            return cls(path, fd)
        os.close(fd)
        try:
            rotate(path)
        except OSError as error:
            what = shown_path(path)
            raise HostError(f"the journal {what} is full and cannot be renamed: {error.strerror}") from None
        return cls.open(path)

    def close(self) -> None:
        """Close the journal; of an operation that was refused no empty file stays."""
        if os.fstat(self._fd).st_size == 0 and with_older(self._path) == [self._path]:
            self._path.unlink(missing_ok=True)
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def listen(self, event: Event) -> None:
        """Write an event down (a Listener). Raises HostError if that fails: nothing runs then."""
        line = _as_line({"time": time.time()} | _as_json(event))
        if isinstance(event, Began) and event.record:
            line = f'{line[:-1]},"record":{event.record}}}'  # it is JSON already, and long
        # A torn line of a process that was killed must not swallow ours: each starts on a line of its own.
        data = f"\n{line}\n".encode()
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            raise HostError(f"the journal {shown_path(self._path)} cannot be written: {error.strerror}") from None
        if written != len(data):
            raise HostError(f"the journal {shown_path(self._path)} cannot be written: no space is left")


def note_end(path: Path, outcome: str, why: str = "") -> bool:
    """Add to a journal, if there is one, what became of a wiring without a command; its last word would be "wired".

    Return whether it could be written: it is the log, so that nothing is wired any more is so all the same.
    """
    try:
        if with_older(path):
            with Journal.open(path) as journal:
                journal.listen(Ended(outcome, why))
    except HostError:
        return False
    return True


def _as_json(event: Event) -> dict[str, Any]:
    if isinstance(event, Began):
        return {"event": "began", "verb": event.verb, "id": event.id, "netns": event.netns, "asked": event.requested_by}
    if isinstance(event, Running):
        command = event.command
        words = {"argv": list(command.argv), "netns": command.netns, "stdin": command.stdin}
        return {"event": "running", "number": event.number} | words
    if isinstance(event, Ran):
        reply = event.reply
        output = {"stdout": reply.stdout[:_KEPT_OUTPUT], "stderr": reply.stderr[:_KEPT_OUTPUT]}
        took = {"rc": reply.rc, "duration_ms": round(reply.duration * 1000, 3)}
        return {"event": "ran", "number": event.number} | took | output
    if isinstance(event, RollingBack):
        return {"event": "taking-back", "why": event.why}
    return {"event": "ended", "outcome": event.outcome, "why": event.why}


class Reader:
    """What the lines of a journal say, one after the other; what is not a line of podwire's is skipped."""

    def __init__(self, plan_id: PlanId) -> None:
        self._id = plan_id
        self._operation = _Operation("", "", "")
        self._waiting: dict[int, LogRecord] = {}  # by number: commands may run side by side

    def commands(self, nodes: Iterable[Node]) -> Iterator[LogRecord]:
        """Yield the commands in the order in which they were run."""
        yield from self.over(nodes)
        yield from self._waiting.values()

    def over(self, nodes: Iterable[Node]) -> Iterator[LogRecord]:
        """Yield those that are over, or were when another operation began; the others wait for further lines."""
        for node in nodes:
            with suppress(InvalidInput):  # somebody edited it, or a disk did
                yield from self._line(node)

    def _line(self, node: Node) -> Iterator[LogRecord]:
        event = node.field("event").text()
        if event == "began":
            self._operation = _began(node, self._id)
            yield from self._died()
        elif event == "running":
            number, started = node.field("number").integer(), _started(node, self._id, self._operation)
            if number in self._waiting:  # the line with which another operation began is not there
                yield from self._died()
            self._waiting[number] = started
        elif event == "ran" and (number := node.field("number").integer()) in self._waiting:
            self._waiting[number] = _finished(self._waiting[number], node)
            yield from _ended(self._waiting)

    def _died(self) -> Iterator[LogRecord]:
        """Yield what was running when its podwire ended."""
        yield from self._waiting.values()
        self._waiting.clear()


class _Operation(NamedTuple):
    """What the line says with which an operation began."""

    name: str
    verb: str
    requested_by: str


def _began(node: Node, plan_id: PlanId) -> _Operation:
    name = f"{plan_id}@{node.field('time').number():.6f}"
    return _Operation(name, node.field("verb").text(), node.field("asked").text())


def _ended(waiting: dict[int, LogRecord]) -> Iterator[LogRecord]:
    """Yield, and take out, the first of ``waiting`` up to one that has not ended."""
    while waiting and next(iter(waiting.values())).rc is not None:
        yield waiting.pop(next(iter(waiting)))


def lines_of(path: Path, read_to: dict[int, int] | None = None) -> Iterator[Node]:
    """Yield the lines of a journal that are JSON objects; the last one before a crash may be torn. Raises HostError.

    In ``read_to`` is kept, by its inode, how far a file was read: its next reader goes on from there.
    """
    what = f"the journal {shown_path(path)}"
    fd = open_ours(path, what)
    if fd is None:
        return
    with open(fd, "rb") as file:
        found = os.fstat(fd)
        if found.st_size > _MOST_READ:
            raise HostError(f"{what} is larger than {_MOST_READ // 2**20} MiB, so it is not podwire's")
        begin = 0 if read_to is None else read_to.get(found.st_ino, 0)
        try:
            file.seek(begin if begin <= found.st_size else 0)  # a shorter one is another file of that number
            yield from _objects(file, is_growing=read_to is not None)
            if read_to is not None:
                read_to[found.st_ino] = file.tell()
        except OSError as error:
            raise HostError(f"{what} cannot be read: {error.strerror}") from None


def _objects(file: BinaryIO, *, is_growing: bool) -> Iterator[Node]:
    """Yield the lines that are objects; one that somebody is still writing is left if the file ``is_growing``."""
    is_whole = True
    while line := file.readline(_LONGEST_LINE):
        if is_growing and not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
            file.seek(-len(line), os.SEEK_CUR)
            return
        if is_whole:  # else it is the rest of one that is too long
            with suppress(ValueError, RecursionError):
                value = json.loads(line.decode("utf-8", "replace"), parse_constant=no_constant)
                if isinstance(value, dict) and "event" in value:
                    yield Node(value, "journal")
        is_whole = line.endswith(b"\n")


def _started(node: Node, plan_id: PlanId, operation: _Operation) -> LogRecord:
    return LogRecord(
        time=node.field("time").number(),
        id=plan_id,
        netns=node.maybe("netns", Node.text),
        verb=operation.verb,
        requested_by=operation.requested_by,
        operation=operation.name,
        argv=node.field("argv").each(Node.text),
        stdin=node.maybe("stdin", Node.text),
    )


def _finished(record: LogRecord, node: Node) -> LogRecord:
    return record._replace(
        rc=node.field("rc").integer(-(2**31), 2**31),
        stdout=node.field("stdout").text(),
        stderr=node.field("stderr").text(),
        duration_ms=node.field("duration_ms").number(),
    )


def read_logs(paths: dict[PlanId, Path], unreadable: Callable[[HostError], None] | None = None) -> list[LogRecord]:
    """Return the commands of several journals in the order of time. Lines that are not podwire's are skipped.

    A journal that cannot be read is reported to ``unreadable``, and keeps none of the others from being read; without
    that it raises HostError.
    """
    found: list[LogRecord] = []
    for plan_id, path in paths.items():
        try:
            found += Reader(plan_id).commands(chain.from_iterable(map(lines_of, with_older(path))))
        except HostError as error:
            if unreadable is None:
                raise
            unreadable(error)
    return sorted(found, key=lambda record: record.time)
