"""In what condition a recorded wiring is. Light: nothing is run."""

from __future__ import annotations

import time

from executor.errors import NamespaceGone
from executor.netns.namespace import Namespace, boot_id
from executor.state.store import WIRED, WiringRecord


def is_gone(entry: WiringRecord) -> bool:
    """Say whether the namespace of an entry is not there any more; another one under its name does not count."""
    try:
        with Namespace.open(entry.netns) as namespace:
            return not entry.is_of(namespace.cookie, boot_id())
    except NamespaceGone:
        return True


def condition(entry: WiringRecord) -> str:
    """Return ``wired``, ``half-done`` (a process died, or going back failed) or ``gone``."""
    if is_gone(entry):
        return "gone"
    return "half-done" if is_half_done(entry) else "wired"


def is_half_done(entry: WiringRecord) -> bool:
    """Say whether a wiring was left between its ends: a process died, going back failed, or nobody confirmed it.

    What is overdue is being taken back right now, or the process that would have done so was killed.
    """
    return entry.status != WIRED or (entry.confirm_by is not None and time.time() > entry.confirm_by)
