"""From a CNI result and facts to a plan: fix the result, wire, render. Pure: whatever it needs is handed in."""

from __future__ import annotations

from attrs import evolve

from planner.changes.change import pending
from planner.cni.calico import DEFAULT_SUBNET, fix_calico_networking
from planner.cni.fix import passed_over, validate_and_fix_cni_result
from planner.cni.links import container_interfaces
from planner.cni.result import CniResult
from planner.errors import Refused
from planner.facts.model import NamespaceFacts
from planner.network import VmInterface
from planner.options import PlanOptions
from planner.plan.plan import Plan, with_changes
from planner.plan.render import Templates
from planner.text.values import Alias, NetnsPath, PlanId, shown
from planner.wiring.allocate import Allocation, RandomBits, allocate
from planner.wiring.base import setup_container_side_network, wiring_named
from planner.wiring.links import WiringTag


def make_plan(
    result: CniResult,
    facts: NamespaceFacts,
    *,
    plan_id: PlanId,
    netns: NetnsPath,
    options: PlanOptions,
    random: RandomBits,
    templates: Templates,
    recorded: Plan | None = None,
) -> Plan:
    """Return the plan that wires the interfaces of ``result`` in the namespace that ``facts`` describe.

    ``recorded`` is the plan that was applied to the namespace under this id, if any: planning the same again gives a
    plan without changes. Raises InvalidInput for a result that does not fit the namespace, Refused for one that
    podwire does not wire, or that is wired already in another way.
    """
    if recorded is not None:
        return _again(result, facts, options, templates, recorded)
    _refuse_unknown_wiring(facts)
    return _plan(result, facts, plan_id, netns, options, templates, chosen=None, random=random)


def _plan(
    result: CniResult,
    facts: NamespaceFacts,
    plan_id: PlanId,
    netns: NetnsPath,
    options: PlanOptions,
    templates: Templates,
    *,
    chosen: Allocation | None,
    random: RandomBits | None,
) -> Plan:
    fixed = validate_and_fix_cni_result(result, facts, netns)
    if options.fixes_calico:
        subnet = options.calico_subnet or DEFAULT_SUBNET
        fixed = fix_calico_networking(fixed, facts, dummy_gateway=options.dummy_gateway, subnet=subnet)
    if chosen is None and random is not None:
        chosen = allocate(random, facts, len(container_interfaces(fixed)) * wiring_named(options.wiring).macs)
    assert chosen is not None  # noqa: S101  one of the two is handed in
    owner = WiringTag(plan_id, chosen.group)
    network, changes = setup_container_side_network(
        fixed, facts, owner=owner, options=options, chosen=chosen, netns=netns
    )
    bare = Plan(plan_id, netns, network.result, options, chosen, facts, network.interfaces, changes, (), ())
    notes = (*passed_over(result, facts, netns).values(), *bare.hazards(facts))
    return with_changes(evolve(bare, notes=notes), changes, templates)


def _again(
    result: CniResult, facts: NamespaceFacts, options: PlanOptions, templates: Templates, recorded: Plan
) -> Plan:
    """Return the empty plan of a namespace that is wired as wanted, planned once more on what was recorded."""
    again = f"tear it down first (podwire teardown {recorded.id})"
    if options != recorded.options:
        raise Refused(f"{recorded.id} is wired already with other options: {again}")
    fixed = validate_and_fix_cni_result(result, recorded.facts, recorded.netns)
    if [link.name for link in container_interfaces(fixed)] != [link.link for link in recorded.interfaces]:
        raise Refused(f"{recorded.id} is wired already from another result: {again}")
    wanted = _plan(
        result, recorded.facts, recorded.id, recorded.netns, options, templates, chosen=recorded.chosen, random=None
    )
    # An earlier version may have wired the same by other changes.
    same = (wanted.result, _bare(wanted)) == (recorded.result, _bare(recorded))
    if wanted.changes != recorded.changes and not same:
        raise Refused(f"{recorded.id} is wired already from another result: {again}")
    drifted = pending(recorded.changes, facts)
    if drifted:
        names = ", ".join(str(change.resource) for change in drifted[:3])
        raise Refused(f"{recorded.id} is wired already but is not as it was applied any more ({names}): {again}")
    return with_changes(recorded, (), templates)


def _bare(plan: Plan) -> tuple[VmInterface, ...]:
    """Return the interfaces without what the guest is told, which follows from the rest."""
    return tuple(evolve(interface, guest=None) for interface in plan.interfaces)


def _refuse_unknown_wiring(facts: NamespaceFacts) -> None:
    ours = next((link for link in facts.links if Alias.is_ours(link.alias)), None)
    if ours is not None and ours.alias is not None:
        raise Refused(
            f"{ours.name} was made by podwire ({shown(ours.alias, 120)}), but that wiring is not recorded here: "
            "name its state directory with --state-dir, or remove the link by hand"
        )
