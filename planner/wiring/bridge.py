"""Bridge wiring: the VM gets the pod's interface through a tap that is bridged to it.

pod interface ── brX ── tapX ── VM, X being the link's position among the container links. An ordering of changes:
phases go over all links before the next begins, so that the inverse order is right by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import IPv4Interface, IPv4Network, ip_interface

from attrs import evolve, frozen

from planner.changes.change import Change
from planner.cni.links import container_interfaces
from planner.cni.result import CniResult
from planner.errors import InvalidInput, Refused
from planner.facts.ebtables_save import block_rules, new_rules, read_rule
from planner.facts.model import AddressFact, LinkFact, NamespaceFacts, RouteFact
from planner.network import ContainerSideNetwork, GuestNeighbour, VmInterface
from planner.options import PlanOptions
from planner.resources import Address, AddressState, EbtablesRules, LinkState, Resource, Sysctl, SysctlState
from planner.text.values import (
    InterfaceName,
    IpInterface,
    Keyword,
    Label,
    MacAddress,
    NetnsPath,
    SysctlKey,
    SysctlValue,
    is_ipv6_link_local,
)
from planner.wiring.allocate import Allocation
from planner.wiring.links import WiringTag, bring_up, create_bridge, create_tap, enslave, set_hardware_addr
from planner.wiring.strip import strip_links

_ZERO = SysctlValue("0")
_BRIDGE_NETFILTER = ("iptables", "ip6tables", "arptables")
_LOOPBACK = InterfaceName("lo")
# Links that cannot be ports of a bridge, or through which the VM's frames would not arrive; and what would work.
_UNBRIDGEABLE = {
    "macvlan": "a macvlan takes only frames for its own MAC, so the VM's would never arrive (a passthru one would "
    "change its parent's MAC, which is the host's NIC): use a bridge or ptp plugin, or hand over an SR-IOV VF",
    "macvtap": "a macvtap is opened by the VMM itself and needs no wiring",
    "ipvlan": "an ipvlan shares its parent's MAC and cannot be a port of a bridge: use a bridge or ptp plugin",
    "ipvtap": "an ipvtap shares its parent's MAC and cannot be a port of a bridge: use a bridge or ptp plugin",
    "ifb": "the kernel changes no MAC of an ifb, and the VM needs that of its interface",
    "bridge": "a bridge cannot be a port of another bridge",
    "loopback": "the loopback link is the namespace's own",
}


@frozen
class Wire:
    """One link to wire: its position X, the names made from it, its new MACs and its bridge's address."""

    link: LinkFact
    bridge: InterfaceName
    tap: InterfaceName
    link_mac: MacAddress
    bridge_mac: MacAddress
    tap_mac: MacAddress
    dhcp_address: IpInterface


def setup_container_side_network(
    result: CniResult,
    facts: NamespaceFacts,
    *,
    owner: WiringTag,
    options: PlanOptions,
    chosen: Allocation,
    netns: NetnsPath,
) -> tuple[ContainerSideNetwork, tuple[Change, ...]]:
    """Return what a VM runtime needs to know, and the changes that wire every container link of ``result``.

    ``result`` is a fixed one. Raises InvalidInput where a link is missing, Refused where one cannot be bridged, where
    ``brX`` or ``tapX`` stands there already, or where the ebtables table cannot be used. Reference:
    SetupContainerSideNetwork.
    """
    links = _links_to_wire(result, facts)
    wires = _wires(links, facts, options, chosen)
    _refuse_taken_names(wires, facts)
    network = ContainerSideNetwork(result, netns, tuple(_vm_interface(wire, facts, options) for wire in wires))
    return network, _changes(wires, facts, owner, options, netns)


def _changes(
    wires: tuple[Wire, ...], facts: NamespaceFacts, owner: WiringTag, options: PlanOptions, netns: NetnsPath
) -> tuple[Change, ...]:
    """Return the changes in their phases. The MAC comes before the ports: the VM has the old one from then on."""
    links = tuple(wire.link for wire in wires)
    stripped = strip_links(links, facts, netns)
    return (
        *stripped,
        _block(links, facts, owner, netns),
        *(change for wire in wires for change in set_hardware_addr(wire.link, wire.link_mac, netns)),
        *_only_bridged(facts, netns),
        *(_as_host_can(change, facts) for wire in wires for change in _links_of(wire, owner, options, netns)),
        *(change for wire in wires for change in enslave((wire.link,), wire.bridge, netns)),
        *bring_up(links, netns, "carries the VM's frames"),
        *_loopback_up(facts, {change.resource for change in stripped}, netns),
    )


