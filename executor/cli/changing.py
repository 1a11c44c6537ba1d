"""apply, teardown, recover: they preview, ask, change, and say how it ended."""

from __future__ import annotations

import argparse

from executor.cli.gateways import named_gateway, read_conflist
from executor.cli.inputs import plan_options, read_file, require_root
from executor.cli.output import put_done
from executor.cli.planning import plan_here
from executor.cli.previews import plan_text
from executor.cli.printing import json_text
from executor.cli.prompt import ask
from executor.cli.reporting import Report, outcome_json, ran_words
from executor.cli.settings import settings_of
from executor.netns.naming import netns_and_id, parse_id
from executor.operations.apply import apply
from executor.operations.calico_gateway import dummy_gateway, give_back_orphans
from executor.operations.outcome import Outcome
from executor.operations.recover import half_done_ids, preview_recover, recover
from executor.operations.teardown import preview_teardown, teardown
from executor.settings import Settings
from executor.templates import load_templates
from planner.cni.result import CniResult, parse_result
from planner.errors import InvalidInput
from planner.plan.plan import Plan, parse_plan
from planner.text.codec import to_json
from planner.text.values import PlanId

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
    _, plan_id = netns_and_id(arguments.netns, arguments.id)
    with dummy_gateway(conflist, plan_id, settings) as gateway:
        return _apply(plan_here(arguments, result, plan_options(arguments, gateway)), arguments, settings)


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
    if arguments.dry_run:
        _show(preview_teardown(plan_id, settings), settings, report)
    else:
        agree = None if arguments.yes else _ask
        report.ended(teardown(plan_id, settings, agree=agree))


def _show(found: Plan | Outcome, settings: Settings, report: Report) -> None:
    """Show what would be run, or how it would end."""
    if isinstance(found, Outcome):
        report.ended(found)
    else:
        report.would_run(found, settings.templates)


def recover_command(arguments: argparse.Namespace) -> int:
    """Take back, or finish, what a process that died left half done."""
    require_root()
    settings = settings_of(arguments)
    named = None if arguments.id is None else (parse_id(arguments.id),)
    if not arguments.dry_run:
        give_back_orphans(settings, named)
    report = Report(arguments.format, several=named is None)
    return report.of_each(
        half_done_ids(settings.store) if named is None else named,
        lambda plan_id: _recover(plan_id, arguments, settings, report),
        nothing="nothing is half done",
    )


def _recover(plan_id: PlanId, arguments: argparse.Namespace, settings: Settings, report: Report) -> None:
    if arguments.dry_run:
        found = preview_recover(plan_id, settings, forward=arguments.forward)
        _show(found, settings, report)
    else:
        report.ended(recover(plan_id, settings, forward=arguments.forward))


def _stored_plan(arguments: argparse.Namespace) -> Plan:
    _refuse_wiring_options(arguments)
    return parse_plan(read_file(arguments.plan, "plan", trusted=not arguments.allow_untrusted_plan), load_templates())


def _refuse_wiring_options(arguments: argparse.Namespace) -> None:
    """Refuse what a stored plan says itself: an option that was silently ignored would be worse."""
    for option in _WIRING_OPTIONS:
        if getattr(arguments, option):
            raise InvalidInput(f"apply: --{option.replace('_', '-')} is part of a stored plan; give it to podwire plan")


def _ask(plan: Plan) -> None:
    """Show the plan and ask. Raises Refused for any answer but yes, and where there is no terminal to ask on."""
    question = "take this back" if plan.is_reverse else "do this"
    ask(plan_text(plan), f"{question} in {plan.netns}")
