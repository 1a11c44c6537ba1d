"""Waiting for a lock on an open file (flock(2), exclusive), but not for ever."""

from __future__ import annotations

import fcntl
import time

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05


def locked_within(fd: int, seconds: float) -> bool:
    """Lock the open file ``fd`` within ``seconds``, 0 for at once or not at all; say whether it is locked now."""
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    while not _try_lock(fd):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)
    return True


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
