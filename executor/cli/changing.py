"""apply, teardown, recover: they preview, ask, change, and say how it ended."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable

from executor.applying import apply, finish
from executor.cli.gateways import named_gateway, read_conflist
from executor.cli.inputs import (
    netns_and_id,
    parse_id,
    plan_options,
    read_file,
    require_root,
    store_of,
    what_was_asked,
)
from executor.cli.planning import plan_here
from executor.cli.previews import print_plan
from executor.cli.printing import print_json
from executor.cli.statuses import REFUSED, exit_status
from executor.cli.streams import complain, put, put_done
from executor.dummy import acquire_gateway, recorded_gateway
from executor.errors import ExecutorError
from executor.observe import observe_netns
from executor.outcome import Outcome
from executor.restoring import give_back_gateway, left_to_restore, restore
from executor.store import APPLYING, Entry, StateStore
from executor.templates import load_templates
from executor.wirings import is_gone, is_half_done
from executor.workplace import Settings
from planner.changes import pending
from planner.cni import CniResult, parse_result
from planner.codec import to_json
from planner.errors import InvalidInput, PlannerError, Refused
from planner.plan import Plan, parse_plan, plan_from_json, with_changes
from planner.values import PlanId

_GONE = "its namespace is gone, so nothing is left to take back"
_WIRING_OPTIONS = (
    "netns",
    "id",
    "tap_owner",
    "tap_queues",
    "tap_vnet_hdr",
    "dhcp_address",
    "calico_subnet",
    "dummy_gateway",
    "dummy_result",
    "dummy_netns",
    "dummy_conflist",
)


def apply_command(arguments: argparse.Namespace) -> int:
    """Wire a namespace as a stored plan says, or as planned now."""
    require_root()
    settings = settings_of(arguments)
    if (arguments.plan is None) == (arguments.result is None):
        raise InvalidInput("apply: give either the file of a plan, or --result and --netns")
    if arguments.plan is not None:
        return _apply(_stored_plan(arguments), arguments, settings)
    if arguments.netns is None:
        raise InvalidInput("apply: --result needs --netns, the namespace that it is the result of")
    result = parse_result(read_file(arguments.result, "CNI result"))
    gateway = named_gateway(arguments)
    if arguments.dummy_conflist is None:
        return _apply(plan_here(arguments, result, plan_options(arguments, gateway)), arguments, settings)
    return _apply_with_dummy(arguments, result, settings)


def _apply_with_dummy(arguments: argparse.Namespace, result: CniResult, settings: Settings) -> int:
    """Apply with a gateway that CNI plugins give; they take it back where nothing comes of it."""
    conflist = read_conflist(arguments.dummy_conflist)
    _, plan_id = netns_and_id(arguments)
    gateway = recorded_gateway(plan_id, settings.store)
    if gateway is not None:
        return _apply(plan_here(arguments, result, plan_options(arguments, gateway)), arguments, settings)
    gateway = acquire_gateway(conflist, plan_id, settings)
    status = None
    try:
        status = _apply(plan_here(arguments, result, plan_options(arguments, gateway)), arguments, settings)
    finally:
        # Whatever keeps an entry (wired, half done) keeps its gateway too; teardown or recover gives it back.
        if status != 0 and settings.store.load(plan_id) is None:
            give_back_gateway(plan_id, settings)
    return status


def _apply(plan: Plan, arguments: argparse.Namespace, settings: Settings) -> int:
    if plan.changes and not _agreed(arguments, plan):
        return REFUSED
    outcome = apply(plan, settings, confirm_within=arguments.confirm_within)
    if arguments.format == "json":
        print_json(outcome_json(outcome, plan) | {"interfaces": to_json(plan.interfaces)})
    elif outcome.what == "unchanged":
        put_done(f"{plan.id} is wired as wanted already: nothing to do\n")
    else:
        taps = ", ".join(interface.name for interface in plan.interfaces)
        put_done(f"wired {plan.id}: {_ran(outcome)}; the VM opens {taps}\n")
        if arguments.confirm_within is not None:
            put_done(f"within {arguments.confirm_within:g} s, or it is taken back: podwire confirm {plan.id}\n")
        put_done(f"before the CNI plugin's DEL: podwire teardown {plan.id}\n")
    return 0


def teardown_command(arguments: argparse.Namespace) -> int:
    """Take a wiring back, or all of them."""
    require_root()
    settings = settings_of(arguments)
    if (arguments.id is None) != arguments.all:
        raise InvalidInput("teardown: give either the ID of a wiring, or --all")
    ids = settings.store.ids() if arguments.all else (parse_id(arguments.id),)
    if not ids:
        print_json([]) if arguments.format == "json" else print("nothing is wired here")
    return each(ids, lambda plan_id: _teardown(plan_id, arguments, settings))


def each(ids: Iterable[PlanId], work: Callable[[PlanId], int]) -> int:
    """Do ``work`` for every id, whatever becomes of the others; return the worst exit status.

    Of a single one the error is raised as it is; of several each is said.
    """
    wanted = tuple(ids)
    if len(wanted) == 1:
        return work(wanted[0])
    status = 0
    for plan_id in wanted:
        try:
            status = max(status, work(plan_id))
        except (PlannerError, ExecutorError) as error:
            print(f"podwire: {plan_id}: {error}", file=sys.stderr)
            status = max(status, exit_status(error))
    return status


def _teardown(plan_id: PlanId, arguments: argparse.Namespace, settings: Settings) -> int:
    entry = settings.store.load(plan_id)
    if entry is None:
        return _nothing_to_tear_down(plan_id, arguments, settings)
    if is_gone(entry):
        outcome = Outcome("gone", plan_id) if arguments.dry_run else restore(entry, settings, "teardown")
        return _print_outcome(outcome, arguments, _GONE)
    if arguments.dry_run or not arguments.yes:
        reverse = _way_back(entry, settings)
        if arguments.dry_run:
            print_plan(reverse, arguments.format, settings.templates, reverse=True)
            return 0
        if not _agreed(arguments, reverse, reverse=True):
            return 1
    outcome = restore(entry, settings, "teardown")
    return _print_outcome(outcome, arguments, _GONE if outcome.what == "gone" else f"{entry.netns} is as it was before")


def recover_command(arguments: argparse.Namespace) -> int:
    """Take back, or finish, what a process that died left half done."""
    require_root()
    settings = settings_of(arguments)
    entries = _to_recover(arguments, settings.store)
    for plan_id in _orphaned_gateways(arguments, settings.store):
        give_back_gateway(plan_id, settings)
    if not entries:
        print_json([]) if arguments.format == "json" else print("nothing is half done")
    by_id = {entry.id: entry for entry in entries}
    return each(by_id, lambda plan_id: _recover(by_id[plan_id], arguments, settings))


def _to_recover(arguments: argparse.Namespace, store: StateStore) -> list[Entry]:
    if arguments.id is None:
        return [entry for entry in store.all() if is_half_done(entry)]
    plan_id = parse_id(arguments.id)
    entry = store.load(plan_id)
    if entry is None and plan_id not in store.journalled_ids():
        raise InvalidInput(f"id: {plan_id} was never wired here; podwire list shows what is")
    return [entry] if entry is not None and is_half_done(entry) else []


def _orphaned_gateways(arguments: argparse.Namespace, store: StateStore) -> list[PlanId]:
    """Return the ids that have a dummy gateway but no wiring: podwire died between the two."""
    wanted = store.dummy_ids() if arguments.id is None else (parse_id(arguments.id),)
    return [] if arguments.dry_run else [plan_id for plan_id in wanted if store.load(plan_id) is None]


def _recover(entry: Entry, arguments: argparse.Namespace, settings: Settings) -> int:
    forward = arguments.forward and entry.status == APPLYING
    if is_gone(entry):
        outcome = Outcome("gone", entry.id) if arguments.dry_run else restore(entry, settings, "recover")
        return _print_outcome(outcome, arguments, _GONE)
    if arguments.dry_run:
        plan = _way_on(entry, settings) if forward else _way_back(entry, settings)
        print_plan(plan, arguments.format, settings.templates, reverse=not forward)
        return 0
    if forward:
        outcome = finish(entry, settings)
        return _print_outcome(outcome, arguments, f"{entry.netns} is wired")
    outcome = restore(entry, settings, "recover")
    return _print_outcome(outcome, arguments, f"{entry.netns} is as it was before the wiring")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Return how the executor is to work, as the arguments say."""
    return Settings(
        store=store_of(arguments),
        templates=load_templates(),
        timeout=arguments.timeout,
        lock_timeout=arguments.lock_timeout,
        asked=what_was_asked(),
    )


