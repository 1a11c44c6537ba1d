"""Bridge wiring: the VM gets the pod's interface through a tap that is bridged to it.

pod interface ── brX ── tapX ── VM, X being the link's position among the container links. An ordering of changes:
phases go over all links before the next begins, so that the inverse order is right automatically.
"""

from __future__ import annotations

from collections.abc import Collection

from attrs import evolve

from planner.changes.change import Change
from planner.errors import Refused
from planner.facts.model import LinkFact, NamespaceFacts
from planner.kinds.ebtables import DropRule, EbtablesRules, block_rules, new_rules, read_rule, served_rules
from planner.kinds.link_attributes import AddrGenMode
from planner.kinds.sysctl import Sysctl, SysctlState
from planner.network import VmInterface
from planner.text.values import NetnsPath, SysctlKey, SysctlValue
from planner.wiring.base import Slot, Unfit, Wiring, WiringRequest, register, tap_interface
from planner.wiring.links import (
    as_host_can,
    bring_up,
    create_bridge,
    create_tap,
    enslave,
    loopback_up,
    set_hardware_addr,
)
from planner.wiring.served import addresses_to_serve, listens_to_routers, served_families
from planner.wiring.strip import strip_links

_ZERO = SysctlValue("0")
BRIDGE_NETFILTER_FAMILIES = ("iptables", "ip6tables", "arptables")
_OTHER_PLUGIN = "use a bridge or ptp plugin"
# Links that cannot be ports of a bridge, or through which the VM's frames would not arrive; and what would work.
_UNBRIDGEABLE = {
    "macvlan": Unfit(
        "a macvlan takes only frames for its own MAC, so the VM's would never arrive (a passthru one would "
        "change its parent's MAC, which is the host's NIC)",
        f"{_OTHER_PLUGIN}, or hand over an SR-IOV VF",
    ),
    "macvtap": Unfit("a macvtap is opened by the VMM itself and needs no wiring"),
    "ipvlan": Unfit("an ipvlan shares its parent's MAC and cannot be a port of a bridge", _OTHER_PLUGIN),
    "ipvtap": Unfit("an ipvtap shares its parent's MAC and cannot be a port of a bridge", _OTHER_PLUGIN),
    "ifb": Unfit("the kernel changes no MAC of an ifb, and the VM needs that of its interface"),
    "bridge": Unfit("a bridge cannot be a port of another bridge"),
    "loopback": Unfit("the loopback link is the namespace's own"),
}


def _unfit(link: LinkFact, facts: NamespaceFacts) -> Unfit | None:
    """Say why a link cannot be a port of a bridge, None if it can.

    A port with settings of its own would lose them as it leaves its bridge, and podwire could not restore them. A link
    whose frames another link takes is not made a port by the kernel (EBUSY).
    """
    name = link.name
    if (kind := _UNBRIDGEABLE.get(link.type)) is not None:
        return Unfit(f"{name} is of type {link.type}: {kind.why}", kind.instead)
    if name.endswith("+"):
        return Unfit(f"{name} ends in a plus, which ebtables takes for a wildcard", "rename it")
    if link.mac is None:
        return Unfit(f"{name} is of type {link.type}, which is no Ethernet: it cannot be a port of a bridge")
    if child := next((other for other in facts.links if other.parent == name), None):
        why = f"{name} carries {child.name}, a {child.type}, so it cannot be a port of a bridge"
        return Unfit(why, f"remove {child.name}")
    if link.port_settings:
        settings = ", ".join(link.port_settings)
        return Unfit(f"{name} is a port of {link.master} with settings of its own ({settings})", "take it out first")
    return None


def _interface(slot: Slot, request: WiringRequest) -> VmInterface:
    bridge, tap = slot.names
    return tap_interface(slot, request, tap=tap, bridge=bridge)


def _changes(request: WiringRequest) -> tuple[Change, ...]:
    """Return the changes in their phases. The MAC comes before the ports: the VM has the old one from then on."""
    links, facts, netns = request.links, request.facts, request.netns
    others = {slot.link.name for slot in request.slots if slot.guest.mac != slot.link.mac}
    stripped = tuple(_with_reason(change, others) for change in strip_links(links, facts, netns))
    return (
        *stripped,
        _block(request),
        *(change for slot in request.slots for change in _new_mac(slot, netns)),
        *_only_bridged(facts, netns),
        *(as_host_can(change, facts) for slot in request.slots for change in _made_for(slot, request)),
        *(change for slot in request.slots for change in enslave((slot.link,), slot.names[0], netns)),
        *bring_up(links, netns, "carries the VM's frames"),
        *loopback_up(facts, {change.resource for change in stripped}, netns),
    )


