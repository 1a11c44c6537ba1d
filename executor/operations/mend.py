"""mend: the state entry of an id that is damaged, or is not there, is put back from the copy in its journal."""

from __future__ import annotations

from executor.operations.ownership import own
from executor.operations.plan import plan_of
from executor.settings import Settings
from executor.state.copies import copy_of_entry
from executor.state.record import WiringRecord
from planner.errors import PodwireError
from planner.text.values import PlanId


def mend(plan_id: PlanId, settings: Settings) -> WiringRecord | None:
    """Return the entry of an id, from its copy if it is not whole; None if there is none that can be read.

    Raises HostError, or Locked if somebody else works under the id.
    """
    store = settings.store
    with own(plan_id, settings):
        try:
            entry = store.load(plan_id)
            if entry is not None:
                plan_of(entry, entry.netns, settings.templates)
                return entry
        except PodwireError:
            pass
        copy = copy_of_entry(plan_id, store)
        if copy is not None:
            store.save(copy)
        return copy
