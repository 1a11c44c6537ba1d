"""What is between the pod's interface and the VM: links whose frames lead nowhere, and who sees frames first."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from planner.errors import Refused
from planner.facts.hooks import NetfilterHook
from planner.facts.model import LinkFact, NamespaceFacts
from planner.kinds.ebtables import ACCEPT, FORWARD
from planner.kinds.kind import Resource
from planner.kinds.link import Link, TapDevice
from planner.kinds.link_attributes import Master
from planner.text.values import InterfaceName, MacAddress, NetnsPath

if TYPE_CHECKING:  # most pods have no filter, and then the kind of filters is not loaded
    from planner.kinds.tc_filter import FilterState, TcFilter

_ZERO_MAC = MacAddress("00:00:00:00:00:00")


def refuse_dead_end(link: LinkFact, facts: NamespaceFacts, netns: NetnsPath) -> None:
    """Raise Refused if a VM's frames would not get anywhere by ``link``, whatever the wiring; it says what to do."""
    inside, name = f"nsenter --net={netns}", shlex.quote(link.name)
    device = link.device
    is_for_somebody = isinstance(device, TapDevice) and (device.owner, device.owner_group) != (None, None)
    if is_for_somebody and not link.carrier:
        # One that a program has open, or will open as root (slirp4netns, pasta), is a way to somewhere.
        why = "it is already a tap, created for another program: attach the VMM to it directly"
        raise Refused(f"{link.name} can't be wired: {why}")
    if link.type == "dummy":
        raise Refused(
            f"{link.name} can't be wired: traffic sent to a dummy interface goes nowhere, so the VM would have no "
            "connectivity"
        )
    if link.type == "netkit" and (link.mac in (None, _ZERO_MAC) or "NOARP" in link.flags):
        raise Refused(
            f"{link.name} can't be wired: it is a netkit in L3 mode, which carries no Ethernet frames: "
            "make the pod's interface a veth, or a netkit in L2 mode"
        )
    if link.mac == _ZERO_MAC:
        raise Refused(f"{link.name} can't be wired: its MAC is {link.mac}, which no VM can have: set one first")
    if link.xdp is not None:
        raise Refused(
            f"{link.name} has an XDP program, and podwire cannot tell what it lets through: detach it first ({inside} "
            f"ip link set dev {name} {link.xdp} off)"
        )
    for found, state in filters_of(link.name, facts):
        if state.redirects_all:
            raise Refused(
                f"a {found} redirects every frame away from the VM (probably left behind by another runtime): remove "
                f"it first ({inside} tc filter del dev {name} {found.direction} pref {found.pref})"
            )


def filters_of(link: str, facts: NamespaceFacts) -> list[tuple[TcFilter, FilterState]]:
    """Return the tc filters of a link in the order in which the kernel tries them."""
    if not facts.others:
        return []
    from planner.kinds.tc_filter import TcFilter  # noqa: PLC0415

    found = [
        (fact.resource, fact.state)
        for fact in facts.others
        if isinstance(fact.resource, TcFilter) and fact.resource.link == link
    ]
    return sorted(found, key=lambda pair: pair[0].pref)


def hazards(links: Iterable[InterfaceName], facts: NamespaceFacts, ours: Collection[Resource]) -> tuple[str, ...]:
    """Return a sentence for each filter, hook and policy in the namespace that sees the VM's frames and may drop them.

    ``links`` are the pod's interfaces, ``ours`` what podwire makes of them. Nothing sees what a filter of ours takes
    away before, and chains of bridges see only what is bridged.
    """
    wired = tuple(links)
    bridged = any(Master(name) in ours for name in wired)
    policies = (chain for chain in facts.ebtables.chains if chain.name == FORWARD and chain.policy != ACCEPT)
    return (
        *(note for name in wired for note in _port(name, facts, ours)),
        *(note for name in wired for note in _filters(name, facts, ours)),
        *(f"the {hook} sees the VM's frames" for hook in facts.hooks if _matters(hook, wired, ours)),
        *(
            f"the ebtables chain {chain.name} has the policy {chain.policy}, for the VM's frames too"
            for chain in policies
            if bridged
        ),
    )


def _port(name: InterfaceName, facts: NamespaceFacts, ours: Collection[Resource]) -> Iterator[str]:
    link = facts.link(name)
    if link is not None and link.master is not None and Link(link.master) not in ours:
        what = "and leaves it" if Master(name) in ours else "which sees none of its frames then"
        yield f"{name} is a port of {link.master}, {what}"
    if link is not None and isinstance(link.device, TapDevice) and not link.carrier:
        yield f"{name} is a tap that no program has open, so the VM's frames go nowhere until one opens it"


def _filters(name: InterfaceName, facts: NamespaceFacts, ours: Collection[Resource]) -> Iterator[str]:
    for found, state in filters_of(name, facts):
        from planner.kinds.tc_filter import TcFilter, rules_words  # noqa: PLC0415

        if found not in ours and not any(_is_behind(found, own) for own in ours if isinstance(own, TcFilter)):
            yield f"a {found} sees the VM's frames: {rules_words(state)}"


def _is_behind(found: TcFilter, own: TcFilter) -> bool:
    return (found.link, found.direction) == (own.link, own.direction) and found.pref > own.pref


def _matters(hook: NetfilterHook, links: Collection[InterfaceName], ours: Collection[Resource]) -> bool:
    """Say whether a hook sees frames of the links: tc comes before the ingress hook of netdev, and before bridges."""
    if hook.does_nothing:
        return False
    if hook.family == "bridge":
        return any(Master(name) in ours for name in links)
    taken = _links_of_filters(ours) if hook.hook == "ingress" else set()
    return not (set(hook.devices) - taken).isdisjoint(links)


def _links_of_filters(ours: Collection[Resource]) -> set[InterfaceName]:
    from planner.kinds.tc_filter import TcFilter  # noqa: PLC0415

    return {own.link for own in ours if isinstance(own, TcFilter)}
