"""How old a plan is, by the lifetimes that have run since: no clock has to be agreed on, or be right."""

from __future__ import annotations

from collections.abc import Iterator

from planner.changes.lookup import Lookup
from planner.facts.model import NamespaceFacts
from planner.plan.plan import Plan


def has_lifetimes(plan: Plan) -> bool:
    """Say whether anything that a plan takes away would have ended on its own."""
    return any(getattr(change.before, "lives_for", None) is not None for change in plan.changes)


def age(plan: Plan, facts: NamespaceFacts) -> int:
    """Return the seconds since the facts of ``plan`` were observed, 0 if nothing that it takes away has told that.

    ``facts`` are how it is now. What was renewed in the meantime (router advertisements) says less than what was not.
    """
    return max([0, *_ages(plan, facts)])


def _ages(plan: Plan, facts: NamespaceFacts) -> Iterator[int]:
    lookup = Lookup(facts)
    for change in plan.changes:
        then = getattr(change.before, "lives_for", None)
        if then is not None:
            now = getattr(lookup.at(change.netns).state_of(change.resource, change.known_state), "lives_for", None)
            if now is not None:
                yield then - now
