"""What the tests of the executor's lowest parts need: scratch namespaces."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from planner.text.values import NetnsPath


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
