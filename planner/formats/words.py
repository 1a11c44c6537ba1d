"""A change in words, as its kind says it: whose it is, and what happens to it."""

from __future__ import annotations

from planner.changes.change import Change
from planner.kinds.kind import kind_of


def subject_of(change: Change) -> str:
    """Return the link that a change is about, or ``route``, ``rules``, ``sysctl``."""
    return kind_of(change.resource).subject(change.resource)


def words_of(change: Change) -> list[str]:
    """Return what happens to the subject, a line each."""
    return kind_of(change.resource).words(change)
