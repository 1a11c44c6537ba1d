"""Does a wiring still match what was applied, and putting right what does not."""

from __future__ import annotations

import time
from functools import partial

from attrs import evolve

from executor.errors import SHORTAGES, ExecutorError, RollbackIncomplete, RolledBack, shortage
from executor.netns.namespace import boot_id
from executor.operations.apply import refuse_unreadable, verify_applied
from executor.operations.execution import Failure, check_programs
from executor.operations.operation import Operation, open_operation
from executor.operations.outcome import Outcome
from executor.operations.plan import knowing_names, plan_of
from executor.operations.rollback import left_to_restore, look
from executor.settings import Settings
from executor.state.events import Began, Ended, RollingBack
from executor.state.record import WiringRecord
from executor.state.status import is_half_done, open_recorded, refuse_gone, refuse_half_done, wired_entry
from executor.taps.holders import tap_holders
from planner.changes.change import lost_links, without_lost_links
from planner.changes.follow import follow
from planner.drift import drifted, moved_by_nature
from planner.errors import PlannerError, Refused
from planner.facts.model import NamespaceFacts
from planner.kinds.link import destroyed_taps
from planner.plan.plan import Plan, with_changes
from planner.text.frozen import frozen
from planner.text.values import PlanId

_NOTHING_LEFT = "nothing was left to repair"


@frozen
class Drift:
    """What would bring a wiring back to what was applied, as a plan; ``notes`` name what differs by nature.

    Links that are ``gone`` with all that they had cannot be brought back.
    """

    plan: Plan
    notes: tuple[str, ...]
    gone: tuple[str, ...] = ()

    @property
    def is_there(self) -> bool:
        """Say whether anything is no longer as it was applied."""
        return bool(self.plan.changes or self.gone)


def check(plan_id: PlanId, settings: Settings) -> Drift:
    """Compare the wiring of an id with the current state. Raises InvalidInput, Refused, NamespaceGone, HostError."""
    return drift_of(wired_entry(plan_id, settings.store), settings)


def drift_of(entry: WiringRecord, settings: Settings) -> Drift:
    """Compare a wiring with the current state. Raises Refused if it is half done, NamespaceGone."""
    refuse_half_done(entry)
    refuse_gone(entry)
    found = look(entry, settings)
    plan, facts, gone = found.plan, found.facts, lost_links(found.plan.changes, found.facts)
    notes = (
        *(f"{old} is now called {new}, and followed under that name" for old, new in found.names.items()),
        *(f"{link} was deleted, or moved to another namespace: nothing of it can be repaired here" for link in gone),
        *moved_by_nature(plan, facts),
    )
    return Drift(_repair_plan(plan, facts, settings), notes, gone)


def repair(entry: WiringRecord, settings: Settings) -> Outcome:
    """Bring a wiring back to what was applied. A repair that fails is rolled back itself; the wiring stays recorded.

    Raises RolledBack, or RollbackIncomplete if going back failed too.
    """
    started = time.monotonic()
    with open_operation(settings, partial(open_recorded, entry), entry.id) as operation:
        now = settings.store.load(entry.id)
        if now is None or is_half_done(now) or not now.is_of(operation.namespace.cookie, boot_id()):
            return Outcome("nothing", entry.id, sentence=_NOTHING_LEFT)
        recorded = plan_of(now, operation.namespace.path, settings.templates)
        operation.enter_others(recorded)
        followed = follow(recorded, now.links, operation.observe())
        _refuse_gone(followed.plan, followed.facts)
        plan = _repair_plan(followed.plan, followed.facts, settings)
        if not plan.changes:
            return Outcome("unchanged", entry.id, sentence=_NOTHING_LEFT)
        _refuse_held_taps(plan, operation)
        check_programs((*plan.commands, *plan.reverse_commands))
        if followed.names:
            settings.store.save(knowing_names(now, followed, settings.templates))
        operation.emit(Began("check --fix", entry.id, plan.netns, settings.requested_by))
        failure = _carry_out(plan, operation)
        if failure is not None:
            raise _roll_back(plan, failure, operation)
        operation.emit(Ended("repaired", ""))
    return Outcome("repaired", entry.id, len(plan.commands), time.monotonic() - started, sentence="repaired")


def _repair_plan(plan: Plan, facts: NamespaceFacts, settings: Settings) -> Plan:
    refuse_unreadable(plan, facts)
    changes = without_lost_links(drifted(plan, facts), facts)
    return with_changes(evolve(plan, facts=facts, inherited=()), changes, settings.templates)


def _refuse_gone(plan: Plan, facts: NamespaceFacts) -> None:
    if gone := lost_links(plan.changes, facts):
        raise Refused(
            f"{', '.join(gone)} of {plan.id} is gone, which no command can repair: run podwire teardown {plan.id}"
        )


def _refuse_held_taps(plan: Plan, operation: Operation) -> None:
    """Refuse a repair that would take a running VM's tap away."""
    for holder in tap_holders(destroyed_taps(plan.changes), operation.namespace):
        raise Refused(f"{holder}, which would lose its network: nothing was repaired; stop it first")


def _carry_out(plan: Plan, operation: Operation) -> Failure | None:
    try:
        return operation.run(plan.commands) or verify_applied(plan, operation)
    except (ExecutorError, PlannerError) as error:
        return Failure(str(error))
    except SHORTAGES as error:
        return Failure(shortage(error))


def _roll_back(plan: Plan, failure: Failure, operation: Operation) -> RolledBack | RollbackIncomplete:
    operation.best_effort = True
    operation.emit(RollingBack(failure.why))
    templates, observed = operation.settings.templates, operation.observed
    operation.run_all(left_to_restore(plan, operation.observe(), observed, templates).commands)
    left = left_to_restore(plan, operation.observe(), observed, templates).changes
    operation.emit(Ended("not repaired", failure.why))
    if left:
        names = ", ".join(str(change.resource) for change in left)
        return RollbackIncomplete(
            f"{failure.why}; and the repair could not be rolled back completely ({names}): check again"
        )
    return RolledBack(f"{failure.why}; the repair was rolled back, {plan.netns} has drifted as before")
