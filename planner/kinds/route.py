"""A route (ip-route(8))."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Hashable, Iterable, Iterator
from ipaddress import ip_network
from typing import Any, ClassVar

from attrs import evolve

from planner.kinds.kind import ChangeLike, Kind, Look, Seen, Touches, link_touch, register
from planner.kinds.lifetime import finite
from planner.kinds.shown import differences, word
from planner.text.frozen import frozen
from planner.text.values import LOOPBACK, InterfaceName, IpAddress, IpNetwork, Keyword

MAIN_TABLE = Keyword("main")
UNICAST = Keyword("unicast")
KERNEL = Keyword("kernel")
# For these ``ip route add`` takes the table local (ip-route(8)).
_LOCAL_TYPES = ("local", "broadcast", "anycast", "nat")
# For documentation only (RFC 5737, RFC 3849).
_STAND_INS = {4: ip_network("203.0.113.254/31"), 6: ip_network("2001:db8:ffff:ffff::fffe/127")}
_REMEMBERED = 1024


@frozen(cache_hash=True)
class NextHop:
    """One way out of a route. ``weight`` counts from 1 and only matters beside others."""

    dev: InterfaceName | None = None
    via: IpAddress | None = None
    onlink: bool = False
    weight: int = 1

    def __str__(self) -> str:
        return f"{f' via {self.via}' if self.via else ''}{f' dev {self.dev}' if self.dev else ''}"


@frozen
class RouteMetric:
    """A metric of a route in the words of ip-route(8), such as ``mtu`` ``1280``, perhaps locked."""

    name: Keyword
    value: Keyword
    locked: bool = False


@frozen
class RouteState:
    """A route less its identity. ``expires`` in seconds. ``learnt`` as of an address.

    ``unsupported`` names what podwire could not bring back; a route that has it is never touched.
    ``place``: how many of its ``equals`` (itself among them) come before it, None if it has none or nobody noted it.
    ``comes_last``: it comes after them when it is added. ``stays``: it is never removed, but moved there.
    ``temporaries``: what it needs while it is added. ``left_over``: those that are still there, since
    that was interrupted, with the route itself or before it (``missing``). ``absent``: it is not there, though the
    kernel makes it; ``stays`` means then that nothing is to be done about it.
    """

    metrics: tuple[RouteMetric, ...] = ()
    expires: int | None = None
    preference: Keyword | None = None
    learnt: bool = False
    unsupported: str | None = None
    place: int | None = None
    equals: int = 0
    comes_last: bool = False
    stays: bool = False
    temporaries: tuple[Route, ...] = ()
    left_over: tuple[Route, ...] = ()
    missing: bool = False
    absent: bool = False

    @property
    def comes_back(self) -> bool:
        """Say whether the network itself restores this."""
        return self.learnt

    @property
    def canonical(self) -> RouteState:
        """Return this without what ticks, and without how it is brought back."""
        if self.expires is None and self.place is None and not (self.temporaries or self.absent):
            return self
        settled = evolve(self, equals=0, comes_last=False, stays=False, temporaries=())
        return evolve(settled, expires=finite(self.expires))

    @property
    def lives_for(self) -> int | None:
        """How many seconds it has to live, None if that does not tick."""
        return self.expires

    def aged(self, elapsed: float) -> RouteState | None:
        """Return the state ``elapsed`` seconds later, or None when the route has expired by then."""
        if self.expires is None:
            return self
        left = self.expires - int(elapsed)
        return evolve(self, expires=left) if left > 0 else None


@frozen(cache_hash=True)
class Route:
    """A route; all that may tell it from another of the same destination is its identity (ip-route(8)).

    ``ip route append unicast 0.0.0.0/0 via 10.1.90.1 dev eth0 …``
    """

    TAG: ClassVar = {"kind": "route"}
    dst: IpNetwork
    nexthops: tuple[NextHop, ...] = ()
    nhid: int | None = None
    type: Keyword = UNICAST
    table: Keyword = MAIN_TABLE
    metric: int | None = None
    tos: Keyword | None = None
    protocol: Keyword | None = None
    scope: Keyword | None = None
    source: IpAddress | None = None

    @property
    def links(self) -> tuple[InterfaceName, ...]:
        """Return the links that the route leaves by."""
        if len(self.nexthops) == 1:  # as nearly all of very many have
            dev = self.nexthops[0].dev
            return (dev,) if dev else ()
        return tuple(hop.dev for hop in self.nexthops if hop.dev)

    @property
    def has_gateway(self) -> bool:
        """Say whether the route goes through a gateway, which must be reachable when it is added."""
        return self.nhid is not None or any(hop.via for hop in self.nexthops)

    @property
    def rank(self) -> tuple[object, ...] | None:
        """Return what the kernel finds the route by: of those equal in it the first is used, so their order counts.

        None for IPv6's link-local and multicast prefixes, which are only asked for with a link.
        """
        if self.dst.version == 6 and (self.dst.is_link_local or self.dst.is_multicast):
            return None
        return self.dst, self.table, self.tos, self.metric

    @property
    def default_table(self) -> str | None:
        """Return the table that need not be named; None for routes that would go to another one than most."""
        return MAIN_TABLE if self.type not in _LOCAL_TYPES else None

    @property
    def default_scope(self) -> str:
        """Return the scope that ``ip route add`` gives if none is named (ip-route(8))."""
        if self.type == "local":
            return "host"
        if self.type in ("broadcast", "multicast", "anycast"):
            return "link"
        return "link" if self.type == UNICAST and not self.has_gateway and len(self.nexthops) == 1 else "global"

    def __str__(self) -> str:
        kind = "" if self.type == UNICAST else f"{self.type} "
        dst = "default" if self.dst.prefixlen == 0 else str(self.dst)
        hops = _words_of(self.nexthops)
        table = "" if self.table == MAIN_TABLE else f" table {self.table}"
        metric = "" if self.metric is None else f" metric {self.metric}"
        return f"route {kind}{dst}{hops}{table}{metric}"


@functools.lru_cache(_REMEMBERED)
def _words_of(nexthops: tuple[NextHop, ...]) -> str:
    return "".join(map(str, nexthops))


def _observe(seen: Seen, resource: Route, like: Any) -> RouteState | None:
    """Return how a route is; its place only if it was noted, and what an advertisement makes only as it is known.

    As long as one of its equals is missing, or somebody has added one, only a route that stays is out of its place.
    """
    found: RouteState | None = seen.entries.get(resource)
    if not isinstance(like, RouteState):
        return found
    if like.absent:
        return like if found is None else found
    if left_over := tuple(route for route in like.temporaries if route in seen.entries):
        return evolve(found or RouteState(), left_over=left_over, missing=found is None)
    if found is None:
        return None
    if like.place is None:
        is_as_found = found.learnt == like.learnt and not like.temporaries
        return found if is_as_found else evolve(found, learnt=like.learnt, temporaries=like.temporaries)
    place, equals = seen.facts.route_places.get(resource, (0, 1))
    place = place if like.stays or equals == like.equals else like.place
    noted = evolve(found, place=place, equals=like.equals, comes_last=like.comes_last, stays=like.stays)
    return evolve(noted, learnt=like.learnt, temporaries=like.temporaries)


def _words(change: ChangeLike) -> list[str]:
    stays_away = " stays away" if getattr(change.after, "absent", False) else ""
    return [str(change.resource).removeprefix("route ") + stays_away]


def _looks(resource: Route, state: RouteState) -> Iterator[Look]:
    argv = ["ip", f"-{resource.dst.version}", "-d", "route", "show", "table", str(resource.table)]
    argv += ["exact", str(resource.dst), *(("metric", str(resource.metric)) if resource.metric else ())]
    if state.absent:
        yield argv, f"!{re.escape(str(resource.nexthops[0]))} "
        return
    if resource.nhid is not None:
        yield argv, word(f"nhid {resource.nhid}")
        return
    for hop in resource.nexthops or (None,):
        # A gateway of the other family is printed as "via inet6 fe80::1".
        yield argv, re.escape(str(hop)).replace("via", "via( inet6)?", 1) + " " if hop else word(resource.type)


def _touches(change: ChangeLike) -> Touches:
    return _routes_of(change.resource.links)


@functools.lru_cache(_REMEMBERED)
def _routes_of(links: tuple[InterfaceName, ...]) -> Touches:
    return frozenset(("routes", *map(link_touch, links)))


def _needs(resource: Route) -> Iterable[Hashable]:
    """Yield the source address, without which the kernel removes an IPv4 route."""
    if resource.dst.version == 4 and resource.source is not None:
        yield resource.source


def _shape(route: Route) -> tuple[Hashable, str]:
    """Return all but the destination, and that: routes to many networks by one way are one shape."""
    ways = (route.nexthops, route.nhid, route.source)
    what = (route.type, route.table, route.metric, route.tos, route.protocol, route.scope)
    return (route.dst.version, ways, what), sys.intern(str(route.dst))  # there and back it is the same


def _stand_in(route: Route) -> tuple[Route, str]:
    """Return the same route to a network that no command of a route names otherwise: there a host route is whole."""
    dst = _STAND_INS[route.dst.version]
    return evolve(route, dst=dst), str(dst)


ROUTE = register(
    Kind(
        name="route",
        resource=Route,
        state=RouteState,
        template="route.j2",
        observe=_observe,
        subject=lambda _: "route",
        words=_words,
        drift=lambda change: [*_words(change), *differences(change.before, change.after)],
        looks=_looks,
        links=lambda resource: frozenset(resource.links),
        touches=_touches,
        needs=_needs,
        shape=_shape,
        stand_in=_stand_in,
        is_shared=lambda resource: resource.links == (LOOPBACK,) and resource.source is None,
        returns_with=lambda resource, _: (
            "its address" if resource.protocol == KERNEL else "the next router advertisement"
        ),
        goes_ahead=True,
    )
)
