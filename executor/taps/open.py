"""Opening the taps that podwire made, for a VMM that cannot: it runs unprivileged, or outside the namespace.

Source: Documentation/networking/tuntap.rst and <linux/if_tun.h> of the kernel.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from executor.errors import HostError
from executor.netns.namespace import Namespace
from planner.text.values import InterfaceName

if TYPE_CHECKING:
    from socket import socket

_DEVICE = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_TUNGETFEATURES = 0x800454CF
_TUNGETIFF = 0x800454D2
_IFF_TAP = 0x0002
_IFF_MULTI_QUEUE = 0x0100
_IFF_PERSIST = 0x0800
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000

# struct ifreq: the name, then a union of which the flags are the first two bytes.
_IFREQ = struct.Struct("=16sH22x")


def open_tap(
    name: InterfaceName,
    *,
    namespace: Namespace,
    queues: int = 1,
    vnet_hdr: bool = False,
    inheritable: bool = False,
) -> tuple[int, ...]:
    """Open the persistent tap ``name`` of ``namespace`` and return its descriptors, one for each of ``queues``.

    More than one queue takes a tap that was made with ``multi_queue``. With ``vnet_hdr`` every frame is preceded by
    a virtio-net header of 10 bytes (VMMs want that for offloads). The descriptors are the caller's to close; programs
    that it starts get them only if they are ``inheritable``.

    Never makes a tap: raises HostError if there is no such one, if it is in use or has not that many queues.
    """
    flags = _IFF_TAP | _IFF_NO_PI
    flags |= _IFF_VNET_HDR if vnet_hdr else 0
    flags |= _IFF_MULTI_QUEUE if queues > 1 else 0
    try:
        fds = namespace.call(lambda: _open_queues(name, flags, queues))
    except OSError as error:
        raise HostError(_why_not(name, error, queues)) from None
    for fd in fds:
        os.set_inheritable(fd, inheritable)
    return fds


def check_taps() -> None:
    """Raise HostError if the kernel cannot make taps: its module is not loaded, or its device is not there."""
    try:
        fd = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _TUNGETFEATURES, bytes(4))
        finally:
            os.close(fd)
    except PermissionError:
        raise HostError(
            f"{_DEVICE} may not be opened, so no tap can be made: as root, chmod 0666 {_DEVICE} (Debian's default;"
            " making a tap takes CAP_NET_ADMIN all the same), or give podwire CAP_DAC_OVERRIDE"
        ) from None
    except OSError as error:
        raise HostError(
            f"{_DEVICE} cannot be used ({error.strerror}), so no tap can be made: load the kernel's module with "
            "modprobe tun (on Debian the module comes with the kernel's package, linux-image)"
        ) from None


def send_descriptors(receiver: socket, fds: Sequence[int]) -> None:
    """Hand open descriptors to the process at the other end of a unix socket, with one byte of data (SCM_RIGHTS)."""
    from socket import send_fds  # noqa: PLC0415  an apply checks its taps, and hands none over

    send_fds(receiver, [b"\0"], list(fds))


def _open_queues(name: InterfaceName, flags: int, queues: int) -> tuple[int, ...]:
    """Open every queue, or none; on a thread inside the namespace, to which the descriptors then belong."""
    _must_exist(name)
    fds: list[int] = []
    try:
        for _ in range(queues):
            fds.append(os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
            _attach(fds[-1], name, flags)
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    return tuple(fds)


def _must_exist(name: InterfaceName) -> None:
    # TUNSETIFF makes what is not there.
    try:
        _socket.if_nametoindex(name)
    except OSError:
        raise _no_tap(name) from None


def _attach(fd: int, name: InterfaceName, flags: int) -> None:
    """Make ``fd`` a queue of the tap (TUNSETIFF).

    A tap that went just before is made again by that; not being persistent, it is known by it, and goes with ``fd``.
    """
    fcntl.ioctl(fd, _TUNSETIFF, _IFREQ.pack(name.encode("ascii"), flags))
    _, granted = _IFREQ.unpack(fcntl.ioctl(fd, _TUNGETIFF, bytes(_IFREQ.size)))
    if not granted & _IFF_PERSIST:
        raise _no_tap(name)


def _no_tap(name: InterfaceName) -> HostError:
    return HostError(f"there is no persistent tap {name} in the namespace")


def _why_not(name: InterfaceName, error: OSError, queues: int) -> str:
    if error.filename == _DEVICE:
        return f"/dev/net/tun cannot be opened: {error.strerror}"
    if error.errno == errno.EBUSY:
        return f"the tap {name} is in use: another program has it open"
    if error.errno == errno.EINVAL:
        kind = f"a tap with {queues} queues" if queues > 1 else "a tap with a single queue"
        return f"{name} cannot be opened as {kind}: it is not a tap, or was made for another number of queues"
    if error.errno == errno.E2BIG:
        return (
            f"the tap {name} has no {queues} queues left: others have them open, or that is more than the kernel's 256"
        )
    return f"the tap {name} cannot be opened: {error.strerror}"