def _links_to_wire(result: CniResult, facts: NamespaceFacts) -> tuple[LinkFact, ...]:
    """Return the container links, all of which must be there and bridgeable."""
    interfaces = container_interfaces(result)
    if not interfaces:
        raise InvalidInput("result.interfaces: none is in the sandbox, so there is nothing to wire")
    children = {other.parent: other for other in facts.links if other.parent is not None}
    links = []
    for interface in interfaces:
        link = facts.link(interface.name)
        if link is None:
            raise InvalidInput(f"result.interfaces: {interface.name} is not in the namespace")
        _refuse_unbridgeable(link)
        _refuse_parent(link, children.get(link.name))
        _refuse_settings_of_a_port(link)
        links.append(link)
    return tuple(links)


def _refuse_unbridgeable(link: LinkFact) -> None:
    if link.type in _UNBRIDGEABLE:
        raise Refused(f"{link.name} is of type {link.type}: {_UNBRIDGEABLE[link.type]}")
    if link.name.endswith("+"):
        raise Refused(f"{link.name} ends in a plus, which ebtables takes for any ending: rename it")
    if link.mac is None:
        raise Refused(f"{link.name} is of type {link.type}, which is no Ethernet: it cannot be a port of a bridge")


def _refuse_settings_of_a_port(link: LinkFact) -> None:
    """Refuse a port with settings of its own: leaving its bridge it loses them, and podwire could not restore them."""
    if link.port_settings:
        settings = ", ".join(link.port_settings)
        raise Refused(
            f"{link.name} is a port of {link.master} with settings of its own ({settings}): take it out first"
        )


def _refuse_parent(link: LinkFact, child: LinkFact | None) -> None:
    """Refuse a link whose frames another link takes: the kernel does not make it a port of a bridge (EBUSY)."""
    if child is not None:
        raise Refused(
            f"{link.name} carries {child.name}, a {child.type}, so it cannot be a port of a bridge: remove {child.name}"
        )


def _wires(
    links: tuple[LinkFact, ...], facts: NamespaceFacts, options: PlanOptions, chosen: Allocation
) -> tuple[Wire, ...]:
    macs = iter(chosen.macs)
    addresses = _dhcp_addresses(facts, options, len(links))
    return tuple(
        Wire(link, InterfaceName(f"br{x}"), InterfaceName(f"tap{x}"), next(macs), next(macs), next(macs), address)
        for x, (link, address) in enumerate(zip(links, addresses, strict=True))
    )


def _dhcp_addresses(facts: NamespaceFacts, options: PlanOptions, count: int) -> tuple[IpInterface, ...]:
    """Return an address for each bridge: those asked for, then free ones of 169.254.(254-X).2/24."""
    given = options.dhcp_addresses
    if len(given) > count:
        raise InvalidInput(f"--dhcp-address: {len(given)} are given, but only {count} interfaces are wired")
    free = _free_link_local(facts, given)
    try:
        return (*given, *(next(free) for _ in range(count - len(given))))
    except (StopIteration, RuntimeError):
        raise Refused("no 169.254.0.0/16 subnet is left for a bridge's own address: give --dhcp-address") from None


def _free_link_local(facts: NamespaceFacts, given: Collection[IpInterface]) -> Iterator[IPv4Interface]:
    """Yield 169.254.N.2/24 from 254 down, less those whose /24, or a part of it, is used in the namespace."""
    used = [fact.resource.address.network for fact in facts.addresses]
    used += [fact.resource.dst for fact in facts.routes] + [address.network for address in given]
    taken = {
        int(network.network_address) >> 8 & 0xFF
        for network in used
        if isinstance(network, IPv4Network) and network.prefixlen >= 24 and network.network_address.is_link_local
    }
    return (IPv4Interface(f"169.254.{third}.2/24") for third in range(254, 0, -1) if third not in taken)


def _refuse_taken_names(wires: tuple[Wire, ...], facts: NamespaceFacts) -> None:
    taken = {name for link in facts.links for name in (link.name, *link.altnames)}
    for name in (name for wire in wires for name in (wire.bridge, wire.tap)):
        if name in taken:
            raise Refused(f"{name} is in the namespace already and is not podwire's: rename or remove it")


