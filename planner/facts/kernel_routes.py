"""Which routes the kernel makes by itself when a link gets an address, and removes with it."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_network

from attrs import evolve

from planner.facts.model import AddressFact, NamespaceFacts, RouteFact
from planner.kinds.address import Address, AddressState
from planner.kinds.route import KERNEL, NextHop, Route
from planner.text.values import InterfaceName, IpNetwork, Keyword

LOCAL_TABLE = Keyword("local")
NO_PREFIX_ROUTE = Keyword("noprefixroute")
_IPV6_METRIC = 256


def prefix_routes(address: Address, state: AddressState) -> tuple[Route, ...]:
    """Return the connected routes that come with an address (fib_add_ifaddr, addrconf_prefix_route).

    IPv4 makes none for a /32 without a peer; with a peer it is the peer's prefix. IPv6 makes one for a /128 too, and
    a second one to the peer. For a secondary IPv4 address, which has none of its own, the primary's is meant.
    """
    if NO_PREFIX_ROUTE in state.flags:
        return ()
    if address.address.version == 4:
        return _ipv4_routes(address, state)
    prefixes: list[IpNetwork] = [address.address.network]
    if address.peer is not None:
        prefixes.append(ip_network(address.peer))
    metric = state.metric or _IPV6_METRIC
    return tuple(
        Route(dst=prefix, nexthops=(NextHop(dev=address.link),), protocol=KERNEL, metric=metric) for prefix in prefixes
    )


def _ipv4_routes(address: Address, state: AddressState) -> tuple[Route, ...]:
    prefix = _subnet(address)
    # lo's is in the local table (``local 127.0.0.0/8``), which the kernel keeps itself.
    is_itself = prefix.prefixlen == prefix.max_prefixlen and prefix.network_address == address.address.ip
    if address.link == "lo" or is_itself or int(prefix.network_address) >> 24 == 0:
        return ()
    return (
        Route(
            dst=prefix,
            nexthops=(NextHop(dev=address.link),),
            protocol=KERNEL,
            scope=Keyword("link"),
            source=address.address.ip,
            metric=state.metric,
        ),
    )


def _subnet(address: Address) -> IpNetwork:
    """Return the network that an address is in: with a peer, the peer's."""
    own = address.address.network
    return own if address.peer is None else ip_network(f"{address.peer}/{own.prefixlen}", strict=False)


def explicit_routes(facts: NamespaceFacts) -> tuple[RouteFact, ...]:
    """Return the routes that somebody added: those that do not come and go with an address.

    The kernel's entries of the local table never count, connected routes if an address explains them. A learnt one
    does, unless an address that stays explains it: IPv6 leaves the route behind when it deletes an address that would
    expire (addrconf.c, ipv6_del_addr).
    """
    made = {route for fact in facts.addresses for route in prefix_routes(fact.resource, fact.state)}
    lasting = [fact for fact in facts.addresses if not fact.state.learnt and fact.state.valid_lft is None]
    stay = {route for fact in lasting for route in prefix_routes(fact.resource, fact.state)}
    return tuple(fact for fact in facts.routes if not _kernel_made(fact, stay if fact.state.learnt else made))


def _kernel_made(fact: RouteFact, made: Collection[Route]) -> bool:
    route = fact.resource
    if route.protocol != KERNEL or fact.state.metrics:
        return False
    return route.table == LOCAL_TABLE or route in made


def _comes_late(route: Route, fact: AddressFact) -> bool:
    """Say whether the kernel makes a route some time after the address, so that its absence says nothing.

    That to an IPv6 peer is made from a work queue, once the address is no longer probed for (addrconf.c).
    """
    peer = fact.resource.peer
    return route.dst.version == 6 and peer is not None and route.dst == ip_network(peer)


def absent_prefixes(
    addresses: tuple[AddressFact, ...], routes: Collection[Route], down: Collection[InterfaceName]
) -> tuple[AddressFact, ...]:
    """Return the addresses, each with those of its prefix routes that somebody removed.

    On a link that is down the kernel has made none yet. Of IPv4 addresses in one subnet the first listed is the
    primary, whose route it is.
    """
    primaries: dict[tuple[InterfaceName, IpNetwork], Address] = {}
    found = []
    for fact in addresses:
        address = fact.resource
        primary = primaries.setdefault((address.link, _subnet(address)), address)
        is_secondary = address.address.version == 4 and primary != address
        if address.link in down or is_secondary:
            found.append(fact)
            continue
        expected = [route for route in prefix_routes(address, fact.state) if not _comes_late(route, fact)]
        absent = tuple(route.dst for route in expected if route not in routes)
        found.append(evolve(fact, state=evolve(fact.state, absent_routes=absent)))
    return tuple(found)
