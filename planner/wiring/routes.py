"""Which routes go when links are stripped, and in which order, so that each comes back in its place among its equals.

Of routes that are equal in destination, table, tos and metric the kernel uses the first. IPv4 ``prepend`` puts a route
in front of its equals and ``append`` behind them, IPv6 always appends, and what the kernel makes with an address comes
behind as well. What has to come before others that stay is therefore added, and then those are moved behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from attrs import evolve, field, frozen

from planner.changes.change import Change
from planner.errors import Refused
from planner.facts.kernel_routes import NO_PREFIX_ROUTE, explicit_routes, local_routes, prefix_routes
from planner.facts.model import AddressFact, LinkFact, NamespaceFacts, RouteFact
from planner.guest.needs import moves_to_guest
from planner.kinds.route import KERNEL, Route
from planner.text.values import InterfaceName, IpAddress, IpNetwork, NetnsPath

_LOCAL = "local"


@frozen
class StrippedRoutes:
    """The routes that go with links: ``removed`` by name, in that order.

    ``moved`` are among them and stay, with the place that they have meanwhile; they are moved on the way back.

    ``separate`` are those that the kernel makes with an address but that can't be left to it: it would put them
    elsewhere among their equals, or take another one away with the address.
    """

    removed: tuple[RouteFact, ...]
    moved: Mapping[Route, int]
    separate: frozenset[Route]
    late: frozenset[Route] = field(repr=False)
    facts: NamespaceFacts = field(repr=False)

    def changes(self, names: set[InterfaceName], netns: NetnsPath) -> tuple[Change, ...]:
        """Return the changes, for links of these names."""
        return tuple(self._change(fact, names, netns) for fact in self.removed)

    def _change(self, fact: RouteFact, names: set[InterfaceName], netns: NetnsPath) -> Change:
        route = fact.resource
        place, equals = self.facts.route_places.get(route, (None, 0))
        stays = route in self.moved
        before = evolve(fact.state, place=place, equals=equals, comes_last=route in self.late, stays=stays)
        if route in self.separate:
            before = evolve(before, learnt=False)
        after = evolve(before, place=self.moved[route], comes_last=False) if stays else None
        reason = "keeps its place among equal routes" if after else _reason(fact, names)
        return Change(route, before, after, reason, netns)


def strip_routes(links: Sequence[LinkFact], facts: NamespaceFacts, added: Sequence[AddressFact]) -> StrippedRoutes:
    """Return the routes of ``links``, and others that have an address of theirs as their source.

    The kernel would take those (IPv4) or their source (IPv6) away with the address, unasked. ``added``: the links'
    addresses in the order in which they come back. Raises Refused for a route that could not be brought back.
    """
    names = {link.name for link in links}
    _refuse_kept(links, facts)
    sources = {fact.resource.address.ip for fact in added}
    explicit = explicit_routes(facts)
    touched = {
        fact.resource
        for fact in explicit
        if names & set(fact.resource.links) or (fact.resource.source in sources and fact.resource.source is not None)
    }
    by_hand = {fact.resource for fact in explicit}
    made = {fact.resource for fact in facts.routes if names & set(fact.resource.links)} - by_hand
    expected = tuple(route for fact in added for route in _made_with(fact, facts))
    separate = set(_of_shared_prefixes(added, made))
    late: set[Route] = set()
    for group in facts.equal_routes:
        found = [fact.resource for fact in group]
        separate |= _out_of_place(found, touched, made - separate, expected)
        late |= _tail(found, touched | separate)
    moved = _places_meanwhile(late - touched - separate, touched | made, facts)
    gone = touched | separate | moved.keys()
    _check([fact for fact in facts.routes if fact.resource in gone], facts, moved)
    removed = _ordered([fact for fact in facts.routes if fact.resource in gone], late)
    return StrippedRoutes(tuple(removed), moved, frozenset(separate), frozenset(late), facts)


def _refuse_kept(links: Iterable[LinkFact], facts: NamespaceFacts) -> None:
    """Raise Refused for a link that has kept IPv6 addresses while it is down: they have no local entry.

    One that is added while a link is down and that is not probed for has one, and is heard by its group.
    """
    local = {fact.resource.dst.network_address for fact in facts.routes if fact.resource.table == _LOCAL}
    if not local:
        return
    for link in links:
        for fact in facts.addresses_of(link.name) if not link.up else ():
            ip = fact.resource.address.ip
            if ip.version == 6 and not fact.state.tentative and ip not in local:
                raise Refused(
                    f"{link.name} is down and keeps {fact.resource.address} (keep_addr_on_down), which could not come "
                    "back so: bring it up first"
                )


def made_separately(fact: AddressFact, stripped: StrippedRoutes, facts: NamespaceFacts) -> tuple[Route, ...]:
    """Return the routes that the kernel makes with an address but that are changes of their own."""
    return tuple(route for route in _made_with(fact, facts) if route in stripped.separate)


def _made_with(fact: AddressFact, facts: NamespaceFacts) -> Iterator[Route]:
    """Yield the routes that the kernel makes with an address, the local ones in the kernel's own order."""
    address = fact.resource
    if address.address.version == 4:
        family = [other.resource for other in facts.addresses_of(address.link) if other.resource.address.version == 4]
        primary = next((other for other in family if other.subnet == address.subnet), address)
        yield from local_routes(address, primary, fact.state)
        if primary != address:
            return
    yield from prefix_routes(address, fact.state)


