"""Files in memory, for what programs read and write: nothing has to be carried while they run, no pipe is ever full."""

from __future__ import annotations

import os
from typing import Self

from executor.process.result import CommandResult

# What a program may print. A namespace with 10,000 rules prints 1 MB.
MOST_OUTPUT = 32 * 1024 * 1024


class MemoryFile:
    """A file without a name, in memory (memfd_create(2))."""

    def __init__(self, name: str) -> None:
        self.fd = os.memfd_create(name)

    def write(self, text: str) -> None:
        """Write ``text`` for a process that reads the file from its beginning."""
        os.pwrite(self.fd, text.encode(), 0)

    def read(self) -> str:
        """Return what was written, up to the most that a program may print."""
        size = min(os.fstat(self.fd).st_size, MOST_OUTPUT)
        return os.pread(self.fd, size, 0).decode("utf-8", "replace")

    @property
    def is_full(self) -> bool:
        """Say whether as much was written as a program may print: it may be the beginning of more."""
        return os.fstat(self.fd).st_size >= MOST_OUTPUT

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def answered(rc: int, stdout: MemoryFile, stderr: MemoryFile, seconds: float) -> CommandResult:
    """Return what a program answered that has ended with ``rc``; one that went on and on has failed."""
    if stdout.is_full or stderr.is_full:
        said = f"it printed more than {MOST_OUTPUT // 2**20} MiB, and was ended"
        return CommandResult(rc or 1, "", said, seconds)
    return CommandResult(rc, stdout.read(), stderr.read(), seconds)
