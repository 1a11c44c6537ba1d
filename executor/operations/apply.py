"""apply: look, change, look again; if anything fails, back to where it began.

Where nobody wants to see the plan first, planning is part of it (``wire``): one look less, and no plan is stale.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from executor.errors import SHORTAGES, ExecutorError, HostError, RollbackIncomplete, RolledBack, shortage
from executor.netns.namespace import Namespace, boot_id
from executor.observe.elsewhere import pci_devices, with_elsewhere
from executor.observe.observe import observe_once
from executor.operations.commit_confirm import start_watcher, to_be_confirmed
from executor.operations.execution import Failure, check_programs
from executor.operations.operation import Operation, open_operation
from executor.operations.outcome import MEANWHILE, Outcome
from executor.operations.plan import (
    beside,
    knowing_names,
    plan_namespace,
    plan_observed,
    plan_of,
    recorded_plans,
    refuse_the_hosts,
)
from executor.operations.rollback import half_done, roll_back_and_delete
from executor.settings import Settings
from executor.state.document import AtomicWrite, written_ahead
from executor.state.events import Began, Ended, RollingBack
from executor.state.record import APPLYING, WIRED, WiringRecord
from executor.state.status import is_gone, is_half_done, open_recorded, refuse_half_done, refuse_lost
from planner.changes.change import Change, lost_links
from planner.changes.follow import Followed, follow
from planner.changes.lookup import Lookup
from planner.cni.result import CniResult
from planner.drift import unfinished
from planner.errors import PlannerError, Refused, StalePlan
from planner.facts.model import NamespaceFacts
from planner.facts.remains import differences
from planner.kinds.ebtables import EbtablesRules
from planner.kinds.kind import equivalent
from planner.options import PlanOptions
from planner.plan.age import age, has_lifetimes
from planner.plan.plan import Plan
from planner.plan.render import Command
from planner.plan.sharing import alone, inherited_from
from planner.text.values import NetnsPath, PlanId
from planner.wiring.base import wiring_named

# The kernel may finish an address while a plan is being made: then it is made again, but not endlessly.
_TRIES = 3


def apply(plan: Plan, settings: Settings, *, confirm_within: float | None = None) -> Outcome:
    """Carry out ``plan``, which is refused if the namespace is not what it was made from.

    With ``confirm_within`` seconds it is rolled back automatically after that time, unless it is confirmed.
    Raises Refused or HostError with nothing changed, RolledBack if it failed, RollbackIncomplete if that failed too.
    """
    started = time.monotonic()
    _refuse_reverse(plan)
    if not plan.changes:
        return _unchanged(plan)
    check_programs((*plan.commands, *plan.reverse_commands))
    with open_operation(settings, partial(Namespace.open, plan.netns), plan.id) as operation:
        refuse_the_hosts(operation.namespace, settings)
        operation.enter_others(plan)
        refuse_other_wirings(plan, operation.namespace, settings, forget=settings.store.delete)
        operation.prefetch(plan.commands)
        seen = operation.observe() if has_lifetimes(plan) else None
        _record_and_run(
            plan,
            operation,
            age=0 if seen is None else age(plan, seen),
            confirm_within=confirm_within,
            check=lambda: refuse_stale(plan, seen or operation.observe()),
        )
    return _wired(plan, len(plan.commands), started)


def refuse_unfit(plan: Plan, settings: Settings) -> None:
    """Raise what ``apply`` would raise of a plan before its first command: for whoever looks at it first.

    Nothing is locked, nor forgotten.
    """
    _refuse_reverse(plan)
    if not plan.changes:
        return
    check_programs((*plan.commands, *plan.reverse_commands))
    with Namespace.open(plan.netns) as namespace:
        refuse_the_hosts(namespace, settings)
        refuse_other_wirings(plan, namespace, settings, forget=lambda _: None)
        facts = observe_once(namespace, timeout=settings.timeout)
    refuse_stale(plan, with_elsewhere(facts, plan.facts.elsewhere, timeout=settings.timeout))


def _refuse_reverse(plan: Plan) -> None:
    if plan.is_reverse:
        raise Refused(f"this plan is the reverse of {plan.id}: to roll back, run podwire teardown {plan.id}")


def _record_and_run(
    plan: Plan,
    operation: Operation,
    *,
    age: float = 0.0,
    confirm_within: float | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write down that ``plan`` is being applied, and run it, if ``check`` raises nothing.

    ``age`` is how long ago the lifetimes in it were what it says, in seconds. Raises what ``apply`` does.
    """
    settings = operation.settings
    entry = operation.entry(plan, APPLYING, age=age)
    if confirm_within is not None:
        entry = to_be_confirmed(entry, confirm_within)
    applying, wired = settings.store.atomic_writes(entry, APPLYING, WIRED)
    with written_ahead(applying, wired) as wait_for_disk:
        check()
        operation.wait_for_programs()
        wait_for_disk()
        operation.stop.check()  # until here nothing was changed, nor written down that something would be
        applying.commit()
        _begin_watching(entry, confirm_within, settings)
        _carry_out(plan, plan.commands, "apply", wired, operation)


