"""facts, plan, show: looking only."""

from __future__ import annotations

import argparse
import os
import random
import stat

from executor.cli.exit_status import PENDING
from executor.cli.gateways import named_gateway
from executor.cli.inputs import netns_and_id, plan_options, read_file, require_root, store_of
from executor.cli.previews import print_plan
from executor.cli.printing import json_text, print_json
from executor.errors import HostError
from executor.netns.namespace import Namespace, boot_id
from executor.netns.naming import resolve_netns
from executor.observe.observe import observe_netns, observe_once
from executor.state.store import WIRED, StateStore
from executor.templates import load_templates
from planner.cni.result import CniResult, parse_result
from planner.errors import InvalidInput, Refused
from planner.facts.model import FACTS_VERSION, NamespaceFacts
from planner.options import PlanOptions
from planner.plan.plan import Plan, parse_plan, plan_from_json, plan_to_json
from planner.planning import make_plan
from planner.text.codec import from_json, to_json
from planner.text.document import load_json
from planner.text.values import NetnsPath, PlanId, shown


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
        plan = _plan(result, _read_facts(arguments.facts), options, *netns_and_id(arguments), None)
    if arguments.output is not None:
        write_plan(plan, arguments.output)
    print_plan(plan, arguments.format, load_templates())
    return PENDING if arguments.detailed_exitcode and plan.changes else 0


def show_command(arguments: argparse.Namespace) -> int:
    """Print a stored plan or its reverse."""
    templates = load_templates()
    plan = parse_plan(read_file(arguments.plan, "plan"), templates)
    print_plan(plan.reverse() if arguments.reverse else plan, arguments.format, templates, reverse=arguments.reverse)
    return 0


def plan_here(arguments: argparse.Namespace, result: CniResult, options: PlanOptions) -> Plan:
    """Return the plan for the namespace that the arguments name, as it is now and with what is recorded of it."""
    require_root("it looks into a network namespace (with --facts, plan does not)")
    netns, plan_id = netns_and_id(arguments)
    with Namespace.open(netns) as namespace:
        recorded = _recorded(store_of(arguments), plan_id, namespace)
        facts = observe_once(namespace, timeout=arguments.timeout)
    return _plan(result, facts, options, netns, plan_id, recorded)


def _plan(
    result: CniResult,
    facts: NamespaceFacts,
    options: PlanOptions,
    netns: NetnsPath,
    plan_id: PlanId,
    recorded: Plan | None,
) -> Plan:
    return make_plan(
        result,
        facts,
        plan_id=plan_id,
        netns=netns,
        options=options,
        random=random.SystemRandom(),
        templates=load_templates(),
        recorded=recorded,
    )


def _recorded(store: StateStore, plan_id: PlanId, namespace: Namespace) -> Plan | None:
    """Return the plan that was applied to this very namespace. Raises Refused where it is another's, or half done."""
    for entry in store.concerning(plan_id, namespace.cookie):
        is_here = entry.is_of(namespace.cookie, boot_id())
        if not is_here and entry.id != plan_id:
            continue
        if entry.status != WIRED and is_here:
            raise Refused(f"{entry.id} is half done: podwire recover {entry.id} first")
        if entry.id != plan_id:
            raise Refused(f"{namespace.path} is wired already, as {entry.id}: podwire teardown {entry.id} first")
        if is_here:
            return plan_from_json(entry.plan, load_templates())
    return None


def _read_facts(name: str) -> NamespaceFacts:
    node = load_json(read_file(name, "facts"), "facts")
    if not (isinstance(node.value, dict) and {"version", "links"} <= node.value.keys()):
        raise node.error("this is not what podwire facts prints")
    version = node.field("version")
    if version.integer() != FACTS_VERSION:
        raise version.error(f"this podwire reads facts of version {FACTS_VERSION} only")
    return from_json(NamespaceFacts, node)


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
