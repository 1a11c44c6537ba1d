"""Time that passes between two processes: the clock of the boot, which nobody sets, unlike that of the wall.

The wall's clock is for people: log, list. CLOCK_BOOTTIME (clock_gettime(2)) also counts the time that the machine
sleeps, and means something within one boot only, which its id names (random(4)).
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from executor.netns.namespace import boot_id


class Instant(NamedTuple):
    """When something was: ``wall`` in seconds since the epoch, ``uptime`` in seconds since the boot ``boot_id``."""

    wall: float
    uptime: float | None = None
    boot_id: str = ""

    @classmethod
    def now(cls) -> Instant:
        """Return the present."""
        return cls(time.time(), uptime(), boot_id())

    @property
    def elapsed(self) -> float:
        """Return the seconds since then, below 0 if it is to come.

        What was written down without an uptime, by an earlier podwire, or in another boot is only known by the wall.
        """
        if self.uptime is None or self.boot_id != boot_id():
            return time.time() - self.wall
        return uptime() - self.uptime


def uptime() -> float:
    """Return the seconds since the machine was booted, of those that it slept too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - _offset()


@cache
def _offset() -> float:
    """Return what is added to the uptime of the machine where we run (time_namespaces(7)), in seconds."""
    with suppress(OSError, ValueError):  # a kernel without time namespaces
        for line in Path("/proc/self/timens_offsets").read_text(encoding="utf-8").splitlines():
            clock, seconds, nanoseconds = line.split()
            if clock in ("boottime", "7"):
                return int(seconds) + int(nanoseconds) / 1e9
    return 0.0
