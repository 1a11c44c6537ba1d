"""Files in memory, for what programs read and write: nothing has to be carried while they run, no pipe is ever full."""

from __future__ import annotations

import os
from typing import Self

# What is kept of a program's output. A namespace with 10,000 rules prints 1 MB.
_MOST_OUTPUT = 16 * 1024 * 1024


class MemoryFile:
    """A file without a name, in memory (memfd_create(2))."""

    def __init__(self, name: str) -> None:
        self.fd = os.memfd_create(name)

    def write(self, text: str) -> None:
        """Write ``text`` for whoever reads the file from its beginning."""
        os.pwrite(self.fd, text.encode(), 0)

    def read(self) -> str:
        """Return what was written, up to the most that is kept."""
        size = min(os.fstat(self.fd).st_size, _MOST_OUTPUT)
        return os.pread(self.fd, size, 0).decode("utf-8", "replace")

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
