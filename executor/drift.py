"""Does a wiring still match what was applied, and putting right what does not."""

from __future__ import annotations

import time

from attrs import evolve, frozen

from executor.applying import missing, refuse_unreadable
from executor.errors import ExecutorError, HalfDone, NamespaceGone, TakenBack
from executor.events import Began, Ended, TakingBack
from executor.netns import boot_id
from executor.observe import observe_netns
from executor.outcome import Outcome
from executor.restoring import left_to_restore
from executor.store import WIRED, Entry
from executor.wirings import is_gone
from executor.workplace import Failure, Settings, Workplace, check_programs, open_workplace
from planner.drift import drifted, moved_by_nature
from planner.errors import PlannerError, Refused
from planner.facts import NamespaceFacts
from planner.plan import Plan, plan_from_json, with_changes


@frozen
class Drift:
    """What would bring a wiring back to what was applied, as a plan; ``notes`` name what differs by nature."""

    plan: Plan
    notes: tuple[str, ...]


def drift_of(entry: Entry, settings: Settings) -> Drift:
    """Compare a wiring with what is there. Raises Refused where it is half done, NamespaceGone."""
    if entry.status != WIRED:
        raise Refused(f"{entry.id} is half done: podwire recover {entry.id} first")
    if is_gone(entry):
        raise NamespaceGone(f"the namespace of {entry.id} is gone: podwire gc forgets it")
    facts = observe_netns(entry.netns, timeout=settings.timeout)
    plan = plan_from_json(entry.plan, settings.templates)
    return Drift(_repair_plan(plan, facts, settings), moved_by_nature(plan, facts))


def repair(entry: Entry, settings: Settings) -> Outcome:
    """Bring a wiring back to what was applied. A repair that fails is taken back itself; the wiring stays recorded.

    Raises TakenBack, or HalfDone where going back failed too.
    """
    started = time.monotonic()
    with open_workplace(settings, entry.netns, entry.id) as place:
        now = settings.store.load(entry.id)
        if now is None or now.status != WIRED or not now.is_of(place.namespace.cookie, boot_id()):
            return Outcome("nothing", entry.id)
        plan = _repair_plan(plan_from_json(now.plan, settings.templates), place.observe(), settings)
        if not plan.changes:
            return Outcome("unchanged", entry.id)
        check_programs((*plan.commands, *plan.reverse_commands))
        place.emit(Began("check --fix", entry.id, entry.netns, settings.asked))
        failure = _carry_out(plan, place)
        if failure is not None:
            raise _take_back(plan, failure, place)
        place.emit(Ended("repaired", ""))
    return Outcome("repaired", entry.id, len(plan.commands), time.monotonic() - started)


def _repair_plan(plan: Plan, facts: NamespaceFacts, settings: Settings) -> Plan:
    refuse_unreadable(facts)
    return with_changes(evolve(plan, facts=facts), drifted(plan, facts), settings.templates)


def _carry_out(plan: Plan, place: Workplace) -> Failure | None:
    try:
        return place.run(plan.commands) or missing(plan.changes, place)
    except (ExecutorError, PlannerError) as error:
        return Failure(str(error))


def _take_back(plan: Plan, failure: Failure, place: Workplace) -> TakenBack | HalfDone:
    place.lenient = True
    place.emit(TakingBack(failure.why))
    templates = place.settings.templates
    place.run_all(left_to_restore(plan, place.observe(), templates).commands)
    left = left_to_restore(plan, place.observe(), templates).changes
    place.emit(Ended("not repaired", failure.why))
    if left:
        names = ", ".join(str(change.resource) for change in left)
        return HalfDone(f"{failure.why}; and the repair could not be taken back whole ({names}): look again")
    return TakenBack(f"{failure.why}; the repair was taken back, {plan.netns} is as drifted as it was")
