"""Taking addresses, routes and neighbours off links, in the order whose inverse puts them back.

Each function is one phase over all the links of a wiring, since restoring link by link would fail: a route of one link
may have the address of another as its source.
"""

from __future__ import annotations

from planner.changes.change import Change
from planner.errors import Refused
from planner.facts.kernel_routes import explicit_routes
from planner.facts.model import AddressFact, LinkFact, NamespaceFacts, NeighbourFact, RouteFact
from planner.guest.needs import moves_to_guest
from planner.kinds.link_attributes import AddrGenMode, AddrGenModeState
from planner.kinds.route import KERNEL, MAIN_TABLE, Route
from planner.kinds.sysctl import Sysctl, SysctlState
from planner.text.values import InterfaceName, Keyword, NetnsPath, SysctlKey, SysctlValue, is_ipv6_link_local

NONE = Keyword("none")
ZERO = SysctlValue("0")


def strip_link(link: LinkFact, facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that take every address and every non-kernel route off ``link``, both families.

    Reference: StripLink. Raises Refused for a route that could not be brought back.
    """
    return strip_links((link,), facts, netns)


def strip_links(links: tuple[LinkFact, ...], facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that strip several links, phase by phase."""
    return (
        *quieten_dad(links, facts, netns),
        *remove_routes(links, facts, netns),
        *remove_neighbours(links, facts, netns),
        *stop_address_generation(links, facts, netns),
        *remove_addresses(links, facts, netns),
    )


def quieten_dad(links: tuple[LinkFact, ...], facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that keep restored IPv6 addresses from being tentative (duplicate address detection).

    That is for addresses which ``nodad`` cannot keep from it (``Address.is_spared``). ``accept_dad`` of a link counts
    together with that of ``all``: the larger one wins (kernel, ip-sysctl.rst). Without a carrier, or if somebody
    else has one, addresses are tentative before and after: such links are left alone.
    """
    live = [link.name for link in links if link.up and link.carrier and _needs_quiet(link, facts)]
    keys = [SysctlKey(f"net/ipv6/conf/{name}/accept_dad") for name in (["all", *live] if live else [])]
    return tuple(
        Change(
            Sysctl(key),
            SysctlState(value),
            SysctlState(ZERO),
            "at teardown IPv6 addresses then come back without a delay",
            netns,
        )
        for key in keys
        if (value := facts.sysctl(key)) is not None and int(value) > 0
    )


def _needs_quiet(link: LinkFact, facts: NamespaceFacts) -> bool:
    ipv6 = [fact for fact in facts.addresses_of(link.name) if fact.resource.address.version == 6]
    return any(not fact.resource.is_spared for fact in ipv6) and not any(fact.state.tentative for fact in ipv6)


def remove_routes(links: tuple[LinkFact, ...], facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that remove the links' routes, and others that have an address of theirs as their source.

    The kernel would take those (IPv4) or their source (IPv6) away with the address, unasked.
    """
    names = {link.name for link in links}
    sources = {fact.resource.address.ip for name in names for fact in facts.addresses_of(name)}
    touched = [
        fact
        for fact in explicit_routes(facts)
        if names & set(fact.resource.links) or (fact.resource.source in sources and fact.resource.source is not None)
    ]
    for fact in touched:
        if fact.state.unsupported:
            raise Refused(
                f"{fact.resource} has {fact.state.unsupported}, which podwire could not bring back: remove it first"
            )
    _refuse_twins(touched)
    return tuple(
        Change(fact.resource, fact.state, None, _route_reason(fact, names), netns) for fact in _removable(touched)
    )


def _refuse_twins(routes: list[RouteFact]) -> None:
    seen = set()
    for fact in routes:
        if fact.resource in seen:
            raise Refused(
                f"{fact.resource} is there twice, with other metrics, so that neither can be told: remove one"
            )
        seen.add(fact.resource)


def _removable(routes: list[RouteFact]) -> list[RouteFact]:
    """Return the routes in an order in which each is removed, and not another, and comes back reachable in its place.

    Routes through a gateway go first. Of equal IPv4 routes the kernel deletes the first that fits: they go as listed,
    and each comes back in front of those behind it (``prepend``). IPv6 ones always come back behind, so the last goes
    first.
    """
    by_gateway: dict[tuple[object, ...], set[bool]] = {}
    for fact in routes:
        by_gateway.setdefault(_rank(fact.resource), set()).add(fact.resource.has_gateway)
    ipv4 = [fact for fact in routes if fact.resource.dst.version == 4]
    ipv6 = [fact for fact in reversed(routes) if fact.resource.dst.version == 6]

    def late(fact: RouteFact) -> int:
        found = by_gateway[_rank(fact.resource)]
        return (False in found) + (True not in found)

    return sorted(ipv4 + ipv6, key=late)


def _rank(route: Route) -> tuple[object, ...]:
    """Return what the kernel finds a route by; IPv4 keeps those that are equal in it in their order."""
    rank = (route.dst, route.table, route.tos, route.metric)
    return rank if route.dst.version == 4 else (*rank, route.has_gateway)


def _route_reason(fact: RouteFact, names: set[InterfaceName]) -> str:
    if fact.state.learnt:
        own = fact.resource.protocol == KERNEL
        return "comes back with its address" if own else "comes back with the next router advertisement"
    if not names & set(fact.resource.links):
        return "would go with its source address"
    return "moves to the VM" if moves_to_guest(fact) else "the VM has no use for it"


def remove_neighbours(links: tuple[LinkFact, ...], facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that remove the neighbours that somebody set.

    A new MAC would flush permanent and noarp ones unasked; the last IPv4 address takes proxy entries with it.
    """
    names = {link.name for link in links}
    return tuple(
        Change(fact.resource, fact.state, None, _neighbour_reason(fact), netns)
        for fact in facts.neighbours
        if fact.resource.link in names
    )


def _neighbour_reason(fact: NeighbourFact) -> str:
    return "would go with the addresses" if fact.resource.proxy else "the VM needs it instead"


def stop_address_generation(links: tuple[LinkFact, ...], facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that keep the kernel from giving the links a link-local address again."""
    return tuple(
        Change(
            AddrGenMode(link.name),
            AddrGenModeState(link.addrgenmode),
            AddrGenModeState(NONE),
            "the VM chooses the same link-local address",
            netns,
        )
        for link in links
        if link.addrgenmode not in (None, NONE) and link.addrgenmode and facts.has_ipv6(link.name)
    )


def remove_addresses(links: tuple[LinkFact, ...], facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that remove the links' addresses, in the order that keeps theirs when they come back.

    IPv4 last listed first: a primary would take its secondaries with it. IPv6 as listed, where the newest comes first
    within its scope; but link-local ones before others, or the link would tell its neighbours from there that it leaves
    the others' groups.
    Of links in one subnet the one whose route counts, the first, goes last.
    """
    ordered = []
    for link in reversed(_by_connected_routes(links, facts)):
        found = facts.addresses_of(link.name)
        ordered += [fact for fact in reversed(found) if fact.resource.address.version == 4]
        ipv6 = [fact for fact in found if fact.resource.address.version == 6]
        ordered += sorted(ipv6, key=lambda fact: not is_ipv6_link_local(fact.resource.address))
    return tuple(Change(fact.resource, fact.state, None, _address_reason(fact), netns) for fact in ordered)


def _by_connected_routes(links: tuple[LinkFact, ...], facts: NamespaceFacts) -> list[LinkFact]:
    """Return the links, those in one subnet in the order in which the kernel lists their routes to it."""
    names = {link.name for link in links}
    shared: dict[tuple[object, ...], list[InterfaceName]] = {}
    for route in (fact.resource for fact in facts.routes):
        if route.protocol == KERNEL and route.table == MAIN_TABLE and route.dst.version == 4:
            shared.setdefault(_rank(route), []).extend(name for name in route.links if name in names)
    places: dict[InterfaceName, int] = {}
    for name in (name for found in shared.values() if len(found) > 1 for name in found):
        places.setdefault(name, len(places))
    return sorted(links, key=lambda link: places.get(link.name, -1))


def _address_reason(fact: AddressFact) -> str:
    if fact.state.learnt:
        return "comes back with the next router advertisement"
    return "the VM makes its own" if is_ipv6_link_local(fact.resource.address) else "moves to the VM"
