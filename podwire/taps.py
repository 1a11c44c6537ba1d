"""The runtime's side of ``podwire taps``: the open taps are received over its socket (unix(7), SCM_RIGHTS)."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

_MOST_BYTES = 1 << 16
_MOST_DESCRIPTORS = 253  # SCM_MAX_FD of the kernel

Taps = tuple[tuple[dict[str, Any], tuple[int, ...]], ...]


def received_from(path: str) -> Taps:
    """Return what is handed over at a socket, or close all of it. Raises HostError."""
    from executor.errors import HostError

    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(path)
            data, fds, flags, _ = socket.recv_fds(connection, _MOST_BYTES, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        raise HostError(f"no taps are handed over at {path!r}: {why or error}") from error
    taps = None if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC) else _taps(data, fds)
    if taps is None:
        for fd in fds:
            os.close(fd)
        why = "more is handed over than can be taken" if data and flags else "what comes is no description of them"
        raise HostError(f"no taps are handed over at {path!r}: {why if data else 'it says nothing'}")
    return taps


def _taps(data: bytes, fds: list[int]) -> Taps | None:
    """Return each description with its descriptors, None if that is not what was sent."""
    try:
        found = json.loads(data)
        counts = [int(one["queues"]) for one in found]
    except (ValueError, TypeError, KeyError):
        return None
    if not counts or min(counts) < 0 or sum(counts) != len(fds):
        return None
    left = iter(fds)
    return tuple((one, tuple(next(left) for _ in range(count))) for one, count in zip(found, counts, strict=True))