def _vm_interface(wire: Wire, facts: NamespaceFacts, options: PlanOptions) -> VmInterface:
    if wire.link.mac is None:
        raise Refused(f"{wire.link.name} has no MAC address")
    return VmInterface(
        type=Keyword("tap"),
        name=wire.tap,
        link=wire.link.name,
        mac=wire.link.mac,
        mtu=wire.link.mtu,
        bridge=wire.bridge,
        dhcp_address=wire.dhcp_address,
        queues=options.tap_queues,
        vnet_hdr=options.tap_vnet_hdr,
        neighbours=tuple(
            GuestNeighbour(fact.resource.address, fact.state.lladdr)
            for fact in facts.neighbours_of(wire.link.name)
            if not fact.resource.proxy and fact.state.lladdr
        ),
    )


def _only_bridged(facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that keep the namespace's iptables from the VM's bridged frames (br_netfilter)."""
    keys = [SysctlKey(f"net/bridge/bridge-nf-call-{family}") for family in _BRIDGE_NETFILTER]
    return tuple(
        Change(
            Sysctl(key), SysctlState(value), SysctlState(_ZERO), "the pod's iptables would eat the VM's frames", netns
        )
        for key in keys
        if (value := facts.sysctl(key)) is not None and value != _ZERO
    )


def _block(links: tuple[LinkFact, ...], facts: NamespaceFacts, owner: WiringTag, netns: NetnsPath) -> Change:
    """Return the ebtables rules of the wiring: pod network and bridges don't talk, DHCP requests stay inside."""
    if facts.ebtables.problem:
        raise Refused(facts.ebtables.problem)
    rules = tuple(rule for link in links for rule in block_rules(link.name, ipv6=_has_ipv6_address(link, facts)))
    there = next((line for line in facts.ebtables.rules if read_rule(line) in rules), None)
    if there is not None:
        raise Refused(f"the ebtables rule «{there}» stands there already and is not podwire's: remove it first")
    state = new_rules(rules, facts.ebtables)
    return Change(
        EbtablesRules(owner.id), None, state, "pod network and bridge don't talk; leases come from here only", netns
    )


def _has_ipv6_address(link: LinkFact, facts: NamespaceFacts) -> bool:
    return any(
        fact.resource.address.version == 6 and not is_ipv6_link_local(fact.resource.address)
        for fact in facts.addresses_of(link.name)
    )


def _links_of(wire: Wire, owner: WiringTag, options: PlanOptions, netns: NetnsPath) -> tuple[Change, Change]:
    bridge = create_bridge(
        wire.bridge,
        wire.link.mtu,
        mac=wire.bridge_mac,
        owner=owner,
        addresses=(wire.dhcp_address,),
        netns=netns,
        reason=f"joins {wire.link.name} and {wire.tap}; its address is for a DHCP server",
    )
    tap = create_tap(
        wire.tap,
        mac=wire.tap_mac,
        mtu=wire.link.mtu,
        owner=owner,
        options=options,
        netns=netns,
        master=wire.bridge,
        reason=f"the VM's end of {wire.link.name}",
    )
    return bridge, tap


def _as_host_can(made: Change, facts: NamespaceFacts) -> Change:
    """Return the change that makes a link, less what cannot be set on a host without IPv6 (ipv6.disable=1)."""
    if facts.sysctl("net/ipv6/conf/all/accept_dad") is not None or not isinstance(made.after, LinkState):
        return made
    return evolve(made, after=evolve(made.after, addrgenmode=None, sysctls=()))


def _loopback_up(facts: NamespaceFacts, removed: Collection[Resource], netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that bring ``lo`` up, less what was ``removed`` anyhow.

    Going down again it would keep 127.0.0.1/8, which came with going up, and lose its IPv6 addresses and routes, such
    as ``blackhole`` ones.
    """
    lo = facts.link(_LOOPBACK)
    if lo is None or lo.up:
        return ()
    lost: list[RouteFact | AddressFact] = [
        fact for fact in facts.routes_of(_LOOPBACK) if fact.resource.dst.version == 6 and fact.resource.table != "local"
    ]
    lost += [fact for fact in facts.addresses_of(_LOOPBACK) if fact.resource.address.version == 6]
    gone = tuple(
        Change(fact.resource, fact.state, None, "lo would lose it when it goes down again", netns)
        for fact in lost
        if fact.resource not in removed
    )
    own = Address(_LOOPBACK, ip_interface("127.0.0.1/8"))
    state = AddressState(scope=Keyword("host"), label=Label("lo"))
    there = any(fact.resource == own for fact in facts.addresses)
    address = () if there else (Change(own, None, state, "lo has it when it is up", netns),)
    return (*gone, *address, *bring_up((lo,), netns, "programs in the namespace expect it"))
