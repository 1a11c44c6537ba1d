"""What there is to say of one wiring: what is wired, since when, who has it open, whether it still is as applied."""

from __future__ import annotations

from contextlib import suppress

from executor.errors import ExecutorError
from executor.operations.repair import Drift, drift_of
from executor.settings import Settings
from executor.state.status import condition, open_recorded, wired_entry
from executor.taps.holders import Holder, tap_holders
from executor.taps.vfio import vfio_holders
from planner.errors import Refused
from planner.plan.plan import Plan, plan_from_json
from planner.text.frozen import frozen
from planner.text.values import PlanId


@frozen
class Description:
    """A wiring: its plan as it was applied (seconds since the epoch), its state, and what was found just now.

    ``device_holders`` are sentences about the processes that have a virtual function open. ``drift`` is None for what
    is not wired whole, or whose namespace cannot be looked into.
    """

    plan: Plan
    state: str
    applied_at: float
    holders: tuple[Holder, ...] = ()
    drift: Drift | None = None
    device_holders: tuple[str, ...] = ()


def describe(plan_id: PlanId, settings: Settings) -> Description:
    """Return what there is to say of a wiring. Raises InvalidInput, Refused if it is not wired here."""
    entry = wired_entry(plan_id, settings.store)
    plan = plan_from_json(entry.plan, settings.templates)
    state = condition(entry)
    if state == "gone":
        return Description(plan, state, entry.applied_at)
    holders: tuple[Holder, ...] = ()
    drift = None
    devices: tuple[str, ...] = ()
    with suppress(ExecutorError, Refused):
        with open_recorded(entry) as namespace:
            holders = tap_holders([one.name for one in plan.interfaces], namespace)
        drift = drift_of(entry, settings) if state == "wired" else None
        devices = vfio_holders(plan, drift.plan.facts) if drift is not None else ()
    return Description(plan, state, entry.applied_at, holders, drift, devices)
