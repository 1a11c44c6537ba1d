"""How a wiring differs from what was applied, as the changes that would restore it."""

from __future__ import annotations

from planner.changes.change import Change, pending
from planner.facts.model import NamespaceFacts
from planner.plan.plan import Plan
from planner.wiring.base import wiring_named

_REASON = "was not applied"


def drifted(plan: Plan, facts: NamespaceFacts) -> tuple[Change, ...]:
    """Return the changes from ``facts`` to what ``plan`` applied.

    Beside what the plan changed, that is what was added to the pod's interfaces since and does not belong there while
    they are wired.
    """
    found = pending((*plan.inherited, *plan.changes), facts)
    ours = {change.resource for change in plan.changes if change.netns == plan.netns}
    wired = {interface.link for interface in plan.interfaces}
    links = tuple(link for link in facts.links if link.name in wired)
    strays = wiring_named(plan.options.wiring).strays(links, facts, plan.netns)
    come = (change for change in strays if change.resource not in ours)
    new = tuple(Change(change.resource, change.before, change.after, _REASON, change.netns) for change in come)
    return (*new, *found)


def moved_by_nature(plan: Plan, facts: NamespaceFacts) -> tuple[str, ...]:
    """Return sentences on what is no drift: what differs because the wiring is used, and who else sees its frames."""
    taps = (facts.link(interface.name) for interface in plan.interfaces)
    used = (f"{tap.name} has a carrier: a VM has it open (no drift)" for tap in taps if tap and tap.carrier)
    return (*used, *plan.hazards(facts))
