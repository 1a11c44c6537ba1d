"""What ``ip -j -d``, ``ebtables-save`` and /proc/sys answered, to facts.

Only named keys are read: display state leaks from line to line in one ``ip -batch``, so the same question can come
back with more of them. What ``ip`` prints and podwire cannot give back is kept by name, and refused if touched.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from attrs import field

from planner.errors import InvalidInput
from planner.facts.answer import each_object, read_answer
from planner.facts.ebtables_save import read_save
from planner.facts.functions import read_functions, with_conf
from planner.facts.kept import with_kept
from planner.facts.kernel_routes import absent_local_routes, absent_prefixes
from planner.facts.makers import TEMPORARY, AddressMakers, with_hidden, with_makers, with_route_makers
from planner.facts.model import (
    FACTS_VERSION,
    AddressFact,
    LinkFact,
    NamespaceFacts,
    NeighbourFact,
    ResourceFact,
    RouteFact,
)
from planner.facts.neighbours import NeighbourTypes, read_neighbour, read_proxy, with_types
from planner.facts.opaque import Readable
from planner.facts.parse_link import odd_master, read_link, with_ipv6_mtus
from planner.facts.parse_route import read_routes
from planner.facts.ports import with_entries
from planner.facts.rules import read_policy
from planner.kinds.address import Address, AddressState
from planner.kinds.ebtables import EbtablesFacts
from planner.kinds.kind import readers
from planner.kinds.sysctl import LinkSysctl
from planner.text.document import Node
from planner.text.frozen import frozen
from planner.text.values import (
    InterfaceName,
    IpAddress,
    Keyword,
    Label,
    SysctlKey,
    SysctlValue,
    parse_address,
    parse_interface,
    shown,
)

T = TypeVar("T")

FOREVER = 2**32 - 1
# How many links, addresses, routes and settings are remembered with what was made of them.
_REMEMBERED = 8192
_ADDRESS_FLAGS = ("home", "stable-privacy", "mngtmpaddr", "nodad", "optimistic", "noprefixroute", "autojoin")


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
    neighbour_types: NeighbourTypes = field(factory=dict)
    policy: str = ""
    making_temporary: Collection[str] = ()
    ipv6_mtus: Mapping[str, str] = field(factory=dict)


def read_probes(answers: ProbeOutput) -> NamespaceFacts:
    """Return the facts in ``answers``; InvalidInput if a program printed what it never prints."""
    readable = Readable()
    link_nodes = list(each_object(answers.links, "ip link"))
    links = with_conf(tuple(readable.each(link_nodes, partial(_remembered, read_link))), answers.conf)
    links = with_ipv6_mtus(links, answers.ipv6_mtus)
    readable.check(link_nodes, odd_master)
    routes = read_routes(answers.routes4, answers.routes6, answers.route_text, readable)
    neighbours = _neighbours(answers, links, routes, readable)
    if answers.bridge_fdb is not None and answers.bridge_mdb is not None:
        fdb, mdb = (
            read_answer(text or "[]", f"bridge {table}")
            for text, table in ((answers.bridge_fdb, "fdb"), (answers.bridge_mdb, "mdb"))
        )
        links = with_entries(links, link_nodes, fdb, mdb, {fact.resource.link for fact in neighbours})
    down = {link.name for link in links if not link.up}
    there = {fact.resource for fact in routes if not fact.state.metrics}
    is_one = answers.addresses is answers.links
    listed = _addresses(link_nodes if is_one else each_object(answers.addresses, "ip addr"), readable)
    indexes = {link.name: link.index for link in links}
    addresses = with_makers(listed, answers.address_makers, indexes, answers.sysctls, answers.making_temporary)
    addresses = with_kept(addresses, down, there, answers.groups, answers.sysctls)
    addresses = absent_local_routes(absent_prefixes(addresses, there, down), there, down)
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
        neighbours=with_types(neighbours, answers.neighbour_types, indexes, routes),
        ebtables=read_rules(answers.ebtables_save, answers.nft_chains, answers.ebtables_problem),
        sysctls=tuple(_settings(answers.sysctls)),
        others=tuple(ResourceFact(resource, state) for read in readers() for resource, state in read(answers)),
        observed_at=answers.observed_at,
        opaque=tuple(dict.fromkeys(readable.opaque)),
        functions=read_functions(answers.functions, link_nodes),
        policy=read_policy(answers.policy),
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
        duplicate=node.has("dadfailed"),
        learnt=dynamic and local.version == 6 and from_advertisement,
        unsupported=TEMPORARY if node.has("temporary") else None,
    )
    return (local, node.maybe("address", lambda peer: peer.parse(parse_address))), state


def _lifetime(node: Node) -> int | None:
    seconds = node.integer()
    return None if seconds == FOREVER else seconds


def _neighbours(
    answers: ProbeOutput, links: tuple[LinkFact, ...], routes: tuple[RouteFact, ...], readable: Readable
) -> tuple[NeighbourFact, ...]:
    bare = {link.name for link in links if link.mac is None}
    broadcasts = {fact.resource.dst.network_address for fact in routes if fact.resource.type == "broadcast"}
    read = partial(read_neighbour, bare=bare, broadcasts=broadcasts)
    found = [fact for fact in readable.each(each_object(answers.neighbours, "ip neigh"), read) if fact is not None]
    return (*found, *readable.each(each_object(answers.proxies, "ip neigh proxy"), read_proxy))


def read_rules(save: str | None, nft_chains: str | None, problem: str | None) -> EbtablesFacts:
    """Return what ``ebtables-save`` printed, and ``nft -j list chains bridge`` if it was asked.

    If there is no ``save``, ``problem`` says why; it also does where that is not what ebtables-save prints.
    """
    if save is None:
        return EbtablesFacts(problem=problem)
    try:
        return read_save(save, None if nft_chains is None else read_answer(nft_chains, "nft list chains"))
    except InvalidInput as error:
        return EbtablesFacts(problem=str(error))
