"""abandon: what podwire made for an id goes, and it is forgotten, where the way back is lost or leads nowhere.

For a caller that deletes the namespace next, as a container runtime does, and must not be kept from that for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from executor.errors import NamespaceGone
from executor.netns.namespace import Namespace
from executor.operations.calico_gateway import give_back_gateway
from executor.operations.operation import open_operation
from executor.operations.outcome import Outcome
from executor.settings import Settings
from executor.state.events import Began, Ended
from planner.changes.change import Change
from planner.facts.model import NamespaceFacts
from planner.kinds.link import Link, LinkState
from planner.text.values import Alias, NetnsPath, PlanId

_REASON = "its way back is lost"


def abandon(plan_id: PlanId, opening: Callable[[], Namespace] | None, settings: Settings) -> Outcome:
    """Remove the links that carry an id's alias in the namespace that is opened, if any is, and forget the id.

    Addresses and routes that were moved to the VM do not come back by this. Raises HostError.
    """
    removed: tuple[str, ...] = ()
    if opening is not None:
        with suppress(NamespaceGone):
            removed = _remove_links(plan_id, opening, settings)
    settings.store.delete(plan_id)
    give_back_gateway(plan_id, settings)
    gone = f", and {', '.join(removed)} removed" if removed else ""
    return Outcome("abandoned", plan_id, len(removed), sentence=f"forgotten{gone}: what it was before is not known")


def _remove_links(plan_id: PlanId, opening: Callable[[], Namespace], settings: Settings) -> tuple[str, ...]:
    with open_operation(settings, opening, plan_id) as operation:
        netns = operation.namespace.path
        changes = _made_links(plan_id, operation.observe(), netns)
        if changes:
            operation.emit(Began("abandon", plan_id, netns, settings.requested_by))
            failures = operation.run_all(settings.templates.commands(changes))
            operation.emit(Ended("abandoned", "; ".join(failure.why for failure in failures)))
    return tuple(change.resource.name for change in changes)


def _made_links(plan_id: PlanId, facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that remove the links with an id's alias."""
    alias = Alias(f"podwire:{plan_id}")
    found = []
    for link in facts.links:
        if link.alias == alias and link.device is not None and link.mac is not None:
            state = LinkState(link.device, link.mac, link.mtu, up=link.up, alias=alias)
            found.append(Change(Link(link.name), state, None, _REASON, netns))
    return tuple(found)
