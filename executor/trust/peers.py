"""Who is at the other end of a UNIX socket, as the kernel says it (unix(7), SO_PEERCRED)."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

_CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid


class Peer(NamedTuple):
    """The process that connected, and its user, as they were then."""

    pid: int
    uid: int


def peer_of(connection: socket.socket) -> Peer:
    """Return who connected. Raises OSError for a socket of another family."""
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Peer(pid, uid)
