"""Who made an address or a route, as the kernel marks it: itself, a router's advertisement, or somebody by hand.

What an advertisement made comes back with the next one, what the kernel made of a link's own comes back with the link's
mode; what somebody set has to be set again, even if it looks like those. Without such marks (an older kernel) looks
have to do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv6Address

from attrs import evolve

from planner.facts.kernel_routes import LOCAL_TABLE, prefix_routes
from planner.facts.model import AddressFact, RouteFact
from planner.kinds.route import Route
from planner.text.values import LOOPBACK, InterfaceName, Keyword

# By the link's index and the address with its prefix, as IFA_PROTO counts (<linux/if_addr.h>).
AddressMakers = Mapping[tuple[int, str], int]
KERNEL_RA, KERNEL_LL = Keyword("kernel_ra"), Keyword("kernel_ll")
_KERNEL_LO = 1
_MAKERS = {2: KERNEL_RA, 3: KERNEL_LL}
_MANAGED = Keyword("mngtmpaddr")
TEMPORARY = "the flag 'temporary'"  # which only the kernel gives, and which has no mark

# <linux/ipv6_route.h>: made by an advertisement; the preference of a router (RFC 4191).
_ADDRCONF = 0x40000
_COLUMNS = 10
_PREFERENCE = 0x18000000
_HIDING = "ways between which another route stands, unseen"
_DIFFERING = "ways of different preferences, of which one is shown"


def with_makers(
    addresses: Iterable[AddressFact],
    makers: AddressMakers | None,
    indexes: Mapping[InterfaceName, int],
    sysctls: Mapping[str, str],
    making_temporary: Collection[str] = (),
) -> tuple[AddressFact, ...]:
    """Return the addresses, each with its maker. ``makers`` is None if nobody knows, ``indexes`` are the links'.

    What an advertisement made comes back with the next one; other marks nobody can set again, nor can anybody make a
    temporary address. ``making_temporary`` are the links on which the kernel makes those (``use_tempaddr``).
    """
    marks = {key: mark for key, mark in (makers or {}).items() if mark}
    all_addresses = tuple(addresses)
    if not marks and not any(fact.state.learnt or fact.state.unsupported for fact in all_addresses):
        return all_addresses
    marked = [
        (fact, marks.get((indexes.get(fact.resource.link, 0), str(fact.resource.address)), 0)) for fact in all_addresses
    ]
    advertised = {
        (fact.resource.link, fact.resource.address.network)
        for fact, mark in marked
        if fact.state.learnt
        and (makers is None or _MAKERS.get(mark) == KERNEL_RA)
        and _listens(fact.resource.link, sysctls)
    }

    def made(fact: AddressFact, mark: int) -> AddressFact:
        state, where = fact.state, (fact.resource.link, fact.resource.address.network)
        is_like = _MAKERS.get(mark) == KERNEL_RA or state.unsupported == TEMPORARY or makers is None
        learnt = state.learnt and is_like and where in advertised
        unsupported = state.unsupported if learnt else _not_settable(fact, mark, making_temporary)
        if mark or (learnt, unsupported) != (state.learnt, state.unsupported):
            return evolve(fact, state=evolve(state, learnt=learnt, made_by=_MAKERS.get(mark), unsupported=unsupported))
        return fact

    return tuple(made(fact, mark) for fact, mark in marked)


def _not_settable(fact: AddressFact, mark: int, making_temporary: Collection[str]) -> str | None:
    """Return what of an address nobody could set again, None if there is nothing.

    The mark of a link-local address comes back if the kernel makes that again (planner/wiring/strip.py), and what it
    made for ``lo`` stays there.
    """
    address, state = fact.resource, fact.state
    is_own_of_lo = mark == _KERNEL_LO and address.link == LOOPBACK
    if mark and _MAKERS.get(mark) != KERNEL_LL and not is_own_of_lo:
        return f"a mark of who made it ({mark})"
    is_made_from = _MANAGED in state.flags and address.link in making_temporary
    return "temporary ones that the kernel makes of it" if is_made_from else state.unsupported


def with_route_makers(
    routes: Iterable[RouteFact], table: str | None, addresses: Collection[AddressFact], sysctls: Mapping[str, str]
) -> tuple[RouteFact, ...]:
    """Return the routes; what neither an advertisement nor an address can bring back is not learnt.

    ``table`` is the kernel's own list of IPv6 routes (``/proc/net/ipv6_route``), None if nobody has read it.
    """
    all_routes = tuple(routes)
    if not any(fact.state.learnt for fact in addresses) and not any(fact.state.learnt for fact in all_routes):
        return all_routes
    advertised = None if table is None else set(_advertised(table))
    made, lasting = (
        {route for fact in some for route in prefix_routes(fact.resource, fact.state)}
        for some in (addresses, [fact for fact in addresses if not fact.state.learnt])
    )

    def is_learnt(fact: RouteFact) -> bool:
        if fact.state.learnt:
            return is_brought(fact.resource)
        # What was advertised without end has no lifetime to tell it by, and stays nevertheless when its address goes.
        return fact.resource in made and fact.resource not in lasting

    def is_brought(route: Route) -> bool:
        if route in made:
            return True
        if route.table == LOCAL_TABLE or not any(_listens(link, sysctls) for link in route.links):
            return False
        return advertised is None or any(key in advertised for key in _keys(route))

    return tuple(
        fact
        if (learnt := is_learnt(fact)) == fact.state.learnt
        else evolve(fact, state=evolve(fact.state, learnt=learnt))
        for fact in all_routes
    )


def with_hidden(routes: Iterable[RouteFact], table: str | None) -> tuple[RouteFact, ...]:
    """Return the routes; IPv6 ones with several ways and others listed in between are marked: ``ip`` hides those.

    Nor does it show the preference of any way but the first. The kernel leaves out as many as a route has ways,
    whatever is listed there (rt6_dump_route).
    """
    all_routes = tuple(routes)
    if table is None or not any(_has_ways(fact) for fact in all_routes):
        return all_routes
    rows = [words for line in table.splitlines() if len(words := line.split()) == _COLUMNS]
    places: dict[tuple[object, ...], list[int]] = {}
    for place, words in enumerate(rows):
        dst, gateway = (IPv6Address(bytes.fromhex(words[column])) for column in (0, 4))
        places.setdefault((dst, int(words[1], 16), gateway, int(words[5], 16), words[9]), []).append(place)

    def hidden(route: Route) -> str | None:
        found = [place for key in _keys(route) for place in places.get(key, ())[:1]]
        if found and max(found) - min(found) + 1 > len(found):
            return _HIDING
        preferences = {int(rows[place][8], 16) & _PREFERENCE for place in found}
        return _DIFFERING if len(preferences) > 1 else None

    return tuple(
        evolve(fact, state=evolve(fact.state, unsupported=what))
        if _has_ways(fact) and (what := hidden(fact.resource))
        else fact
        for fact in all_routes
    )


def _has_ways(fact: RouteFact) -> bool:
    return fact.resource.dst.version == 6 and len(fact.resource.nexthops) > 1


def _advertised(table: str) -> Iterable[tuple[object, ...]]:
    """Yield what of the kernel's list an advertisement made: destination, length, gateway, metric and link."""
    for line in table.splitlines():
        words = line.split()
        if len(words) == _COLUMNS and int(words[8], 16) & _ADDRCONF:
            dst, gateway = (IPv6Address(bytes.fromhex(words[place])) for place in (0, 4))
            yield dst, int(words[1], 16), gateway, int(words[5], 16), words[9]


def _keys(route: Route) -> Iterable[tuple[object, ...]]:
    nowhere = IPv6Address(0)
    for hop in route.nexthops:
        yield route.dst.network_address, route.dst.prefixlen, hop.via or nowhere, route.metric, hop.dev


def _listens(link: str, sysctls: Mapping[str, str]) -> bool:
    """Say whether a link takes router advertisements (kernel, ip-sysctl.rst)."""
    return sysctls.get(f"net/ipv6/conf/{link}/accept_ra") != "0"
