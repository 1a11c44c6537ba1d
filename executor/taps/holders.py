"""Which process has a tap open: a VMM that still runs, to be named before its tap goes."""

from __future__ import annotations

import ctypes
import fcntl
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from executor.netns.lock import command_name
from executor.netns.namespace import Namespace
from executor.process.others import OpenFiles
from planner.text.frozen import frozen
from planner.text.values import InterfaceName

_TUN = "/dev/net/tun"
# pidfd_getfd(2) has this number on every architecture; Python 3.11 has no name for it.
_SYS_PIDFD_GETFD = 438
# <linux/if_tun.h>: the namespace that the device of a tun descriptor is in.
_TUNGETDEVNETNS = 0x54E3


@frozen
class Holder:
    """A process that has a tap open."""

    tap: InterfaceName
    pid: int
    program: str

    def __str__(self) -> str:
        return f"{self.tap} is open in process {self.pid} ({self.program})"


def tap_holders(taps: Collection[InterfaceName], namespace: Namespace) -> tuple[Holder, ...]:
    """Return the processes that have one of ``taps`` of ``namespace`` open, wherever they run.

    Each descriptor of /dev/net/tun names its device in its fdinfo (proc(5)); a copy of it tells the namespace.
    """
    inode = namespace.inode
    found = [
        Holder(name, pid, command_name(pid))
        for pid, fd in _tun_descriptors()
        for name in taps
        if _device(pid, fd) == name and _netns_inode(pid, fd) == inode
    ]
    return tuple(dict.fromkeys(found))


def _tun_descriptors() -> Iterator[tuple[int, int]]:
    """Yield process and number of every descriptor of the tun device, our own left out."""
    for pid, fd, target in OpenFiles().of_all():
        if target == _TUN and pid != os.getpid():
            yield pid, fd


def _device(pid: int, fd: int) -> str | None:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/fdinfo/{fd}").read_text(encoding="ascii", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key == "iff":
                return value.strip()
    return None


def _netns_inode(pid: int, fd: int) -> int | None:
    """Return the inode of the namespace that the device of another process's descriptor is in, None if it has gone."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    copy = libc.syscall(_SYS_PIDFD_GETFD, pidfd, fd, 0)
    os.close(pidfd)
    if copy < 0:
        return None
    try:
        netns = fcntl.ioctl(copy, _TUNGETDEVNETNS)
    except OSError:
        return None
    finally:
        os.close(copy)
    inode = os.fstat(netns).st_ino
    os.close(netns)
    return inode
