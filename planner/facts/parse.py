"""What ``ip -j -d``, ``ebtables-save`` and /proc/sys answered, to facts.

Only named keys are read: display state leaks from line to line in one ``ip -batch``, so the same question can come
back with more of them. What ``ip`` prints and podwire cannot give back is kept by name, and refused if touched.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from ipaddress import ip_network
from typing import Any, TypeVar

from attrs import evolve, field

from planner.errors import InvalidInput
from planner.facts.ebtables_save import read_save
from planner.facts.functions import read_functions, with_conf
from planner.facts.kept import with_kept
from planner.facts.kernel_routes import absent_local_routes, absent_prefixes
from planner.facts.makers import AddressMakers, with_hidden, with_makers, with_route_makers
from planner.facts.model import (
    FACTS_VERSION,
    AddressFact,
    LinkFact,
    NamespaceFacts,
    NeighbourFact,
    ResourceFact,
    RouteFact,
)
from planner.facts.neighbours import read_neighbour, read_proxy
from planner.facts.opaque import Readable
from planner.facts.parse_link import odd_master, read_link
from planner.facts.ports import with_entries
from planner.kinds.address import Address, AddressState
from planner.kinds.ebtables import EbtablesFacts
from planner.kinds.kind import kinds
from planner.kinds.route import NextHop, Route, RouteMetric, RouteState
from planner.kinds.sysctl import LinkSysctl
from planner.text.document import Node
from planner.text.frozen import frozen
from planner.text.values import (
    InterfaceName,
    IpAddress,
    IpNetwork,
    Keyword,
    Label,
    SysctlKey,
    SysctlValue,
    parse_address,
    parse_interface,
    parse_network,
    shown,
)

T = TypeVar("T")

FOREVER = 2**32 - 1
# How many links, addresses, routes and settings are remembered with what was made of them.
_REMEMBERED = 8192
_ADDRESS_FLAGS = ("home", "stable-privacy", "mngtmpaddr", "nodad", "optimistic", "noprefixroute", "autojoin")
_ROUTE_KEYS = {
    "type", "dst", "tos", "gateway", "via", "dev", "table", "protocol", "scope", "prefsrc", "metric", "flags",
    "metrics", "expires", "pref", "nexthops", "nhid", "nh_info", "uid", "age", "users", "used",
}  # fmt: skip
_HOP_FLAGS = {"onlink", "linkdown", "dead", "pervasive", "offload", "trap", "rt_offload", "rt_trap", "unresolved"}
_METRICS = {
    "mtu", "window", "rtt", "rttvar", "ssthresh", "cwnd", "advmss", "reordering", "hoplimit", "initcwnd", "features",
    "rto_min", "initrwnd", "quickack", "congctl", "fastopen_no_cookie",
}  # fmt: skip


@frozen
class ProbeOutput:
    """What was answered in one namespace, as text: ``ip``'s in JSON, ``route_text`` without ``-j`` (or None).

    ``route_text`` (``ip -o -d route show table all``, both families) is only needed if a route has metrics: that
    one is locked isn't in the JSON. If ``ebtables_save`` is None, ``ebtables_problem`` says why it can't be read.
    """

    links: str
    addresses: str
    routes4: str
    routes6: str
    neighbours: str
    proxies: str
    route_text: str | None
    ebtables_save: str | None
    nft_chains: str | None
    ebtables_problem: str | None
    sysctls: Mapping[str, str]
    observed_at: float
    functions: Mapping[str, Mapping[str, str]] = field(factory=dict)
    conf: Mapping[str, Mapping[str, str]] = field(factory=dict)
    bridge_fdb: str | None = None
    bridge_mdb: str | None = None
    address_makers: AddressMakers | None = None
    route_makers: str | None = None
    groups: str | None = None


def read_probes(answers: ProbeOutput) -> NamespaceFacts:
    """Return the facts in ``answers``; InvalidInput if a program printed what it never prints."""
    readable = Readable()
    link_nodes = _objects(answers.links, "ip link")
    links = with_conf(tuple(readable.each(link_nodes, partial(_remembered, read_link))), answers.conf)
    readable.check(link_nodes, odd_master)
    routes = _routes(answers, readable)
    neighbours = _neighbours(answers, links, routes, readable)
    if answers.bridge_fdb is not None and answers.bridge_mdb is not None:
        fdb, mdb = _json(answers.bridge_fdb or "[]", "bridge fdb"), _json(answers.bridge_mdb or "[]", "bridge mdb")
        links = with_entries(links, fdb, mdb, {fact.resource.link for fact in neighbours})
    down = {link.name for link in links if not link.up}
    there = {fact.resource for fact in routes if not fact.state.metrics}
    listed = _addresses(_objects(answers.addresses, "ip addr"), readable)
    indexes = {link.name: link.index for link in links}
    addresses = with_makers(listed, answers.address_makers, indexes, answers.sysctls)
    addresses = absent_local_routes(absent_prefixes(addresses, there, down), there, down)
    addresses = with_kept(addresses, down, there, answers.groups, answers.sysctls)
    return NamespaceFacts(
        version=FACTS_VERSION,
        links=links,
        addresses=addresses,
        # IPv6 routes that have expired stay listed for up to a minute, with a time below 0.
        routes=with_hidden(
            with_route_makers(
                (fact for fact in routes if fact.state.expires != 0), answers.route_makers, addresses, answers.sysctls
            ),
            answers.route_makers,
        ),
        neighbours=neighbours,
        ebtables=read_rules(answers.ebtables_save, answers.nft_chains, answers.ebtables_problem),
        sysctls=tuple(_settings(answers.sysctls)),
        others=tuple(ResourceFact(resource, state) for kind in kinds() for resource, state in kind.read(answers)),
        observed_at=answers.observed_at,
        opaque=tuple(dict.fromkeys(readable.opaque)),
        functions=read_functions(answers.functions, link_nodes),
    )


def _addresses(nodes: Iterable[Node], readable: Readable) -> Iterator[AddressFact]:
    read = partial(_remembered, _address)
    for link, items in readable.each(nodes, _addresses_of_link):
        for identity, state in readable.each((item for item in items if item.value), read, link):
            yield AddressFact(Address(link, *identity), state)


def _addresses_of_link(node: Node) -> tuple[InterfaceName, Iterable[Node]]:
    return node.field("ifname").parse(InterfaceName), node.field("addr_info").items()


def _settings(sysctls: Mapping[str, str]) -> Iterator[LinkSysctl]:
    for key, value in sysctls.items():
        with suppress(InvalidInput):  # of a link whose name podwire does not take
            yield _setting(key, value)


@functools.lru_cache(_REMEMBERED)
def _setting(key: str, value: str) -> LinkSysctl:
    return LinkSysctl(Node(key, "sysctl").parse(SysctlKey), Node(value, f"sysctl {shown(key)}").parse(SysctlValue))


def _remembered(read: Callable[[Node], T], node: Node) -> T:
    """Return ``read(node)``, from memory if the same was read before: an operation looks twice and more."""
    key = (read, repr(node.value))
    found: T | None = _memory.get(key)
    if found is None:
        found = read(node)
        if len(_memory) >= _REMEMBERED:
            _memory.clear()
        _memory[key] = found
    return found


_memory: dict[tuple[Callable[[Node], Any], str], Any] = {}


def _objects(text: str, what: str) -> list[Node]:
    """Return the objects in an answer of ``ip -j``.

    It prints what controls a terminal raw (in an alias), and repeats keys: the first ``dst`` of an encapsulated route
    is the route's own.
    """
    return list(_each_object(text, what))


def _each_object(text: str, what: str) -> Iterator[Node]:
    return (node for node in _json(text or "[]", what).items() if node.value)


def _json(text: str, what: str) -> Node:
    try:
        value = json.loads(text, strict=False, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    except (ValueError, RecursionError):
        raise InvalidInput(f"{what} did not answer in JSON: {shown(text)}") from None
    return Node(value, what)


def _keyword(node: Node) -> Keyword:
    return node.parse(Keyword)


def _address(node: Node) -> tuple[tuple[Any, IpAddress | None], AddressState]:
    """Return the identity (address, peer) and the state of an ``addr_info`` element (ip-address(8))."""
    length = node.field("prefixlen").integer(0, 128)
    local = node.field("local").parse(lambda text: parse_interface(f"{text}/{length}"))
    valid, preferred = (_lifetime(node.field(f"{which}_life_time")) for which in ("valid", "preferred"))
    dynamic = bool(node.maybe("dynamic", Node.boolean))
    from_advertisement = any(node.has(flag) for flag in ("mngtmpaddr", "temporary", "stable-privacy"))
    state = AddressState(
        scope=node.field("scope").parse(Keyword),
        label=node.maybe("label", lambda label: label.parse(Label)),
        broadcast=node.maybe("broadcast", lambda address: address.parse(parse_address)),
        flags=tuple(Keyword(flag) for flag in _ADDRESS_FLAGS if node.has(flag)),
        metric=node.maybe("metric", Node.integer),
        valid_lft=valid,
        # ``deprecated`` without a lifetime that ends: somebody set it to 0.
        preferred_lft=0 if node.has("deprecated") else preferred,
        tentative=node.has("tentative"),
        learnt=dynamic and local.version == 6 and from_advertisement,
    )
    return (local, node.maybe("address", lambda peer: peer.parse(parse_address))), state


def _lifetime(node: Node) -> int | None:
    seconds = node.integer()
    return None if seconds == FOREVER else seconds


def _routes(answers: ProbeOutput, readable: Readable) -> tuple[RouteFact, ...]:
    told: Iterable[str | None] = itertools.repeat(None)
    if answers.route_text:
        lines = _lines(answers.route_text)
        told = lines if len(lines) == sum(1 for _ in _route_nodes(answers)) else told
    return tuple(
        _with_metrics(node, fact, line)
        for (node, read), line in zip(_route_nodes(answers), told, strict=False)
        for fact in readable.each((node,), partial(_remembered, read))
    )


def _route_nodes(answers: ProbeOutput) -> Iterator[tuple[Node, Callable[[Node], RouteFact]]]:
    """Yield each route with what reads it, one after the other: there may be very many."""
    for text, read in ((answers.routes4, _ipv4_route), (answers.routes6, _ipv6_route)):
        for node in _each_object(text, "ip route"):
            yield node, read


def _with_metrics(node: Node, fact: RouteFact, line: str | None) -> RouteFact:
    """Return the fact with the metrics of its line of text, marked if it has some and there is none that tells."""
    if not node.has("metrics"):
        return fact
    with suppress(ValueError):
        if line is not None:
            return evolve(fact, state=evolve(fact.state, metrics=_metrics(line.split("\\")[0].split())))
    unsupported = fact.state.unsupported or "metrics that could not be read"
    return evolve(fact, state=evolve(fact.state, unsupported=unsupported))


def _ipv4_route(node: Node) -> RouteFact:
    return _route(node, "0.0.0.0/0")


def _ipv6_route(node: Node) -> RouteFact:
    return _route(node, "::/0")


def _route(node: Node, default: str) -> RouteFact:
    network = _network_of(default)
    protocol = node.maybe("protocol", _keyword)
    expires = node.maybe("expires", lambda seconds: max(0, seconds.integer(low=-(2**31))))
    resource = Route(
        dst=node.field("dst").parse(network),
        nexthops=_shared(_nexthops(node)),
        nhid=node.maybe("nhid", Node.integer),
        type=node.optional("type", _keyword, Keyword("unicast")),
        table=node.optional("table", _keyword, Keyword("main")),
        metric=node.maybe("metric", Node.integer),
        tos=None if node.has("encap") else node.maybe("tos", _keyword),  # that of an encapsulation is a number
        protocol=protocol,
        # The scope of an IPv6 route is always global, and not for setting (ip-route(8)).
        scope=node.maybe("scope", _keyword) if default == "0.0.0.0/0" else None,
        source=node.maybe("prefsrc", lambda source: source.parse(parse_address)),
    )
    state = RouteState(
        expires=expires,
        preference=node.maybe("pref", _preference),
        learnt=expires is not None and (protocol == "ra" or (protocol == "kernel" and not node.has("gateway"))),
        unsupported=_unsupported(node),
    )
    return RouteFact(resource, _shared(state))


@functools.lru_cache(_REMEMBERED)
def _shared(value: T) -> T:
    """Return an equal value that is there already: of very many routes most have the same ways and state."""
    return value


def _preference(node: Node) -> Keyword | None:
    """Return the preference of a router (RFC 4191), None for medium, which is every route's."""
    return None if node.value == "medium" else _keyword(node)


