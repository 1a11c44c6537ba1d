"""gc: removing the records of namespaces that are gone, and reporting what may be left of them on the host."""

from __future__ import annotations

from contextlib import suppress

from attrs import evolve

from executor.errors import NamespaceGone, NamespaceHidden
from executor.netns.lock import remove_unused_locks
from executor.operations.calico_gateway import give_back_orphan, has_orphan
from executor.operations.outcome import Outcome
from executor.operations.ownership import own
from executor.operations.rollback import restore
from executor.settings import Settings
from executor.state.half_written import delete_half_written, half_written
from executor.state.record import WiringRecord
from executor.state.status import is_gone, open_recorded, recorded
from executor.state.store import StateStore
from planner.cni.result import CniResult
from planner.errors import InvalidInput, PodwireError
from planner.text.values import PlanId


def collect(entry: WiringRecord, settings: Settings) -> Outcome:
    """Remove the record of a wiring whose namespace is gone; its note says where the CNI plugin may have left rules.

    A plugin removes the rules of the addresses that it finds on the pod's interface. It finds none while a bridge
    wiring has moved them to the VM, or once the namespace is deleted: DEL then succeeds and leaves its rules. A
    namespace that still exists, or may, is kept (``unchanged``). Raises HostError if too little is left to look with.
    """
    try:
        open_recorded(entry).close()
    except NamespaceGone:
        return _forget(entry, settings)
    except NamespaceHidden:
        return Outcome("unchanged", entry.id, sentence="nothing proves that its namespace is gone, so it is kept")
    return Outcome("unchanged", entry.id, sentence="its namespace still exists, so it is kept")


def _forget(entry: WiringRecord, settings: Settings) -> Outcome:
    rules = _host_rules(entry)  # before the record goes: an error afterwards would be about what no longer exists
    outcome = restore(entry, settings, "gc")
    if outcome.what != "gone":
        return outcome
    return evolve(outcome, notes=(*outcome.notes, *rules), sentence="record removed: its namespace no longer exists")


def ids_to_collect(store: StateStore) -> tuple[PlanId, ...]:
    """Return the ids that something is recorded of, or that a podwire which was killed has left something of."""
    return tuple(sorted({*store.ids(), *store.dummy_ids(), *half_written(store)}))


def collect_id(plan_id: PlanId, settings: Settings) -> Outcome | None:
    """Forget what belongs to an id and to nothing that is there; None if that is nothing.

    What a podwire that was killed has left of it goes too: a dummy gateway without a wiring, half written files. Raises
    RollbackIncomplete, Locked if somebody works under the id just now, InvalidInput if its entry is damaged.
    """
    if plan_id in half_written(settings.store):
        with own(plan_id, settings):
            delete_half_written(plan_id, settings.store)
    if has_orphan(plan_id, settings.store):
        return give_back_orphan(plan_id, settings)
    entry = recorded(plan_id, settings.store)
    outcome = None if entry is None else collect(entry, settings)
    return outcome if outcome is not None and outcome.what == "gone" else None


def preview_collect(plan_id: PlanId, settings: Settings) -> Outcome | None:
    """Return what ``collect_id`` would do, as an outcome; None for nothing. Raises InvalidInput if it is damaged."""
    if has_orphan(plan_id, settings.store):
        return Outcome("nothing", plan_id, sentence="its dummy gateway, which no wiring has, would be given back")
    entry = recorded(plan_id, settings.store)
    if entry is not None and is_gone(entry):
        return Outcome("nothing", plan_id, sentence="its record would be removed: its namespace no longer exists")
    if plan_id in half_written(settings.store):
        return Outcome("nothing", plan_id, sentence="files that a killed podwire left half written would be removed")
    return None


def collect_all(settings: Settings) -> tuple[Outcome, ...]:
    """Do that for every id; return what was removed, and those that ``failed``."""
    outcomes = []
    for plan_id in ids_to_collect(settings.store):
        try:
            outcome = collect_id(plan_id, settings)
        except PodwireError as error:
            outcome = Outcome("failed", plan_id, sentence=str(error))
        if outcome is not None:
            outcomes.append(outcome)
    remove_unused_locks()
    return tuple(outcomes)


def _host_rules(entry: WiringRecord) -> tuple[str, ...]:
    addresses = []
    with suppress(InvalidInput):  # a record that is damaged there is forgotten all the same
        addresses = [str(ip.address.ip) for ip in CniResult.parse(entry.plan.field("result")).ips]
    if not addresses:
        return ()
    note = (
        "its namespace was deleted while still wired, so the CNI plugin's DEL may have left rules on the host: check "
        f"`iptables-save -t nat` and `nft list ruleset` for {', '.join(addresses)}"
    )
    return (note,)
