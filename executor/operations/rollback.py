"""Going back: teardown, the rollback of a failed apply, and recovery after a crash are one and the same.

Look at each resource of the reverse plan, and run what is not yet as it should be. What happened before doesn't matter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Container, Sequence
from contextlib import suppress
from functools import partial

from attrs import evolve

from executor.clock import Instant
from executor.errors import SHORTAGES, ExecutorError, HostError, NamespaceGone, RollbackIncomplete, shortage
from executor.guest.record import stop_server
from executor.netns.namespace import boot_id
from executor.observe.elsewhere import open_elsewhere, with_elsewhere
from executor.observe.late import LateWork, wait_for_routes
from executor.observe.observe import observe_once
from executor.operations.calico_gateway import give_back_gateway
from executor.operations.execution import Failure, check_programs
from executor.operations.operation import Operation, open_operation
from executor.operations.outcome import GONE, MEANWHILE, Outcome
from executor.operations.ownership import own
from executor.operations.plan import beside, lost_beside, plan_of
from executor.operations.signals import stop_requests
from executor.settings import Settings
from executor.state.document import written_ahead
from executor.state.events import Began, Ended, RollingBack
from executor.state.journal import note_end
from executor.state.record import TEARING_DOWN, WIRED, WiringRecord
from executor.state.status import is_gone, is_half_done, open_recorded
from executor.taps.holders import tap_holders
from executor.taps.vfio import refuse_held
from planner.changes.change import Change, lost_devices, lost_links, pending, without_lost_links
from planner.changes.follow import Followed, Names, follow, names_now, renamed
from planner.errors import PlannerError
from planner.facts.model import NamespaceFacts
from planner.facts.remains import remains, went_along, without_other_wirings
from planner.kinds.address import Address, AddressState
from planner.kinds.kind import kind_of
from planner.kinds.link_attributes import Mac
from planner.kinds.neighbour import Neighbour
from planner.kinds.route import Route
from planner.plan.plan import Plan, changes_back, with_changes
from planner.plan.render import Command, Templates
from planner.plan.sharing import alone, inherited
from planner.text.frozen import frozen
from planner.text.values import LOOPBACK, PlanId
from planner.wiring.strip import flushed_neighbours

RECOVER = "recover"


@frozen
class RollbackResult:
    """What was run, what is still not as it was, what others did in the meantime, what of that is gone (sentences)."""

    commands: int
    problems: tuple[str, ...]
    differs: tuple[str, ...] = ()
    went: tuple[str, ...] = ()


def restore(entry: WiringRecord, settings: Settings, verb: str, *, unconfirmed: str | None = None) -> Outcome:
    """Take the wiring of ``entry`` back and forget it; ``verb`` is what the journal calls it (teardown, recover).

    With ``unconfirmed``, a token, only while the wiring still waits to be confirmed under that token.

    A failed command does not stop the others. Raises RollbackIncomplete if something is not as it was in the end; the
    state is kept then. A namespace that is gone has nothing left to roll back.
    """
    with stop_requests():
        with suppress(NamespaceGone):
            return _restore(entry, settings, verb, unconfirmed)
        with own(entry.id, settings) as owning:
            _restore_elsewhere(entry, owning, verb)
            return _forget(entry, owning)


def _restore(entry: WiringRecord, settings: Settings, verb: str, unconfirmed: str | None) -> Outcome:
    """Do what ``restore`` says. Raises NamespaceGone if there is nothing to do it in any more."""
    started = time.monotonic()
    with open_operation(settings, partial(open_recorded, entry), entry.id) as operation:
        operation.prefetch()
        now = settings.store.load(entry.id)
        if now is None or not _is_to_be_restored(now, verb, unconfirmed, operation):
            return Outcome("nothing", entry.id, sentence=MEANWHILE)
        entry, netns = now, operation.namespace.path
        (tearing_down,) = settings.store.atomic_writes(entry, TEARING_DOWN)
        with written_ahead(tearing_down) as wait_for_disk:
            others = beside(entry.id, operation.namespace, settings)
            whole = plan_of(entry, netns, settings.templates)
            operation.enter_others(whole, may_be_gone=True)
            operation.remember(entry, whole)
            facts = operation.observe()
            others += lost_beside(entry.id, others, facts, operation.namespace, settings)
            plan = alone(whole, others, settings.templates)
            check_programs(plan.reverse_commands)
            if not settings.force:
                refuse_held(plan, facts)
            wait_for_disk()
            operation.stop.check()
            tearing_down.commit()
        followed = follow(plan, entry.links, facts)
        missing = _missing(followed.plan, followed.facts) if entry.status == WIRED else ()
        holders = (*_stop_serving(entry.id, settings), *_tap_holders(followed.plan, operation))
        began = Began(verb, entry.id, netns, settings.requested_by)
        way = roll_back_and_delete(plan, lambda: facts, began, Ended("restored", ""), operation)
        if way.problems:
            raise RollbackIncomplete(half_done(plan, way))
        _give_back_gateway(entry.id, operation.settings)
    notes = tuple(
        dict.fromkeys((*holders, *_notes(followed.plan, others, followed.facts, missing), *way.differs, *way.went))
    )
    since = " the wiring" if verb == RECOVER else ""
    differs = way.differs or lost_links(followed.plan.changes, followed.facts)
    how = (
        "differs from its original state because of changes made outside podwire"
        if differs
        else f"is as it was before{since}{_but_for(others)}"
    )
    return Outcome("restored", entry.id, way.commands, time.monotonic() - started, notes, f"{netns} {how}")


def _is_to_be_restored(now: WiringRecord, verb: str, unconfirmed: str | None, operation: Operation) -> bool:
    """Say whether an entry, as it is ``now`` that nobody else works under its id, still is what ``restore`` is for."""
    if unconfirmed is not None and now.confirm_token != unconfirmed:
        return False
    if verb == RECOVER and not is_half_done(now):
        return False  # the other process has finished while we waited
    return now.is_of(operation.namespace.cookie, boot_id())  # else the id is another wiring's by now


def roll_back_and_delete(
    plan: Plan, look: Callable[[], NamespaceFacts], began: Began | RollingBack, ended: Ended, operation: Operation
) -> RollbackResult:
    """Bring everything that ``plan`` changed back and, if it is, forget the plan; ``look`` returns the current state.

    Whatever keeps it from that (a signal, a program that vanished, a full disk) is a problem like any other.
    """
    try:
        operation.emit(began)
        way = _go_back(plan, look(), operation)
        operation.best_effort = True  # how it ended is reported, even if it cannot be recorded
        if not way.problems:
            operation.settings.store.end(plan.id, lambda: operation.emit(ended))
    except (ExecutorError, PlannerError) as error:
        way = RollbackResult(0, (str(error),))
    except SHORTAGES as error:
        way = RollbackResult(0, (shortage(error),))
    if way.problems:
        operation.best_effort = True
        operation.emit(Ended("half-done", "; ".join(way.problems)))
    return way


def _stop_serving(plan_id: PlanId, settings: Settings) -> tuple[str, ...]:
    """End who serves the guest, and say so; what is in the place of its record keeps nothing from being rolled back.

    A server ends on its own when what it serves is gone.
    """
    try:
        return ("stopped serving its guest",) if stop_server(plan_id, settings.store) else ()
    except HostError as error:
        return (f"the server of its guest could not be stopped: {error}",)


def _give_back_gateway(plan_id: PlanId, settings: Settings) -> None:
    """Give the dummy gateway back when all else was rolled back. Raises RollbackIncomplete."""
    try:
        give_back_gateway(plan_id, settings)
    except RollbackIncomplete:
        raise
    except (ExecutorError, PlannerError) as error:  # what is noted of it cannot be read
        raise RollbackIncomplete(f"{error}; all else of {plan_id} was rolled back") from None


def _tap_holders(plan: Plan, operation: Operation) -> tuple[str, ...]:
    """Say who has a tap open that is about to go: the VM loses its network."""
    taps = [interface.name for interface in plan.interfaces if interface.type == "tap"]
    return tuple(f"{holder}: it has lost its network" for holder in tap_holders(taps, operation.namespace))


def _go_back(plan: Plan, facts: NamespaceFacts, operation: Operation) -> RollbackResult:
    """Bring everything that ``plan`` changed back to its ``before``, from ``facts`` as they are now."""
    render = operation.settings.templates.commands
    indexes, observed = operation.indexes, operation.observed
    followed = follow(plan, indexes, facts)
    left = _changes_left(followed, observed)
    commands = render(left)
    failures = _run_all(commands, left, operation)
    if any(isinstance(change.after, AddressState) for change in left):
        wait_for_routes(operation.namespace, changes_back(followed.plan, observed.elapsed))
    now = operation.observe()
    had = [change for change in left if change.before is not None]
    copied = {c.resource for c in had if not failures and kind_of(c.resource).has_copies(c.before, facts)}
    still = tuple(
        change for change in _changes_left(follow(plan, indexes, now), observed) if change.resource not in copied
    )
    # What was as it should be before those commands ran: they took it along. If setting a MAC failed the first time
    # and works the second, it flushes neighbours that are back already.
    tried = {(change.netns, change.resource) for change in left}
    lost = render(change for change in still if (change.netns, change.resource) not in tried)
    if lost:
        failures += operation.run_all(lost)
        now = operation.observe()
        still = _changes_left(follow(plan, indexes, now), observed)
    problems = [f"{change.resource} is not as it was" for change in still]
    whys = [failure.why for failure in failures]
    if now.ebtables.problem:
        whys.append(now.ebtables.problem)
    links = [interface.link for interface in plan.interfaces]
    differs = _differences(plan, now, names_now(follow(plan, indexes, now), indexes, now))
    ours = {change.resource for change in plan.changes}
    went = tuple(went_along(ours, plan.facts, facts, now, {*links, LOOPBACK}))
    if still:
        differs = _of_links(differs, still)
    return RollbackResult(len(commands) + len(lost), tuple(problems + whys if still else ()), differs, went)


def _of_links(differs: tuple[str, ...], still: Collection[Change]) -> tuple[str, ...]:
    """Return what others perhaps did to links (down, another MTU) that keeps from coming back what is ``still`` to.

    Not of links that are themselves not as they were yet, and nothing that may only be there, or gone, because of that.
    """
    left = (change.resource for change in still if not isinstance(change.resource, (Address, Neighbour, Route)))
    unsure = {f"link {name} " for resource in left for name in kind_of(resource).links(resource)}
    return tuple(
        sentence for sentence in differs if sentence.startswith("link ") and not sentence.startswith(tuple(unsure))
    )


def _run_all(commands: Sequence[Command], changes: Sequence[Change], operation: Operation) -> list[Failure]:
    """Run the commands, some of which wait; no address is made from a MAC that could not be set."""
    macs = {change.resource.link: at for at, change in enumerate(changes) if isinstance(change.resource, Mac)}
    needs = {at: macs[change.resource.link] for at, change in enumerate(changes) if _is_made_from(change, macs)}
    late = LateWork(changes, operation.namespace)
    answered = late.answered.union(needs.values())
    awaited = {at for at, command in enumerate(commands) if not answered.isdisjoint(command.changes)}
    return operation.run_all(commands, needs=needs, awaited=awaited, before=late.before)


def _is_made_from(change: Change, links: Container[str]) -> bool:
    """Say whether a change has the kernel make an address from the MAC of one of ``links``."""
    return isinstance(change.after, AddressState) and bool(change.after.generated) and change.resource.link in links


def _differences(plan: Plan, now: NamespaceFacts, names: Names) -> tuple[str, ...]:
    """Return a sentence for each thing that is not as it was before; a link is compared under the name that it has."""
    there = {old: new for old, new in names.items() if plan.facts.link(old) is not None}
    shared, wired = [change.resource for change in inherited(plan)], [interface.link for interface in plan.interfaces]
    before, now = without_other_wirings(plan.facts, now, wired, shared, there)
    before = renamed(before, there) if there else before
    wired = [there.get(link, link) for link in wired]
    return (*(f"{old} is now called {new}" for old, new in there.items()), *remains(before, now, wired, shared))


def way_back(entry: WiringRecord, settings: Settings) -> Plan:
    """Return what ``restore`` would run now. Raises NamespaceGone, HostError."""
    found = look(entry, settings)
    facts = found.facts
    with open_recorded(entry) as namespace:
        others = beside(entry.id, namespace, settings)
        others += lost_beside(entry.id, others, facts, namespace, settings)
    plan = alone(found.plan, others, settings.templates)
    return left_to_restore(plan, facts, entry.observed(plan.facts.observed_at), settings.templates)


def look(entry: WiringRecord, settings: Settings) -> Followed:
    """Return the plan of an entry, in the names that its links have now, these names, and the current facts.

    Raises NamespaceGone, HostError.
    """
    with open_recorded(entry) as namespace:
        plan = plan_of(entry, namespace.path, settings.templates)
        facts = observe_once(namespace, timeout=settings.timeout)
    return follow(plan, entry.links, with_elsewhere(facts, plan.facts.elsewhere, timeout=settings.timeout))


def left_to_restore(plan: Plan, facts: NamespaceFacts, observed: Instant, templates: Templates) -> Plan:
    """Return the plan that rolls ``plan`` back from the current state: what is already as it was is not in it.

    ``observed`` is when the lifetimes in ``plan`` were what it says.
    """
    return with_changes(plan.reverse(), _changes_left(Followed(plan, facts, {}), observed), templates)


def _changes_left(found: Followed, observed: Instant) -> tuple[Change, ...]:
    changes = changes_back(found.plan, observed.elapsed)
    left = pending(without_lost_links(changes, found.facts), found.facts)
    return (*left, *flushed_neighbours(changes, left, found.facts))


def half_done(plan: Plan, way: RollbackResult) -> str:
    """Return the sentence that says what is left, what others did that perhaps keeps it from coming, and what to do."""
    problems = "; ".join((*way.problems, *(f"in the meantime {difference}" for difference in way.differs)))
    return f"{plan.id} could not be rolled back completely ({problems}): run podwire recover {plan.id} to try again"


def _restore_elsewhere(entry: WiringRecord, settings: Settings, verb: str) -> None:
    """Roll back what a wiring, whose own namespace is gone, has changed in others. Raises RollbackIncomplete."""
    if entry.boot_id != boot_id():
        return  # no namespace outlives the machine
    plan = plan_of(entry, entry.netns, settings.templates)
    for other in plan.facts.elsewhere:
        changes = tuple(change for change in plan.changes if change.netns == other.netns)
        part = with_changes(evolve(plan, facts=other.facts or plan.facts), changes, settings.templates)
        with suppress(NamespaceGone), open_operation(settings, partial(open_elsewhere, other), entry.id) as operation:
            if settings.store.load(entry.id) != entry:
                continue
            operation.remember(entry, plan)
            operation.emit(Began(verb, entry.id, operation.namespace.path, settings.requested_by))
            facts = operation.observe()
            if not settings.force:
                refuse_held(plan, evolve(plan.facts, elsewhere=(evolve(other, facts=facts),)))
            try:
                way = _go_back(part, facts, operation)
            except (ExecutorError, PlannerError) as error:
                way = RollbackResult(0, (str(error),))
            operation.emit(Ended("half-done" if way.problems else "restored", "; ".join(way.problems)))
            if way.problems:
                raise RollbackIncomplete(half_done(plan, way))


def _forget(entry: WiringRecord, settings: Settings) -> Outcome:
    """Forget a wiring whose namespace is gone; under its id there may be another by now."""
    now = settings.store.load(entry.id)
    if now is not None and not is_gone(now):
        return Outcome("nothing", entry.id, sentence=MEANWHILE)
    notes = _stop_serving(entry.id, settings)
    settings.store.end(entry.id, lambda: note_end(settings.store.journal_path(entry.id), "gone"))
    _give_back_gateway(entry.id, settings)
    return Outcome("gone", entry.id, notes=notes, sentence=GONE)


def _but_for(others: tuple[Plan, ...]) -> str:
    return f", except for what is wired there as {', '.join(other.id for other in others)}" if others else ""


def _missing(plan: Plan, facts: NamespaceFacts) -> tuple[str, ...]:
    """Return a sentence for each link that was made for ``plan`` and is not there any more."""
    made = (change for change in plan.changes if kind_of(change.resource).is_made_link and change.after is not None)
    return tuple(
        f"{change.resource.name} no longer existed: it was deleted, or moved to another namespace"
        for change in made
        if (there := facts.of(change.netns)) is not None and there.link(change.resource.name) is None
    )


def _notes(plan: Plan, others: tuple[Plan, ...], facts: NamespaceFacts, missing: tuple[str, ...]) -> tuple[str, ...]:
    """Return what could not come back, and what was left alone: rules of others in the chains that came with ours."""
    devices = lost_devices(plan.changes, facts).values()
    lost = [f"{link} is gone with everything that was on it" for link in lost_links(plan.changes, facts)]
    lost += missing
    lost += [
        f"{change.resource} was not restored: it comes with {brings}"
        for change in plan.changes
        if getattr(change.before, "comes_back", False)
        and (brings := kind_of(change.resource).returns_with(change.resource, change.before)) != "its address"
    ]
    strangers = _left_alone(plan, facts)
    for other in others:  # what another wiring made is not foreign
        known = set(_left_alone(other, facts))
        strangers = [note for note in strangers if note in known]
    return (*devices, *lost, *strangers)


def _left_alone(plan: Plan, facts: NamespaceFacts) -> list[str]:
    made = (change for change in plan.changes if change.after is not None)
    return [
        note
        for change in made
        if (there := facts.of(change.netns)) is not None
        for note in kind_of(change.resource).left_alone(change.after, there)
    ]
