"""Which routes go when links are stripped, and in which order, so that each comes back in its place among its equals.

Of routes that are equal in destination, table, tos and metric the kernel uses the first. IPv4 ``prepend`` puts a route
before its equals and ``append`` after them, IPv6 always appends, and what the kernel makes with an address comes
last as well. What has to come before others that stay is therefore added, and then those are moved after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, field

from planner.changes.change import Change
from planner.errors import Refused
from planner.facts.kernel_routes import (
    LOCAL_TABLE,
    NO_PREFIX_ROUTE,
    comes_late,
    explicit_routes,
    ipv6_local_routes,
    local_routes,
    prefix_routes,
)
from planner.facts.model import AddressFact, LinkFact, NamespaceFacts, RouteFact
from planner.guest.needs import moves_to_guest
from planner.kinds.route import KERNEL, Route, RouteState
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, IpAddress, IpNetwork, NetnsPath
from planner.wiring.temporaries import Reachability

_LOCAL = "local"


@frozen
class StrippedRoutes:
    """The routes that go with links: ``removed`` by name, in that order.

    ``moved`` are among them and stay, with the place that they have in the meantime; they are moved in the rollback.

    ``separate`` are those that the kernel makes with an address but that can't be left to it: it would put them
    elsewhere among their equals, or take another one away with the address. ``temporaries`` are what some need while
    they are added.
    """

    removed: tuple[RouteFact, ...]
    moved: Mapping[Route, int]
    separate: frozenset[Route]
    late: frozenset[Route] = field(repr=False)
    temporaries: Mapping[Route, tuple[Route, ...]] = field(repr=False)
    facts: NamespaceFacts = field(repr=False)

    def changes(self, names: set[InterfaceName], netns: NetnsPath) -> tuple[Change, ...]:
        """Return the changes, for links of these names."""
        return tuple(self._change(fact, names, netns) for fact in self.removed)

    def _change(self, fact: RouteFact, names: set[InterfaceName], netns: NetnsPath) -> Change:
        route, before = fact.resource, fact.state
        stays = route in self.moved
        if noted := self._noted(route):
            before = evolve(before, stays=stays, **noted)
        after = evolve(before, place=self.moved[route], comes_last=False) if stays else None
        reason = "keeps its place among equal routes" if after else _reason(evolve(fact, state=before), names)
        return Change(route, before, after, reason, netns)

    def _noted(self, route: Route) -> dict[str, Any]:
        """Return what of a route's state is not for its own sake, except for bringing it back: of most nothing."""
        found: dict[str, Any] = {}
        if route in self.facts.route_places:
            place, equals = self.facts.route_places[route]
            found = {"place": place, "equals": equals, "comes_last": route in self.late}
        if route in self.temporaries:
            found["temporaries"] = self.temporaries[route]
        if route in self.separate:
            found["learnt"] = False
        return found


def strip_routes(links: Sequence[LinkFact], facts: NamespaceFacts, added: Sequence[AddressFact]) -> StrippedRoutes:
    """Return the routes of ``links``, and others that have an address of theirs as their source.

    The kernel would take those (IPv4) or their source (IPv6) away with the address, unasked. ``added``: the links'
    addresses in the order in which they come back. Raises Refused for a route that could not be brought back.
    """
    names = {link.name for link in links}
    sources = {fact.resource.address.ip for fact in added}
    touched, made = _by_hand_and_made(names, sources, facts)
    expected = tuple(route for fact in added for route in _made_with(fact, facts))
    separate = set(_of_shared_prefixes(added, made))
    late: set[Route] = set()
    for group in facts.equal_routes:
        found = [fact.resource for fact in group]
        separate |= _out_of_place(found, touched, made - separate, expected)
        late |= _tail(found, touched | separate)
    _refuse_late(added, separate)
    moved = _places_meanwhile(late - touched - separate, touched | made, facts) if late else {}
    gone = touched
    gone |= separate | moved.keys()
    for group in facts.equal_routes:
        _refuse_namesakes([fact.resource for fact in group], late, gone)
    going = [fact for fact in facts.routes if fact.resource in gone]
    _check(going)
    removed = tuple(_ordered(going, late, facts.shared_destinations))
    temporaries = _temporaries(removed, gone, moved, facts)
    return StrippedRoutes(removed, moved, frozenset(separate), frozenset(late), temporaries, facts)


def _by_hand_and_made(
    names: set[InterfaceName], sources: Collection[IpAddress], facts: NamespaceFacts
) -> tuple[set[Route], set[Route]]:
    """Return the routes that somebody added and that go with the links or sources, and the links' other ones."""
    by_hand = {fact.resource for fact in explicit_routes(facts)}
    on_links = {fact.resource for fact in facts.routes if not names.isdisjoint(fact.resource.links)}
    made = on_links - by_hand
    touched = {
        route for route in by_hand if route in on_links or (route.source is not None and route.source in sources)
    }
    return touched, made


