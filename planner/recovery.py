"""What a VM runtime knew of a namespace that is wired already, rebuilt from the record and the current state."""

from __future__ import annotations

from planner.errors import Refused
from planner.facts.model import NamespaceFacts
from planner.kinds.link import TapDevice
from planner.kinds.vf_setting import VFIO
from planner.network import ContainerSideNetwork, VmInterface
from planner.plan.plan import Plan
from planner.wiring.base import wiring_named
from planner.wiring.vf import VF

_TAP = "tap"


def recover_container_side_network(plan: Plan, facts: NamespaceFacts) -> ContainerSideNetwork:
    """Return the network of the namespace that ``plan`` wired, each of its interfaces looked for in ``facts``.

    Reference: RecoverContainerSideNetwork. Raises Refused if an interface is not there any more, is not of the type
    that was recorded, or has lost what its wiring needs.
    """
    for interface in plan.interfaces:
        _must_be_there(interface, plan, facts)
    return ContainerSideNetwork(plan.result, plan.netns, plan.interfaces)


def _must_be_handed_over(interface: VmInterface, plan: Plan, facts: NamespaceFacts) -> None:
    """Refuse a virtual function that the VM could not be given again."""
    host = facts.of(None)
    functions = () if host is None else host.functions
    function = next((found for found in functions if found.address == interface.pci_address), None)
    if function is None or function.driver != VFIO:
        has = "is gone" if function is None else f"is at {function.driver or 'no driver'}"
        again = f"podwire check {plan.id} --fix hands it over again"
        raise Refused(f"{interface.name} of {plan.id}: {interface.pci_address} {has} not at {VFIO}: {again}")


def _must_be_there(interface: VmInterface, plan: Plan, facts: NamespaceFacts) -> None:
    if interface.type == VF:
        _must_be_handed_over(interface, plan, facts)
        return
    if interface.type != _TAP:
        raise Refused(
            f"{interface.name} of {plan.id} is recorded as {interface.type}, which this podwire cannot recover"
        )
    again = f"podwire teardown {plan.id} rolls back what is left"
    for name in (interface.link, interface.name):
        if facts.link(name) is None:
            raise Refused(f"{name} of {plan.id} is no longer in {plan.netns}: {again}")
    link = facts.link(interface.name)
    if link is None or not isinstance(link.device, TapDevice):
        raise Refused(f"{interface.name} of {plan.id} is recorded as a tap and is not one: {again}")
    if lost := wiring_named(plan.options.wiring).lost(interface, facts):
        raise Refused(f"{interface.name} of {plan.id}: {lost}: {again}")
