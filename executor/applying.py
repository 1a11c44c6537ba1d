"""apply: look, change, look again; where anything fails, back to where it began."""

from __future__ import annotations

import time
from collections.abc import Sequence

from attrs import evolve

from executor.confirming import new_token, start_watcher
from executor.errors import ExecutorError, HalfDone, TakenBack, Unusable
from executor.events import Began, Ended, TakingBack
from executor.netns import boot_id
from executor.outcome import Outcome
from executor.restoring import go_back_and_forget, half_done
from executor.store import APPLYING, WIRED, Entry, Replacement
from executor.wirings import is_gone, is_half_done
from executor.workplace import Failure, Settings, Workplace, check_programs, open_workplace
from planner.changes import Change, pending
from planner.errors import PlannerError, Refused, StalePlan
from planner.facts import NamespaceFacts, differences
from planner.observed import Observed, same
from planner.plan import Plan, plan_from_json
from planner.render import Command


def apply(plan: Plan, settings: Settings, *, confirm_within: float | None = None) -> Outcome:
    """Carry out ``plan``, which is refused where the namespace is not what it was made from.

    With ``confirm_within`` seconds it is taken back by itself after that time, unless it is confirmed.
    Raises Refused or Unusable with nothing changed, TakenBack where it failed, HalfDone where going back failed too.
    """
    started = time.monotonic()
    if not plan.changes:
        return Outcome("unchanged", plan.id)
    check_programs((*plan.commands, *plan.reverse_commands))
    with open_workplace(settings, plan.netns, plan.id) as place:
        place.look_ahead()
        refuse_other_wirings(plan, place)
        entry = place.entry(plan, APPLYING)
        if confirm_within is not None:
            entry = evolve(entry, confirm_by=time.time() + confirm_within, confirm_token=new_token())
        applying, wired = settings.store.replacements(entry, APPLYING, WIRED)
        with applying, wired:
            place.get_ready(plan.commands)
            applying.write()
            wired.write()
            refuse_stale(plan, place.observe())
            applying.commit()
            _begin_watching(entry, confirm_within, settings)
            _carry_out(plan, plan.commands, "apply", wired, place)
    return Outcome("wired", plan.id, len(plan.commands), time.monotonic() - started)


def finish(entry: Entry, settings: Settings) -> Outcome:
    """Carry on an apply that was killed, to its end. Raises what ``apply`` does."""
    started = time.monotonic()
    with open_workplace(settings, entry.netns, entry.id) as place:
        now = settings.store.load(entry.id)
        if now is None or not is_half_done(now):
            return Outcome("nothing", entry.id)  # whoever was at it has finished while we waited
        plan = plan_from_json(now.plan, settings.templates)
        facts = place.observe()
        refuse_unreadable(facts)
        left = settings.templates.commands(pending(plan.changes, facts))
        check_programs(left)
        (wired,) = settings.store.replacements(now, WIRED)
        with wired:
            _carry_out(plan, left, "recover", wired, place)
    return Outcome("wired", plan.id, len(left), time.monotonic() - started)


def _begin_watching(entry: Entry, seconds: float | None, settings: Settings) -> None:
    if seconds is None or entry.confirm_token is None:
        return
    try:
        start_watcher(entry.id, entry.confirm_token, seconds, settings)
    except Unusable:
        settings.store.delete(entry.id)
        raise


def refuse_other_wirings(plan: Plan, place: Workplace) -> None:
    """Refuse to wire a namespace, or to use an id, that is wired already; what belongs to a gone one is forgotten."""
    for entry in place.settings.store.concerning(plan.id, place.namespace.cookie):
        if entry.id != plan.id and not entry.is_of(place.namespace.cookie, boot_id()):
            continue
        if entry.id == plan.id and is_gone(entry):
            place.settings.store.delete(entry.id)
            continue
        raise Refused(_wired_already(entry, plan))


def _wired_already(entry: Entry, plan: Plan) -> str:
    if entry.status != WIRED:
        return f"{entry.id} is half done: podwire recover {entry.id} first"
    where = f"{entry.id} is wired already" if entry.id == plan.id else f"{plan.netns} is wired already, as {entry.id}"
    return f"{where}: podwire teardown {entry.id} first"


def refuse_unreadable(facts: NamespaceFacts) -> None:
    """Raise Refused where ebtables does not answer: rules that are there already would be there twice."""
    if facts.ebtables.problem:
        raise Refused(facts.ebtables.problem)


def refuse_stale(plan: Plan, facts: NamespaceFacts) -> None:
    """Raise StalePlan where the namespace is not what the plan was made from; the message says what differs."""
    if not facts.is_like(plan.facts):
        found = next(differences(plan.facts, facts), "its facts differ")
        raise StalePlan(f"the plan is stale: {found}; plan anew")
    observed = Observed(facts)
    for change in plan.changes:
        if not same(observed.state_of(change.resource, change.known_state), change.before):
            raise StalePlan(f"the plan does not fit its own facts: {change.resource} is not at its «before»; plan anew")


def _carry_out(plan: Plan, commands: Sequence[Command], verb: str, wired: Replacement, place: Workplace) -> None:
    """Run the commands, look whether they did what they should, and write down, by ``wired``, that they did.

    Where anything fails all of the plan is taken back, and TakenBack or HalfDone raised.
    """
    try:
        place.emit(Began(verb, plan.id, plan.netns, place.settings.asked))
        failure = place.run(commands) or missing(plan.changes, place)
        if failure is None:
            place.session.end()
            wired.commit()
            place.emit(Ended("wired", ""))
    except (ExecutorError, PlannerError) as error:
        failure = Failure(str(error))
    if failure is not None:
        raise _take_back(plan, failure, place)


def missing(changes: Sequence[Change], place: Workplace) -> Failure | None:
    """Return which change did not have its effect although no command failed, or None."""
    left = pending(changes, place.observe())
    return Failure(f"{left[0].resource} is not as it should be after its command") if left else None


def _take_back(plan: Plan, failure: Failure, place: Workplace) -> TakenBack | HalfDone:
    """Take back what was done, and return what to raise."""
    place.lenient = True
    way = go_back_and_forget(plan, place.observe, TakingBack(failure.why), place)
    if way.problems:
        place.emit(Ended("half-done", "; ".join(way.problems)))
        return HalfDone(f"{failure.why}; and {half_done(plan, way)}")
    place.emit(Ended("taken back", failure.why))
    return TakenBack(f"{failure.why}; what was done was taken back, {plan.netns} is as it was")
