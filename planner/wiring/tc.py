"""Traffic-control wiring: what comes in by the pod's interface is redirected to the VM's tap, and the other way round.

pod interface ══ tapX ── VM. The pod's interface keeps its MAC, addresses and routes, so the CNI plugin finds it as it
made it; it gets nothing any more, since every frame is taken away before the namespace's own stack sees it. Source:
tc-mirred(8).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from itertools import islice
from typing import Any

from attrs import evolve

from planner.changes.change import Change
from planner.facts.model import LinkFact, NamespaceFacts
from planner.kinds.bpf import Bytecode
from planner.kinds.link import TapDevice
from planner.kinds.link_attributes import QueueLength, QueueLengthState
from planner.kinds.qdisc import IngressQdisc, QdiscState
from planner.kinds.sysctl import LinkSysctl
from planner.kinds.tc_filter import ALL, BPF, DHCP_REQUEST, EVERY_FRAME, U32, FilterRule, FilterState, TcFilter
from planner.network import VmInterface
from planner.text.values import InterfaceName, Keyword, NetnsPath, SysctlKey, SysctlValue
from planner.wiring.base import Slot, Unfit, Wiring, WiringRequest, register, tap_interface
from planner.wiring.links import as_host_can, bring_up, create_tap, loopback_up
from planner.wiring.obstacles import filters_of
from planner.wiring.served import addresses_to_serve, listens_to_routers, served_families
from planner.wiring.strip import strip_links
from planner.wiring.tc_guard import answers, questions

INGRESS = Keyword("ingress")
_FIRST_PREF, _LAST_PREF = 100, 65535
# The preferences of the tap's filters: those that decide on what the VM asks go before the redirect.
_DHCP_PREFS = {4: 1, 6: 2}
_GUARD_PREF, _TAP_PREF = 1, 100
# What the kernel sets on its own when a qdisc is added to a link without a queue, and never rolls back
# (sch_api.c, qdisc_create); DEFAULT_TX_QUEUE_LEN of <linux/netdevice.h>.
_DEFAULT_QUEUE = 1000
_UNFIT = {
    "macvtap": "a macvtap is opened by the VMM itself and needs no wiring",
    "ipvlan": "an ipvlan tells frames apart by their IP address, so a VM would not get all that is for it",
    "ipvtap": "an ipvtap is opened by the VMM itself and needs no wiring",
    "loopback": "the loopback link is the namespace's own",
    "ifb": "an ifb is made for tc itself, and leads to no network",
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
    requests_kept = _guards if request.options.serve_dhcp else _dhcp_filters
    facts, netns, slots = request.facts, request.netns, request.slots
    # Going down again a link would lose its IPv6 addresses and routes: those of one that is down go before, and return.
    stripped = strip_links(tuple(link for link in request.links if not link.up), facts, netns)
    return (
        *stripped,
        *(change for slot in slots for change in _queue(slot.link, facts, netns)),
        *(as_host_can(_tap(slot, request), facts) for slot in slots),
        *(change for slot in slots for change in _qdiscs(slot, facts, netns)),
        *(change for slot in slots for change in requests_kept(slot, request)),
        *(change for slot in slots for change in _redirects(slot, request)),
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
    addresses = (slot.dhcp_address, *addresses_to_serve(slot, request))
    return evolve(tap, after=evolve(state, addresses=addresses, sysctls=_heard(slot, request)))


def _heard(slot: Slot, request: WiringRequest) -> tuple[LinkSysctl, ...]:
    """Return what makes a server hear the VM: it renews its lease from an address that is the pod's own as well."""
    if not (request.options.serve_dhcp and slot.guest.addresses):
        return ()
    # accept_local takes such frames; rp_filter 2 also if "all" says 1, since the larger one counts (ip-sysctl.rst).
    values = {"accept_local": "1", "rp_filter": "2"}
    name = slot.names[0]
    return tuple(LinkSysctl(SysctlKey(f"net/ipv4/conf/{name}/{key}"), SysctlValue(values[key])) for key in values)


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