def _new_mac(slot: Slot, netns: NetnsPath) -> tuple[Change, ...]:
    if slot.guest.mac == slot.link.mac:
        return set_hardware_addr(slot.link, slot.macs[0], netns)
    return set_hardware_addr(slot.link, slot.macs[0], netns, "the VM has a MAC of its own; nobody uses the old one")


def _with_reason(change: Change, others: Collection[str]) -> Change:
    """Return a change of stripping; a VM with another MAC (``others``) chooses another link-local address."""
    is_of_other = isinstance(change.resource, AddrGenMode) and change.resource.link in others
    return evolve(change, reason="the VM has a link-local address of its own") if is_of_other else change


def _made_for(slot: Slot, request: WiringRequest) -> tuple[Change, Change]:
    """Return the changes that make the bridge and the tap of one link."""
    (name, tap), (_, bridge_mac, tap_mac) = slot.names, slot.macs
    bridge = create_bridge(
        name,
        slot.link.mtu,
        mac=bridge_mac,
        owner=request.tag,
        addresses=(slot.dhcp_address, *addresses_to_serve(slot, request)),
        netns=request.netns,
        reason=f"joins {slot.link.name} and {tap}; its address is for a DHCP server",
    )
    port = create_tap(
        tap,
        mac=tap_mac,
        mtu=slot.link.mtu,
        owner=request.tag,
        options=request.options,
        netns=request.netns,
        master=name,
        reason=f"the VM's end of {slot.link.name}",
    )
    return bridge, port


def _only_bridged(facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that keep the namespace's iptables from the VM's bridged frames (br_netfilter)."""
    keys = [SysctlKey(f"net/bridge/bridge-nf-call-{family}") for family in BRIDGE_NETFILTER_FAMILIES]
    return tuple(
        Change(
            Sysctl(key), SysctlState(value), SysctlState(_ZERO), "the pod's iptables could drop the VM's frames", netns
        )
        for key in keys
        if (value := facts.sysctl(key)) is not None and value != _ZERO
    )


def _block(request: WiringRequest) -> Change:
    """Return the ebtables rules of the wiring: pod network and bridges are kept apart, DHCP requests stay inside."""
    facts = request.facts
    if facts.ebtables.problem:
        raise Refused(facts.ebtables.problem)
    rules = tuple(rule for slot in request.slots for rule in _rules(slot, request))
    there = next((line for line in facts.ebtables.rules if read_rule(line) in rules), None)
    if there is not None:
        raise Refused(f"the ebtables rule '{there}' already exists and was not created by podwire: remove it first")
    odd = next((rule.chain for rule in rules if rule.chain in facts.ebtables.odd_chains), None)
    if odd is not None:
        raise Refused(
            f"chain {odd} of the nft table bridge filter is not as ebtables makes it (another hook or priority), so it "
            "takes no ebtables rules: move it into a table of its own"
        )
    state = new_rules(rules, facts.ebtables)
    served = any(served_families(link.name, facts) for link in request.links)
    reason = "isolates the bridge from the pod network" + ("; DHCP leases come from here only" if served else "")
    return Change(EbtablesRules(request.tag.id), None, state, reason, request.netns)


def _rules(slot: Slot, request: WiringRequest) -> tuple[DropRule, ...]:
    """Return the rules of one link. Routers that the pod itself listened to are the guest's too."""
    name, served = slot.link.name, served_families(slot.link.name, request.facts)
    rules = block_rules(name, served=served)
    if not (request.options.serve_dhcp and served):
        return rules
    return (*rules, *served_rules(name, served=served, routers=not listens_to_routers(name, request.facts)))


def _lost(interface: VmInterface, facts: NamespaceFacts) -> str | None:
    tap = facts.link(interface.name)
    if tap is not None and tap.master == interface.bridge:
        return None
    return f"it is no longer a port of {interface.bridge}"


BRIDGE = register(
    Wiring(
        name="bridge",
        title="bridge wiring",
        unfit=_unfit,
        prefixes=("br", "tap"),
        macs=3,  # the pod's interface, the bridge and the tap each get one
        interface=_interface,
        changes=_changes,
        strays=strip_links,  # they keep no address, route or neighbour of their own while they are wired
        programs=(("sysctl", "-q", "-p", "-"), ("ebtables-restore", "--noflush")),
        lost=_lost,
    )
)
