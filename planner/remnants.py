"""What a wiring has left in a namespace, found by its marks alone: for when nothing recorded of it can be read.

A link carries podwire's alias with the id. A tc filter redirects to such a link, or is one of podwire's programs, and a
rule of ebtables is of a form that podwire makes and names the link that was wired. What the link had before, the CNI
result says; it is given back as far as that goes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import IPv6Interface

from attrs import evolve

from planner.changes.change import Change
from planner.cni.result import CniResult, CniRoute
from planner.facts.model import LinkFact, NamespaceFacts
from planner.guest.icmpv6 import link_local_of
from planner.kinds.address import Address, AddressState
from planner.kinds.ebtables import EbtablesRules, RulesState, block_rules, observed_rules, read_rule, served_rules
from planner.kinds.link import Link, LinkState
from planner.kinds.link_attributes import AddrGenMode, AddrGenModeState, Mac, MacState
from planner.kinds.qdisc import IngressQdisc, QdiscState
from planner.kinds.route import NextHop, Route, RouteState
from planner.kinds.sysctl import Sysctl, SysctlState
from planner.kinds.tc_filter import FilterState, TcFilter
from planner.text.values import (
    Alias,
    InterfaceName,
    IpAddress,
    IpInterface,
    Keyword,
    MacAddress,
    NetnsPath,
    PlanId,
    SysctlKey,
    SysctlValue,
)
from planner.wiring.bridge import BRIDGE_NETFILTER_FAMILIES
from planner.wiring.strip import NONE, ZERO
from planner.wiring.tc import every_guard

_GONE = "no rollback information is left"
_BACK = "the CNI result says so"
_EUI64 = Keyword("eui64")
_INGRESS = Keyword("ingress")
_FAMILIES = (4, 6)
_BROADCAST_UP_TO = 30  # IPv4 prefixes that have a broadcast address


def remnants(
    plan_id: PlanId, links: Collection[InterfaceName], facts: NamespaceFacts, netns: NetnsPath, *, alone: bool
) -> tuple[Change, ...]:
    """Return the changes that remove what the wiring of an id has left.

    ``links`` are the pod's that it may have wired. ``alone`` says that no other wiring is in the namespace: then what
    all of them share, the table of ebtables, goes as well if nobody else uses it.
    """
    alias = Alias(f"podwire:{plan_id}")
    made = {link.name: link for link in facts.links if link.alias == alias}
    ports = {link.name for link in facts.links if link.master in made}
    free = {link.name for link in facts.links if link.master is None}  # a port of another bridge is another wiring's
    wired = ({*links} & free | ports) - made.keys()
    nobodys = {*links} - {link.name for link in facts.links}  # renamed meanwhile: its rules match by the old name
    removed = (
        *_filters(wired, made, facts),
        *((Link(link.name), state) for link in made.values() if (state := _state(link, alias))),
        *_rules(plan_id, wired | nobodys, facts, alone=alone),
    )
    changes = tuple(Change(resource, state, None, _GONE, netns) for resource, state in removed)
    bridges = {link.name for link in facts.links if link.type == "bridge"}
    if not alone or not bridges & made.keys() or bridges - made.keys():
        return changes  # else it matters to nobody, and is as in every new namespace
    return (*changes, *_bridge_netfilter(facts, netns))


def _bridge_netfilter(facts: NamespaceFacts, netns: NetnsPath) -> Iterator[Change]:
    for family in BRIDGE_NETFILTER_FAMILIES:
        resource = Sysctl(SysctlKey(f"net/bridge/bridge-nf-call-{family}"))
        if facts.sysctl(resource.key) == ZERO:
            yield Change(resource, SysctlState(ZERO), SysctlState(SysctlValue("1")), "the kernel's default", netns)


def _filters(
    wired: Collection[InterfaceName], made: Collection[InterfaceName], facts: NamespaceFacts
) -> Iterator[tuple[TcFilter | IngressQdisc, FilterState | QdiscState]]:
    """Yield the filters that redirect to a link of ours, or guard it, and the qdisc if it was for nothing else."""
    guards = every_guard()
    found = [(fact.resource, fact.state) for fact in facts.others if isinstance(fact.resource, TcFilter)]
    ours = [
        (resource, state)
        for resource, state in found
        if resource.link in wired and isinstance(state, FilterState) and (_leads_to(state, made) or state in guards)
    ]
    yield from ours
    busy = {resource.link for resource, state in found if (resource, state) not in ours}
    for link in sorted({resource.link for resource, _ in ours} - busy):
        state = QdiscState(_INGRESS)
        if any((fact.resource, fact.state) == (IngressQdisc(link), state) for fact in facts.others):
            yield IngressQdisc(link), state


def _leads_to(state: FilterState, made: Collection[InterfaceName]) -> bool:
    return any(rule.redirect in made for rule in state.rules)


def _state(link: LinkFact, alias: Alias) -> LinkState | None:
    if link.device is None or link.mac is None:
        return None
    return LinkState(link.device, link.mac, link.mtu, up=link.up, alias=alias)


def _rules(
    plan_id: PlanId, wired: Collection[InterfaceName], facts: NamespaceFacts, *, alone: bool
) -> Iterator[tuple[EbtablesRules, RulesState]]:
    """Yield the rules, as one resource, that podwire may have made for the links."""
    forms = {
        rule
        for link in wired
        for rule in (*block_rules(link, served=_FAMILIES), *served_rules(link, served=_FAMILIES, routers=True))
    }
    ours = tuple(rule for rule in map(read_rule, facts.ebtables.rules) if rule is not None and rule in forms)
    if not any(set(block_rules(link, served=())) <= set(ours) for link in wired):
        return  # one that looks like ours by chance is somebody else's
    chains = tuple(dict.fromkeys(chain.name for chain in facts.ebtables.chains)) if alone else ()
    state = observed_rules(RulesState(ours, chains, new_table=alone), facts.ebtables)
    if state is not None:
        yield EbtablesRules(plan_id), state


def given_back(result: CniResult, facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that give links back what a result says of them, if they have none of its addresses now.

    ``facts`` are those after ``remnants`` went.
    """
    found: list[Change] = []
    for link in facts.links:
        addresses = _addresses(link, result)
        if addresses and not {fact.resource.address for fact in facts.addresses_of(link.name)} & set(addresses):
            found += _attributes(link, result, netns)
            found += [_address(link, address, netns) for address in addresses]
            found += _link_local(link, result, facts, netns)
            found += _routes(link, addresses, result, facts, netns)
    return tuple(found)


