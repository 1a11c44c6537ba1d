"""Going back: teardown, the rollback of a failed apply, and recovery after a crash are one and the same.

Look at each resource of the reverse plan, and run what is not yet as it should be. What happened before doesn't matter.
"""

from __future__ import annotations

import time

from attrs import evolve, frozen

from executor.dummy import release_gateway
from executor.errors import ExecutorError, HalfDone
from executor.events import Began, Ended
from executor.holders import tap_holders
from executor.journal import Journal
from executor.netns import boot_id
from executor.outcome import Outcome
from executor.store import TEARING_DOWN, Entry
from executor.wirings import is_gone
from executor.workplace import Settings, Workplace, check_programs, open_workplace
from planner.changes import pending
from planner.ebtables import foreign_rules
from planner.errors import PlannerError
from planner.facts import NamespaceFacts
from planner.plan import Plan, plan_from_json, reverse_after, with_changes
from planner.render import Templates
from planner.resources import RulesState
from planner.values import PlanId, shown


@frozen
class WayBack:
    """What was run, and what is still not as it was (sentences)."""

    commands: int
    problems: tuple[str, ...]


def restore(entry: Entry, settings: Settings, verb: str, *, unconfirmed: str | None = None) -> Outcome:
    """Take the wiring of ``entry`` back and forget it; ``verb`` stands in the journal (teardown, recover).

    With ``unconfirmed``, a token, only while the wiring still waits to be confirmed under that token.

    A failed command does not stop the others. Raises HalfDone where something is not as it was in the end; the state
    is kept then. A namespace that is gone has nothing left to take back.
    """
    started = time.monotonic()
    if is_gone(entry):
        return _forget(entry, settings)
    with open_workplace(settings, entry.netns, entry.id) as place:
        now = settings.store.load(entry.id)
        if now is None or (unconfirmed is not None and now.confirm_token != unconfirmed):
            return Outcome("nothing", entry.id)
        if not entry.is_of(place.namespace.cookie, boot_id()):
            settings.store.delete(entry.id)
            return Outcome("gone", entry.id)
        plan = plan_from_json(entry.plan, settings.templates)
        facts = place.observe()
        check_programs(plan.reverse_commands)
        settings.store.save(evolve(entry, status=TEARING_DOWN))
        place.emit(Began(verb, entry.id, entry.netns, settings.asked))
        holders = _tap_holders(plan, place)
        way = _go_back_unless_stopped(plan, facts, place)
        if way.problems:
            place.emit(Ended("half-done", "; ".join(way.problems)))
            raise HalfDone(half_done(plan, way))
        settings.store.delete(entry.id)
        place.emit(Ended("restored", ""))
    give_back_gateway(entry.id, settings)
    return Outcome("restored", entry.id, way.commands, time.monotonic() - started, (*holders, *_notes(plan, facts)))


def _go_back_unless_stopped(plan: Plan, facts: NamespaceFacts, place: Workplace) -> WayBack:
    try:
        return go_back(plan, facts, place)
    except (ExecutorError, PlannerError) as error:
        return WayBack(0, (str(error),))


def _tap_holders(plan: Plan, place: Workplace) -> tuple[str, ...]:
    """Say who has a tap open that is about to go: the VM loses its network."""
    taps = [interface.name for interface in plan.interfaces if interface.type == "tap"]
    return tuple(f"{holder}: it has lost its network" for holder in tap_holders(taps, place.namespace))


def go_back(plan: Plan, facts: NamespaceFacts, place: Workplace) -> WayBack:
    """Bring everything that ``plan`` changed back to its ``before``, from ``facts`` as they are now."""
    templates = place.settings.templates
    left = left_to_restore(plan, facts, templates)
    failures = place.run_all(left.commands)
    still = left_to_restore(plan, place.observe(), templates).changes
    problems = [f"{change.resource} is not as it was" for change in still]
    return WayBack(len(left.commands), tuple(problems + [failure.why for failure in failures if still]))


def left_to_restore(plan: Plan, facts: NamespaceFacts, templates: Templates) -> Plan:
    """Return the plan that takes ``plan`` back from what is there now: what is already as it was is not in it."""
    reverse = reverse_after(plan, time.time() - plan.facts.observed_at, templates)
    return with_changes(reverse, pending(reverse.changes, facts), templates)


def half_done(plan: Plan, way: WayBack) -> str:
    """Return the sentence that says what is left, and what to do."""
    return f"{plan.id} could not be taken back whole ({'; '.join(way.problems)}): podwire recover {plan.id} tries again"


def _forget(entry: Entry, settings: Settings) -> Outcome:
    """Forget a wiring whose namespace is gone, under the lock of its id."""
    settings.store.prepare()
    with Journal.open(settings.store.journal_path(entry.id)):
        settings.store.delete(entry.id)
    give_back_gateway(entry.id, settings)
    return Outcome("gone", entry.id)


def give_back_gateway(plan_id: PlanId, settings: Settings) -> None:
    """Give the dummy gateway of a wiring back, if it has one. Raises HalfDone where that fails; it stays noted."""
    problems = release_gateway(plan_id, settings)
    if problems:
        raise HalfDone(f"the dummy gateway of {plan_id} could not be given back ({'; '.join(problems)}): try again")


def _notes(plan: Plan, facts: NamespaceFacts) -> tuple[str, ...]:
    """Return what was left alone: rules that others put into the chains that came with ours."""
    states = (change.after for change in plan.changes if isinstance(change.after, RulesState))
    rules = [rule for state in states for rule in foreign_rules(state, facts.ebtables)]
    return tuple(f"left alone, since it is not podwire's: ebtables rule {shown(rule, 200)}" for rule in rules)
