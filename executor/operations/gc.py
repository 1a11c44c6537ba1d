"""gc: forgetting what belongs to namespaces that are gone, and saying what may have stayed on the host of theirs."""

from __future__ import annotations

from attrs import evolve

from executor.operations.outcome import Outcome
from executor.operations.rollback import restore
from executor.settings import Settings
from executor.state.status import is_gone
from executor.state.store import WiringRecord
from planner.cni.result import CniResult
from planner.errors import PodwireError


def collect(entry: WiringRecord, settings: Settings) -> Outcome:
    """Forget a wiring whose namespace is gone; its note says where to look for what the CNI plugin may have left.

    A plugin looks for the addresses to unmasquerade on the pod's interface. While that was wired it had none, so that a
    DEL succeeded and left its rules. A namespace that is still there is kept (``unchanged``).
    """
    if not is_gone(entry):
        return Outcome("unchanged", entry.id, sentence="its namespace is there, so it is kept")
    outcome = restore(entry, settings, "gc")
    if outcome.what != "gone":
        return outcome
    notes = (*outcome.notes, *_host_rules(entry))
    return evolve(outcome, notes=notes, sentence="forgotten, its namespace is gone")


def collect_all(settings: Settings) -> tuple[Outcome, ...]:
    """Forget the wirings whose namespaces are gone; return them, and those that ``failed`` to be read."""
    outcomes = []
    for plan_id in settings.store.ids():
        try:
            entry = settings.store.load(plan_id)
            outcome = None if entry is None else collect(entry, settings)
        except PodwireError as error:
            outcome = Outcome("failed", plan_id, sentence=str(error))
        if outcome is not None and outcome.what in ("gone", "failed"):
            outcomes.append(outcome)
    return tuple(outcomes)


def _host_rules(entry: WiringRecord) -> tuple[str, ...]:
    addresses = [str(ip.address.ip) for ip in CniResult.parse(entry.plan.field("result")).ips]
    if not addresses:
        return ()
    note = (
        "it was still wired when its namespace went, so the CNI plugin's DEL may have left rules on the host: "
        f"look for {', '.join(addresses)} in iptables-save -t nat and nft list ruleset"
    )
    return (note,)
