"""Neighbours that somebody set, among those that the kernel makes or learns (ip-neighbour(8))."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from attrs import evolve

from planner.facts.kernel_routes import LOCAL_TABLE
from planner.facts.model import NeighbourFact, RouteFact
from planner.kinds.neighbour import Neighbour, NeighbourState
from planner.kinds.route import Route
from planner.text.document import Node
from planner.text.values import InterfaceName, IpAddress, Keyword, MacAddress, parse_address

# By the link's index and the address, as rtnetlink(7) counts the types of routes (RTN_UNICAST).
NeighbourTypes = Mapping[tuple[int, str], int]
# By the length of a prefix, the longest first, and the number of its network.
LocalTable = Mapping[int, Mapping[int, Keyword]]
_BITS = 32
_UNICAST, _BROADCASTED, _MULTICASTED = Keyword("unicast"), Keyword("broadcast"), Keyword("multicast")
_TYPES = {1: _UNICAST, 2: Keyword("local"), 3: _BROADCASTED, 5: _MULTICASTED}

_NEIGHBOUR_FLAGS = ("router", "extern_learn", "managed")
_KEPT_NEIGHBOURS = ("PERMANENT", "NOARP")
# Entries that somebody set, whatever state they are in; the first stay as they are, the others the kernel keeps asking.
_MANAGED = "managed"
_KEPT_FLAGS = ("extern_learn", _MANAGED)
_REACHABLE = Keyword("reachable")
_EVERYBODY = parse_address("255.255.255.255")
_BROADCAST = "ff:ff:ff:ff:ff:ff"


def read_neighbour(
    node: Node, *, bare: Collection[InterfaceName], broadcasts: Collection[IpAddress]
) -> NeighbourFact | None:
    """Return an entry of ``ip neigh show nud all`` if somebody set it.

    On ``bare`` links, which have no MAC, every noarp entry is the kernel's. Whether an entry is reachable moves by
    itself: one that is kept without being permanent counts as that.
    """
    states, flags = node.maybe("state", Node.texts) or (), _neighbour_flags(node)
    kept = next((state for state in _KEPT_NEIGHBOURS if state in states), None)
    if kept is None and not set(flags) & set(_KEPT_FLAGS):
        return None
    link, address = _neighbour_identity(node)
    mac = node.optional("lladdr", Node.text, "")
    if kept == "NOARP" and (link in bare or mac == _made_mac(address, broadcasts)):
        if _MANAGED not in flags:
            return None
        kept = None  # the one who set the flag left the rest to the kernel
    is_asked_for = kept is None and _MANAGED in flags
    state = NeighbourState(
        lladdr=None if is_asked_for else node.maybe("lladdr", lambda item: item.parse(MacAddress)),
        state=None if is_asked_for else Keyword(kept.lower()) if kept else _REACHABLE,
        flags=flags,
        protocol=node.maybe("protocol", _keyword),
    )
    return NeighbourFact(Neighbour(link, address), state)


def read_proxy(node: Node) -> NeighbourFact:
    """Return an entry of ``ip neigh show proxy``."""
    state = NeighbourState(flags=_neighbour_flags(node), protocol=node.maybe("protocol", _keyword))
    return NeighbourFact(Neighbour(*_neighbour_identity(node), proxy=True), state)


def with_types(
    neighbours: tuple[NeighbourFact, ...],
    types: NeighbourTypes,
    indexes: Mapping[InterfaceName, int],
    routes: Collection[RouteFact],
) -> tuple[NeighbourFact, ...]:
    """Return the neighbours, each with the type that the kernel noted if it would be another one now."""
    if not types or not neighbours:
        return neighbours
    local = local_table(fact.resource for fact in routes)

    def with_type(fact: NeighbourFact) -> NeighbourFact:
        address = fact.resource.address
        noted = _TYPES.get(types.get((indexes.get(fact.resource.link, 0), str(address)), 0))
        return fact if noted in (None, address_type(address, local)) else evolve(fact, made_as=noted)

    return tuple(fact if fact.resource.proxy else with_type(fact) for fact in neighbours)


def local_table(routes: Iterable[Route]) -> LocalTable:
    """Return the types in the IPv4 local table: of equal prefixes that of the lowest metric, and of these the first."""
    found: dict[int, dict[int, Route]] = {}
    for route in routes:
        if route.table == LOCAL_TABLE and route.dst.version == 4 and not route.tos:
            there, key = found.setdefault(route.dst.prefixlen, {}), int(route.dst.network_address)
            if key not in there or (route.metric or 0) < (there[key].metric or 0):
                there[key] = route
    return {length: {key: route.type for key, route in found[length].items()} for length in sorted(found, reverse=True)}


def address_type(address: IpAddress, local: LocalTable) -> Keyword:
    """Return the type of an IPv4 address by the local table; the kernel notes it with a neighbour that it makes.

    The longest prefix decides (fib_frontend.c, inet_addr_type_dev_table).
    """
    if address.is_multicast:
        return _MULTICASTED
    if address == _EVERYBODY or address.packed[0] == 0:
        return _BROADCASTED
    for length, types in local.items():
        rest = _BITS - length
        found = types.get(int(address) >> rest << rest)
        if found is not None:
            return found if found in _TYPES.values() else _UNICAST
    return _UNICAST


def _made_mac(address: IpAddress, broadcasts: Collection[IpAddress]) -> str | None:
    """Return the MAC with which the kernel itself makes an entry (RFC 1112, RFC 2464), None if it makes none."""
    if address in broadcasts or address == _EVERYBODY:
        return _BROADCAST
    if not address.is_multicast:
        return None
    low = address.packed[-4:]
    found = bytes((0x33, 0x33, *low)) if address.version == 6 else bytes((1, 0, 0x5E, low[1] & 0x7F, *low[2:]))
    return found.hex(":")


def _neighbour_identity(node: Node) -> tuple[InterfaceName, IpAddress]:
    return node.field("dev").parse(InterfaceName), node.field("dst").parse(parse_address)


def _neighbour_flags(node: Node) -> tuple[Keyword, ...]:
    """Return the flags, which come as keys with null."""
    present = node.keys()
    return tuple(Keyword(flag) for flag in _NEIGHBOUR_FLAGS if flag in present)


def _keyword(node: Node) -> Keyword:
    return node.parse(Keyword)