def _stored_plan(arguments: argparse.Namespace) -> Plan:
    _refuse_wiring_options(arguments)
    return parse_plan(read_file(arguments.plan, "plan", trusted=not arguments.allow_untrusted_plan), load_templates())


def _refuse_wiring_options(arguments: argparse.Namespace) -> None:
    """Refuse what a stored plan says itself: an option that was silently ignored would be worse."""
    for option in _WIRING_OPTIONS:
        if getattr(arguments, option):
            raise InvalidInput(f"apply: --{option.replace('_', '-')} is part of a stored plan; give it to podwire plan")


def _agreed(arguments: argparse.Namespace, plan: Plan, *, reverse: bool = False) -> bool:
    """Show the plan and ask; without a terminal to ask on, ``--yes`` must be given."""
    if arguments.yes:
        return True
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused("there is no terminal to ask on: say --yes, or look first (podwire plan, teardown --dry-run)")
    print_plan(plan, "text", load_templates(), reverse=reverse)
    question = "take this back" if reverse else "do this"
    try:
        answer = input(f"{question} in {plan.netns}? only «yes» goes on: ").strip()
    except EOFError:
        answer = ""
        put("\n")
    except KeyboardInterrupt:
        put("\n")
        raise
    if answer != "yes":
        complain("not confirmed, nothing was changed", REFUSED)
    return answer == "yes"


