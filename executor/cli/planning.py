"""facts, plan, show: looking only."""

from __future__ import annotations

import argparse
import os
import stat

from executor.cli.exit_status import PENDING
from executor.cli.gateways import named_gateway
from executor.cli.inputs import plan_options, read_file, require_root
from executor.cli.previews import print_plan
from executor.cli.printing import json_text, print_json
from executor.cli.settings import settings_of
from executor.errors import HostError
from executor.netns.naming import netns_and_id, resolve_netns
from executor.observe.observe import observe_netns
from executor.operations.plan import plan_from_facts, plan_namespace
from executor.templates import load_templates
from planner.cni.result import CniResult, parse_result
from planner.errors import InvalidInput
from planner.facts.document import parse_facts
from planner.options import PlanOptions
from planner.plan.plan import Plan, parse_plan, plan_to_json
from planner.text.codec import to_json
from planner.text.values import shown


def facts_command(arguments: argparse.Namespace) -> int:
    """Print the facts of a namespace as JSON."""
    require_root()
    print_json(to_json(observe_netns(resolve_netns(arguments.netns), timeout=arguments.timeout)))
    return 0


def plan_command(arguments: argparse.Namespace) -> int:
    """Print what would be done."""
    result = parse_result(read_file(arguments.result, "CNI result"))
    options = plan_options(arguments, named_gateway(arguments))
    if arguments.facts is None:
        plan = plan_here(arguments, result, options)
    else:
        facts = parse_facts(read_file(arguments.facts, "facts"))
        netns, plan_id = netns_and_id(arguments.netns, arguments.id)
        templates = load_templates()
        plan = plan_from_facts(result, facts, plan_id=plan_id, netns=netns, options=options, templates=templates)
    if arguments.output is not None:
        write_plan(plan, arguments.output)
    print_plan(plan, arguments.format, load_templates())
    return PENDING if arguments.detailed_exitcode and plan.changes else 0


def show_command(arguments: argparse.Namespace) -> int:
    """Print a stored plan or its reverse."""
    templates = load_templates()
    plan = parse_plan(read_file(arguments.plan, "plan"), templates)
    print_plan(plan.reverse() if arguments.reverse else plan, arguments.format, templates)
    return 0


def plan_here(arguments: argparse.Namespace, result: CniResult, options: PlanOptions) -> Plan:
    """Return the plan for the namespace that the arguments name, as it is now and with what is recorded of it."""
    require_root("it looks into a network namespace (with --facts, plan does not)")
    netns, plan_id = netns_and_id(arguments.netns, arguments.id)
    return plan_namespace(result, plan_id=plan_id, netns=netns, options=options, settings=settings_of(arguments))


def write_plan(plan: Plan, name: str) -> None:
    """Write a plan to a file that only its owner can read and write, also where it was there before."""
    if name == "-":
        raise InvalidInput("-o: a file is wanted; to print the plan, --json")
    try:
        with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                os.fchmod(file.fileno(), 0o600)
                os.ftruncate(file.fileno(), 0)
            file.write(json_text(plan_to_json(plan)))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no file name"
        raise HostError(f"the plan {shown(name, 200)} cannot be written: {why}") from None