def _network_of(default: str) -> Callable[[str], IpNetwork]:
    def parse(text: str) -> IpNetwork:
        return ip_network(default) if text == "default" else parse_network(text)

    return parse


def _nexthops(node: Node) -> tuple[NextHop, ...]:
    if node.has("nexthops"):
        return node.field("nexthops").each(_nexthop)
    hop = _nexthop(node)
    return (hop,) if hop != NextHop() else ()


def _nexthop(node: Node) -> NextHop:
    via = node.maybe("gateway", lambda gateway: gateway.parse(parse_address))
    if node.has("via"):
        via = node.field("via").field("host").parse(parse_address)
    flags = node.maybe("flags", Node.texts) or ()
    return NextHop(
        dev=node.maybe("dev", lambda dev: dev.parse(InterfaceName)),
        via=via,
        onlink="onlink" in flags,
        weight=node.optional("weight", Node.integer, 1),
    )


def _unsupported(node: Node) -> str | None:
    """Return what of a route podwire could not give back, in a word, or None."""
    keys = node.keys() - _ROUTE_KEYS
    if "encap" in keys:
        return "an encapsulation"
    several = node.has("nexthops")
    for hop in node.field("nexthops").items() if several else [node]:
        flags = set(hop.maybe("flags", Node.texts) or ())
        keys |= hop.keys() - _ROUTE_KEYS - {"weight"}
        keys |= flags - _HOP_FLAGS
        if several and "dead" in flags:
            return "a way by a link that is down"
    return f"'{min(keys)[:20]}'" if keys else None


