"""Keeping journals bounded: a full one is put after the older ones, and read together with them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

# Some 400 wirings each, there and back, with copies of their entries; the oldest file goes if there would be more.
MOST_BYTES = 8 * 1024 * 1024
_KEPT = 4


def rotate(path: Path) -> None:
    """Rename a journal to ``NAME.1``, ``NAME.1`` to ``NAME.2`` and so on; the oldest is replaced.

    A reader at the same time sees a file under its old or its new name. Raises OSError if it cannot be renamed.
    """
    for number in range(_KEPT - 1, 0, -1):
        with suppress(FileNotFoundError):
            _numbered(path, number).replace(_numbered(path, number + 1))
    path.replace(_numbered(path, 1))


def with_older(path: Path) -> list[Path]:
    """Return a journal's files that are there, the oldest first."""
    files = [*(_numbered(path, number) for number in range(_KEPT, 0, -1)), path]
    return [file for file in files if os.path.lexists(file)]  # what is not a file is refused, not skipped


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
