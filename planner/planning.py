"""From a CNI result and facts to a plan: fix the result, wire, render. Pure: whatever it needs is handed in."""

from __future__ import annotations

from attrs import evolve

from planner.cni.calico import DEFAULT_SUBNET, calico_notes, fix_calico_networking
from planner.cni.fix import passed_over, validate_and_fix_cni_result
from planner.cni.links import container_interfaces
from planner.cni.result import CniResult
from planner.drift import unfinished
from planner.errors import Refused
from planner.facts.model import NamespaceFacts
from planner.network import VmInterface
from planner.options import PlanOptions
from planner.plan.plan import Plan, with_changes
from planner.plan.render import Templates
from planner.plan.sharing import inherited_from, joined
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
    recorded: tuple[Plan, ...] = (),
) -> Plan:
    """Return the plan that wires the interfaces of ``result`` in the namespace that ``facts`` describe.

    ``recorded`` are the plans that were applied to the namespace: planning the same again under an id gives a plan
    without changes, and those of other ids share what the namespace has once. Raises InvalidInput for a result that
    does not fit the namespace, Refused for one that podwire does not wire, or that is wired already in another way.
    """
    own = next((plan for plan in recorded if plan.id == plan_id), None)
    if own is not None:
        return _again(result, facts, options, templates, own)
    others = recorded
    _refuse_unknown_wiring(facts, {Alias.of(other.id) for other in others})
    _refuse_wired_links(result, others)
    plan = _plan(result, facts, plan_id, netns, options, templates, chosen=None, random=random)
    return _beside(plan, others, templates)


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
    ignored: tuple[str, ...] = ()
    if options.fixes_calico:
        subnet = options.calico_subnet or DEFAULT_SUBNET
        ignored = calico_notes(fixed, facts, dummy_gateway=options.dummy_gateway, subnet=options.calico_subnet)
        fixed = fix_calico_networking(fixed, facts, dummy_gateway=options.dummy_gateway, subnet=subnet)
    if chosen is None and random is not None:
        chosen = allocate(random, facts, len(container_interfaces(fixed)) * wiring_named(options.wiring).macs)
    assert chosen is not None  # noqa: S101  one of the two is handed in
    owner = WiringTag(plan_id, chosen.group)
    network, changes = setup_container_side_network(
        fixed, facts, owner=owner, options=options, chosen=chosen, netns=netns
    )
    bare = Plan(plan_id, netns, network.result, options, chosen, facts, network.interfaces, changes, (), ())
    notes = (*passed_over(result, facts, netns).values(), *ignored, *bare.hazards(facts))
    return with_changes(evolve(bare, notes=notes), changes, templates)


def _beside(plan: Plan, others: tuple[Plan, ...], templates: Templates) -> Plan:
    """Return the plan of a wiring that shares the namespace with ``others``."""
    if not others:
        return plan
    inherited = inherited_from(others, plan.changes, plan.netns)
    ids = ", ".join(other.id for other in others)
    shared = ", ".join(str(change.resource) for change in inherited)
    note = (
        f"{ids} {'is' if len(others) == 1 else 'are'} also wired in this namespace; the last one torn down restores "
        f"{shared}"
    )
    notes = (*plan.notes, note) if shared else plan.notes
    return with_changes(evolve(plan, inherited=inherited, notes=notes), joined(plan.changes, others), templates)


def _again(
    result: CniResult, facts: NamespaceFacts, options: PlanOptions, templates: Templates, recorded: Plan
) -> Plan:
    """Return the empty plan of a namespace that is wired as wanted, planned once more on what was recorded."""
    again = f"tear it down first (podwire teardown {recorded.id})"
    if options != recorded.options:
        raise Refused(f"{recorded.id} is already wired with other options: {again}")
    another = f"{recorded.id} is already wired from a different CNI result: {again}"
    wired = [one.link for one in recorded.interfaces]
    named = {interface.name for interface in result.sandboxed_interfaces()}
    if named and named.isdisjoint(wired):
        raise Refused(f"{another}, or wire this one under an id of its own (--id)")
    fixed = validate_and_fix_cni_result(result, recorded.facts, recorded.netns)
    if [link.name for link in container_interfaces(fixed)] != wired:
        raise Refused(another)
    wanted = _plan(
        result, recorded.facts, recorded.id, recorded.netns, options, templates, chosen=recorded.chosen, random=None
    )
    # An earlier version may have wired the same by other changes.
    same = (wanted.result, _bare(wanted)) == (recorded.result, _bare(recorded))
    if wanted.changes != recorded.changes and not same:
        raise Refused(another)
    if left := unfinished(recorded, facts):
        names = ", ".join(str(change.resource) for change in left[:3])
        raise Refused(f"{recorded.id} is already wired but has drifted ({names}): {again}")
    return with_changes(recorded, (), templates)


def _bare(plan: Plan) -> tuple[VmInterface, ...]:
    """Return the interfaces without the guest's configuration, which follows from the rest."""
    return tuple(evolve(interface, guest=None) for interface in plan.interfaces)


def _refuse_unknown_wiring(facts: NamespaceFacts, known: set[Alias]) -> None:
    ours = next((link for link in facts.links if Alias.is_ours(link.alias) and link.alias not in known), None)
    if ours is not None and ours.alias is not None:
        raise Refused(
            f"{ours.name} was created by podwire ({shown(ours.alias, 120)}), but that wiring is not recorded here: "
            "name its state directory with --state-dir, or remove the link by hand"
        )


def _refuse_wired_links(result: CniResult, others: tuple[Plan, ...]) -> None:
    """Refuse a link that another wiring has: by its name, or by an address that it had before."""
    named = {interface.name for interface in result.sandboxed_interfaces()}
    for other in others:
        wired = {interface.link for interface in other.interfaces}
        had = {name for ip in result.ips for name in other.facts.carriers(ip.address)}
        for name in sorted(wired & (named or had)):
            raise Refused(f"{name} is already wired, as {other.id}: run podwire teardown {other.id} first")
