"""A packet socket that hears some types of ICMPv6 on one link, and can send any frame there (packet(7)).

It hears and sends on the link itself: what a bridge's rules drop does not concern it, and what it sends on a tap nobody
gets but the VM.
"""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Self

from executor.errors import HostError
from executor.netns.namespace import Namespace
from planner.guest.icmpv6 import Received, read_frame
from planner.text.values import InterfaceName, MacAddress

_ETH_P_ALL = 3  # a bridge takes the frames of its ports before those who ask for one protocol
_SOL_PACKET, _ADD_MEMBERSHIP, _ALL_MULTICAST = 263, 1, 2
_SO_ATTACH_FILTER = 26
_LARGEST = 2048
# bpf(2)'s older sibling, <linux/filter.h>: load a half-word or a byte of the frame, compare, return how much to keep.
_LOAD_HALF, _LOAD_BYTE, _IF_EQUAL, _RETURN = 0x28, 0x30, 0x15, 0x06
_ETHERTYPE_AT, _PROTOCOL_AT, _TYPE_AT = 12, 20, 54
_IPV6, _ICMPV6 = 0x86DD, 58


class IcmpV6Socket:
    """Hears ICMPv6 of some types on a link of a namespace."""

    def __init__(self, namespace: Namespace, link: InterfaceName, types: tuple[int, ...]) -> None:
        """Open it. Raises HostError if there is no such link."""
        try:
            self._socket = namespace.call(lambda: _open(link, types))
        except OSError as error:
            raise HostError(f"{link} cannot be listened to: {error.strerror}") from None
        *_, address = self._socket.getsockname()
        self.mac = MacAddress(address.hex(":"))

    def fileno(self) -> int:
        """Return the descriptor, readable when something has come."""
        return self._socket.fileno()

    def send(self, frame: bytes) -> None:
        """Send a frame; a link that is down, or a tap that nobody has open, loses it."""
        with suppress(OSError):
            self._socket.send(frame)

    def received(self) -> Iterator[Received]:
        """Yield what has come by now; what is sent on the link by others is not among it."""
        while True:
            try:
                frame, (_, _, kind, *_) = self._socket.recvfrom(_LARGEST)
            except BlockingIOError:
                return
            except OSError:  # the link went down or away; the next call waits again
                return
            if kind != socket.PACKET_OUTGOING and (message := read_frame(frame)) is not None:
                yield message

    def wait_for(self, wanted: Callable[[Received], bool], seconds: float) -> Received | None:
        """Return the first message that is ``wanted``, None if none comes in time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and select.select([self], [], [], left)[0]:
            for message in self.received():
                if wanted(message):
                    return message
        return None

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(link: InterfaceName, types: tuple[int, ...]) -> socket.socket:
    found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0)
    try:
        _filter(found, types)
        found.bind((link, _ETH_P_ALL))
        membership = struct.pack("IHH8x", socket.if_nametoindex(link), _ALL_MULTICAST, 0)
        found.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
    except BaseException:
        found.close()
        raise
    return found


def _filter(found: socket.socket, types: tuple[int, ...]) -> None:
    """Let only ICMPv6 of these types through: all that a VM sends would wake us otherwise."""
    keep, drop = (_RETURN, 0, 0, 0xFFFF), (_RETURN, 0, 0, 0)
    tests = [(_IF_EQUAL, len(types) - number, 0, kind) for number, kind in enumerate(types)]
    program = [
        (_LOAD_HALF, 0, 0, _ETHERTYPE_AT),
        (_IF_EQUAL, 0, len(types) + 3, _IPV6),
        (_LOAD_BYTE, 0, 0, _PROTOCOL_AT),
        (_IF_EQUAL, 0, len(types) + 1, _ICMPV6),
        (_LOAD_BYTE, 0, 0, _TYPE_AT),
        *tests,
        drop,
        keep,
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    handle = struct.pack("@HP", len(program), ctypes.addressof(code))
    found.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, handle)
