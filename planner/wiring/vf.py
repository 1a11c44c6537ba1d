"""SR-IOV: a virtual function is handed to the VM whole, by vfio-pci, beside whatever wiring the other links have.

Its MAC is pinned at the physical function, on the host; its interface goes with its driver. In the rollback it comes
with that MAC, on the host, and is taken from there. It never gets another MAC, and is never a port of a bridge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve

from planner.changes.change import Change, inverse
from planner.errors import Refused
from planner.facts.model import FunctionFact, LinkFact, NamespaceFacts
from planner.guest.model import Guest
from planner.kinds.driver import Driver, DriverState
from planner.kinds.kind import kind_of
from planner.kinds.link_attributes import AddrGenMode
from planner.kinds.vf_link import VfLink, link_state
from planner.kinds.vf_setting import VFIO, VfSetting
from planner.network import VmInterface
from planner.options import PlanOptions
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, Keyword, LinkAlias, MacAddress, NetnsPath, shown
from planner.wiring.strip import strip_links

VF = Keyword("vf")


@frozen
class HandOver:
    """A link that is handed over, and its virtual function."""

    link: LinkFact
    mac: MacAddress
    function: FunctionFact


def hand_overs(
    links: Sequence[LinkFact], facts: NamespaceFacts, options: PlanOptions
) -> Mapping[InterfaceName, HandOver]:
    """Return what of ``links`` are interfaces of virtual functions, by their names.

    Raises Refused if one cannot be handed over, which says what to do.
    """
    found = [
        HandOver(link, link.mac, function)
        for link in links
        if link.mac is not None and (function := facts.function_of(link)) is not None
    ]
    handed = {each.function.address for each in found}
    for each in found:
        _refuse_unfit(each.link, each.function, facts)
        if not options.sriov:
            raise Refused(f"{_named(each)}, which is handed to the VM only with --sriov")
        _refuse_host(each)
        strangers = [str(other) for other in each.function.group_devices if other not in handed]
        if strangers:
            raise Refused(
                f"{_named(each)}, and shares its IOMMU group {each.function.group} with {', '.join(strangers)}, not"
                " handed over: the kernel gives a VM a whole group or nothing (in another slot it may have its own)"
            )
    return {each.link.name: each for each in found}


def _named(each: HandOver) -> str:
    return f"{each.link.name} is the SR-IOV virtual function {each.function.address}"


def _refuse_unfit(link: LinkFact, function: FunctionFact, facts: NamespaceFacts) -> None:
    """Refuse a link that others hang on in a way that would not come back."""
    if facts.functions:
        raise Refused(f"{link.name} is the SR-IOV virtual function {function.address} in the host's own namespace")
    if link.master is not None:
        raise Refused(f"{link.name}, an SR-IOV virtual function, is a port of {link.master}: take it out first")
    if link.alias is not None and not re.fullmatch(LinkAlias.pattern, link.alias):
        raise Refused(
            f"{link.name}, an SR-IOV virtual function, has the alias {shown(link.alias)}: which is not a single line"
        )
    if link.xdp is not None:
        raise Refused(f"{link.name}, an SR-IOV virtual function, has an XDP program, which could not be restored")
    others = (fact.resource for fact in facts.others if link.name in kind_of(fact.resource).links(fact.resource))
    if other := next(others, None):
        raise Refused(f"{link.name}, an SR-IOV virtual function, has an {other}, which could not be restored")
    if child := next((other for other in facts.links if other.parent == link.name), None):
        raise Refused(f"{link.name}, an SR-IOV virtual function, carries {child.name}: remove {child.name}")


def _refuse_host(each: HandOver) -> None:
    """Refuse what the host is not ready for."""
    function = each.function
    if function.setting is None or function.pf is None:
        raise Refused(f"{_named(each)}, and its physical function {function.physfn} has no interface on the host")
    if function.group is None:
        raise Refused(
            f"{_named(each)}, and this host has no IOMMU in use: enable it in the firmware and the kernel's command"
            " line (intel_iommu=on, or amd_iommu=on)"
        )
    if not function.vfio:
        raise Refused(f"{_named(each)}, and the driver vfio-pci is not loaded: modprobe vfio-pci")
    if not function.pf_carrier:
        raise Refused(f"{_named(each)}, and {function.pf} has no carrier: a MAC that is pinned now would not hold")


def vf_interface(each: HandOver, guest: Guest) -> VmInterface:
    """Return the interface of a VM that is given the function."""
    setting = each.function.setting
    return VmInterface(
        type=VF,
        name=each.link.name,
        link=each.link.name,
        mac=guest.mac,
        mtu=guest.mtu,
        neighbours=guest.neighbours,
        pci_address=each.function.address,
        vlan=setting.vlan if setting is not None and setting.vlan else None,
        guest=guest,
    )


def hand_over(given: Sequence[HandOver], facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that hand functions over, phase by phase.

    Reference: the SR-IOV part of SetupContainerSideNetwork; its inverse is ReconstructVFs.
    """
    if not given:
        return ()
    return (
        *_strip(tuple(each.link for each in given), facts, netns),
        *(_pin(each) for each in given),
        *(_leave(each, netns) for each in given),
        *(_bind(each) for each in given),
    )


def reconstruct_vfs(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return the changes that bring the functions of a wiring home, of all that take its ``changes`` back.

    Reference: ReconstructVFs.
    """
    return inverse(change for change in changes if kind_of(change.resource).device(change.resource) is not None)


def _strip(links: tuple[LinkFact, ...], facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that strip links; what is only set of them goes with them, and comes back as they do.

    Sysctls come back with the link itself, before it is up.
    """
    names = {str(link.name) for link in links}
    kept = []
    for change in strip_links(links, facts, netns):
        if change.after is None:
            kept.append(change)
        elif isinstance(change.resource, AddrGenMode) and change.links <= names:
            kept.append(evolve(change, after=None, reason="goes with the link"))
    return tuple(kept)


def _pin(each: HandOver) -> Change:
    function, link = each.function, each.link
    assert function.pf is not None and function.setting is not None  # noqa: S101, PT018  refused before
    resource = VfSetting(function.address, function.pf, function.number)
    pinned = evolve(function.setting, mac=each.mac, pinned=True)
    return Change(resource, function.setting, pinned, f"the VM keeps the MAC of {link.name}", None)


def _leave(each: HandOver, netns: NetnsPath) -> Change:
    resource = VfLink(each.function.address, each.link.name)
    return Change(resource, link_state(each.link), None, "goes to the VM with its device", netns)


def _bind(each: HandOver) -> Change:
    function = each.function
    before = DriverState(function.driver, function.override)
    return Change(Driver(function.address), before, DriverState(VFIO, VFIO), "the VM opens it by vfio", None)
