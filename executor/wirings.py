"""In what condition a recorded wiring is. Light: nothing is run."""

from __future__ import annotations

from executor.errors import NamespaceGone
from executor.netns import Namespace, boot_id
from executor.store import WIRED, Entry


def is_gone(entry: Entry) -> bool:
    """Say whether the namespace of an entry is not there any more; another one under its name does not count."""
    try:
        with Namespace.open(entry.netns) as namespace:
            return not entry.is_of(namespace.cookie, boot_id())
    except NamespaceGone:
        return True


def condition(entry: Entry) -> str:
    """Return ``wired``, ``half-done`` (a process died, or going back failed) or ``gone``."""
    if is_gone(entry):
        return "gone"
    return "wired" if entry.status == WIRED else "half-done"
