"""What other processes have open, read within bounds: one with a million files must not keep podwire busy."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from executor.errors import is_shortage

# A look takes some 2 µs a file; on a host with 1000 processes it is over after 50 ms.
_MOST_OF_ONE = 65_536
_SECONDS = 3.0


class OpenFiles:
    """One look at the open files of processes; ``saw_all`` says whether none was left out or hidden."""

    def __init__(self) -> None:
        self._deadline = time.monotonic() + _SECONDS
        self.saw_all = True

    def is_over(self) -> bool:
        """Say whether the time is over; what was still to be read is left out then."""
        over = time.monotonic() > self._deadline
        self.saw_all = self.saw_all and not over
        return over

    def of_all(self) -> Iterator[tuple[int, int, str]]:
        """Yield process, number and target of every open file, those of the processes that have the most last."""
        for pid in sorted(filter(str.isdigit, os.listdir("/proc")), key=_how_many):
            for number, target in self.of(int(pid)):
                yield int(pid), number, target

    def of(self, pid: int) -> Iterator[tuple[int, str]]:
        """Yield number and target of the open files of a process; nothing of one that has ended."""
        try:
            with os.scandir(f"/proc/{pid}/fd") as entries:
                for entry in islice(entries, _MOST_OF_ONE):
                    if self.is_over():
                        return
                    with suppress(OSError):  # closed while we looked
                        yield int(entry.name), os.readlink(entry.path)
                self.saw_all = self.saw_all and next(entries, None) is None
        except PermissionError:
            self.saw_all = False
        except OSError as error:  # else it ended while we looked
            self.saw_all = self.saw_all and not is_shortage(error)


def _how_many(pid: str) -> int:
    """Return how many files a process has open (proc(5): the size of the folder, from Linux 6.2 on; before, 0)."""
    try:
        return os.stat(f"/proc/{pid}/fd").st_size
    except OSError:
        return 0
