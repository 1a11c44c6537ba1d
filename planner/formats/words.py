"""A change in words, as its kind says it: whose it is, and what happens to it."""

from __future__ import annotations

from planner.changes.change import Change
from planner.kinds.kind import kind_of
from planner.plan.render import Command


def subject_of(change: Change) -> str:
    """Return the link that a change is about, or ``route``, ``rules``, ``sysctl``."""
    return kind_of(change.resource).subject(change.resource)


def words_of(change: Change, netns: str) -> list[str]:
    """Return what happens to the subject, a line each and at least one, and where, if that is not in ``netns``."""
    return _placed(kind_of(change.resource).words(change), change, netns)


def drift_words_of(change: Change, netns: str) -> list[str]:
    """Return what differs, if the subject is how it is ``before`` and was to be as ``after``, and where as well."""
    return _placed(kind_of(change.resource).drift(change), change, netns)


def _placed(words: list[str], change: Change, netns: str) -> list[str]:
    first, *more = words or [str(change.resource)]
    place = place_of(change, netns)
    return [f"{first}, {place}" if place else first, *more]


def place_of(what: Change | Command, netns: str) -> str:
    """Return where a change is made, or a command runs, if that is not in ``netns``."""
    if what.netns == netns:
        return ""
    return f"in {what.netns}" if what.netns else "on the host"
