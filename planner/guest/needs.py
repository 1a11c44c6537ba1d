"""What guests need, computed: whatever the pod's links had, by the facts, and what the CNI result adds.

It comes from the facts, since a result often says less than the pod has (Calico's has no routes) or something else
(ptp's says a /24 that is not on the link). The guest receives router advertisements itself.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, ip_address, ip_interface

from planner.cni.calico import is_for_calicos_gateway
from planner.cni.result import CniDns, CniIp, CniResult, CniRoute
from planner.facts.kernel_routes import explicit_routes, prefix_routes
from planner.facts.model import AddressFact, LinkFact, NamespaceFacts, RouteFact
from planner.guest.model import Guest, GuestDns, GuestNeighbour, GuestRoute
from planner.kinds.route import MAIN_TABLE, UNICAST
from planner.text.frozen import frozen
from planner.text.values import (
    InterfaceName,
    IpAddress,
    IpInterface,
    IpNetwork,
    Keyword,
    MacAddress,
    is_ipv6_link_local,
)

_MAIN_TABLE_NUMBER = 254
_MTU = Keyword("mtu")
# What the kernel gives to an IPv6 route that comes without a metric (IP6_RT_PRIO_USER).
_UNCHOSEN_METRIC = (6, 1024)


def guests_of(
    links: Iterable[tuple[LinkFact, MacAddress, int]], result: CniResult, facts: NamespaceFacts
) -> tuple[Guest, ...]:
    """Return what the guest needs for each link, which comes with the guest's MAC and MTU.

    ``result`` is a fixed one. Of equal routes by several links only the first is used, as the pod did.
    """
    moving: dict[InterfaceName, list[RouteFact]] = {}
    for fact in filter(moves_to_guest, explicit_routes(facts)):
        for name in dict.fromkeys(fact.resource.links):
            moving.setdefault(name, []).append(fact)
    destinations = frozenset(
        fact.resource.dst for fact in (facts.routes if result.routes else ()) if fact.resource.table == MAIN_TABLE
    )
    told: set[tuple[IpNetwork, int | None]] = set()
    guests = []
    for link, mac, mtu in links:
        ips = tuple(_ips_of(link.name, result))
        pod = _PodLink(link, ips, tuple(moving.get(link.name, ())), destinations, result, facts)
        addresses = tuple(_addresses(pod))
        routes = _in_order(_routes(pod, addresses, told))
        guests.append(Guest(mac, mtu, addresses, routes, tuple(_neighbours(pod)), _dns(result.dns)))
    return tuple(guests)


def moves_to_guest(fact: RouteFact) -> bool:
    """Say whether the guest takes a route over: one that sends packets, in the table that needs no rule to be asked.

    It makes its own to IPv6 link-local addresses.
    """
    route = fact.resource
    is_own = route.dst.version == 6 and route.dst.is_link_local
    return route.table == MAIN_TABLE and route.type == UNICAST and not fact.state.learnt and not is_own


@frozen
class _PodLink:
    """A link of the pod, what the result says of it, and its routes that move to the guest.

    ``destinations`` are those of the main table's routes, by whichever link, if the result has routes to compare.
    """

    link: LinkFact
    ips: tuple[CniIp, ...]
    moving: tuple[RouteFact, ...]
    destinations: frozenset[IpNetwork]
    result: CniResult
    facts: NamespaceFacts

    @property
    def told(self) -> tuple[AddressFact, ...]:
        """Return the link's addresses except those that the guest makes itself; IPv4 first."""
        found = self.facts.addresses_of(self.link.name)
        mine = [f for f in found if not f.state.learnt and not is_ipv6_link_local(f.resource.address)]
        return tuple(sorted(mine, key=lambda fact: fact.resource.address.version))

    @property
    def refitted(self) -> dict[IpAddress, CniIp]:
        """Return the addresses that the result has in another subnet than the link: made to fit a guest (Calico's)."""
        carried = {fact.resource.address for fact in self.facts.addresses_of(self.link.name)}
        return {ip.address.ip: ip for ip in self.ips if ip.address not in carried}


def _ips_of(link: InterfaceName, result: CniResult) -> Iterator[CniIp]:
    for ip in result.ips:
        if ip.interface is not None and result.interfaces[ip.interface].name == link:
            yield ip


def _addresses(pod: _PodLink) -> Iterator[IpInterface]:
    """Yield the guest's addresses: whole ones (/32, /128) if their subnet is not on the link."""
    refitted = pod.refitted
    for fact in pod.told:
        own = fact.resource.address
        if own.ip in refitted:
            yield refitted[own.ip].address
        elif fact.resource.peer is None and _is_on_link(own.network, pod):
            yield own
        else:
            yield ip_interface(own.ip)


