"""Whose files and folders are: what is trusted is ours or root's, and nobody else can put anything in its place.

Anybody may write to a sticky folder such as /tmp, but only the owner of what is in it can rename or remove that
(inode(7)), so the way may lead through it to something of ours.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_MOST_LINKS = 40  # as the kernel follows (path_resolution(7))
_EVERY_USER = ["0", "0", "4294967295"]


def is_ours(found: os.stat_result) -> bool:
    """Say whether something belongs to the user that podwire works for, or to root."""
    return found.st_uid in (0, os.geteuid())


def is_ours_alone(found: os.stat_result) -> bool:
    """Say whether something is ours or root's, and no other user can write to it by its mode."""
    return is_ours(found) and not found.st_mode & 0o022


def weak_spot(path: str | os.PathLike[str]) -> Path | None:
    """Return where on the way to an absolute path, itself included, somebody else could put something; else None.

    Links are followed as the kernel does. The way ends at what is not there (yet). Raises OSError.
    """
    here, links = "", 0  # as text: an operation looks at some ten paths before it begins
    if not _may_lead_on(os.lstat("/")):
        return Path("/")
    left = _steps(os.fspath(path))
    while left:
        name = left.pop()
        step = f"{here}/{name}"
        try:
            found = os.lstat(step)
        except FileNotFoundError:
            return None
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            target = os.readlink(step)
            left += _steps(target)
            here = "" if target.startswith("/") else here
            trusted = _is_of(found)
        else:
            here = here.rpartition("/")[0] if name == ".." else step
            trusted = _may_lead_on(found) if left else _is_of(found) and not found.st_mode & 0o022
        if not trusted:
            return Path(step)
    return None


def _steps(path: str) -> list[str]:
    """Return the names in a path, the first one last."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _may_lead_on(found: os.stat_result) -> bool:
    """Say whether nobody else can replace what is in a folder, if that is not theirs."""
    return _is_of(found) and (not found.st_mode & 0o022 or bool(found.st_mode & stat.S_ISVTX))


def _is_of(found: os.stat_result) -> bool:
    return is_ours(found) or found.st_uid == _outside()


@cache
def _outside() -> int | None:
    """Return who root of the machine is shown as in a user namespace that has no number for it, None outside of any."""
    if Path("/proc/self/uid_map").read_text(encoding="utf-8").split() == _EVERY_USER:
        return None
    return int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="utf-8"))


@contextmanager
def for_us_alone() -> Iterator[None]:
    """Create files and sockets inside for nobody else to read or write; not for several threads."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)