def wire(
    result: CniResult,
    *,
    plan_id: PlanId,
    netns: NetnsPath,
    options: PlanOptions,
    settings: Settings,
    confirm_within: float | None = None,
) -> tuple[Plan, Outcome]:
    """Plan what ``plan_namespace`` would and ``apply`` it; return what is applied now, and how that came about.

    Raises what the two raise.
    """
    started = time.monotonic()
    if not settings.store.is_there:  # what is refused leaves none
        return _in_two_steps(result, plan_id, netns, options, settings, confirm_within)
    with open_operation(settings, partial(Namespace.open, netns), plan_id) as operation:
        refuse_the_hosts(operation.namespace, settings)
        operation.prefetch(needs_rules=True)
        recorded = recorded_plans(plan_id, operation.namespace, settings)
        own = next((plan for plan in recorded if plan.id == plan_id), None)
        facts = operation.observe()
        if not (pci_devices(facts) or (own and own.facts.elsewhere)):  # else other namespaces are read as well
            if own is None:
                operation.expect(wiring_named(options.wiring).programs)
            plan = plan_observed(
                result, facts, plan_id=plan_id, netns=netns, options=options, settings=settings, recorded=recorded
            )
            if not plan.changes:
                return own or plan, _unchanged(plan)
            check_programs((*plan.commands, *plan.reverse_commands))
            refuse_other_wirings(plan, operation.namespace, settings, forget=settings.store.delete)
            _record_and_run(plan, operation, confirm_within=confirm_within)
            return plan, _wired(plan, len(plan.commands), started)
    return _in_two_steps(result, plan_id, netns, options, settings, confirm_within)


def _in_two_steps(
    result: CniResult,
    plan_id: PlanId,
    netns: NetnsPath,
    options: PlanOptions,
    settings: Settings,
    confirm_within: float | None,
) -> tuple[Plan, Outcome]:
    """Plan, then apply: which namespaces are to be locked beside the pod's is known only when it is planned."""
    for tries_left in reversed(range(_TRIES)):
        plan = plan_namespace(result, plan_id=plan_id, netns=netns, options=options, settings=settings)
        try:
            outcome = apply(plan, settings, confirm_within=confirm_within)
        except StalePlan:
            if not tries_left:
                raise
        else:
            break
    if plan.changes:
        return plan, outcome
    with Namespace.open(netns) as namespace:
        recorded = recorded_plans(plan_id, namespace, settings)
    return next((one for one in recorded if one.id == plan_id), plan), outcome


def roll_forward(entry: WiringRecord, settings: Settings) -> Outcome:
    """Carry on an apply that was killed, to its end. Raises what ``apply`` does."""
    started = time.monotonic()
    with open_operation(settings, partial(open_recorded, entry), entry.id) as operation:
        now = settings.store.load(entry.id)
        if now is None or not is_half_done(now) or not now.is_of(operation.namespace.cookie, boot_id()):
            return Outcome("nothing", entry.id, sentence=MEANWHILE)  # the other process has finished while we waited
        plan = plan_of(now, operation.namespace.path, settings.templates)
        operation.enter_others(plan)
        operation.remember(now, plan)
        followed = follow(plan, now.links, operation.observe())
        left = settings.templates.commands(changes_left(followed))
        check_programs(left)
        now = knowing_names(now, followed, settings.templates)
        applying, wired = settings.store.atomic_writes(now, APPLYING, WIRED)
        with applying, wired:
            if followed.names:
                applying.commit()
            _carry_out(plan, left, "recover", wired, operation, followed.plan)
    return _wired(plan, len(left), started)


def changes_left(found: Followed) -> tuple[Change, ...]:
    """Return the changes that carry an apply which was killed on to its end.

    Raises Refused if a link of it is not there any more, whatever has its name by now.
    """
    plan, facts = found.plan, found.facts
    if gone := lost_links(plan.changes, facts):
        raise Refused(
            f"{', '.join(gone)} of {plan.id} was deleted, or moved to another namespace, so its apply cannot be"
            f" finished: podwire recover {plan.id} rolls back what is left of it"
        )
    refuse_unreadable(plan, facts)
    return unfinished(plan, facts)


def _unchanged(plan: Plan) -> Outcome:
    """Return how an operation has ended that had nothing to do."""
    return Outcome("unchanged", plan.id, sentence=f"{plan.netns} is already wired as requested")


def _wired(plan: Plan, commands: int, started: float) -> Outcome:
    """Return how an operation that ``started`` then (monotonic clock) and ran so many commands has ended."""
    return Outcome("wired", plan.id, commands, time.monotonic() - started, sentence=f"{plan.netns} is wired")


def _begin_watching(entry: WiringRecord, seconds: float | None, settings: Settings) -> None:
    if seconds is None:
        return
    try:
        start_watcher(entry, seconds, settings)
    except HostError:
        settings.store.delete(entry.id)
        raise


