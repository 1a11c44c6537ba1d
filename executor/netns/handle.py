"""Opening a network namespace by its cookie, without any path (open_by_handle_at(2) on nsfs, Linux 6.18).

If the kernel can do that it also knows for certain that a namespace is gone, whatever we can see of the machine.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from functools import cache
from pathlib import Path

_AT_SYMLINK_FOLLOW = 0x400
_AT_FDCWD = -100
CLONE_NEWNET = 0x4000_0000
_CAP_SYS_ADMIN = 21
# <linux/proc_ns.h>: the number of the first user namespace, which the kernel has always given it.
_FIRST_USER_NAMESPACE = "user:[4026531837]"
# struct file_handle { unsigned handle_bytes; int handle_type; } and <linux/nsfs.h>, struct nsfs_file_handle { __u64
# ns_id; __u32 ns_type; __u32 ns_inum; }. The id of a network namespace is its cookie.
_HEAD, _NSFS = struct.Struct("=Ii"), struct.Struct("=QII")
_OWN = "/proc/self/ns/net"


class NoHandles(Exception):
    """Handles tell nothing here: an older kernel, or a process with less rights than root's of the whole machine."""


def open_by_cookie(cookie: int, inode: int) -> int | None:
    """Return a descriptor of the namespace with this cookie and inode number, None if there is none any more.

    Raises NoHandles if that cannot be known; the kernel hides namespaces from processes without rights in them.
    """
    handle_type = _handle_type()
    if handle_type is None or not inode or not _sees_every_namespace():
        raise NoHandles
    handle = ctypes.create_string_buffer(
        _HEAD.pack(_NSFS.size, handle_type) + _NSFS.pack(cookie, CLONE_NEWNET, inode), _HEAD.size + _NSFS.size
    )
    own = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fd: int = libc().open_by_handle_at(own, handle, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(own)
    if fd >= 0:
        return fd
    if ctypes.get_errno() == errno.ESTALE:
        return None
    raise NoHandles


@cache
def _handle_type() -> int | None:
    """Return the type of handle that this kernel gives to network namespaces, None if it gives none that we know.

    We ask for our own and look whether it is what we expect.
    """
    size = 128
    handle = ctypes.create_string_buffer(_HEAD.pack(size, 0), _HEAD.size + size)
    mount = ctypes.c_int()
    if libc().name_to_handle_at(_AT_FDCWD, _OWN.encode(), handle, ctypes.byref(mount), _AT_SYMLINK_FOLLOW) != 0:
        return None
    length, handle_type = _HEAD.unpack_from(handle.raw)
    if length != _NSFS.size:
        return None
    _, kind, inode = _NSFS.unpack_from(handle.raw, _HEAD.size)
    known = (kind, inode) == (CLONE_NEWNET, Path(_OWN).stat().st_ino)
    return int(handle_type) if known else None


def _sees_every_namespace() -> bool:
    """Say whether we are root of the whole machine: from anybody less the kernel hides the namespaces of others."""
    if Path("/proc/self/ns/user").readlink().name != _FIRST_USER_NAMESPACE:
        return False
    for line in Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key == "CapEff":
            return bool(int(value, 16) >> _CAP_SYS_ADMIN & 1)
    return False


@cache
def libc() -> ctypes.CDLL:
    """Return the C library, whose calls leave their error in ``ctypes.get_errno``."""
    return ctypes.CDLL(None, use_errno=True)
