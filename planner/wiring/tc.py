"""Traffic-control wiring: what comes in by the pod's interface is redirected to the VM's tap, and the other way round.

pod interface ══ tapX ── VM. The pod's interface keeps its MAC, addresses and routes, so the CNI plugin finds it as it
made it; it gets nothing any more, since every frame is taken away before the namespace's own stack sees it. Source:
tc-mirred(8).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import evolve

from planner.changes.change import Change
from planner.errors import Refused
from planner.facts.model import LinkFact, NamespaceFacts
from planner.kinds.link import TapDevice
from planner.kinds.link_attributes import QueueLength, QueueLengthState
from planner.kinds.qdisc import IngressQdisc, QdiscState
from planner.kinds.tc_filter import ALL, DHCP_REQUEST, EVERY_FRAME, U32, FilterRule, FilterState, TcFilter
from planner.network import VmInterface
from planner.text.values import InterfaceName, Keyword, NetnsPath, is_ipv6_link_local
from planner.wiring.base import Slot, Unfit, Wiring, WiringRequest, register, tap_interface
from planner.wiring.links import as_host_can, bring_up, create_tap, loopback_up
from planner.wiring.obstacles import filters_of
from planner.wiring.strip import strip_links

INGRESS = Keyword("ingress")
_FIRST_PREF, _LAST_PREF = 100, 65535
# The preferences of the tap's filters: those that let DHCP requests through go before the redirect.
_DHCP_PREFS = {4: 1, 6: 2}
_TAP_PREF = 100
# What the kernel sets by itself when a qdisc is added to a link without a queue, and never rolls back
# (sch_api.c, qdisc_create); DEFAULT_TX_QUEUE_LEN of <linux/netdevice.h>.
_DEFAULT_QUEUE = 1000
_UNFIT = {
    "macvtap": "a macvtap is opened by the VMM itself and needs no wiring",
    "ipvlan": "an ipvlan tells frames apart by their IP address, so a VM would not get all that is for it",
    "ipvtap": "an ipvtap is opened by the VMM itself and needs no wiring",
    "loopback": "the loopback link is the namespace's own",
    "ifb": "an ifb is made for tc itself, and no network is behind it",
    "bridge": "a bridge has frames of several links, and the VM would be sent what is for others",
}


def _unfit(link: LinkFact, _facts: NamespaceFacts) -> Unfit | None:
    """Say why the frames of a link cannot be redirected to a VM, None if they can."""
    if (why := _UNFIT.get(link.type)) is not None:
        return Unfit(f"{link.name} is of type {link.type}: {why}")
    if link.mac is None:
        return Unfit(f"{link.name} is of type {link.type}, which is no Ethernet: a VM cannot be given its frames")
    return None


def _interface(slot: Slot, request: WiringRequest) -> VmInterface:
    return tap_interface(slot, request, tap=slot.names[0])


def _changes(request: WiringRequest) -> tuple[Change, ...]:
    """Return the changes in their phases; what tc does is adjacent, so that one tc does it."""
    if request.options.serve_dhcp:
        # Nothing is planned yet that keeps the answers of the pod network's servers and routers from the VM.
        raise Refused("--serve-dhcp needs --wiring bridge: with tc the VM also hears the servers of the pod network")
    facts, netns, slots = request.facts, request.netns, request.slots
    # Going down again a link would lose its IPv6 addresses and routes: those of one that is down go before, and return.
    stripped = strip_links(tuple(link for link in request.links if not link.up), facts, netns)
    return (
        *stripped,
        *(change for slot in slots for change in _queue(slot.link, facts, netns)),
        *(as_host_can(_tap(slot, request), facts) for slot in slots),
        *(change for slot in slots for change in _qdiscs(slot, facts, netns)),
        *(change for slot in slots for change in _dhcp_filters(slot, facts, netns)),
        *(change for slot in slots for change in _redirects(slot, facts, netns)),
        *bring_up(request.links, netns, "carries the VM's frames"),
        *loopback_up(facts, {change.resource for change in stripped}, netns),
    )


def _tap(slot: Slot, request: WiringRequest) -> Change:
    tap = create_tap(
        slot.names[0],
        mac=slot.macs[0],
        mtu=slot.link.mtu,
        owner=request.tag,
        options=request.options,
        netns=request.netns,
        reason=f"the VM's end of {slot.link.name}; its address is for a DHCP server",
    )
    state: Any = tap.after
    return evolve(tap, after=evolve(state, addresses=(slot.dhcp_address,)))


def _has_qdisc(link: InterfaceName, facts: NamespaceFacts) -> bool:
    return any(fact.resource == IngressQdisc(link) for fact in facts.others)


def _queue(link: LinkFact, facts: NamespaceFacts, netns: NetnsPath) -> Iterator[Change]:
    """Yield what the first qdisc of a link without a queue would do to it, so that it can be rolled back."""
    if link.queue_length == 0 and not _has_qdisc(link.name, facts):
        states = QueueLengthState(0), QueueLengthState(_DEFAULT_QUEUE)
        yield Change(QueueLength(link.name), *states, "the qdisc would set it, and leave it so", netns)


def _qdiscs(slot: Slot, facts: NamespaceFacts, netns: NetnsPath) -> Iterator[Change]:
    """Yield the qdiscs that are not there yet; one of somebody else's is used and stays."""
    for link, reason in ((slot.link.name, "takes what comes in"), (slot.names[0], "takes what the VM sends")):
        if not _has_qdisc(link, facts):
            yield Change(IngressQdisc(link), None, QdiscState(INGRESS), reason, netns)


