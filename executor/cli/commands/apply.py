"""apply: a namespace is wired as a stored plan says, or as planned now."""

from __future__ import annotations

import argparse

from executor.cli.options import (
    PLAN_FORMATS,
    WIRING_OPTIONS,
    add_common,
    add_dry_run,
    add_limits,
    add_summary,
    add_talk,
    add_wiring,
    add_yes,
    some_seconds,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from executor.operations.outcome import Outcome
    from executor.settings import Settings
    from planner.plan.plan import Plan

EXAMPLES = """\
podwire apply pod1.plan
podwire apply --result result.json --netns pod1 --yes"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("plan", nargs="?", metavar="PLAN", help="a stored plan file")
    add_wiring(parser, required=False)
    text = "get Calico's dummy gateway from the CNI plugins of a conflist; teardown gives it back"
    parser.add_argument("--dummy-conflist", metavar="FILE", help=text)
    text = "roll back automatically after this time (such as 60s) unless podwire confirm ID is run first"
    parser.add_argument("--confirm-within", type=some_seconds, metavar="SECONDS", help=text)
    add_yes(parser)
    add_dry_run(parser)
    add_summary(parser)
    text = "accept a plan or conflist that another user owns or can write"
    parser.add_argument("--allow-untrusted-plan", action="store_true", help=text)
    add_talk(parser)
    add_common(parser, PLAN_FORMATS)
    add_limits(parser, locks=True)


def run(arguments: argparse.Namespace) -> int:
    """Plan or read the plan, ask, carry it out, and say how it ended."""
    from executor.cli.settings import refuse_preview_format, settings_of
    from executor.cli.wiring import dummy_gateway_of, plan_here, read_result, wire_here
    from executor.operations.apply import refuse_unfit
    from executor.operations.signals import stop_requests
    from executor.trust.privileges import require_privileges
    from planner.errors import InvalidInput

    require_privileges()
    refuse_preview_format(arguments)
    settings = settings_of(arguments)
    if (arguments.plan is None) == (arguments.result is None):
        raise InvalidInput("apply: give either a plan file, or --result and --netns")
    if arguments.plan is not None:
        plan = _stored_plan(arguments)
        with stop_requests():
            if arguments.dry_run or not arguments.yes:
                refuse_unfit(plan, settings)
            return _apply(plan, arguments, settings)
    if arguments.netns is None:
        raise InvalidInput("apply: --result needs --netns, the namespace that the result is of")
    result = read_result(arguments)
    with stop_requests(), dummy_gateway_of(arguments, settings) as (gateway, owning):
        if arguments.yes and not arguments.dry_run:
            return _tell(*wire_here(arguments, result, gateway, owning), arguments)
        return _apply(plan_here(arguments, result, gateway), arguments, owning)


def _stored_plan(arguments: argparse.Namespace) -> Plan:
    """Return the plan in the file; an option that it says itself is refused, since ignoring it would be worse."""
    import os

    from executor.cli.files import document_name, read_file
    from executor.templates import load_templates
    from planner.errors import InvalidInput
    from planner.plan.plan import parse_plan
    from planner.text.values import shown

    for option in ("netns", "id", *WIRING_OPTIONS, "dummy_conflist"):
        if getattr(arguments, option):
            raise InvalidInput(f"apply: --{option.replace('_', '-')} is part of a stored plan; give it to podwire plan")
    if "/" not in arguments.plan and arguments.plan != "-" and not os.path.lexists(arguments.plan):
        raise InvalidInput(f"there is no file {shown(arguments.plan)}: without a stored plan, use --result and --netns")
    text = read_file(arguments.plan, "plan", trusted=not arguments.allow_untrusted_plan)
    return parse_plan(text, load_templates(), called=document_name(arguments.plan))


def _apply(plan: Plan, arguments: argparse.Namespace, settings: Settings) -> int:
    from executor.cli.previews import print_plan
    from executor.cli.prompt import agree
    from executor.operations.apply import apply

    if arguments.dry_run:
        print_plan(plan, arguments, settings.templates)
        return 0
    if plan.changes and not arguments.yes:
        agree(arguments, plan)
    return _tell(plan, apply(plan, settings, confirm_within=arguments.confirm_within), arguments)


def _tell(plan: Plan, outcome: Outcome, arguments: argparse.Namespace) -> int:
    from executor.cli.errors import pasteable
    from executor.cli.output import put_done
    from executor.cli.printing import json_text
    from executor.cli.report import outcome_json
    from planner.text.codec import to_json

    if arguments.format == "json":
        more = {"netns": str(plan.netns), "interfaces": to_json(plan.interfaces)}
        put_done(json_text(outcome_json(outcome) | more))
    elif not arguments.quiet:
        put_done(pasteable(_words(plan, outcome, arguments), arguments))
    return 0


def _words(plan: Plan, outcome: Outcome, arguments: argparse.Namespace) -> str:
    from executor.cli.report import ran_words
    from executor.cli.settings import store_of
    from executor.operations.describe import unserved
    from planner.formats.guest import told_lines
    from planner.network import devices_words

    serve = unserved(plan, store_of(arguments))
    following = [f"to serve its guest, run: {serve}"] if serve else []
    if outcome.what == "unchanged":
        return "\n".join([f"{plan.id} is already wired as requested: nothing to do", *following, ""])
    lines = [f"wired {plan.id}: {ran_words(outcome)}; the VM {devices_words(plan.interfaces)}", *told_lines(plan)]
    if arguments.confirm_within is not None:
        lines.append(f"run podwire confirm {plan.id} within {arguments.confirm_within:g} s, or it will be rolled back")
    lines += [*following, f"before calling the CNI plugin's DEL, run: podwire teardown {plan.id}", ""]
    return "\n".join(lines)
