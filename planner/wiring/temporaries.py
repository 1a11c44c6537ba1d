"""What a route needs only while it is added: it stays when its gateway or source can't be reached any more.

A default route outlives the connected route that made its gateway reachable, and a route in another table the address
that it has as its source (ip-route(8)). To add such a route again, a host route to the gateway, or a local entry for
the source, comes right before it and goes right after it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import cached_property
from ipaddress import ip_network

from attrs import field

from planner.errors import Refused
from planner.facts.kernel_routes import LOCAL_TABLE
from planner.facts.model import NamespaceFacts
from planner.facts.rules import USUAL, PolicyRule, asked
from planner.kinds.route import MAIN_TABLE, UNICAST, NextHop, Route
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, IpAddress, IpNetwork, Keyword

# Not the kernel's, nor what ``ip`` gives unasked, so that it is distinct from others' (ip-route(8), "protocol").
_PROTOCOL = Keyword("static")
_LOCAL = Keyword("local")
_DEFAULT_TABLE = Keyword("default")
_THROW = Keyword("throw")
_FIRST_METRIC = 1  # of IPv6 the least; IPv4 ``prepend`` comes first by itself


@frozen(slots=False)  # as planner.facts.model.NamespaceFacts
class Reachability:
    """What is reached in a namespace when routes are added again; ``is_ready`` says which routes are there by then."""

    facts: NamespaceFacts
    is_ready: Callable[[Route], bool] = field(repr=False)
    _found: dict[tuple[IpAddress, InterfaceName, Keyword], bool] = field(factory=dict, init=False, repr=False)
    _without: set[Hashable] = field(factory=set, init=False, repr=False)

    def temporary_routes(self, route: Route) -> tuple[Route, ...]:
        """Return the routes without which ``route`` can't be added: none for most.

        Raises Refused if nothing would help.
        """
        # Of very many routes most go the same way, whose gateways and sources they do not lead to themselves.
        ways = (route.nexthops, route.source, route.table, route.nhid, route.dst.version)
        if ways in self._without and not _is_in_its_own_way(route):
            return ()
        found = tuple(dict.fromkeys((*self._for_source(route), *self._for_gateways(route))))
        if not found and not _is_in_its_own_way(route):
            self._without.add(ways)
        taken = next((other for other in found if self._is_taken(other)), None)
        if taken is not None:
            raise Refused(f"{route} could only be added again with {taken}, but there is one: remove one of them")
        return found

    def _is_taken(self, route: Route) -> bool:
        """Say whether a temporary route would be taken for another, or come after one that counts."""
        found = self._by_dst.get(route.table, {}).get(route.dst, ())
        if route.dst.version == 4:
            return route in found
        return any(other.metric == route.metric for other in found)

    def _for_source(self, route: Route) -> Iterator[Route]:
        """Yield the local entry of a source that is no address any more, or an address whose entry somebody removed.

        Or whose entry is an equal of the route, which perhaps comes after it: the address is a broadcast address as
        well. IPv6 takes the source off such a route.
        """
        source = route.source
        if source is None or route.dst.version != 4:
            return
        if not _leads_to_source(route) and (source in self._with_entry or self._is_local(source)):
            return
        hops = tuple(NextHop(dev) for dev in route.links[:1])
        host = Keyword("host")
        yield Route(ip_network(source), hops, type=_LOCAL, table=LOCAL_TABLE, protocol=_PROTOCOL, scope=host)

    def _is_local(self, address: IpAddress) -> bool:
        best = self._best(address, None, LOCAL_TABLE, None)
        return best is not None and best.type == _LOCAL

    def _for_gateways(self, route: Route) -> Iterator[Route]:
        """Yield a host route to each gateway that a lookup would not find on its link."""
        for hop in route.nexthops:
            if hop.via is None or hop.dev is None or route.nhid is not None:
                continue
            self._refuse_own(route, hop, hop.via)
            if hop.onlink or (hop.via.version == 6 and hop.via.is_link_local):
                continue
            table = route.table if hop.via.version == route.dst.version else MAIN_TABLE
            if not self._is_reached(hop.via, hop.dev, table, route):
                yield _host_route(hop.via, hop.dev, table)

    def _refuse_own(self, route: Route, hop: NextHop, gateway: IpAddress) -> None:
        """Raise Refused if a gateway is an address of the namespace by now, and the kernel takes it for none then."""
        if gateway not in self._own or (gateway.version == 4 and not hop.onlink):
            return
        if gateway.version == 4 or not gateway.is_link_local or hop.dev in self._own[gateway]:
            raise Refused(f"{route} could not be added again because {gateway} is now one of the pod's own addresses")

    def _is_reached(self, gateway: IpAddress, link: InterfaceName, table: Keyword, route: Route) -> bool:
        """Say whether a lookup finds a gateway on its link: in the route's own table, or else as any packet would."""
        own = route if gateway.version == route.dst.version and gateway in route.dst else None
        if own is None:
            key = (gateway, link, table)
            if key not in self._found:
                self._found[key] = self._looks_up(gateway, link, table, route, None)
            return self._found[key]
        return self._looks_up(gateway, link, table, route, own)

    def _looks_up(
        self, gateway: IpAddress, link: InterfaceName, table: Keyword, route: Route, own: Route | None
    ) -> bool:
        """Do what ``_is_reached`` says. Raises Refused if a host route in the table would not be found either.

        That of any table but main is asked first, main when a rule says so (fib_semantics.c, fib_check_nh_v4_gw).
        """
        would_help = table != MAIN_TABLE
        if would_help and (best := self._best(gateway, link, table, own)) is not None:
            return self._leads_there(best, link)
        for rule in asked((self.facts.policy if gateway.version == 4 else ()) or USUAL, gateway, link):
            best = self._answer(rule, gateway, link, own)
            if best is not None and self._leads_there(best, link):
                return True
            would_help = would_help or (rule.table == MAIN_TABLE and rule.suppress < gateway.max_prefixlen)
            if best is None and rule.table is not None:
                continue
            if would_help:
                return False
            there = best or f"the policy rule '{rule}'"
            raise Refused(f"{route} could not be added again because {there} exists: remove one of them")
        if not would_help:
            raise Refused(f"{route} could not be added again because no policy rule leads to {gateway}")
        return False

    def _answer(self, rule: PolicyRule, gateway: IpAddress, link: InterfaceName, own: Route | None) -> Route | None:
        best = None if rule.table is None else self._best(gateway, link, rule.table, own)
        return None if best is None or best.type == _THROW or best.dst.prefixlen <= rule.suppress else best

    def _leads_there(self, route: Route, link: InterfaceName) -> bool:
        is_direct = route.type == UNICAST and any(way.dev == link and way.via is None for way in route.nexthops)
        return route.type == _LOCAL or (is_direct and self.is_ready(route))

    def _best(self, address: IpAddress, link: InterfaceName | None, table: Keyword, but: Route | None) -> Route | None:
        """Return the route by which a lookup finds an address, with a link only by that; None if there is none."""
        for length in self._lengths.get((table, address.version), ()):
            network = ip_network((address, length), strict=False)
            found = [
                route
                for route in self._by_dst.get(table, {}).get(network, ())
                if route != but and (link is None or link in route.links or not route.links)
            ]
            if found:
                return min(found, key=lambda route: route.metric or 0)
        return None

    @cached_property
    def _own(self) -> dict[IpAddress, list[InterfaceName]]:
        """Return the addresses that the namespace has, with their links."""
        found: dict[IpAddress, list[InterfaceName]] = {}
        for fact in self.facts.addresses:
            found.setdefault(fact.resource.address.ip, []).append(fact.resource.link)
        return found

    @cached_property
    def _with_entry(self) -> set[IpAddress]:
        """Return the addresses of the namespace but those without the local entry that the kernel makes for each."""
        return {
            fact.resource.address.ip
            for fact in self.facts.addresses
            if not any(route.type == _LOCAL for route in fact.state.unmade_routes)
        }

    @cached_property
    def _by_dst(self) -> dict[Keyword, dict[IpNetwork, tuple[Route, ...]]]:
        found: dict[Keyword, dict[IpNetwork, tuple[Route, ...]]] = {}
        for fact in self.facts.routes:
            table = found.setdefault(fact.resource.table, {})
            own = (fact.resource,)
            others = table.setdefault(fact.resource.dst, own)
            if others is not own:
                table[fact.resource.dst] = others + own
        return found

    @cached_property
    def _lengths(self) -> dict[tuple[Keyword, int], list[int]]:
        """Return the lengths of the prefixes in each table, the longest first."""
        found: dict[tuple[Keyword, int], set[int]] = {}
        for table, destinations in self._by_dst.items():
            for dst in destinations:
                found.setdefault((table, dst.version), set()).add(dst.prefixlen)
        return {key: sorted(lengths, reverse=True) for key, lengths in found.items()}


def _is_in_its_own_way(route: Route) -> bool:
    return _leads_to_source(route) or any(hop.via is not None and hop.via in route.dst for hop in route.nexthops)


def _leads_to_source(route: Route) -> bool:
    """Say whether a route is one of several kinds to the address that is its source."""
    is_special = route.table == LOCAL_TABLE and route.type != _LOCAL
    return is_special and route.source is not None and route.dst == ip_network(route.source)


def _host_route(gateway: IpAddress, link: InterfaceName, table: Keyword) -> Route:
    hops = (NextHop(link),)
    if gateway.version == 6:
        return Route(ip_network(gateway), hops, table=table, metric=_FIRST_METRIC, protocol=_PROTOCOL)
    return Route(ip_network(gateway), hops, table=table, protocol=_PROTOCOL, scope=Keyword("link"))
