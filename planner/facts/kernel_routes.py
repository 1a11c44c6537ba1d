"""Which routes the kernel makes on its own when a link gets an address, and removes with it."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator
from ipaddress import ip_network

from attrs import evolve

from planner.facts.model import AddressFact, NamespaceFacts, RouteFact
from planner.kinds.address import Address, AddressState
from planner.kinds.route import KERNEL, NextHop, Route
from planner.text.values import InterfaceName, IpAddress, IpNetwork, Keyword

LOCAL_TABLE = Keyword("local")
NO_PREFIX_ROUTE = Keyword("noprefixroute")
_IPV6_METRIC = 256
_EVERYBODY = 2**32 - 1
_POINT_TO_POINT = 31
_MULTICAST = ip_network("ff00::/8")
_REMEMBERED = 4096

# The network of an address alone; each is wanted several times a look, and is made by way of text.
_network_of = functools.lru_cache(_REMEMBERED)(ip_network)


def prefix_routes(address: Address, state: AddressState) -> tuple[Route, ...]:
    """Return the connected routes that come with an address (fib_add_ifaddr, addrconf_prefix_route).

    IPv4 makes none for a /32 without a peer; with a peer it is the peer's prefix. IPv6 makes one for a /128 too, and
    a second one to the peer, with ``noprefixroute`` as well. For a secondary IPv4 address, which has none of its own,
    the primary's is meant.
    """
    is_silent = NO_PREFIX_ROUTE in state.flags
    if address.address.version == 4:
        return () if is_silent else _ipv4_routes(address, state)
    prefixes: list[IpNetwork] = [] if is_silent else [address.address.network]
    if address.peer is not None:
        prefixes.append(_network_of(address.peer))
    metric = state.metric or _IPV6_METRIC
    return tuple(
        Route(dst=prefix, nexthops=(NextHop(dev=address.link),), protocol=KERNEL, metric=metric) for prefix in prefixes
    )


def _ipv4_routes(address: Address, state: AddressState) -> tuple[Route, ...]:
    prefix = address.subnet
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


def local_routes(address: Address, primary: Address, state: AddressState) -> tuple[Route, ...]:
    """Return the entries of the local table that come with an IPv4 address on a link that is up (fib_add_ifaddr).

    ``primary`` is the first address of its subnet, whose routes these are.
    """
    source = primary.address.ip
    own = _local(_network_of(address.address.ip), "local", "host", address.link, source)
    broadcasts = dict.fromkeys(ip for ip in (state.broadcast,) if ip is not None and int(ip) != _EVERYBODY)
    subnet = address.subnet
    if address == primary and subnet.prefixlen < _POINT_TO_POINT and int(subnet.network_address) >> 24:
        broadcasts[subnet.broadcast_address] = None
    return (own, *(_local(_network_of(ip), "broadcast", "link", address.link, source) for ip in broadcasts))


def _local(dst: IpNetwork, kind: str, scope: str, link: InterfaceName, source: IpAddress) -> Route:
    return Route(
        dst=dst,
        nexthops=(NextHop(dev=link),),
        type=Keyword(kind),
        table=LOCAL_TABLE,
        protocol=KERNEL,
        scope=Keyword(scope),
        source=source,
    )


def ipv6_local_routes(address: Address) -> tuple[Route, ...]:
    """Return the entries of the local table that come with an IPv6 address on a link that is up, by and by.

    That to all routers of a subnet only if the namespace forwards (addrconf.c, __ipv6_ifa_notify).
    """
    subnet = _network_of(address.address.network.network_address)
    own = ipv6_local_route(address)
    return own, evolve(own, dst=subnet, type=Keyword("anycast"))


def ipv6_local_route(address: Address) -> Route:
    """Return the first of them, that of the address itself."""
    own, hops = _network_of(address.address.ip), (NextHop(dev=address.link),)
    return Route(own, hops, type=Keyword("local"), table=LOCAL_TABLE, protocol=KERNEL, metric=0)


def multicast_route(link: InterfaceName) -> Route:
    """Return the entry of the local table that every link with IPv6 has while it is up (addrconf_add_mroute)."""
    hops = (NextHop(dev=link),)
    return Route(_MULTICAST, hops, type=Keyword("multicast"), table=LOCAL_TABLE, protocol=KERNEL, metric=_IPV6_METRIC)


def explicit_routes(facts: NamespaceFacts) -> tuple[RouteFact, ...]:
    """Return the routes that somebody added: those that do not come and go with an address.

    The kernel's routes don't count if an address explains them, in the local table too. A learnt one
    does, unless an address that stays explains it: IPv6 leaves the route behind when it deletes an address that would
    expire (addrconf.c, ipv6_del_addr).
    """
    # A secondary has none of its own: one that has it for its source somebody made.
    own = [fact for fact, primary in _with_primaries(facts.addresses) if _has_prefix_route(fact.resource, primary)]
    made = {route for fact in own for route in prefix_routes(fact.resource, fact.state)}
    lasting = [fact for fact in own if not fact.state.learnt and fact.state.valid_lft is None]
    stay = {route for fact in lasting for route in prefix_routes(fact.resource, fact.state)}
    local = {_local_key(route) for route in _local_of_all(facts.addresses)}
    return tuple(
        fact
        for fact in facts.routes
        if not _kernel_made(fact, local if fact.resource.table == LOCAL_TABLE else stay if fact.state.learnt else made)
    )


def _kernel_made(fact: RouteFact, made: Collection[object]) -> bool:
    route = fact.resource
    if route.protocol != KERNEL or fact.state.metrics:
        return False
    if route.table != LOCAL_TABLE:
        return route in made
    if fact.state.expires is not None:
        return False
    if route.dst.version == 6:  # what is added by hand has a metric
        return route.metric == 0 or route.dst.is_multicast
    return "lo" in route.links or _local_key(route) in made


def _local_key(route: Route) -> tuple[object, ...]:
    return route.type, route.dst, route.nexthops


def _local_of_all(addresses: Iterable[AddressFact]) -> Iterator[Route]:
    """Yield the local entries of all IPv4 addresses, that of the network itself included: older kernels have it."""
    for fact, primary in _with_primaries(addresses):
        if fact.resource.address.version == 4:
            yield from local_routes(fact.resource, primary, fact.state)
            network = _network_of(fact.resource.subnet.network_address)
            yield _local(network, "broadcast", "link", fact.resource.link, primary.address.ip)


def _with_primaries(addresses: Iterable[AddressFact]) -> Iterator[tuple[AddressFact, Address]]:
    """Yield each address with the first listed of its link and subnet, the primary."""
    primaries: dict[tuple[InterfaceName, IpNetwork], Address] = {}
    for fact in addresses:
        yield fact, primaries.setdefault((fact.resource.link, fact.resource.subnet), fact.resource)


def _has_prefix_route(address: Address, primary: Address) -> bool:
    return address.address.version == 6 or address == primary


def comes_late(route: Route, address: Address) -> bool:
    """Say whether the kernel makes a route some time after its address: it can't go again right after that.

    IPv6's local entry, and right after it the route to a peer, are made from a work queue, once the address is no
    longer probed for (addrconf.c, __ipv6_ifa_notify).
    """
    if route.dst.version != 6:
        return False
    is_to_peer = address.peer is not None and route.dst == _network_of(address.peer)
    return is_to_peer or (route.table == LOCAL_TABLE and route.type == "local")


def absent_prefixes(
    addresses: tuple[AddressFact, ...], routes: Collection[Route], down: Collection[InterfaceName]
) -> tuple[AddressFact, ...]:
    """Return the addresses, each with those of its prefix routes that somebody removed.

    On a link that is down the kernel has made none yet. Of IPv4 addresses in one subnet the first listed is the
    primary, whose route it is.
    """
    found = []
    for fact, primary in _with_primaries(addresses):
        address = fact.resource
        if address.link in down or not _has_prefix_route(address, primary):
            found.append(fact)
            continue
        expected = [route for route in prefix_routes(address, fact.state) if not comes_late(route, address)]
        absent = tuple(route.dst for route in expected if route not in routes)
        found.append(evolve(fact, state=evolve(fact.state, absent_routes=absent)) if absent else fact)
    return tuple(found)


def _absent_to_peer(fact: AddressFact, there: Collection[object], routes: Collection[Route]) -> tuple[Route, ...]:
    """Return the route to an IPv6 peer if it is not among ``routes``, though the entry made just before it is."""
    if fact.resource.peer is None or fact.resource.address.version == 4:
        return ()
    if _local_key(ipv6_local_route(fact.resource)) not in there:
        return ()
    made = prefix_routes(fact.resource, fact.state)
    return tuple(route for route in made if route not in routes and comes_late(route, fact.resource))


def absent_local_routes(
    addresses: tuple[AddressFact, ...], routes: Collection[Route], down: Collection[InterfaceName]
) -> tuple[AddressFact, ...]:
    """Return the addresses, each with those of its entries of the local table that somebody removed.

    IPv6 makes the multicast prefix with the first address, and an address's own once it is not probed for any more.
    On a link that is down there is the entry of the address itself alone, and none of an IPv6 one that was kept
    in the meantime.
    """
    there = {_local_key(route) for route in routes if route.table == LOCAL_TABLE}
    knows_ipv6 = any(route.table == LOCAL_TABLE and route.dst.version == 6 for route in routes)
    found = []
    for fact, primary in _with_primaries(addresses):
        link = fact.resource.link
        if link == "lo" or fact.state.kept is not None:
            expected: tuple[Route, ...] = ()
        elif fact.resource.address.version == 4:
            expected = local_routes(fact.resource, primary, fact.state)
            expected = expected[:1] if link in down else expected
        else:
            expected = (multicast_route(link),) if there and link not in down else ()
            if knows_ipv6 and not fact.state.tentative:
                expected += (ipv6_local_route(fact.resource),)
        absent = tuple(route for route in expected if _local_key(route) not in there)
        absent += _absent_to_peer(fact, there, routes)
        found.append(evolve(fact, state=evolve(fact.state, unmade_routes=absent)) if absent else fact)
    return tuple(found)
