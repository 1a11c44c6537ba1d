"""A network namespace, opened: what it is, a thread inside it, and the lock that keeps two changes apart.

Programs are started with its descriptor (``nsenter --net=/proc/self/fd/N``), so that they go where podwire looked,
whatever happens to the path in the meantime; and with that of the lock, so that they hold the lock too.
"""

from __future__ import annotations

import _socket
import _thread
import ctypes
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from executor.errors import HostError, NamespaceGone, is_shortage
from executor.netns.handle import CLONE_NEWNET, libc
from executor.process.background import Task, in_background
from planner.text.values import NetnsPath

if TYPE_CHECKING:
    from executor.netns.lock import LockFile

T = TypeVar("T")

# <linux/nsfs.h>, <linux/sched.h> and <asm-generic/socket.h>; Python 3.11 names none of them.
_NS_GET_NSTYPE = 0xB703
_SO_NETNS_COOKIE = 71
# <linux/sockios.h>, and struct ifreq of <linux/if.h>: a name, a number, and what is left of the union.
_SIOCGIFINDEX = 0x8933
_IFREQ = "16si20x"
# <linux/nsfs.h>, NET_NS_INIT_INO: the number of the machine's first network namespace, from Linux 6.18 on.
_FIRST = 0xEFFF_FFF9