def _dhcp_filters(slot: Slot, facts: NamespaceFacts, netns: NetnsPath) -> Iterator[Change]:
    """Yield the filters that let DHCP requests through to the tap's own stack, for families that the link has.

    A link without an address of a family is a wire: the VM finds the DHCP server of its network by it.
    """
    addresses = [fact.resource.address for fact in facts.addresses_of(slot.link.name)]
    families = {address.version for address in addresses if not is_ipv6_link_local(address)}
    for family, (protocol, matches) in DHCP_REQUEST.items():
        if family in families:
            state = FilterState(protocol, U32, (FilterRule(matches),))
            resource = TcFilter(slot.names[0], INGRESS, _DHCP_PREFS[family])
            yield Change(resource, None, state, "the VM gets its lease from here only", netns)


def _redirects(slot: Slot, facts: NamespaceFacts, netns: NetnsPath) -> Iterator[Change]:
    link, tap = slot.link.name, slot.names[0]
    for resource, target, reason in (
        (TcFilter(tap, INGRESS, _TAP_PREF), link, "the VM's frames leave by it"),
        (TcFilter(link, INGRESS, _preference(link, facts)), tap, "its frames go to the VM"),
    ):
        state = FilterState(ALL, U32, (FilterRule(EVERY_FRAME, redirect=target),))
        yield Change(resource, None, state, reason, netns)


def _preference(link: InterfaceName, facts: NamespaceFacts) -> int:
    """Return a free preference, in front of others' filters if there is one: the first that decides on a frame wins."""
    taken = {found.pref for found, _ in filters_of(link, facts) if found.direction == INGRESS}
    first = min(taken, default=_FIRST_PREF + 1)
    if first > 1:
        return min(first - 1, _FIRST_PREF)
    return next(pref for pref in range(1, _LAST_PREF) if pref not in taken)


def _no_strays(_links: tuple[LinkFact, ...], _facts: NamespaceFacts, _netns: NetnsPath) -> tuple[Change, ...]:
    """Return nothing: what the pod's interface has, it keeps."""
    return ()


def _lost(interface: VmInterface, facts: NamespaceFacts) -> str | None:
    tap = facts.link(interface.name)
    if tap is None or not isinstance(tap.device, TapDevice):
        return "it is not a tap any more"
    for link, target in ((interface.link, interface.name), (interface.name, interface.link)):
        rules = (rule for _, state in filters_of(link, facts) for rule in state.rules)
        if not any(rule.redirect == target for rule in rules):
            return f"the frames of {link} are not redirected to {target} any more"
    return None


TC = register(
    Wiring(
        name="tc",
        title="tc wiring",
        unfit=_unfit,
        prefixes=("tap",),
        macs=1,
        interface=_interface,
        changes=_changes,
        strays=_no_strays,
        lost=_lost,
    )
)