def _lines(text: str) -> list[str]:
    """Return the line of each route in the text form."""
    return [line for line in text.splitlines() if line and not line[0].isspace()]


def _metrics(words: list[str]) -> tuple[RouteMetric, ...]:
    """Return the metrics in the text form of a route, which is nearly the input language (ip-route(8))."""
    found = []
    for index, word in enumerate(words[:-1]):
        if word in _METRICS and words[index - 1] not in ("dev", "table", "proto", "scope"):
            locked = words[index + 1] == "lock"
            value = words[index + 2] if locked else words[index + 1]
            # ``rto_min`` is locked whenever it is set, and takes no ``lock``.
            found.append(RouteMetric(Keyword(word), Keyword(value), locked=locked and word != "rto_min"))
    return tuple(found)


def _neighbours(
    answers: ProbeOutput, links: tuple[LinkFact, ...], routes: tuple[RouteFact, ...], readable: Readable
) -> tuple[NeighbourFact, ...]:
    bare = {link.name for link in links if link.mac is None}
    broadcasts = {fact.resource.dst.network_address for fact in routes if fact.resource.type == "broadcast"}
    read = partial(read_neighbour, bare=bare, broadcasts=broadcasts)
    found = [fact for fact in readable.each(_objects(answers.neighbours, "ip neigh"), read) if fact is not None]
    return (*found, *readable.each(_objects(answers.proxies, "ip neigh proxy"), read_proxy))


def read_rules(save: str | None, nft_chains: str | None, problem: str | None) -> EbtablesFacts:
    """Return what ``ebtables-save`` printed, and ``nft -j list chains bridge`` if it was asked.

    If there is no ``save``, ``problem`` says why; it also does where that is not what ebtables-save prints.
    """
    if save is None:
        return EbtablesFacts(problem=problem)
    try:
        return read_save(save, None if nft_chains is None else _json(nft_chains, "nft list chains"))
    except InvalidInput as error:
        return EbtablesFacts(problem=str(error))
