"""teardown by an id: what is recorded under it decides what there is to do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from executor.errors import NamespaceGone
from executor.netns.namespace import Namespace, boot_id
from executor.operations.calico_gateway import give_back_orphan, has_orphan
from executor.operations.mend import lost_ids
from executor.operations.outcome import GONE, Outcome, Preview
from executor.operations.ownership import own
from executor.operations.rollback import restore, way_back
from executor.settings import Settings
from executor.state.copies import copy_of_entry
from executor.state.record import WiringRecord
from executor.state.status import is_gone, recorded, refuse_lost, refuse_unknown
from executor.state.store import StateStore
from executor.taps.holders import tap_holders
from planner.errors import InvalidInput, PodwireError
from planner.plan.plan import Plan
from planner.text.values import NetnsPath, PlanId

_ALREADY = "already torn down"


Agree = Callable[[Plan, tuple[str, ...]], None]


def teardown(plan_id: PlanId, settings: Settings, *, agree: Agree | None = None) -> Outcome:
    """Take the wiring of an id back and forget it; what is torn down already, or gone with its namespace, is done.

    ``agree`` is called with what would be run and with sentences on who would notice, and may raise. Raises
    InvalidInput for an id that was never wired here, and what ``restore`` does.
    """
    entry = recorded(plan_id, settings.store)
    if entry is None:
        if has_orphan(plan_id, settings.store):
            return give_back_orphan(plan_id, settings)
        refuse_unknown(plan_id, settings.store)
        with own(plan_id, settings):  # a process that rolls it back just now first deletes the entry, then says so
            refuse_lost(plan_id, settings.store)
        return Outcome("nothing", plan_id, sentence=_ALREADY)
    if agree is not None and not is_gone(entry):
        preview = preview_of(entry, settings)
        agree(preview.plan, preview.notes)
    return restore(entry, settings, "teardown")


def preview_teardown(plan_id: PlanId, settings: Settings) -> Preview | Outcome:
    """Return what ``teardown`` would carry out, or its outcome if there is nothing to run."""
    entry = recorded(plan_id, settings.store)
    if entry is None:
        refuse_unknown(plan_id, settings.store)
        refuse_lost(plan_id, settings.store)
        return Outcome("nothing", plan_id, sentence=_ALREADY)
    with suppress(NamespaceGone):  # it may go while it is read, with the last process in it
        if not is_gone(entry):
            return preview_of(entry, settings)
    return Outcome("gone", plan_id, sentence=GONE)


def ids_in(netns: NetnsPath, store: StateStore) -> tuple[PlanId, ...]:
    """Return the ids that are wired in the namespace at a path, or that were in one which was there before.

    Those whose entry is lost are among them. Raises InvalidInput if there is none.
    """
    try:
        with Namespace.open(netns) as namespace:
            cookie: int | None = namespace.cookie
    except NamespaceGone:
        cookie = None
    found = []
    for plan_id in store.ids():
        with suppress(PodwireError):  # damaged: of which namespace it is cannot be known
            entry = store.load(plan_id)
            if entry is not None and _is_in(entry, netns, cookie):
                found.append(plan_id)
    for plan_id in lost_ids(store):
        copy = copy_of_entry(plan_id, store)
        if copy is not None and _is_in(copy, netns, cookie):
            found.append(plan_id)
    if not found:
        raise InvalidInput(f"netns: nothing is wired in {netns}; podwire list shows what is")
    return tuple(found)


def _is_in(entry: WiringRecord, netns: NetnsPath, cookie: int | None) -> bool:
    """Say whether a wiring is meant by a path: it is of the namespace there, or was, and no other one is meant."""
    if cookie is not None and entry.is_of(cookie, boot_id()):
        return True
    return entry.netns == netns and (cookie is None or is_gone(entry))


def preview_of(entry: WiringRecord, settings: Settings) -> Preview:
    """Return what takes a wiring back, and who has a tap open that would go."""
    plan = way_back(entry, settings)
    taps = [interface.name for interface in plan.interfaces if interface.type == "tap"]
    with Namespace.open(plan.netns) as namespace:
        notes = tuple(f"{holder}: it will lose its network" for holder in tap_holders(taps, namespace))
    return Preview(plan, notes)
