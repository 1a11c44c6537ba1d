"""What runs, and what a process has open."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.running import eventually


@contextmanager
def started(
    argv: Sequence[str | Path], *, says: str, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start a program, and go on when its first line is what it `says`; in the end it is killed."""
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, env=env, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"{says}\n"
            yield process
        finally:
            process.kill()


def processes() -> dict[int, str]:
    """Return every process that there is, but for zombies, with its command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:  # it has just ended
                continue
            if line:
                found[int(entry.name)] = line
    return found


def see_them_end(before: Mapping[int, str], *, seconds: float = 10) -> None:
    """Wait until no process is left that was not there `before`."""

    def left() -> dict[int, str]:
        return {pid: line for pid, line in processes().items() if pid not in before}

    eventually(lambda: not left(), f"the end of {left()}", seconds=seconds)


def is_running(pid: int) -> bool:
    """Say whether a process is there and not a zombie.

    The main thread of one that was killed may be a zombie while another thread still has its files open, and locked.
    """
    with suppress(FileNotFoundError, ProcessLookupError):
        threads = [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]
        return any(_state_and_parent(thread)[0] not in {"Z", "X", "gone"} for thread in threads)
    return False


def children() -> set[int]:
    """Return the processes, zombies among them, that this one has started, less those that `running_on` tells of."""
    parents = {int(entry.name): _state_and_parent(int(entry.name))[1] for entry in _processes()}
    return {pid for pid, parent in parents.items() if parent == os.getpid()} - _running_on


_running_on: set[int] = set()


@contextmanager
def running_on(pid: int) -> Iterator[None]:
    """Tell of a process that runs on from test to test, whichever of them a worker has: it is none of theirs."""
    _running_on.add(pid)
    try:
        yield
    finally:
        _running_on.discard(pid)


def _processes() -> list[Path]:
    return [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "gone", 0
    state, parent, *_ = stat.rsplit(")", 1)[1].split()
    return state, int(parent)


def descriptors() -> set[int]:
    """Return the descriptors that this process has open."""
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir() if entry.exists()}
