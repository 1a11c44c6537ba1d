"""Who serves the guest of a wiring: one server at most, known by a file that it locks as long as it serves.

STATE-DIR/dhcp/ID.json     which processes these are, and whether to start them again
STATE-DIR/dhcp/ID.log      the log of a background server
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from executor.errors import HostError
from executor.netns.lock import holders_of, locked_within
from executor.state.document import refuse_foreign
from executor.state.store import StateStore
from planner.errors import PodwireError, Refused
from planner.text.codec import from_json, to_json
from planner.text.document import load_json
from planner.text.frozen import frozen
from planner.text.values import PlanId, shown_path

_ENDS_WITHIN = 5.0
_LOOKED_WITHIN = 0.2  # who asks whether somebody serves has it locked for a moment
_MOST = 1 << 16
_START_TIME_AT = 19  # of /proc/PID/stat, behind the name: field 22 (proc(5))


@frozen
class Process:
    """A process, and when it was started: another one may have its number by now."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Return a process, None if there is none of that number."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        return cls(pid, int(text.rpartition(")")[2].split()[_START_TIME_AT]))

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still the same."""
        with suppress(ProcessLookupError):
            fd = os.pidfd_open(self.pid)
            try:
                if Process.of(self.pid) == self:
                    signal.pidfd_send_signal(fd, number)
            finally:
                os.close(fd)


@frozen
class Record:
    """Who serves a guest: the server first, then what it has started. ``alone``: it is nobody's foreground."""

    processes: tuple[Process, ...] = ()
    alone: bool = False


class RecordFile:
    """The open and locked file of the one server of a wiring."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, record: Record) -> None:
        """Write down who serves."""
        data = json.dumps(to_json(record)).encode()
        os.pwrite(self._fd, data, 0)
        os.ftruncate(self._fd, len(data))


@contextmanager
def only_server(plan_id: PlanId, store: StateStore) -> Iterator[RecordFile]:
    """Be the one server of a wiring; what one that was killed has left running is ended first.

    Raises Refused if there is another one.
    """
    store.prepare()
    path = store.server_file(plan_id)
    fd = _open(path, os.O_CREAT)
    assert fd is not None  # noqa: S101  it was made
    try:
        if not locked_within(fd, _LOOKED_WITHIN):
            pid = next((process.pid for process in _serving(fd, path).processes), 0)
            raise Refused(f"{plan_id} is already served by {server_words(pid)}")
        _kill(_read(fd, path))
        try:
            yield RecordFile(fd)
        finally:  # of one that was killed it stays: recover sees that it is to serve again
            os.unlink(path)
    finally:
        os.close(fd)


def server_words(pid: int) -> str:
    """Return what to call a server that ``server_of`` has found."""
    return f"process {pid}" if pid else "a process not visible from this PID namespace"


def stop_server(plan_id: PlanId, store: StateStore) -> bool:
    """End who serves the guest of a wiring, and forget it; say whether there was anybody. Raises HostError."""
    path = store.server_file(plan_id)
    fd = _open(path)
    if fd is None:
        return False
    try:
        if not _ended(fd, path):
            raise HostError(f"the server of {plan_id} does not stop: a process has {shown_path(path)} locked")
        with suppress(FileNotFoundError):
            os.unlink(path)
    finally:
        os.close(fd)
    return True


def _ended(fd: int, path: Path) -> bool:
    """End the server and all that it has started; say whether it has ended, which is when it holds no lock any more."""
    record = _serving(fd, path)
    for process in record.processes[:1]:
        process.signal(signal.SIGTERM)
    if not locked_within(fd, _ENDS_WITHIN):
        _kill(record)
        return locked_within(fd, _ENDS_WITHIN)
    _kill(record)
    return True


def is_served(plan_id: PlanId, store: StateStore) -> bool:
    """Say whether somebody serves the guest of a wiring now."""
    return server_of(plan_id, store) is not None


def server_of(plan_id: PlanId, store: StateStore) -> int | None:
    """Return the process that serves the guest of a wiring now, 0 if it cannot be seen from here; None for nobody."""
    path = store.server_file(plan_id)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if locked_within(fd, 0):
            return None
        return next((process.pid for process in _serving(fd, path).processes), 0)
    finally:
        os.close(fd)


def is_to_serve_again(plan_id: PlanId, store: StateStore) -> bool:
    """Say whether a background server was killed; a damaged record says nothing."""
    path = store.server_file(plan_id)
    try:
        fd = _open(path)
    except HostError:
        return False
    if fd is None:
        return False
    try:
        return locked_within(fd, 0) and _read(fd, path).alone
    finally:
        os.close(fd)


def _open(path: Path, flags: int = 0) -> int | None:
    """Open a record to read and write it, None if there is none. Raises HostError if that is no file of ours."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | flags, 0o600)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError(f"{shown_path(path)} cannot be opened: {error.strerror}") from None
    try:
        refuse_foreign(os.fstat(fd), shown_path(path))
    except HostError:
        os.close(fd)
        raise
    return fd


def _serving(fd: int, path: Path) -> Record:
    """Return who serves by what is written down, or if that names nobody, who has it locked: who took the lock first.

    A server that is just starting has written nothing yet, and what it wrote may have been damaged since.
    """
    record = _read(fd, path)
    if record.processes:
        return record
    holders = holders_of(fd)
    pids = sorted(holders, key=lambda pid: holders[pid] != pid)
    return Record(tuple(filter(None, map(Process.of, pids))))


def _read(fd: int, path: Path) -> Record:
    """Return what is written down; what is damaged names nobody."""
    try:
        return from_json(Record, load_json(os.pread(fd, _MOST, 0), shown_path(path)))
    except PodwireError:
        return Record()


def _kill(record: Record) -> None:
    for process in record.processes:
        process.signal(signal.SIGKILL)
