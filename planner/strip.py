"""Taking addresses, routes and neighbours off links, in the order whose inverse puts them back.

Each function is one phase over all the links of a wiring, since restoring link by link would fail: a route of one link
may have the address of another as its source.
"""

from __future__ import annotations

from planner.changes import Change
from planner.errors import Refused
from planner.facts import AddressFact, LinkFact, NamespaceFacts, NeighbourFact, RouteFact
from planner.kernel_routes import explicit_routes
from planner.resources import AddrGenMode, AddrGenModeState, Sysctl, SysctlState
from planner.values import Keyword, NetnsPath, SysctlKey, SysctlValue, is_ipv6_link_local

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

    ``accept_dad`` of a link counts together with that of ``all``: the larger one wins (kernel, ip-sysctl.rst). Without
    a carrier addresses are tentative before and after, so such links are left alone.
    """
    live = [link.name for link in links if link.up and link.carrier and _has_ipv6_address(link, facts)]
    keys = [SysctlKey(f"net/ipv6/conf/{name}/accept_dad") for name in (["all", *live] if live else [])]
    return tuple(
        Change(
            Sysctl(key),
            SysctlState(value),
            SysctlState(ZERO),
            "IPv6 addresses then come back without a delay",
            netns,
        )
        for key in keys
        if (value := facts.sysctl(key)) is not None and int(value) > 0
    )


def _has_ipv6_address(link: LinkFact, facts: NamespaceFacts) -> bool:
    return any(fact.resource.address.version == 6 for fact in facts.addresses_of(link.name))


def remove_routes(links: tuple[LinkFact, ...], facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that remove the links' routes, and others that have an address of theirs as their source.

    The kernel would take those (IPv4) or their source (IPv6) away with the address, unasked. Routes through a gateway
    go first and the last listed first, so that each is reachable, and in its place, when it comes back.
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
    last_first = touched[::-1]
    ordered = sorted(last_first, key=lambda fact: not fact.resource.has_gateway)
    return tuple(Change(fact.resource, fact.state, None, _route_reason(fact), netns) for fact in ordered)


def _route_reason(fact: RouteFact) -> str:
    return "comes back with the next router advertisement" if fact.state.learnt else "moves to the VM"


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

    IPv4 last listed first: a primary would take its secondaries with it. IPv6 as listed: the newest is listed first.
    """
    ordered = []
    for link in links:
        found = facts.addresses_of(link.name)
        ordered += [fact for fact in reversed(found) if fact.resource.address.version == 4]
        ordered += [fact for fact in found if fact.resource.address.version == 6]
    return tuple(Change(fact.resource, fact.state, None, _address_reason(fact), netns) for fact in ordered)


def _address_reason(fact: AddressFact) -> str:
    if fact.state.learnt:
        return "comes back with the next router advertisement"
    return "the VM makes its own" if is_ipv6_link_local(fact.resource.address) else "moves to the VM"
