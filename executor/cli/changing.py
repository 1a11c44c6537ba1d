"""apply, teardown, recover: they preview, ask, change, and say how it ended."""

from __future__ import annotations

import argparse

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
from executor.cli.output import put_done
from executor.cli.planning import plan_here
from executor.cli.previews import plan_text
from executor.cli.printing import json_text
from executor.cli.prompt import ask
from executor.cli.reporting import Report, outcome_json, ran_words
from executor.errors import ExecutorError
from executor.observe.observe import observe_netns
from executor.operations.apply import apply, roll_forward
from executor.operations.calico_gateway import acquire_gateway, recorded_gateway
from executor.operations.operation import Settings
from executor.operations.outcome import Outcome
from executor.operations.rollback import give_back_gateway, left_to_restore, restore
from executor.state.status import is_gone, is_half_done
from executor.state.store import APPLYING, StateStore, WiringRecord
from executor.templates import load_templates
from planner.changes.change import pending
from planner.cni.result import CniResult, parse_result
from planner.errors import InvalidInput, PlannerError
from planner.plan.plan import Plan, parse_plan, plan_from_json, with_changes
from planner.text.codec import to_json
from planner.text.values import PlanId

_SPECIAL = {
    "gone": "its namespace is gone, so nothing is left to take back",
    "nothing": "another podwire has seen to it meanwhile",
}
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
    if plan.changes and not arguments.yes:
        _ask(plan)
    outcome = apply(plan, settings, confirm_within=arguments.confirm_within)
    if arguments.format == "json":
        more = {"netns": str(plan.netns), "interfaces": to_json(plan.interfaces)}
        put_done(json_text(outcome_json(outcome) | more))
    elif outcome.what == "unchanged":
        put_done(f"{plan.id} is wired as wanted already: nothing to do\n")
    else:
        taps = ", ".join(interface.name for interface in plan.interfaces)
        put_done(f"wired {plan.id}: {ran_words(outcome)}; the VM opens {taps}\n")
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
    report = Report(arguments.format, several=arguments.all)
    return report.of_each(
        ids, lambda plan_id: _teardown(plan_id, arguments, settings, report), nothing="nothing is wired here"
    )


def _teardown(plan_id: PlanId, arguments: argparse.Namespace, settings: Settings, report: Report) -> None:
    entry = settings.store.load(plan_id)
    if entry is None:
        refuse_unknown(plan_id, settings.store)
        give_back_gateway(plan_id, settings)
        report.ended(Outcome("nothing", plan_id), "it is torn down already")
    elif is_gone(entry):
        _forget(entry, arguments, settings, report)
    elif arguments.dry_run:
        report.would_run(_way_back(entry, settings), settings.templates, reverse=True)
    else:
        if not arguments.yes:
            _ask(_way_back(entry, settings), reverse=True)
        outcome = restore(entry, settings, "teardown")
        report.ended(outcome, _SPECIAL.get(outcome.what, f"{entry.netns} is as it was before"))


def recover_command(arguments: argparse.Namespace) -> int:
    """Take back, or finish, what a process that died left half done."""
    require_root()
    settings = settings_of(arguments)
    if arguments.id is None:
        ids = tuple(plan_id for plan_id in settings.store.ids() if _may_be_half_done(plan_id, settings.store))
    else:
        ids = (parse_id(arguments.id),)
    for plan_id in _orphaned_gateways(arguments, settings.store):
        give_back_gateway(plan_id, settings)
    report = Report(arguments.format, several=arguments.id is None)
    return report.of_each(
        ids, lambda plan_id: _recover(plan_id, arguments, settings, report), nothing="nothing is half done"
    )


def _may_be_half_done(plan_id: PlanId, store: StateStore) -> bool:
    try:
        entry = store.load(plan_id)
    except (PlannerError, ExecutorError):
        return True  # damaged: that is said when its turn comes, and keeps none of the others waiting
    return entry is not None and is_half_done(entry)


def _orphaned_gateways(arguments: argparse.Namespace, store: StateStore) -> list[PlanId]:
    """Return the ids that have a dummy gateway but no wiring: podwire died between the two."""
    wanted = store.dummy_ids() if arguments.id is None else (parse_id(arguments.id),)
    return [] if arguments.dry_run else [plan_id for plan_id in wanted if plan_id not in store.ids()]


def _recover(plan_id: PlanId, arguments: argparse.Namespace, settings: Settings, report: Report) -> None:
    entry = settings.store.load(plan_id)
    if entry is None or not is_half_done(entry):
        refuse_unknown(plan_id, settings.store)
        report.ended(Outcome("nothing", plan_id), "it is not half done, so there is nothing to do")
        return
    forward = arguments.forward and entry.status == APPLYING
    if is_gone(entry):
        _forget(entry, arguments, settings, report)
    elif arguments.dry_run:
        plan = _way_on(entry, settings) if forward else _way_back(entry, settings)
        report.would_run(plan, settings.templates, reverse=not forward)
    elif forward:
        outcome = roll_forward(entry, settings)
        report.ended(outcome, _SPECIAL.get(outcome.what, f"{entry.netns} is wired"))
    else:
        outcome = restore(entry, settings, "recover")
        report.ended(outcome, _SPECIAL.get(outcome.what, f"{entry.netns} is as it was before the wiring"))


def _forget(entry: WiringRecord, arguments: argparse.Namespace, settings: Settings, report: Report) -> None:
    """Forget a wiring whose namespace is gone."""
    outcome = Outcome("gone", entry.id) if arguments.dry_run else restore(entry, settings, arguments.command)
    report.ended(outcome, _SPECIAL["gone"])


def refuse_unknown(plan_id: PlanId, store: StateStore) -> None:
    """Refuse an id under which nothing was ever done: it may be a slip of the pen."""
    if plan_id not in store.journalled_ids():
        raise InvalidInput(f"id: {plan_id} was never wired here; podwire list shows what is")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Return how the executor is to work, as the arguments say."""
    return Settings(
        store=store_of(arguments),
        templates=load_templates(),
        timeout=arguments.timeout,
        lock_timeout=arguments.lock_timeout,
        requested_by=what_was_asked(),
    )


def _stored_plan(arguments: argparse.Namespace) -> Plan:
    _refuse_wiring_options(arguments)
    return parse_plan(read_file(arguments.plan, "plan", trusted=not arguments.allow_untrusted_plan), load_templates())


def _refuse_wiring_options(arguments: argparse.Namespace) -> None:
    """Refuse what a stored plan says itself: an option that was silently ignored would be worse."""
    for option in _WIRING_OPTIONS:
        if getattr(arguments, option):
            raise InvalidInput(f"apply: --{option.replace('_', '-')} is part of a stored plan; give it to podwire plan")


def _ask(plan: Plan, *, reverse: bool = False) -> None:
    """Show the plan and ask. Raises Refused for any answer but yes, and where there is no terminal to ask on."""
    question = "take this back" if reverse else "do this"
    ask(plan_text(plan, reverse=reverse), f"{question} in {plan.netns}")


def _way_back(entry: WiringRecord, settings: Settings) -> Plan:
    """Return what taking the wiring back would run now."""
    plan = plan_from_json(entry.plan, settings.templates)
    facts = observe_netns(entry.netns, timeout=settings.timeout)
    return left_to_restore(plan, facts, settings.templates)


def _way_on(entry: WiringRecord, settings: Settings) -> Plan:
    """Return what finishing the wiring would run now."""
    plan = plan_from_json(entry.plan, settings.templates)
    facts = observe_netns(entry.netns, timeout=settings.timeout)
    return with_changes(plan, pending(plan.changes, facts), settings.templates)