@cache
def boot_id() -> str:
    """Return the id of this boot of the machine, a UUID (random(4)): cookies are unique within one boot only."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()


class Namespace:
    """A network namespace held open: it stays the same one, and alive, until it is closed.

    ``fd`` is closed on exec; programs get it because they are started with it. ``cookie`` names the namespace for the
    time of this boot, unlike its inode number, which the next namespace reuses. ``path`` leads to it, or once did.
    """

    def __init__(self, path: NetnsPath, fd: int, cookie: int) -> None:
        """Take charge of ``fd``."""
        self.path = path
        self.fd = fd
        self.cookie = cookie
        self._lock: LockFile | None = None
        # A socket inside, of which questions can be asked from anywhere.
        self._socket: _socket.socket | None = None
        # The threads that are inside.
        self._inside: set[int] = set()

    @classmethod
    def open(cls, path: NetnsPath) -> Self:
        """Open the namespace at ``path`` and read its cookie inside (getsockopt(2), SO_NETNS_COOKIE, Linux 5.14).

        Raises NamespaceGone if nothing is there, HostError if it is no network namespace or cannot be entered, OSError
        if there are too few descriptors.
        """
        return cls.taken_over(path, _open_namespace(path))

    @classmethod
    def taken_over(cls, path: NetnsPath, fd: int) -> Self:
        """Return the namespace that ``fd`` has open, which is the returned one's from now on. Raises HostError."""
        namespace = cls(path, fd, cookie=0)
        try:
            namespace._socket = namespace.call(lambda: _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM))
            namespace.cookie = _cookie_of(namespace._socket)
        except BaseException:
            namespace.close()
            raise
        return namespace

    @property
    def inode(self) -> int:
        """Return the number that ``/proc/PID/ns/net`` names it by: ``net:[4026531833]``."""
        return os.fstat(self.fd).st_ino

    @cached_property
    def is_of_the_host(self) -> bool:
        """Whether this is the network that podwire itself runs in, or process 1: the host's own, by whatever path."""
        found = os.fstat(self.fd)
        if found.st_ino == _FIRST:
            return True
        for path in ("/proc/self/ns/net", "/proc/1/ns/net"):
            with suppress(OSError):  # without CAP_SYS_PTRACE nobody but root may look at process 1
                own = os.stat(path)
                if (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino):
                    return True
        return False

    @property
    def inherited(self) -> tuple[int, ...]:
        """Return the descriptors that programs in it are started with: its own, and that of the lock that we hold."""
        return (self.fd,) if self._lock is None else (self.fd, self._lock.fd)

    def close(self) -> None:
        """Let go of the namespace; a second time does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def link_number(self, name: str) -> int:
        """Return the number of the link that is called so now, 0 if there is none (netdevice(7), SIOCGIFINDEX)."""
        assert self._socket is not None  # noqa: S101  it is open
        request = struct.pack(_IFREQ, os.fsencode(name), 0)
        try:
            answer = fcntl.ioctl(self._socket, _SIOCGIFINDEX, request)
        except OSError:  # ENODEV
            return 0
        number: int = struct.unpack(_IFREQ, answer)[1]
        return number

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, function: Callable[[], T]) -> T:
        """Run ``function`` on a thread inside the namespace (setns(2)) and return its result, or raise what it raised.

        Sockets and taps that it opens belong to the namespace for good. Another thread costs 0.1 to 0.3 ms; if this one
        is inside, it is run here. Raises HostError if the namespace may not be entered.
        """
        if _thread.get_ident() in self._inside:
            return function()
        return self.begin(function).result()

    def begin(self, function: Callable[[], T]) -> Task[T]:
        """Begin to run ``function`` as ``call`` does, and return its task, which others can wait for."""

        def work() -> T:
            with self._entered():
                return function()

        return in_background(work)

    @contextmanager
    def lock(self, timeout: float, *, check: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Keep every other podwire out of this namespace, by whatever path it comes.

        Waits up to ``timeout`` seconds, 0 for not at all; then raises Locked, which says who has it, or earlier what
        ``check`` raises, which is called now and then. Programs that were started in it hold the lock with
        us: it lasts until the last of them has ended, whether we leave here, crash or are killed.
        """
        from executor.netns.lock import LockFile  # noqa: PLC0415  reading locks nothing

        self._lock = LockFile.take(f"netns-{self.cookie}", timeout, self.path, check=check)
        try:
            yield
        finally:
            lock, self._lock = self._lock, None
            lock.release()

    @contextmanager
    def _entered(self) -> Iterator[None]:
        """Move the calling thread, and it alone, into the namespace, and out again: it ends some time after that."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if libc().setns(self.fd, CLONE_NEWNET) != 0:
                code = ctypes.get_errno()
                why = "that needs CAP_SYS_ADMIN" if code == errno.EPERM else os.strerror(code)
                raise HostError(f"{self.path} cannot be entered: {why}")
            self._inside.add(_thread.get_ident())
            try:
                yield
            finally:
                self._inside.discard(_thread.get_ident())
                libc().setns(own, CLONE_NEWNET)
        finally:
            os.close(own)


def _open_namespace(path: NetnsPath) -> int:
    """Return a descriptor of the network namespace at ``path``, never 0, 1 or 2, which a child's own would replace."""
    try:
        # Namespace files are regular ones. Opening a device or a FIFO, even to look, might do something.
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise _not_a_namespace(path)
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
        name = path.rpartition("/")[2]
        hint = f"; for the namespace of process {name} use --pid {name}" if name.isdecimal() else ""
        raise NamespaceGone(f"there is no network namespace at {path}{hint}") from None
    except PermissionError:
        needed = "CAP_SYS_PTRACE, or root" if path.startswith("/proc/") else "root"
        raise HostError(f"{path} cannot be opened: that needs {needed}") from None
    except OSError as error:
        if is_shortage(error):
            raise
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
        return fcntl.ioctl(fd, _NS_GET_NSTYPE) == CLONE_NEWNET
    except OSError:
        return False


def _not_a_namespace(path: NetnsPath) -> HostError:
    return HostError(f"{path} is not a network namespace")


def _cookie_of(inside: _socket.socket) -> int:
    try:
        packed = inside.getsockopt(_socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
    except OSError as error:
        raise HostError(
            f"this kernel cannot tell namespaces apart ({error.strerror}): Linux 5.14 or later is needed"
        ) from None
    cookie: int = struct.unpack("=Q", packed)[0]
    return cookie