def _way_back(entry: Entry, settings: Settings) -> Plan:
    """Return what taking the wiring back would run now."""
    plan = plan_from_json(entry.plan, settings.templates)
    facts = observe_netns(entry.netns, timeout=settings.timeout)
    return left_to_restore(plan, facts, settings.templates)


def _way_on(entry: Entry, settings: Settings) -> Plan:
    """Return what finishing the wiring would run now."""
    plan = plan_from_json(entry.plan, settings.templates)
    facts = observe_netns(entry.netns, timeout=settings.timeout)
    return with_changes(plan, pending(plan.changes, facts), settings.templates)


def _nothing_to_tear_down(plan_id: PlanId, arguments: argparse.Namespace, settings: Settings) -> int:
    """Say that an id is torn down already; one never seen is refused, since it may be a slip of the pen."""
    if plan_id not in settings.store.journalled_ids():
        raise InvalidInput(f"id: {plan_id} was never wired here; podwire list shows what is")
    give_back_gateway(plan_id, settings)
    return _print_outcome(Outcome("nothing", plan_id), arguments, "it is torn down already")


def _print_outcome(outcome: Outcome, arguments: argparse.Namespace, words: str) -> int:
    if arguments.format == "json":
        print_json(outcome_json(outcome))
        return 0
    ran = f" ({_ran(outcome)})" if outcome.commands else ""
    print(f"{outcome.id}: {words}{ran}")
    for note in outcome.notes:
        print(f"{outcome.id}: {note}")
    return 0


def outcome_json(outcome: Outcome, plan: Plan | None = None) -> dict[str, object]:
    """Return how an operation ended as a document."""
    document: dict[str, object] = {"id": str(outcome.id), "outcome": outcome.what, "commands": outcome.commands}
    if plan is not None:
        document["netns"] = str(plan.netns)
    return document | {"duration_ms": round(outcome.seconds * 1000, 3), "notes": list(outcome.notes)}


def _ran(outcome: Outcome) -> str:
    return f"{outcome.commands} command{'' if outcome.commands == 1 else 's'} in {outcome.seconds * 1000:.0f} ms"