def _dhcp_filters(slot: Slot, request: WiringRequest) -> Iterator[Change]:
    """Yield the filters that let DHCP requests through to the tap's own stack, for families that the link has.

    A link without an address of a family is a wire: the VM finds the DHCP server of its network by it.
    """
    families = served_families(slot.link.name, request.facts)
    for family, (protocol, matches) in DHCP_REQUEST.items():
        if family in families:
            state = FilterState(protocol, U32, (FilterRule(matches),))
            resource = TcFilter(slot.names[0], INGRESS, _DHCP_PREFS[family])
            yield Change(resource, None, state, "the VM gets its lease from here only", request.netns)


def _guards(slot: Slot, request: WiringRequest) -> Iterator[Change]:
    """Yield the filters that keep the VM and the servers and routers of the pod network from hearing each other."""
    link, tap = slot.link.name, slot.names[0]
    served = served_families(link, request.facts)
    if not served:
        return
    routers = not listens_to_routers(link, request.facts)
    server = IPv4Address(slot.dhcp_address.ip)
    guard, _ = _preferences(link, request.facts, 2)
    others = "DHCP servers and routers" if routers else "DHCP servers"
    kept_in, kept_out = questions(served, server, routers=routers), answers(served, routers=routers)
    for resource, program, reason in (
        (TcFilter(tap, INGRESS, _GUARD_PREF), kept_in, "what the VM asks stays here"),
        (TcFilter(link, INGRESS, guard), kept_out, f"the VM hears no other {others}"),
    ):
        yield Change(resource, None, _decides(program), reason, request.netns)


def _decides(program: Bytecode) -> FilterState:
    return FilterState(ALL, BPF, (FilterRule(program=program),))


def every_guard() -> frozenset[FilterState]:
    """Return the filters of a pod's link that keep other servers and routers from a guest, whatever it is served."""
    families = ({4}, {6}, {4, 6})
    return frozenset(_decides(answers(served, routers=routers)) for served in families for routers in (True, False))


def _redirects(slot: Slot, request: WiringRequest) -> Iterator[Change]:
    link, tap = slot.link.name, slot.names[0]
    *_, pref = _preferences(link, request.facts, 2 if request.options.serve_dhcp else 1)
    for resource, target, reason in (
        (TcFilter(tap, INGRESS, _TAP_PREF), link, "the VM's frames leave by it"),
        (TcFilter(link, INGRESS, pref), tap, "its frames go to the VM"),
    ):
        state = FilterState(ALL, U32, (FilterRule(EVERY_FRAME, redirect=target),))
        yield Change(resource, None, state, reason, request.netns)


def _preferences(link: InterfaceName, facts: NamespaceFacts, count: int) -> list[int]:
    """Return free preferences, in front of others' filters if there is room: the first that decides on a frame wins."""
    taken = {found.pref for found, _ in filters_of(link, facts) if found.direction == INGRESS}
    last = min(min(taken, default=_FIRST_PREF + 1) - 1, _FIRST_PREF)
    if last >= count:
        return list(range(last - count + 1, last + 1))
    return list(islice((pref for pref in range(1, _LAST_PREF) if pref not in taken), count))


def _no_strays(_links: tuple[LinkFact, ...], _facts: NamespaceFacts, _netns: NetnsPath) -> tuple[Change, ...]:
    """Return nothing: what the pod's interface has, it keeps."""
    return ()


def _lost(interface: VmInterface, facts: NamespaceFacts) -> str | None:
    tap = facts.link(interface.name)
    if tap is None or not isinstance(tap.device, TapDevice):
        return "it is no longer a tap"
    for link, target in ((interface.link, interface.name), (interface.name, interface.link)):
        rules = (rule for _, state in filters_of(link, facts) for rule in state.rules)
        if not any(rule.redirect == target for rule in rules):
            return f"the frames of {link} are no longer redirected to {target}"
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
        programs=(("tc", "-batch", "-"),),
        lost=_lost,
    )
)
