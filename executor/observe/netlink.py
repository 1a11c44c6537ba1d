"""Dumps of the kernel by netlink, for what ``ip`` doesn't print (netlink(7), rtnetlink(7)).

A dump costs some 50 µs, a program that prints the same 3 to 8 ms. To be called on a thread inside the namespace.
Here and beside it the part of ``socket`` in C is used: the rest, ``selectors`` and tables of constants, would be
1.5 ms of each command.
"""

from __future__ import annotations

import _socket
import struct
from collections.abc import Iterator
from contextlib import closing

from executor.errors import HostError

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_REQUEST, _DUMP = 0x001, 0x300
_DUMP_INTERRUPTED = 0x10
_ERROR, _DONE = 2, 3
_TYPE_MASK = 0x3FFF  # the two upper bits are flags (NLA_F_NESTED, NLA_F_NET_BYTEORDER)
_LARGEST = 1 << 16  # twice what the kernel sends at a time
_MOST = 64 * 1024 * 1024
_TRIES = 5
_TIMEOUT = 10.0


def dump(protocol: int, kind: int, request: bytes) -> list[bytes]:
    """Return the body of each message that the kernel answers to a dump request of ``kind``.

    A dump that the kernel calls interrupted, since something changed
    in the meantime, is asked for again, a few times. Raises HostError if it never comes whole, OSError if it is
    refused.
    """
    for _ in range(_TRIES):
        found = _dump_once(protocol, kind, request)
        if found is not None:
            return found
    raise HostError("the kernel's tables change faster than they can be read: try again")


def _dump_once(protocol: int, kind: int, request: bytes) -> list[bytes] | None:
    """Return the bodies, None if the dump was interrupted."""
    bodies: list[bytes] = []
    interrupted, size = False, 0
    with closing(_socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, protocol)) as asked:
        asked.settimeout(_TIMEOUT)
        asked.send(_HEADER.pack(_HEADER.size + len(request), kind, _REQUEST | _DUMP, 1, 0) + request)
        while True:
            answer = asked.recv(_LARGEST)
            size += len(answer)
            if size > _MOST:
                raise HostError(f"the kernel's tables are larger than {_MOST // 2**20} MiB")
            at = 0
            while at < len(answer):
                length, answered, flags, _, _ = _HEADER.unpack_from(answer, at)
                body = answer[at + _HEADER.size : at + length]
                interrupted = interrupted or bool(flags & _DUMP_INTERRUPTED)
                if answered == _DONE:
                    return None if interrupted else bodies
                if answered == _ERROR:
                    (code,) = struct.unpack_from("=i", body)
                    raise OSError(-code, f"netlink dump {kind}")
                bodies.append(body)
                at += -(-length // 4) * 4


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and value of each attribute in ``data``."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        yield kind & _TYPE_MASK, data[at + _ATTRIBUTE.size : at + length]
        at += max(_ATTRIBUTE.size, -(-length // 4) * 4)