def keep_away(links: Sequence[LinkFact], facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that take away again, when all else is back, what the kernel makes some time after addresses.

    On the way there they do nothing.
    """
    there, away = RouteState(absent=True), RouteState(absent=True, stays=True)
    reason = "the kernel makes it with the address, and it was not there"
    absent = [
        route
        for link in links
        for fact in facts.addresses_of(link.name)
        for route in fact.state.unmade_routes
        if comes_late(route, fact.resource)
    ]
    return tuple(Change(route, there, away, reason, netns) for route in dict.fromkeys(absent))


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
    else:
        yield from ipv6_local_routes(address)
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
    """Return those of a group that are added, or moved, after the others, one after the other.

    IPv4 routes in front of the first that stays come back in front, the last of them first.
    """
    first = 0
    if group[0].dst.version == 4:
        first = next((place for place, route in enumerate(group) if route not in gone), len(group))
    start = next((place for place in range(first, len(group)) if group[place] in gone), len(group))
    return set(group[start:])


def _refuse_late(added: Iterable[AddressFact], separate: Collection[Route]) -> None:
    """Raise Refused for a route to a peer that can't be left to the kernel, which makes it too late for another one."""
    for fact in added:
        for route in prefix_routes(fact.resource, fact.state):
            if route in separate and comes_late(route, fact.resource):
                raise Refused(
                    f"{route} comes with {fact.resource} in another place or with another one than it has now, so "
                    "podwire could not restore it in this state: remove one of its equals"
                )


def _refuse_namesakes(group: list[Route], late: set[Route], gone: set[Route]) -> None:
    """Raise Refused for an IPv4 route that can't be named, as one that differs only by its source is found first.

    A route without a source can't be told from that by any word of ip-route(8), and the kernel deletes the first.
    """
    before: dict[Route, Route] = {}
    for route in group:
        if route.dst.version != 4 or (route in gone and route not in late):
            continue
        if route.source is not None:
            before.setdefault(evolve(route, source=None), route)
        elif route in before and route in gone:
            raise Refused(
                f"{route} could not be told apart from the one with the source {before[route].source}, which comes "
                "before it: remove one of them"
            )


def _places_meanwhile(moved: set[Route], gone: set[Route], facts: NamespaceFacts) -> dict[Route, int]:
    found: dict[Route, int] = {}
    for group in facts.equal_routes:
        left = [fact.resource for fact in group if fact.resource not in gone]
        found |= {route: place for place, route in enumerate(left) if route in moved}
    return found


def _ordered(routes: list[RouteFact], late: set[Route], shared: Collection[IpNetwork]) -> list[RouteFact]:
    """Return the routes in an order in which each is removed, and not another, and comes back reachable in its place.

    Routes through a gateway go first, local entries last, since others may need them as their source. Of equal IPv4
    routes the kernel deletes the first that fits: they go as listed, but the last first of those that come after.
    Equals stay together whatever they are, or they would not keep their order; only destinations that several routes
    have (``shared``) have any.
    """
    of_shared = [fact for fact in routes if fact.resource.dst in shared] if shared else []
    local = {_rank(fact.resource) for fact in of_shared if fact.resource.type == _LOCAL}
    by_gateway: dict[tuple[object, ...], set[bool]] = {}
    for fact in of_shared:
        by_gateway.setdefault(_rank(fact.resource), set()).add(fact.resource.has_gateway)
    forward = [fact for fact in routes if fact.resource.dst.version == 4 and fact.resource not in late]
    backward = [fact for fact in reversed(routes) if fact.resource.dst.version == 6 or fact.resource in late]

    def level(fact: RouteFact) -> int:
        route = fact.resource
        if route.dst not in shared:
            return 3 if route.type == _LOCAL else 0 if route.has_gateway else 2
        found = by_gateway[_rank(route)]
        is_local = _rank(route) in local and True not in found
        return 3 if is_local else (False in found) + (True not in found)

    return sorted(forward + backward, key=level)


def _temporaries(
    removed: tuple[RouteFact, ...], gone: Collection[Route], moved: Mapping[Route, int], facts: NamespaceFacts
) -> dict[Route, tuple[Route, ...]]:
    """Return what routes need while they are added, where they need something.

    By then what goes through no gateway is there, unless it has equals that do.
    """
    shared = facts.shared_destinations
    mixed = {_rank(route) for route in gone if route.has_gateway and route.dst in shared} if shared else ()

    def is_ready(route: Route) -> bool:
        return route not in gone or (not route.has_gateway and _rank(route) not in mixed)

    reachability = Reachability(facts, is_ready)
    return {
        fact.resource: found
        for fact in removed
        if not fact.state.learnt or fact.resource in moved
        if (found := reachability.temporary_routes(fact.resource))
    }


def _rank(route: Route) -> tuple[object, ...]:
    return route.dst, route.table, route.tos, route.metric


def _check(routes: list[RouteFact]) -> None:
    """Raise Refused for a route that could not be removed by its name, or not be added again as it is."""
    seen = set()
    for fact in routes:
        route = fact.resource
        if route.dst.version == 6 and route.table == LOCAL_TABLE and route.type == _LOCAL and route.metric == 0:
            raise Refused(
                f"{route} is also on a link that stays, and could not be restored in its place: remove one of them"
            )
        refuse_unsupported(fact)
        if route in seen:
            raise Refused(f"{route} exists twice with different metrics, so podwire cannot tell them apart: remove one")
        seen.add(route)


def refuse_unsupported(fact: AddressFact | RouteFact) -> None:
    """Raise Refused for what could not be added again as it is."""
    what = fact.state.unsupported
    if what:
        raise Refused(f"{fact.resource} has {what}, which podwire could not restore: remove it first")


def _reason(fact: RouteFact, names: set[InterfaceName]) -> str:
    if fact.state.learnt:
        own = fact.resource.protocol == KERNEL
        return "comes back with its address" if own else "comes back with the next router advertisement"
    if names.isdisjoint(fact.resource.links):
        return "would go with its source address"
    return "moves to the VM" if moves_to_guest(fact) else "the VM has no use for it"