def _of_shared_prefixes(added: Iterable[AddressFact], made: set[Route]) -> Iterator[Route]:
    """Yield the routes of IPv6 prefixes whose addresses differ in metric, or in whether they last.

    The last address takes only one of them along, and none if it would expire (addrconf.c, check_cleanup_prefix_route).
    """
    shared: dict[tuple[InterfaceName, IpNetwork], list[AddressFact]] = {}
    for fact in added:
        if fact.resource.address.version == 6:
            shared.setdefault((fact.resource.link, fact.resource.address.network), []).append(fact)
    for facts in shared.values():
        differing = {
            (fact.state.metric, fact.state.valid_lft is None, NO_PREFIX_ROUTE in fact.state.flags) for fact in facts
        }
        if len(differing) > 1:
            yield from (route for fact in facts for route in prefix_routes(fact.resource, fact.state) if route in made)


def _out_of_place(group: list[Route], touched: set[Route], made: set[Route], expected: Sequence[Route]) -> set[Route]:
    """Return those of a group that the kernel would make in another place than they have."""
    ours = [route for route in group if route in made]
    if not ours:
        return set()
    stays = [route for route in group if route not in touched and route not in made]
    order = [route for route in dict.fromkeys(expected) if route in ours]
    left = [route for route in group if route not in touched]
    return set() if left == [*stays, *order] and not _tail(group, touched) & made else set(ours)


def _tail(group: list[Route], gone: set[Route]) -> set[Route]:
    """Return those of a group that are added, or moved, behind the others, one after the other.

    IPv4 routes in front of the first that stays come back in front, the last of them first.
    """
    first = 0
    if group[0].dst.version == 4:
        first = next((place for place, route in enumerate(group) if route not in gone), len(group))
    start = next((place for place in range(first, len(group)) if group[place] in gone), len(group))
    return set(group[start:])


def _places_meanwhile(moved: set[Route], gone: set[Route], facts: NamespaceFacts) -> dict[Route, int]:
    found: dict[Route, int] = {}
    for group in facts.equal_routes:
        left = [fact.resource for fact in group if fact.resource not in gone]
        found |= {route: place for place, route in enumerate(left) if route in moved}
    return found


def _ordered(routes: list[RouteFact], late: set[Route]) -> list[RouteFact]:
    """Return the routes in an order in which each is removed, and not another, and comes back reachable in its place.

    Routes through a gateway go first, local entries last, since others may need them as their source. Of equal IPv4
    routes the kernel deletes the first that fits: they go as listed, but the last first of those that come behind.
    """
    by_gateway: dict[tuple[object, ...], set[bool]] = {}
    for fact in routes:
        by_gateway.setdefault(_rank(fact.resource), set()).add(fact.resource.has_gateway)
    forward = [fact for fact in routes if fact.resource.dst.version == 4 and fact.resource not in late]
    backward = [fact for fact in reversed(routes) if fact.resource.dst.version == 6 or fact.resource in late]

    def level(fact: RouteFact) -> int:
        found = by_gateway[_rank(fact.resource)]
        return 3 if fact.resource.type == _LOCAL else (False in found) + (True not in found)

    return sorted(forward + backward, key=level)


def _rank(route: Route) -> tuple[object, ...]:
    rank = (route.dst, route.table, route.tos, route.metric)
    return rank if route.dst.version == 4 else (*rank, route.has_gateway)


def _check(routes: list[RouteFact], facts: NamespaceFacts, moved: Collection[Route]) -> None:
    """Raise Refused for a route that could not be removed by its name, or not be added again."""
    seen = set()
    for fact in routes:
        route = fact.resource
        if fact.state.unsupported:
            raise Refused(f"{route} has {fact.state.unsupported}, which podwire could not bring back: remove it first")
        if route in seen:
            raise Refused(f"{route} is there twice, with other metrics, so that neither can be told: remove one")
        seen.add(route)
        if fact.state.learnt and route not in moved:
            continue
        if missing := _unreachable(route, facts):
            raise Refused(f"{route} needs {missing}, without which it could not be added again: remove it first")


def _unreachable(route: Route, facts: NamespaceFacts) -> str | None:
    """Return what a route needs when it is added but that is not there any more: it stays without."""
    if route.source is not None and route.dst.version == 4 and not _is_own(route.source, facts):
        return f"the address {route.source}"
    for hop in route.nexthops:
        if hop.via is None or hop.onlink or hop.dev is None or (hop.via.version == 6 and hop.via.is_link_local):
            continue
        if not any(_reaches(other.resource, hop.via, hop.dev) for other in facts.routes if other.resource != route):
            return f"a route to {hop.via} on {hop.dev}"
    return None


def _is_own(source: IpAddress, facts: NamespaceFacts) -> bool:
    if any(fact.resource.address.ip == source for fact in facts.addresses):
        return True
    return any(fact.resource.type == _LOCAL and source in fact.resource.dst for fact in facts.routes)


def _reaches(route: Route, gateway: IpAddress, link: InterfaceName) -> bool:
    if route.dst.version != gateway.version or gateway not in route.dst:
        return False
    return any(hop.dev == link and (hop.via is None or route.dst.version == 6) for hop in route.nexthops)


def _reason(fact: RouteFact, names: set[InterfaceName]) -> str:
    if fact.state.learnt:
        own = fact.resource.protocol == KERNEL
        return "comes back with its address" if own else "comes back with the next router advertisement"
    if not names & set(fact.resource.links):
        return "would go with its source address"
    return "moves to the VM" if moves_to_guest(fact) else "the VM has no use for it"
