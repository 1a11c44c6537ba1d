"""recover by an id: what a process that died left half done is rolled back, or finished."""

from __future__ import annotations

from contextlib import suppress

from attrs import evolve

from executor.errors import NamespaceGone
from executor.guest.record import is_served, is_to_serve_again
from executor.operations.apply import changes_left, roll_forward
from executor.operations.calico_gateway import give_back_orphan, has_orphan
from executor.operations.mend import lost_ids, missing_copy, put_back
from executor.operations.outcome import GONE, MEANWHILE, Outcome, Preview
from executor.operations.rollback import RECOVER, look, restore
from executor.operations.teardown import preview_of
from executor.settings import Settings
from executor.state.record import APPLYING, WiringRecord
from executor.state.status import is_gone, is_half_done, is_overdue, refuse_unknown, wired_entry
from executor.state.store import StateStore
from executor.taps.vfio import came_back
from planner.errors import PodwireError
from planner.plan.plan import Plan, with_changes
from planner.text.values import PlanId


def recover(plan_id: PlanId, settings: Settings, *, forward: bool = False) -> Outcome:
    """Roll back what is half done under an id; with ``forward`` finish it, if it was being applied.

    A state entry that is damaged or lost is put back first, if its journal has a copy. Of what is wired, a
    guest that is not served any more is served again, and a virtual function that came back to the host is handed over
    again. Raises InvalidInput for an id that was never wired here, RolledBack, RollbackIncomplete.
    """
    if has_orphan(plan_id, settings.store):
        return give_back_orphan(plan_id, settings)
    notes = put_back(plan_id, settings)
    outcome = _recovered(plan_id, settings, forward=forward)
    if notes and outcome.what == "nothing":
        return Outcome("mended", plan_id, notes=notes[:-1], sentence=notes[-1])
    return evolve(outcome, notes=(*notes, *outcome.notes))


def _recovered(plan_id: PlanId, settings: Settings, *, forward: bool) -> Outcome:
    entry = _half_done(plan_id, settings.store)
    if isinstance(entry, Outcome):
        return _serve_again(plan_id, settings) or _hand_over_again(plan_id, settings) or entry
    if forward and _is_carried_on(entry) and not is_gone(entry):
        return roll_forward(entry, settings)
    return restore(entry, settings, RECOVER)


def _is_carried_on(entry: WiringRecord) -> bool:
    """Say whether to finish what is half done is to carry an apply on; what nobody confirmed in time ends otherwise."""
    return entry.status == APPLYING and not is_overdue(entry)


def preview_recover(plan_id: PlanId, settings: Settings, *, forward: bool = False) -> Preview | Outcome:
    """Return what ``recover`` would carry out, or its outcome if there is nothing to run."""
    sentence = _what_comes_first(plan_id, settings)
    if sentence:
        return Outcome("nothing", plan_id, sentence=sentence)
    entry = _half_done(plan_id, settings.store)
    if isinstance(entry, Outcome):
        return evolve(entry, sentence=_what_is_done_again(plan_id, settings.store) or entry.sentence)
    with suppress(NamespaceGone):  # it may go while it is read, with the last process in it
        if not is_gone(entry):
            goes_on = forward and _is_carried_on(entry)
            return Preview(_way_on(entry, settings)) if goes_on else preview_of(entry, settings)
    return Outcome("gone", plan_id, sentence=GONE)


def _what_comes_first(plan_id: PlanId, settings: Settings) -> str:
    """Return what would be done before the namespace is read, "" for nothing."""
    if has_orphan(plan_id, settings.store):
        return "its dummy gateway, which no wiring uses, would be given back"
    if missing_copy(plan_id, settings) is not None:
        return "its state entry would be restored from the copy in the journal"
    return ""


def _what_is_done_again(plan_id: PlanId, store: StateStore) -> str:
    """Return what would be done for something that is wired, "" for nothing."""
    if is_to_serve_again(plan_id, store):
        return "its guest would be served again"
    found = _came_back(plan_id, store)
    return f"{', '.join(found)} would be handed over again" if found else ""


def ids_to_recover(store: StateStore) -> tuple[PlanId, ...]:
    """Return the ids that are half done, have but a dummy gateway, or whose guest is not served since that was killed.

    And those that lost a virtual function to the host, or whose entry is lost. One whose entry is damaged may be half
    done: that is reported when its turn comes.
    """
    return (
        *(plan_id for plan_id in store.dummy_ids() if has_orphan(plan_id, store)),
        *(
            one
            for one in store.ids()
            if _may_be_half_done(one, store) or is_to_serve_again(one, store) or _came_back(one, store)
        ),
        *lost_ids(store),
    )


def _serve_again(plan_id: PlanId, settings: Settings) -> Outcome | None:
    """Start what served the guest of a wiring and was killed; None if nothing was."""
    if not is_to_serve_again(plan_id, settings.store):
        return None
    from executor.guest.daemon import start_server  # noqa: PLC0415  a recovery seldom needs it

    try:
        notes = start_server(plan_id, settings)
    except PodwireError:
        if is_served(plan_id, settings.store):
            return Outcome("nothing", plan_id, sentence=MEANWHILE)
        raise
    return Outcome("served", plan_id, notes=notes, sentence="its guest is served again")


def _came_back(plan_id: PlanId, store: StateStore) -> tuple[str, ...]:
    """Return the virtual functions of a wiring that the VM should have, and that are at the host."""
    try:
        entry = store.load(plan_id)
        found = () if entry is None or is_half_done(entry) else came_back(entry)
    except PodwireError:
        return ()
    return found if found and entry is not None and not is_gone(entry) else ()


def _hand_over_again(plan_id: PlanId, settings: Settings) -> Outcome | None:
    """Hand over what came back to the host, with all else that drifted; None if nothing did."""
    found = _came_back(plan_id, settings.store)
    if not found:
        return None
    from executor.operations.repair import repair  # noqa: PLC0415  a recovery seldom needs it

    return evolve(
        repair(wired_entry(plan_id, settings.store), settings), sentence=f"{', '.join(found)} is handed over again"
    )


def _may_be_half_done(plan_id: PlanId, store: StateStore) -> bool:
    try:
        entry = store.load(plan_id)
    except PodwireError:
        return True
    return entry is not None and is_half_done(entry)


def _half_done(plan_id: PlanId, store: StateStore) -> WiringRecord | Outcome:
    """Return the entry of what is half done, or the outcome if it is not. Raises InvalidInput for an unknown id."""
    entry = store.load(plan_id)
    if entry is not None and is_half_done(entry):
        return entry
    refuse_unknown(plan_id, store)
    return Outcome("nothing", plan_id, sentence="nothing to recover: it is not half done")


def _way_on(entry: WiringRecord, settings: Settings) -> Plan:
    found = look(entry, settings)
    return with_changes(found.plan, changes_left(found), settings.templates)
