"""abandon: what podwire made for an id is removed, with its record, if a rollback is impossible.

For a caller that deletes the namespace next, as a container runtime does, and must not be kept from that forever.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from executor.errors import HostError, NamespaceGone
from executor.guest.record import stop_server
from executor.netns.namespace import Namespace
from executor.operations.calico_gateway import give_back_gateway
from executor.operations.operation import Operation, open_operation
from executor.operations.outcome import Outcome
from executor.operations.plan import beside, lost_beside
from executor.settings import Settings
from executor.state.events import Began, Ended
from executor.state.journal import note_end
from planner.cni.result import CniResult
from planner.remnants import given_back, remnants
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, PlanId


@frozen
class Hints:
    """What a caller knows of a wiring that nothing else tells of: the pod's links, and the result of its plugins."""

    links: tuple[InterfaceName, ...] = ()
    result: CniResult | None = None


_NONE = Hints()


def abandon(
    plan_id: PlanId, opening: Callable[[], Namespace] | None, settings: Settings, hints: Hints = _NONE
) -> Outcome:
    """Remove what is known by its marks to be an id's in the namespace that is opened, if any is, and forget the id.

    Of what was there before only that comes back which the hints' result says. Raises HostError.
    """
    removed: tuple[str, ...] = ()
    with suppress(HostError):  # a server ends on its own when what it serves is gone
        stop_server(plan_id, settings.store)
    if opening is not None:
        with suppress(NamespaceGone), open_operation(settings, opening, plan_id) as operation:
            removed = _remove(plan_id, hints, operation)
    settings.store.end(plan_id, lambda: note_end(settings.store.journal_path(plan_id), "abandoned"))
    give_back_gateway(plan_id, settings)
    gone = f", and {', '.join(removed)} removed" if removed else ""
    return Outcome(
        "abandoned", plan_id, len(removed), sentence=f"record removed{gone}: the original state is not known"
    )


def _remove(plan_id: PlanId, hints: Hints, operation: Operation) -> tuple[str, ...]:
    """Remove what there is, give back what was there; return what was removed."""
    netns, settings = operation.namespace.path, operation.settings
    render = settings.templates.commands
    facts, others = operation.observe(), beside(plan_id, operation.namespace, settings)
    is_alone = not (others or lost_beside(plan_id, others, facts, operation.namespace, settings))
    changes = remnants(plan_id, hints.links, facts, netns, alone=is_alone)
    if not changes:
        return ()
    operation.emit(Began("abandon", plan_id, netns, settings.requested_by))
    failures = operation.run_all(render(changes))
    if hints.result is not None:
        failures += operation.run_all(render(given_back(hints.result, operation.observe(), netns)))
    operation.emit(Ended("abandoned", "; ".join(failure.why for failure in failures)))
    return tuple(str(change.resource) for change in changes)
