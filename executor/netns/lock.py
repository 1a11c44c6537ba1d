"""Locks that only root can take: files in a folder of podwire's own, one a namespace, locked by flock(2).

What others can open is never what is locked: anybody may open a namespace file (0444) and lock it for good. Programs
inherit the open file, so that the lock lasts as long as the last change that may still happen.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from executor.agent.protocol import DEFAULT_RUN_DIR
from executor.errors import HostError, Locked
from executor.process.others import OpenFiles
from executor.trust.files import weak_spot
from planner.text.values import shown, shown_path

# What the names of locks begin with: of namespaces, of ids, and of attachments (executor.cni.attachments).
_PREFIXES = ("netns-", "id-", "attachment-")
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05


def locked_within(fd: int, seconds: float, check: Callable[[], None] = lambda: None) -> bool:
    """Lock the open file ``fd`` within ``seconds``, 0 for at once or not at all; say whether it is locked now.

    Raises HostError if the kernel has no lock to give (ENOLCK), and what ``check`` raises, which is called before each
    try.
    """
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    while True:
        check()
        if _try_lock(fd):
            return True
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise HostError(f"nothing can be locked here: {error.strerror}") from None
    return True


class LockFile:
    """A lock that is held until ``release``, and after that by programs that have inherited ``fd``."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self.fd = fd

    @classmethod
    def take(cls, name: str, seconds: float, what: str, *, check: Callable[[], None] = lambda: None) -> LockFile:
        """Take the lock ``name`` within ``seconds``.

        ``check`` is called now and then; what it raises ends the waiting. A signal handler must not do that itself:
        the lock may be ours already, and nobody would know of it and let go of it. Raises Locked, which says who is
        changing ``what``, or HostError if the folder is not one that only we can write to.
        """
        path = run_dir() / name
        while True:
            lock = cls(path, _open(path))
            try:
                lock._wait(seconds, what, check)
                if os.fstat(lock.fd).st_nlink:  # else the previous holder has removed the file while we waited
                    return lock
            except BaseException:
                os.close(lock.fd)
                raise
            os.close(lock.fd)

    def _wait(self, seconds: float, what: str, check: Callable[[], None]) -> None:
        if not locked_within(self.fd, seconds, check):
            raise Locked(f"{what} is in use by {_holder(self.fd)}; try again when it has finished")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let go of the lock. Its file goes too, unless somebody has it: a program of ours, or who waited for it."""
        fd, self.fd = self.fd, -1
        os.close(fd)  # not LOCK_UN, which would unlock for a program that is still running
        _remove_unless_held(self._path)


def remove_unused_locks() -> None:
    """Remove the files of locks that processes which were killed have left, and nobody holds or waits for."""
    with suppress(OSError, HostError):
        for name in os.listdir(directory := run_dir()):
            if name.startswith(_PREFIXES):
                _remove_unless_held(directory / name)


def _remove_unless_held(path: Path) -> None:
    with suppress(OSError, HostError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if _try_lock(fd) and os.fstat(fd).st_nlink:
                path.unlink()
        finally:
            os.close(fd)


def run_dir() -> Path:
    """Return the folder of the locks, made if it is missing. Raises HostError if others could get at it."""
    directory = Path(os.environ.get("PODWIRE_RUN_DIR") or DEFAULT_RUN_DIR)
    try:
        found = directory.lstat()
    except OSError:
        found = _made(directory)
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
    if is_ours and weak_spot(directory.absolute()) is None:
        if found.st_mode & 0o055:  # as whatever laid the machine out made it
            directory.chmod(0o700)
    else:
        raise HostError(
            f"the lock directory {shown_path(directory)} must be a directory owned by this user, mode 0700, that no "
            "other user can replace"
        )
    return directory


def _made(directory: Path) -> os.stat_result:
    """Make the folder of the locks, unless somebody just has."""
    try:
        with suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        return directory.lstat()
    except OSError as error:
        raise HostError(f"the lock directory {shown_path(directory)} cannot be created: {error.strerror}") from None


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HostError(f"the lock {shown_path(path)} cannot be opened: {error.strerror}") from None


def holders_of(fd: int) -> dict[int, int]:
    """Return the processes that hold a lock on the file of ``fd``, each with the one that took it."""
    name = Path(os.readlink(f"/proc/self/fd/{fd}")).name.removesuffix(" (deleted)")
    return dict(_processes_with_lock(os.fstat(fd), name))


def _holder(fd: int) -> str:
    """Say for a person which process holds the lock on the file of ``fd``.

    The kernel names the one that took it, which may be gone while a program that it started still holds the descriptor;
    inside a pid namespace it is 0 then.
    """
    holders = holders_of(fd)
    for pid, taken_by in holders.items():
        if pid == taken_by:
            return f"process {pid} ({command_name(pid)})"
    for pid, taken_by in holders.items():
        parent = f"process {taken_by}" if taken_by else "a process"
        return f"process {pid} ({command_name(pid)}), left running by {parent}, which is gone"
    return "a process not visible from this PID namespace"


def _processes_with_lock(file: os.stat_result, name: str) -> Iterator[tuple[int, int]]:
    """Yield each process that has a flock on ``file``, called ``name``, by a descriptor, and the one that took it."""
    for pid, number, target in OpenFiles().of_all():
        if name in target:  # a stat(2) of its files may be made to wait (FUSE)
            with suppress(OSError):  # closed while we looked
                yield from ((pid, taker) for taker in _takers(Path(f"/proc/{pid}"), number, file))


def _takers(process: Path, fd: int, file: os.stat_result) -> Iterator[int]:
    """Yield the processes that took a flock on ``file`` which the descriptor ``fd`` of ``process`` shares.

    Its fdinfo says so (proc(5)): ``lock: 1: FLOCK ADVISORY WRITE 4242 00:04:4026532281 0 EOF``.
    """
    found = (process / "fd" / str(fd)).stat()
    if (found.st_dev, found.st_ino) != (file.st_dev, file.st_ino):
        return
    for line in (process / "fdinfo" / str(fd)).read_text(encoding="ascii", errors="replace").splitlines():
        words = line.split()
        if words[:1] == ["lock:"] and words[2:3] == ["FLOCK"]:
            yield int(words[5])


def command_name(pid: int) -> str:
    """Return what a process is called, fit for a message (proc(5), comm)."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "just ended"
    return shown(name.strip()).strip("'\"")
