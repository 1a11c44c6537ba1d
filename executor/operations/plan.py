"""Planning: what there is, what is recorded of it, and what would be done. Nothing is changed."""

from __future__ import annotations

import random
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import evolve

from executor.netns.namespace import Namespace, boot_id
from executor.observe.elsewhere import with_elsewhere, with_functions
from executor.observe.observe import observe_once
from executor.settings import Settings
from planner.cni.result import CniResult
from planner.errors import PodwireError, Refused
from planner.facts.model import NamespaceFacts
from planner.options import PlanOptions
from planner.plan.plan import Plan, moved_to, plan_from_json, plan_to_json
from planner.plan.render import Templates
from planner.planning import make_plan
from planner.text.document import Node
from planner.text.values import Alias, NetnsPath, PlanId

if TYPE_CHECKING:
    from executor.state.record import WiringRecord
    from planner.changes.follow import Followed


def plan_namespace(
    result: CniResult, *, plan_id: PlanId, netns: NetnsPath, options: PlanOptions, settings: Settings
) -> Plan:
    """Return what wires the links of ``result`` in a namespace as it is now, empty if it is wired so already.

    Raises InvalidInput for a result that does not fit, Refused for what podwire does not wire, or has wired
    differently, NamespaceGone, HostError.
    """
    with Namespace.open(netns) as namespace:
        refuse_the_hosts(namespace, settings)
        recorded = recorded_plans(plan_id, namespace, settings)
        facts = observe_once(namespace, timeout=settings.timeout)
    own = next((plan for plan in recorded if plan.id == plan_id), None)
    if own is None:
        facts = with_functions(facts, timeout=settings.timeout)
    else:
        facts = with_elsewhere(facts, own.facts.elsewhere, timeout=settings.timeout)
    return plan_observed(
        result, facts, plan_id=plan_id, netns=netns, options=options, settings=settings, recorded=recorded
    )


def plan_observed(
    result: CniResult,
    facts: NamespaceFacts,
    *,
    plan_id: PlanId,
    netns: NetnsPath,
    options: PlanOptions,
    settings: Settings,
    recorded: tuple[Plan, ...],
) -> Plan:
    """Return what ``plan_from_facts`` does; a refusal names the state entry of the id if that is lost.

    It can be put back. Only then is the journal read: wiring a new id need not wait for that.
    """
    templates = settings.templates
    try:
        return plan_from_facts(
            result, facts, plan_id=plan_id, netns=netns, options=options, templates=templates, recorded=recorded
        )
    except Refused:
        if plan_id not in settings.store.ids():
            from executor.state.status import refuse_lost  # noqa: PLC0415  most are refused for something else

            refuse_lost(plan_id, settings.store)
        raise


def plan_from_facts(
    result: CniResult,
    facts: NamespaceFacts,
    *,
    plan_id: PlanId,
    netns: NetnsPath,
    options: PlanOptions,
    templates: Templates,
    recorded: tuple[Plan, ...] = (),
) -> Plan:
    """Return what wires the links of ``result`` in a namespace that was observed: the host is not read."""
    return make_plan(
        result,
        facts,
        plan_id=plan_id,
        netns=netns,
        options=options,
        random=random.SystemRandom(),
        templates=templates,
        recorded=recorded,
    )


def refuse_the_hosts(namespace: Namespace, settings: Settings) -> None:
    """Raise Refused for the network that the host itself lives in, by whatever path, unless that is allowed."""
    if namespace.is_of_the_host and not settings.allow_host_netns:
        raise Refused(
            f"{namespace.path} is the host's own network namespace (podwire's, or that of process 1), not a pod's: "
            "--allow-host-netns wires it anyway"
        )


def plan_of(entry: WiringRecord, netns: NetnsPath, templates: Templates) -> Plan:
    """Return the plan that an entry holds, for its namespace as ``netns`` leads to it now."""
    return moved_to(plan_from_json(entry.plan, templates), netns, templates)


def knowing_names(entry: WiringRecord, followed: Followed, templates: Templates) -> WiringRecord:
    """Return an entry that also tells of what is made under the names that its links have now.

    What matches a link by its name alone (the rules of ebtables) is found by that, whatever the link is called later.
    """
    if not followed.names:
        return entry
    plan = plan_from_json(entry.plan, templates)
    pairs = zip(plan.changes, followed.plan.changes, strict=True)
    changes = tuple(change.knowing(now) for change, now in pairs)
    return entry._replace(plan=Node(plan_to_json(evolve(plan, changes=changes)), "plan"))


def beside(plan_id: PlanId, namespace: Namespace, settings: Settings) -> tuple[Plan, ...]:
    """Return the plans of other ids in a namespace, half done or not: what it has once they hold as well.

    One that is damaged is left out: it must keep nobody from going (``lost_beside``).
    """
    found = []
    for entry in settings.store.beside(plan_id, namespace.cookie):
        if entry.is_of(namespace.cookie, boot_id()):
            with suppress(PodwireError):
                found.append(plan_of(entry, namespace.path, settings.templates))
    return tuple(found)


def lost_beside(
    plan_id: PlanId, known: Iterable[Plan], facts: NamespaceFacts, namespace: Namespace, settings: Settings
) -> tuple[Plan, ...]:
    """Return the plans of those that have links in ``facts`` and are not ``known``: their entries are damaged or lost.

    Their journals have copies; one without a copy is left out.
    """
    owners = {owner for link in facts.links if (owner := Alias.owner_in(link.alias))}
    unknown = owners - {plan_id, *(plan.id for plan in known)}
    if not unknown:
        return ()
    from executor.state.copies import copy_of_entry  # noqa: PLC0415  seldom needed

    copies = (copy_of_entry(owner, settings.store) for owner in sorted(unknown))
    there = (copy for copy in copies if copy is not None and copy.is_of(namespace.cookie, boot_id()))
    return tuple(plan_of(copy, namespace.path, settings.templates) for copy in there)


def recorded_plans(plan_id: PlanId, namespace: Namespace, settings: Settings) -> tuple[Plan, ...]:
    """Return the plans that were applied to this very namespace, of whichever id. Raises Refused for half done ones."""
    found = []
    for entry in settings.store.concerning(plan_id, namespace.cookie):
        if not entry.is_of(namespace.cookie, boot_id()):
            continue
        from executor.state.status import refuse_half_done  # noqa: PLC0415  there is an entry

        refuse_half_done(entry)
        found.append(plan_of(entry, namespace.path, settings.templates))
    return tuple(found)