def refuse_other_wirings(
    plan: Plan, namespace: Namespace, settings: Settings, *, forget: Callable[[PlanId], None]
) -> None:
    """Refuse an id that is wired already, or a namespace in which others are wired than when the plan was made.

    ``forget`` is called if the id was that of a namespace which is gone. An id whose entry is lost is in use: its copy
    would not be the last any more that its journal has.
    """
    others = []
    for entry in settings.store.concerning(plan.id, namespace.cookie):
        if entry.id != plan.id and not entry.is_of(namespace.cookie, boot_id()):
            continue
        if entry.id == plan.id and is_gone(entry):
            forget(entry.id)
            continue
        refuse_half_done(entry)
        if entry.id == plan.id:
            raise Refused(f"{entry.id} is already wired: run podwire teardown {entry.id} first")
        others.append(plan_of(entry, namespace.path, settings.templates))
    refuse_lost(plan.id, settings.store)
    _refuse_if_unknown_to(plan, others)


def _refuse_if_unknown_to(plan: Plan, others: Sequence[Plan]) -> None:
    """Refuse a plan that was made without the other wirings of its namespace, or for a link that one of them has."""
    for other in others:
        taken = {one.link for one in other.interfaces} & {one.link for one in plan.interfaces}
        if taken:
            raise Refused(f"{min(taken)} is already wired, as {other.id}: run podwire teardown {other.id} first")
    if plan.inherited != inherited_from(others, plan.changes, plan.netns):
        raise StalePlan(f"the plan is stale: the wirings in {plan.netns} have changed; create a new plan")


def refuse_unreadable(plan: Plan, facts: NamespaceFacts) -> None:
    """Raise Refused if ``plan`` has rules and ebtables does not answer: those that are there would be there twice."""
    if facts.ebtables.problem and any(isinstance(change.resource, EbtablesRules) for change in plan.changes):
        raise Refused(facts.ebtables.problem)


def refuse_stale(plan: Plan, facts: NamespaceFacts) -> None:
    """Raise StalePlan if the namespace is not what the plan was made from; the message says what differs."""
    if facts.ebtables.problem != plan.facts.ebtables.problem:
        refuse_unreadable(plan, facts)
    if not facts.is_like(plan.facts):
        found = next(differences(plan.facts, facts), "its facts differ")
        raise StalePlan(f"the plan is stale: {found}; create a new plan")
    lookup = Lookup(facts)
    for change in plan.changes:
        seen = lookup.at(change.netns).state_of(change.resource, change.known_state)
        if not equivalent(seen, change.before) and change.netns == plan.netns:
            raise StalePlan(
                f"the plan contradicts its own facts: {change.resource} is not in its state before; create a new plan"
            )
        if not equivalent(seen, change.before):
            where = f"in {change.netns}" if change.netns else "on the host"
            raise StalePlan(f"the plan is stale: {change.resource} {where} is not as it was; create a new plan")


def _carry_out(
    plan: Plan,
    commands: Sequence[Command],
    verb: str,
    wired: AtomicWrite,
    operation: Operation,
    followed: Plan | None = None,
) -> None:
    """Run the commands, look whether they did what they should, and write down, by ``wired``, that they did.

    ``followed`` is the plan in the names that its links have now, if that is another one. If anything fails all of
    the plan is rolled back, and RolledBack or RollbackIncomplete raised.
    """
    try:
        operation.emit(Began(verb, plan.id, plan.netns, operation.settings.requested_by, wired.text()))
        failure = operation.run(commands) or verify_applied(followed or plan, operation)
        if failure is None:
            operation.session.end()
            wired.commit()
            operation.emit(Ended("wired", ""))
    except (ExecutorError, PlannerError) as error:
        failure = Failure(str(error))
    except SHORTAGES as error:
        failure = Failure(shortage(error))
    if failure is not None:
        raise _roll_back(plan, failure, operation)


def verify_applied(plan: Plan, operation: Operation) -> Failure | None:
    """Return what is not in the expected state although no command failed, or None."""
    left = unfinished(plan, operation.observe())
    return Failure(f"{left[0].resource} is not in the expected state after all commands") if left else None


def _roll_back(plan: Plan, failure: Failure, operation: Operation) -> RolledBack | RollbackIncomplete:
    """Roll back what was done, and return what to raise."""
    operation.best_effort = True
    plan = alone(plan, beside(plan.id, operation.namespace, operation.settings), operation.settings.templates)
    ended = Ended("taken back", failure.why)
    way = roll_back_and_delete(plan, operation.observe, RollingBack(failure.why), ended, operation)
    if way.problems:
        return RollbackIncomplete(f"{failure.why}; and {half_done(plan, way)}")
    how = f"differs: {'; '.join(way.differs)}" if way.differs else "is as it was"
    return RolledBack(f"{failure.why}; what was done was rolled back, {plan.netns} {how}")
