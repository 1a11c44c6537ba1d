"""mend: the state entry of an id that is damaged, or is lost, is put back from the copy in its journal."""

from __future__ import annotations

from executor.operations.ownership import own
from executor.operations.plan import plan_of
from executor.settings import Settings
from executor.state.copies import copy_of_entry, set_aside_what_is_no_file
from executor.state.record import WiringRecord
from executor.state.status import Wiring, condition, is_gone, is_lost, lost
from executor.state.store import StateStore
from planner.errors import PodwireError
from planner.text.values import PlanId

# What to say of what was put back, by its condition.
_HOW = {
    "wired": "podwire check {id} says whether it is as it was applied",
    "half-done": "it is half done",
    "gone": "its namespace is gone",
}


def mend(plan_id: PlanId, settings: Settings) -> WiringRecord | None:
    """Return the entry of an id, from its copy if it is not whole; None if there is none that can be read.

    Raises HostError, or Locked if somebody else works under the id.
    """
    with own(plan_id, settings):
        entry = _whole(plan_id, settings)
        if entry is not None:
            return entry
        copy = copy_of_entry(plan_id, settings.store)
        if copy is not None:
            settings.store.save(copy)
        return copy


def missing_copy(plan_id: PlanId, settings: Settings) -> WiringRecord | None:
    """Return what ``put_back`` would put back, None if nothing is missing or nothing of it is left.

    An id without an entry whose namespace is gone was forgotten by right.
    """
    if _whole(plan_id, settings) is not None:
        return None
    copy = copy_of_entry(plan_id, settings.store)
    return None if copy is None or (plan_id not in settings.store.ids() and is_gone(copy)) else copy


def lost_ids(store: StateStore) -> tuple[PlanId, ...]:
    """Return the ids whose entry is not there though by their journal it should be, sorted.

    An entry is there before its journal says that anything began, and goes when that has an end.
    """
    found = [one for one in store.unended_ids() if is_lost(one, store)]
    if not found:
        return ()
    still = set(store.unended_ids())  # it may have been begun between the two looks at the first
    return tuple(one for one in found if one in still and is_lost(one, store))


def all_ids(store: StateStore) -> tuple[PlanId, ...]:
    """Return every id that is wired here, those whose entry is lost last."""
    return (*store.ids(), *lost_ids(store))


def lost_wirings(store: StateStore) -> tuple[Wiring, ...]:
    """Return what to list of these ids: that they are lost, and how they come back."""
    return tuple(Wiring(plan_id, "lost", problem=lost(plan_id)) for plan_id in lost_ids(store))


def put_back(plan_id: PlanId, settings: Settings) -> tuple[str, ...]:
    """Put the entry of an id back that is damaged or lost, if its journal has a copy, and say so in sentences.

    What is in its place and is no file is kept, out of the way. Raises HostError, Locked.
    """
    if missing_copy(plan_id, settings) is None:
        return ()
    with own(plan_id, settings) as owning:
        moved = set_aside_what_is_no_file(plan_id, settings.store)
        entry = mend(plan_id, owning)
    if entry is None:
        return moved
    how = _HOW[condition(entry)].format(id=plan_id)
    return (*moved, f"its state entry was restored from the copy in the journal: {how}")


def _whole(plan_id: PlanId, settings: Settings) -> WiringRecord | None:
    """Return the entry of an id if it is there and can be read to its last word."""
    try:
        entry = settings.store.load(plan_id)
        if entry is not None:
            plan_of(entry, entry.netns, settings.templates)
    except PodwireError:
        return None
    return entry
