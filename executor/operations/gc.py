"""gc: forgetting what belongs to namespaces that are gone, and saying what may have stayed on the host of theirs."""

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
from executor.state.status import open_recorded, recorded
from executor.state.store import StateStore
from planner.cni.result import CniResult
from planner.errors import InvalidInput, PodwireError
from planner.text.values import PlanId


def collect(entry: WiringRecord, settings: Settings) -> Outcome:
    """Forget a wiring whose namespace is gone; its note says where to look for what the CNI plugin may have left.

    A plugin looks for the addresses to unmasquerade on the pod's interface. While that was wired it had none, so that a
    DEL succeeded and left its rules. What is of a namespace that is still there, or may be, is kept (``unchanged``).
    Raises HostError if too little is left to look for it with.
    """
    try:
        open_recorded(entry).close()
    except NamespaceGone:
        return _forget(entry, settings)
    except NamespaceHidden:
        return Outcome("unchanged", entry.id, sentence="nothing proves that its namespace is gone, so it is kept")
    return Outcome("unchanged", entry.id, sentence="its namespace is there, so it is kept")


def _forget(entry: WiringRecord, settings: Settings) -> Outcome:
    rules = _host_rules(entry)  # before it is forgotten: what fails then fails for something that is not there any more
    outcome = restore(entry, settings, "gc")
    if outcome.what != "gone":
        return outcome
    return evolve(outcome, notes=(*outcome.notes, *rules), sentence="forgotten, its namespace is gone")


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


def collect_all(settings: Settings) -> tuple[Outcome, ...]:
    """Do that for every id; return what was forgotten, and those that ``failed`` to be read."""
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
        "it was still wired when its namespace went, so the CNI plugin's DEL may have left rules on the host: "
        f"look for {', '.join(addresses)} in iptables-save -t nat and nft list ruleset"
    )
    return (note,)
