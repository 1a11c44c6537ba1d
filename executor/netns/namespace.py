"""A network namespace, opened: what it is, a thread inside it, and the lock that keeps two changes apart.

One descriptor serves for all of it. Programs are started with it (``nsenter --net=/proc/self/fd/N``), so that they go
where podwire looked, whatever happens to the path meanwhile; and the lock is on it, so that they hold the lock too.
"""

from __future__ import annotations

import _thread
import ctypes
import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Self, TypeVar

from attrs import define

from executor.errors import HostError, Locked, NamespaceGone
from executor.netns.lock import locked_within
from planner.text.values import NetnsPath, shown

T = TypeVar("T")

# <linux/nsfs.h>, <linux/sched.h> and <asm-generic/socket.h>; Python 3.11 names none of them.
_NS_GET_NSTYPE = 0xB703
_CLONE_NEWNET = 0x40000000
_SO_NETNS_COOKIE = 71


@cache
def boot_id() -> str:
    """Return the id of this boot of the machine, a UUID (random(4)): cookies are unique within one boot only."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@define(eq=False)
class Namespace:
    """A network namespace held open: it stays the same one, and alive, until it is closed.

    ``fd`` is closed on exec; programs get it because they are started with it. ``cookie`` names the namespace for the
    time of this boot, unlike its inode number, which the next namespace reuses.
    """

    path: NetnsPath
    fd: int
    cookie: int

    @classmethod
    def open(cls, path: NetnsPath) -> Self:
        """Open the namespace at ``path`` and read its cookie inside (getsockopt(2), SO_NETNS_COOKIE, Linux 5.14).

        Raises NamespaceGone where nothing is there, HostError if it is no network namespace or cannot be entered.
        """
        namespace = cls(path, _open_namespace(path), cookie=0)
        try:
            namespace.cookie = namespace.call(_own_cookie)
        except BaseException:
            namespace.close()
            raise
        return namespace

    def close(self) -> None:
        """Let go of the namespace, and of its lock; a second time does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, function: Callable[[], T]) -> T:
        """Run ``function`` on a thread inside the namespace (setns(2)) and return its result, or raise what it raised.

        Sockets and taps that it opens belong to the namespace for good. Some 50 µs. Raises HostError where the
        namespace may not be entered.
        """
        results: list[T] = []
        errors: list[BaseException] = []
        ended = _thread.allocate_lock()

        def work() -> None:
            try:
                self._enter()
                results.append(function())
            except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
                errors.append(error)
            finally:
                ended.release()

        ended.acquire()
        _thread.start_new_thread(work, ())  # half of what a threading.Thread costs, which waits for its start as well
        with ended:
            if errors:
                raise errors[0]
            return results[0]

    @contextmanager
    def lock(self, timeout: float) -> Iterator[None]:
        """Keep every other podwire out of this namespace, by whatever path it comes (flock(2), exclusive).

        Waits up to ``timeout`` seconds, 0 for not at all; then raises Locked, which says who has it. Programs that
        were started with ``fd`` hold the lock with us: it lasts until the last of them has ended, whether we leave
        here, crash or are killed.
        """
        if not locked_within(self.fd, timeout):
            raise Locked(f"{self.path} is being changed by {_lock_holder(self.fd)}: try again when that has ended")
        try:
            yield
        finally:
            self._let_go()

    def _enter(self) -> None:
        """Move the calling thread, and it alone, into the namespace."""
        if _libc().setns(self.fd, _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            why = "that needs root (CAP_SYS_ADMIN)" if code == errno.EPERM else os.strerror(code)
            raise HostError(f"{self.path} cannot be entered: {why}")

    def _let_go(self) -> None:
        # LOCK_UN would also unlock for a program that is still running, since it shares the open file description. A
        # fresh description in the same place leaves the old one, and its lock, to whoever has it.
        fresh = os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC)
        os.dup2(fresh, self.fd, inheritable=False)
        os.close(fresh)


def _open_namespace(path: NetnsPath) -> int:
    """Return a descriptor of the network namespace at ``path``, never 0, 1 or 2, which a child's own would replace."""
    try:
        # Namespace files are regular ones. Opening a device or a FIFO, even to look, might do something.
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise _not_a_namespace(path)
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
        name = path.rpartition("/")[2]
        hint = f"; that of process {name} is --pid {name}" if name.isdecimal() else ""
        raise NamespaceGone(f"there is no network namespace at {path}{hint}") from None
    except PermissionError:
        raise HostError(f"{path} cannot be opened: that needs root") from None
    except OSError as error:
        raise HostError(f"{path} cannot be opened: {error.strerror}") from None
    try:
        if not _is_network_namespace(opened):
            raise _not_a_namespace(path)
        return fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(opened)


def _is_network_namespace(fd: int) -> bool:
    """Ask what kind of namespace ``fd`` is (ioctl_nsfs(2)); files of other file systems do not know the question."""
    try:
        return fcntl.ioctl(fd, _NS_GET_NSTYPE) == _CLONE_NEWNET
    except OSError:
        return False


def _not_a_namespace(path: NetnsPath) -> HostError:
    return HostError(f"{path} is not a network namespace")


def _own_cookie() -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
        try:
            packed = any_socket.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
        except OSError as error:
            raise HostError(f"the kernel does not tell namespaces apart ({error.strerror}): Linux 5.14 does") from None
    cookie: int = struct.unpack("=Q", packed)[0]
    return cookie


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _lock_holder(fd: int) -> str:
    """Say for a person which process holds the lock on the file of ``fd``.

    The kernel names the one that took it, which may be gone while a program that it started still holds the descriptor;
    inside a pid namespace it is 0 then.
    """
    holders = dict(_processes_with_lock(os.fstat(fd)))
    for pid, taken_by in holders.items():
        if pid == taken_by:
            return f"process {pid} ({command_name(pid)})"
    for pid, taken_by in holders.items():
        parent = f"process {taken_by}" if taken_by else "a process"
        return f"process {pid} ({command_name(pid)}), left running by {parent} that is gone"
    return "a process that cannot be seen from here"


def _processes_with_lock(file: os.stat_result) -> Iterator[tuple[int, int]]:
    """Yield each process that has a flock on ``file`` through one of its descriptors, and the one that took it."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            for fd in _descriptors(process):
                with suppress(OSError):  # closed while we looked
                    yield from ((int(process.name), taker) for taker in _takers(process, fd, file))


def _descriptors(process: Path) -> list[str]:
    try:
        return [link.name for link in (process / "fd").iterdir()]
    except OSError:
        return []  # it ended while we looked, or is not ours to look at


def _takers(process: Path, fd: str, file: os.stat_result) -> Iterator[int]:
    """Yield the processes that took a flock on ``file`` which the descriptor ``fd`` of ``process`` shares.

    Its fdinfo says so (proc(5)): ``lock: 1: FLOCK ADVISORY WRITE 4242 00:04:4026532281 0 EOF``.
    """
    found = (process / "fd" / fd).stat()
    if (found.st_dev, found.st_ino) != (file.st_dev, file.st_ino):
        return
    for line in (process / "fdinfo" / fd).read_text(encoding="ascii", errors="replace").splitlines():
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
