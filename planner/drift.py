"""How a wiring differs from what was applied, as the changes that would restore it."""

from __future__ import annotations

from attrs import evolve

from planner.changes.change import Change, pending
from planner.facts.model import NamespaceFacts
from planner.plan.plan import Plan
from planner.wiring.base import wiring_named
from planner.wiring.links import bring_up

_REASON = "was not applied"
_CARRIES = "carries the VM's frames"


def unfinished(plan: Plan, facts: NamespaceFacts) -> tuple[Change, ...]:
    """Return the changes from ``facts`` to what is when ``plan`` is applied: its own, and that its links are up."""
    return (*pending(plan.changes, facts), *_set_down(plan, facts))


def drifted(plan: Plan, facts: NamespaceFacts) -> tuple[Change, ...]:
    """Return the changes from ``facts`` to what ``plan`` applied.

    Beside what the plan changed, that is what was added to the pod's interfaces since and does not belong there while
    they are wired. All that a link is stripped of goes in the order of stripping: a route goes before the address that
    it hangs on, whichever of the two the plan knows.
    """
    found = {(change.netns, change.resource): change for change in pending((*plan.inherited, *plan.changes), facts)}
    ours = {change.resource for change in plan.changes if change.netns == plan.netns}
    wired = {interface.link for interface in plan.interfaces}
    links = tuple(link for link in facts.links if link.name in wired)
    stripped = []
    for change in wiring_named(plan.options.wiring).strays(links, facts, plan.netns):
        key = (change.netns, change.resource)
        if key in found and found[key].after == change.after:
            stripped.append(found.pop(key))
        elif change.resource not in ours:
            stripped.append(evolve(change, reason=_REASON))
    return (*stripped, *found.values(), *_set_down(plan, facts))


def _set_down(plan: Plan, facts: NamespaceFacts) -> tuple[Change, ...]:
    """Return the changes that set those links up again that were up, so that the plan has no change of that.

    Not of a device that was handed over: what has its name now is another link.
    """
    changed = {change.resource for change in plan.changes}
    links = (facts.link(one.link) for one in plan.interfaces if one.pci_address is None)
    up = bring_up([link for link in links if link is not None], plan.netns, _CARRIES)
    return tuple(change for change in up if change.resource not in changed)


def moved_by_nature(plan: Plan, facts: NamespaceFacts) -> tuple[str, ...]:
    """Return sentences on what is no drift: what differs because the wiring is used, and who else sees its frames."""
    taps = (facts.link(interface.name) for interface in plan.interfaces)
    used = (f"{tap.name} has a carrier: a VM has it open (no drift)" for tap in taps if tap and tap.carrier)
    return (*used, *plan.hazards(facts))