def _is_on_link(network: IpNetwork, pod: _PodLink) -> bool:
    """Say whether a subnet is on the link: it has a route without a gateway, which ptp's plugin removes.

    A link that is down has no routes, which says nothing.
    """
    routes = (fact.resource for fact in pod.facts.routes_of(pod.link.name))
    return not pod.link.up or any(
        route.dst == network and route.table == MAIN_TABLE and not route.has_gateway for route in routes
    )


_Way = tuple[IpNetwork, IpAddress | None, int | None, int | None]


def _routes(
    pod: _PodLink, addresses: tuple[IpInterface, ...], told: set[tuple[IpNetwork, int | None]]
) -> Iterator[GuestRoute]:
    """Yield the routes of a link that no address brings along: the pod's, to peers, and those only the result knows.

    What is in ``told`` has been yielded already; what is yielded is added to it.
    """
    subnets = [address.network for address in addresses]
    is_far = functools.cache(lambda via: not is_ipv6_link_local(via) and not any(via in subnet for subnet in subnets))
    for dst, via, metric, mtu in _ways(pod, subnets):
        count = len(told)
        if dst not in subnets:
            told.add((dst, metric))
        if len(told) > count:
            yield GuestRoute(dst, via, via is not None and is_far(via), metric, mtu)


def _ways(pod: _PodLink, subnets: list[IpNetwork]) -> Iterator[_Way]:
    """Yield what the pod had, then what only the result knows."""
    refitted: set[int] = {ip.version for ip in pod.refitted}
    yield from _observed_routes(pod, refitted)
    yield from _routes_to_peers(pod)
    for given in pod.result.routes:
        is_new = given.dst not in pod.destinations or given.dst.version in refitted
        if given.table in (None, _MAIN_TABLE_NUMBER) and is_new:
            yield from _route_of_result(given, pod, subnets)


def _observed_routes(pod: _PodLink, refitted: set[int]) -> Iterator[_Way]:
    """Yield what the pod had, less the ways to Calico's gateway if the addresses were made to fit without it."""
    for fact in pod.moving:
        route = fact.resource
        hop = next((hop for hop in route.nexthops if hop.dev == pod.link.name), None)
        if hop is not None and not (route.dst.version in refitted and is_for_calicos_gateway(route)):
            mtu = next((m.value for m in fact.state.metrics if m.name == _MTU), None)
            metric = None if (route.dst.version, route.metric) == _UNCHOSEN_METRIC else route.metric
            yield route.dst, hop.via, metric, int(mtu) if mtu and mtu.isdecimal() else None


def _routes_to_peers(pod: _PodLink) -> Iterator[_Way]:
    """Yield the connected routes of addresses that have a peer; the guest's address is a whole one then."""
    found = [fact for fact in pod.told if fact.resource.peer is not None]
    there = {fact.resource for fact in (pod.facts.routes_of(pod.link.name) if found else ())}
    for fact in found:
        for route in prefix_routes(fact.resource, fact.state):
            if route in there and route.dst != ip_interface(fact.resource.address.ip).network:
                yield route.dst, None, None, None


def _route_of_result(given: CniRoute, pod: _PodLink, subnets: list[IpNetwork]) -> Iterator[_Way]:
    """Yield a route of the result if it is by this link: that of an only one, else one whose gateway is in its subnets.

    A route without a gateway may use that of an address (CNI specification, ADD Success).
    """
    own = (ip.gateway for ip in pod.ips if ip.gateway and ip.gateway.version == given.dst.version)
    via = _gateway(given.gateway) or _gateway(next(own, None))
    is_only = len({ip.interface for ip in pod.result.ips}) == 1
    if is_only or (via is not None and any(via in subnet for subnet in subnets)):
        yield given.dst, via, given.priority, given.mtu


def _gateway(address: IpAddress | None) -> IpAddress | None:
    """Return a gateway; 0.0.0.0 and :: are none."""
    return None if address is None or address.is_unspecified else address


def _in_order(routes: Iterable[GuestRoute]) -> tuple[GuestRoute, ...]:
    """Return the routes by family, those on the link first: gateways may be reached by them; the widest last."""
    return tuple(sorted(routes, key=lambda route: (route.dst.version, route.via is not None, -route.dst.prefixlen)))


def _neighbours(pod: _PodLink) -> Iterator[GuestNeighbour]:
    for fact in pod.facts.neighbours_of(pod.link.name):
        if not fact.resource.proxy and fact.state.lladdr:
            yield GuestNeighbour(fact.resource.address, fact.state.lladdr)


def _dns(dns: CniDns) -> GuestDns:
    return GuestDns(tuple(map(_without_zone, dns.nameservers)), dns.search, dns.domain, dns.options)


def _without_zone(address: IpAddress) -> IpAddress:
    is_zoned = isinstance(address, IPv6Address) and address.scope_id is not None
    return ip_address(str(address).partition("%")[0]) if is_zoned else address
