"""What the tests of the executor's lowest floor need: scratch namespaces, and waiting for what must come."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from planner.text.values import NetnsPath

ROOT = Path(__file__).resolve().parents[2]


def ip(*words: str) -> str:
    """Run ``ip`` with these words, the plain way, and return what it printed."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@contextmanager
def scratch_namespace() -> Iterator[NetnsPath]:
    """Make a network namespace with a name of its own; delete it in the end."""
    name = f"pwt-{os.getpid()}-{secrets.token_hex(3)}"
    ip("netns", "add", name)
    try:
        yield NetnsPath(f"/run/netns/{name}")
    finally:
        ip("netns", "delete", name)


def name_of(path: NetnsPath) -> str:
    """Return the name that ``ip -n`` takes for a namespace under /run/netns."""
    return path.rsplit("/", 1)[-1]


def eventually(happened: Callable[[], bool], *, seconds: float = 10.0) -> bool:
    """Look again and again until ``happened`` or the time is over; say whether it did."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def is_running(pid: int) -> bool:
    """Say whether a process is there and not a zombie."""
    state, _ = _state_and_parent(pid)
    return state not in {"Z", "gone"}


def children() -> set[int]:
    """Return the processes, zombies among them, that this one has started.

    What the whole session of tests keeps running (tests.cli.preloaded) is none of them.
    """
    parents = {int(entry.name): _state_and_parent(int(entry.name))[1] for entry in _processes()}
    started = {pid for pid, parent in parents.items() if parent == os.getpid()}
    return {pid for pid in started if not _has_words(pid, b"tests.cli.preloaded")}


def _processes() -> list[Path]:
    return [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _has_words(pid: int, words: bytes) -> bool:
    try:
        return words in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


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
