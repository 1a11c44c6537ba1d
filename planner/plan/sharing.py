"""Several wirings in one namespace: what it has only once belongs to all of them.

The first wiring that needs it otherwise changes it. Those that come later ``inherit`` that change: they don't make it,
but their records say how it was before, so that whichever goes last can bring it back, in any order and after a kill.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import evolve

from planner.changes.change import Change
from planner.changes.lookup import Lookup
from planner.kinds.kind import equivalent, kind_of
from planner.plan.plan import Plan, with_changes
from planner.plan.render import Templates
from planner.text.values import Alias, NetnsPath


def inherited_from(others: Iterable[Plan], changes: Iterable[Change], netns: NetnsPath) -> tuple[Change, ...]:
    """Return what the ``others`` changed of what the namespace ``netns`` has once, less what ``changes`` change."""
    own = {change.resource for change in changes if change.netns == netns}
    found = {change.resource: evolve(change, netns=netns) for other in others for change in _shared(other)}
    return tuple(change for resource, change in found.items() if resource not in own)


def joined(changes: Iterable[Change], others: Iterable[Plan]) -> tuple[Change, ...]:
    """Return ``changes``, each taking over what those of the same kind of the ``others`` would take away in the end."""
    theirs = [change for other in others for change in other.changes if change.netns == other.netns]
    found = []
    for change in changes:
        kind = kind_of(change.resource)
        after = change.after
        for other in theirs:
            if kind_of(other.resource) is kind and after is not None and other.after is not None:
                after = kind.joined(after, other.after)
        found.append(evolve(change, after=after))
    return tuple(found)


def alone(plan: Plan, others: Iterable[Plan], templates: Templates) -> Plan:
    """Return what of ``plan`` is its own, to be brought back now that the ``others`` are wired beside it."""
    beside = tuple(others)
    if not (beside or plan.inherited):
        return plan
    held = {change.resource for other in beside for change in _shared(other)}
    shared = {change.resource for change in _shared(plan)}
    kept = held & shared
    changes = tuple(
        change
        for change in (*plan.inherited, *plan.changes)
        if change.netns != plan.netns or change.resource not in kept
    )
    return with_changes(evolve(plan, inherited=()), changes, templates)


def inherited(plan: Plan) -> tuple[Change, ...]:
    """Return what of ``plan``, as ``alone`` returns it, others had changed before: its facts say how that was then."""
    if not any(Alias.is_ours(link.alias) for link in plan.facts.links):
        return ()  # nobody was there
    seen = Lookup(plan.facts).at(plan.netns)
    return tuple(
        change
        for change in _shared(plan)
        if not equivalent(seen.state_of(change.resource, change.known_state), change.before)
    )


def _shared(plan: Plan) -> Iterator[Change]:
    for change in (*plan.inherited, *plan.changes):
        if change.netns == plan.netns and kind_of(change.resource).is_shared(change.resource):
            yield change