def _addresses(link: LinkFact, result: CniResult) -> dict[IpInterface, IpAddress | None]:
    """Return the addresses of a link, in the result's order, with their gateways."""
    names = [one.name if one.sandbox else None for one in result.interfaces]
    return {
        ip.address: ip.gateway
        for ip in result.ips
        if ip.interface is not None and 0 <= ip.interface < len(names) and names[ip.interface] == link.name
    }


def _attributes(link: LinkFact, result: CniResult, netns: NetnsPath) -> Iterator[Change]:
    mac = _mac(link, result)
    if mac is not None and link.mac is not None and mac != link.mac:
        yield Change(Mac(link.name), MacState(link.mac), MacState(mac), _BACK, netns)
    if link.addrgenmode == NONE:
        states = AddrGenModeState(NONE), AddrGenModeState(_EUI64)
        yield Change(AddrGenMode(link.name), *states, _BACK, netns)


def _link_local(link: LinkFact, result: CniResult, facts: NamespaceFacts, netns: NetnsPath) -> Iterator[Change]:
    """Yield the address that the kernel makes of a MAC when its link goes up (RFC 4291, appendix A)."""
    mac = _mac(link, result)
    if link.addrgenmode == NONE and mac is not None and facts.has_ipv6(link.name):
        address = IPv6Interface((link_local_of(mac), 64))
        yield Change(Address(link.name, address), None, AddressState(scope=Keyword("link")), _BACK, netns)


def _mac(link: LinkFact, result: CniResult) -> MacAddress | None:
    return next((one.mac for one in result.interfaces if one.name == link.name and one.sandbox and one.mac), None)


def _address(link: LinkFact, address: IpInterface, netns: NetnsPath) -> Change:
    state = AddressState(scope=Keyword("global"))
    if address.version == 4 and address.network.prefixlen <= _BROADCAST_UP_TO:
        state = evolve(state, broadcast=address.network.broadcast_address)
    return Change(Address(link.name, address), None, state, _BACK, netns)


def _routes(
    link: LinkFact,
    addresses: dict[IpInterface, IpAddress | None],
    result: CniResult,
    facts: NamespaceFacts,
    netns: NetnsPath,
) -> Iterator[Change]:
    """Yield the routes of a result that lead through a gateway on a link, and are not there."""
    there = {fact.resource.dst for fact in facts.routes if not fact.state.learnt}
    for route in result.routes:
        via = _gateway(route, addresses)
        if via is not None and route.dst not in there:
            resource = Route(route.dst, (NextHop(link.name, via),), metric=1024 if route.dst.version == 6 else None)
            yield Change(resource, None, RouteState(), _BACK, netns)


def _gateway(route: CniRoute, addresses: dict[IpInterface, IpAddress | None]) -> IpAddress | None:
    """Return the gateway of a route, or of the first address of its family (CNI specification, ADD Success).

    None if the link has no address from which it can be reached.
    """
    candidates = [
        route.gateway or gateway for address, gateway in addresses.items() if address.version == route.dst.version
    ]
    reachable = (one for one in candidates if one and any(one in address.network for address in addresses))
    return next(reachable, None)
