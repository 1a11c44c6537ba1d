"""Veth pairs across two namespaces, and giving a link what a CNI result says: what CNI plugins do, as changes."""

from __future__ import annotations

from collections.abc import Collection

from planner.changes.change import Change
from planner.cni.result import CniResult
from planner.errors import InvalidInput, Refused
from planner.facts.model import LinkFact
from planner.kinds.address import Address, AddressState
from planner.kinds.link import Link, LinkState, VethDevice
from planner.kinds.route import NextHop, Route, RouteState
from planner.kinds.veth_end import VethEnd, VethEndState
from planner.text.values import (
    InterfaceName,
    IpAddress,
    IpInterface,
    IpNetwork,
    Keyword,
    Label,
    NetnsPath,
    is_ipv6_link_local,
)
from planner.wiring.allocate import RandomBits, generate_mac_address, random_veth_name

_TRIES = 10
_GLOBAL = Keyword("global")
_LINK = Keyword("link")
_IPV6_METRIC = 1024
_REASON = "joins the two namespaces"


def setup_veth(
    name: InterfaceName,
    mtu: int,
    *,
    inside: Collection[LinkFact],
    outside: Collection[LinkFact],
    random: RandomBits,
    netns: NetnsPath,
    outer_netns: NetnsPath,
) -> tuple[InterfaceName, tuple[Change, Change]]:
    """Return the name of the outer end, and the changes that make the pair with ``mtu`` and bring its outer end up.

    ``inside`` and ``outside`` are the links that the two namespaces have. A random outer name that is taken is drawn
    again; Refused if ``name`` is taken inside. Reference: SetupVeth.
    """
    if any(link.name == name for link in inside):
        raise Refused(f"{name} is already in the container's namespace")
    taken = {link.name for link in outside}
    peer = next((found for _ in range(_TRIES) if (found := random_veth_name(random)) not in taken), None)
    if peer is None:
        raise Refused(f"no free name for the outer end of {name} was found in {_TRIES} tries")
    device = VethDevice(peer=peer, peer_mac=generate_mac_address(random), peer_netns=outer_netns)
    far_end = VethEndState(device.peer_mac, mtu, up=True)
    state = LinkState(device=device, mac=generate_mac_address(random), mtu=mtu, up=True)
    made = Change(Link(name), None, state, _REASON, netns)
    # The kernel makes no peer that is up already (ENOTCONN).
    return peer, (made, Change(VethEnd(peer), None, far_end, _REASON, outer_netns))


def create_escape_veth_pair(
    name: InterfaceName,
    mtu: int,
    *,
    inside: Collection[LinkFact],
    outside: Collection[LinkFact],
    random: RandomBits,
    netns: NetnsPath,
    outer_netns: NetnsPath,
) -> tuple[InterfaceName, tuple[Change, Change]]:
    """Return ``setup_veth`` as seen from the outer namespace. Reference: CreateEscapeVethPair."""
    return setup_veth(name, mtu, inside=inside, outside=outside, random=random, netns=netns, outer_netns=outer_netns)


def configure_link(link: LinkFact, result: CniResult, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that give ``link`` its addresses of ``result``, and the routes whose gateway lies in one.

    The interface is found by its MAC. Reference: ConfigureLink. Raises InvalidInput if no interface of the result
    has that MAC.
    """
    index = next((i for i, interface in enumerate(result.interfaces) if link.mac and interface.mac == link.mac), None)
    if index is None:
        raise InvalidInput(f"result.interfaces: none has the MAC of {link.name} ({link.mac})")
    addresses = [ip.address for ip in result.ips if ip.interface == index]
    added = tuple(
        Change(
            Address(link.name, address), None, _address_state(link, address), "the result gives it to the link", netns
        )
        for address in addresses
    )
    routes = tuple(
        Change(
            _route(link, route.dst, route.gateway),
            None,
            RouteState(),
            "its gateway is reachable through the link",
            netns,
        )
        for route in result.routes
        if route.gateway is not None and any(route.gateway in address.network for address in addresses)
    )
    return added + routes


def _address_state(link: LinkFact, address: IpInterface) -> AddressState:
    """Return the state in which the kernel shows an address that was added without further words."""
    if address.version == 6:
        # A new address is probed for duplicates, as the kernel does on its own.
        return AddressState(scope=_LINK if is_ipv6_link_local(address) else _GLOBAL, tentative=True)
    return AddressState(scope=_GLOBAL, label=Label(link.name))


def _route(link: LinkFact, dst: IpNetwork, gateway: IpAddress) -> Route:
    """Return the route as the kernel shows one that was added without further words."""
    ipv4 = dst.version == 4
    return Route(
        dst=dst,
        nexthops=(NextHop(dev=link.name, via=gateway),),
        metric=None if ipv4 else _IPV6_METRIC,
        protocol=Keyword("boot"),
        scope=_GLOBAL if ipv4 else None,
    )
