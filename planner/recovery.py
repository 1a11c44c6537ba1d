"""What a VM runtime knew of a namespace that is wired already, rebuilt from what was recorded and what is there."""

from __future__ import annotations

from planner.errors import Refused
from planner.facts.model import NamespaceFacts
from planner.kinds.link import TapDevice
from planner.network import ContainerSideNetwork, VmInterface
from planner.plan.plan import Plan
from planner.wiring.base import wiring_named

_TAP = "tap"


def recover_container_side_network(plan: Plan, facts: NamespaceFacts) -> ContainerSideNetwork:
    """Return the network of the namespace that ``plan`` wired, each of its interfaces looked for in ``facts``.

    Reference: RecoverContainerSideNetwork. Raises Refused where an interface is not there any more, is not of the type
    that was recorded, or has lost what its wiring needs.
    """
    for interface in plan.interfaces:
        _must_be_there(interface, plan, facts)
    return ContainerSideNetwork(plan.result, plan.netns, plan.interfaces)


def _must_be_there(interface: VmInterface, plan: Plan, facts: NamespaceFacts) -> None:
    if interface.type != _TAP:
        raise Refused(
            f"{interface.name} of {plan.id} is recorded as {interface.type}, which this podwire cannot recover"
        )
    again = f"podwire teardown {plan.id} takes back what is left"
    for name in (interface.link, interface.name):
        if facts.link(name) is None:
            raise Refused(f"{name} of {plan.id} is not in {plan.netns} any more: {again}")
    link = facts.link(interface.name)
    if link is None or not isinstance(link.device, TapDevice):
        raise Refused(f"{interface.name} of {plan.id} is recorded as a tap and is not one: {again}")
    if lost := wiring_named(plan.options.wiring).lost(interface, facts):
        raise Refused(f"{interface.name} of {plan.id}: {lost}: {again}")
