"""What was observed in one network namespace, as values; nothing here asks anybody.

They serialise as they are (planner.text.codec); planner.changes.lookup answers how one resource is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from typing import Any, TypeVar

from attrs import evolve

from planner.facts.hooks import NetfilterHook
from planner.facts.opaque import Opaque
from planner.facts.rules import PolicyRule
from planner.kinds.address import Address, AddressState
from planner.kinds.ebtables import EbtablesFacts
from planner.kinds.kind import Resource, State, canonical, kind_of, resource_from_json
from planner.kinds.link import BridgeDevice, TapDevice
from planner.kinds.neighbour import Neighbour, NeighbourState
from planner.kinds.route import Route, RouteState
from planner.kinds.sysctl import ConfValue, LinkSysctl
from planner.kinds.vf_setting import VfSettingState
from planner.text.codec import from_json, read_with, to_json
from planner.text.document import Node
from planner.text.frozen import frozen
from planner.text.pieces import Compact, Items
from planner.text.values import (
    InterfaceName,
    IpInterface,
    IpNetwork,
    Keyword,
    MacAddress,
    NetnsPath,
    PciAddress,
    SysctlValue,
)

K = TypeVar("K")
V = TypeVar("V")

FACTS_VERSION = 1
UP = Keyword("UP")
# So many facts are ordered at once.
_AT_ONCE = 16384
_CANONICAL = Compact(ensure_ascii=True)


@frozen
class LinkFact:
    """A link as it was seen. ``type`` is the kernel's kind (``veth``), or ``ether``, ``loopback``, … if it has none.

    ``port_settings`` names what somebody set of it as a port of ``master``. ``parent`` is the link that a macvlan or
    ipvlan is made on, if that is in the namespace as well. ``xdp``: how an XDP program is attached (``xdpgeneric``).
    ``queue_length`` is how many frames may wait (txqueuelen); what does not change it does not depend on it.
    ``ipv6_mtu`` is that of IPv6, if the link is down and it is another than ``mtu``.
    ``conf`` are the sysctls in which the link of a PCI device differs from the namespace's default.
    ``index`` is the kernel's number of it, which it keeps when it is renamed; 0 in facts of an earlier version.
    ``other_end`` is that of what it hangs on, in whichever namespace that is: the other end of a veth, or what a
    macvlan is made on; 0 without one.
    ``parent_device`` is a PCI address where ``parent_bus`` is ``pci``; ``carrier`` moves on its own.
    """

    name: InterfaceName
    type: Keyword
    mtu: int
    flags: tuple[Keyword, ...] = ()
    mac: MacAddress | None = None
    master: InterfaceName | None = None
    port_settings: tuple[Keyword, ...] = ()
    parent: InterfaceName | None = None
    alias: str | None = None
    group: Keyword = Keyword("default")
    addrgenmode: Keyword | None = None
    altnames: tuple[str, ...] = ()
    parent_bus: Keyword | None = None
    parent_device: Keyword | None = None
    device: BridgeDevice | TapDevice | None = None
    carrier: bool = False
    index: int = 0
    other_end: int = 0
    xdp: Keyword | None = None
    queue_length: int | None = None
    conf: tuple[ConfValue, ...] = ()
    ipv6_mtu: int | None = None

    @property
    def up(self) -> bool:
        """Say whether the link is administratively up."""
        return UP in self.flags


@frozen
class FunctionFact:
    """A virtual function of a PCI device that shares itself (SR-IOV), and its physical one; known of the host only.

    ``number`` is its number there, ``pf`` the interface of the physical one and ``setting`` what that enforces.
    ``override`` is the only driver that may take it. ``group`` is its IOMMU group, None without an IOMMU, and
    ``group_devices`` are the others in it, bridges left out. ``interface`` is its own, while that is on the host.
    ``vfio`` says whether vfio-pci is loaded.
    """

    address: PciAddress
    physfn: PciAddress
    number: int
    pf: InterfaceName | None = None
    pf_carrier: bool = False
    setting: VfSettingState | None = None
    driver: Keyword | None = None
    override: Keyword | None = None
    group: int | None = None
    group_devices: tuple[PciAddress, ...] = ()
    interface: InterfaceName | None = None
    vfio: bool = False


@frozen
class AddressFact:
    """An address that is there."""

    resource: Address
    state: AddressState


@frozen
class RouteFact:
    """A route that is there."""

    resource: Route
    state: RouteState


@frozen
class NeighbourFact:
    """A neighbour entry that somebody set; ``made_as``: the type of its address then, if it is another one now."""

    resource: Neighbour
    state: NeighbourState
    made_as: Keyword | None = None


@frozen
class ResourceFact:
    """A resource that is there, of a kind that has a reader of its own (planner.kinds.kind.Kind.read)."""

    resource: Resource
    state: State


def _resource_fact(node: Node) -> ResourceFact:
    node.only("resource", "state")
    resource = resource_from_json(node.field("resource"))
    return ResourceFact(resource, from_json(kind_of(resource).state, node.field("state")))


read_with(ResourceFact, _resource_fact)


@frozen
class Elsewhere:
    """What was observed in another namespace: ``facts`` is None if it is gone, or if nobody has looked yet.

    ``netns`` is its path, None for the host's, which is the one that podwire runs in. ``cookie`` is what it is known by
    (SO_NETNS_COOKIE), 0 for whatever is there.
    """

    netns: NetnsPath | None
    cookie: int = 0
    facts: NamespaceFacts | None = None


def _elsewhere(node: Node) -> Elsewhere:
    node.only("netns", "cookie", "facts")
    facts = from_json(NamespaceFacts, node.field("facts"))
    if facts.elsewhere:
        raise node.field("facts").error("what is elsewhere has no elsewhere of its own")
    netns = node.maybe("netns", lambda item: item.parse(NetnsPath))
    return Elsewhere(netns, node.field("cookie").integer(1, 2**64 - 1), facts)


read_with(Elsewhere, _elsewhere)


@frozen(slots=False)  # with slots, attrs takes as long for what is cached as to make two classes
class NamespaceFacts:
    """Everything that planning looks at. ``observed_at`` is seconds since the epoch, for lifetimes that run.

    ``policy`` are the IPv4 rules that decide where a gateway is looked for, none if they are the usual ones.
    ``opaque`` is what could not be read. ``elsewhere`` are the other namespaces that a plan has changes in. What it
    depends on there is no more than how the resources of these changes are, so they are no part of the digest.
    """

    version: int
    links: tuple[LinkFact, ...] = ()
    addresses: tuple[AddressFact, ...] = ()
    routes: tuple[RouteFact, ...] = ()
    neighbours: tuple[NeighbourFact, ...] = ()
    ebtables: EbtablesFacts = EbtablesFacts()
    sysctls: tuple[LinkSysctl, ...] = ()
    others: tuple[ResourceFact, ...] = ()
    hooks: tuple[NetfilterHook, ...] = ()
    policy: tuple[PolicyRule, ...] = ()
    observed_at: float = 0.0
    opaque: tuple[Opaque, ...] = ()
    functions: tuple[FunctionFact, ...] = ()
    elsewhere: tuple[Elsewhere, ...] = ()

    # Asked for each link of a wiring: searching all of them would grow with the square of the links.
    @cached_property
    def _links_by_name(self) -> dict[str, LinkFact]:
        return {link.name: link for link in reversed(self.links)}

    @cached_property
    def _addresses_by_link(self) -> dict[str, list[AddressFact]]:
        return _grouped((fact.resource.link, fact) for fact in self.addresses)

    @cached_property
    def _neighbours_by_link(self) -> dict[str, list[NeighbourFact]]:
        return _grouped((fact.resource.link, fact) for fact in self.neighbours)

    @cached_property
    def _links_by_address(self) -> dict[IpInterface, list[InterfaceName]]:
        return _grouped((fact.resource.address, fact.resource.link) for fact in self.addresses)

    @cached_property
    def _routes_by_link(self) -> dict[str, list[RouteFact]]:
        return _grouped((link, fact) for fact in self.routes for link in dict.fromkeys(fact.resource.links))

    @cached_property
    def _sysctls_by_key(self) -> dict[str, SysctlValue]:
        return {setting.key: setting.value for setting in reversed(self.sysctls)}

    @cached_property
    def _elsewhere_by_netns(self) -> dict[NetnsPath | None, Elsewhere]:
        return {other.netns: other for other in self.elsewhere}

    @cached_property
    def shared_destinations(self) -> frozenset[IpNetwork]:
        """Return the destinations of more than one route: of very many most have one of their own, and no equals."""
        seen, shared = set[IpNetwork](), set[IpNetwork]()
        for fact in self.routes:
            count = len(seen)
            seen.add(fact.resource.dst)
            if len(seen) == count:
                shared.add(fact.resource.dst)
        return frozenset(shared)

    @cached_property
    def equal_routes(self) -> tuple[tuple[RouteFact, ...], ...]:
        """Return the routes that have equals, in groups of equals: of each the kernel uses the first."""
        found: dict[tuple[object, ...], list[RouteFact]] = {}
        for fact in self.routes if self.shared_destinations else ():
            if fact.resource.dst in self.shared_destinations and (rank := fact.resource.rank) is not None:
                found.setdefault(rank, []).append(fact)
        return tuple(tuple(group) for group in found.values() if len(group) > 1)

    @cached_property
    def route_places(self) -> dict[Route, tuple[int, int]]:
        """Return of each route that has equals how many of them come before it, and how many there are."""
        groups = self.equal_routes
        return {fact.resource: (place, len(group)) for group in groups for place, fact in enumerate(group)}

    def of(self, netns: NetnsPath | None) -> NamespaceFacts | None:
        """Return the facts of a namespace, these ones if it is not elsewhere, None if it is gone."""
        other = self._elsewhere_by_netns.get(netns)
        return self if other is None else other.facts

    def function_of(self, link: LinkFact) -> FunctionFact | None:
        """Return the virtual function that a link is of, as the host knows it; None if it is of none."""
        host = self.of(None)
        functions = () if host is None or link.parent_device is None else host.functions
        return next((found for found in functions if str(found.address) == link.parent_device), None)

    def link(self, name: str) -> LinkFact | None:
        """Return the link called ``name``, or None."""
        return self._links_by_name.get(name)

    def addresses_of(self, link: str) -> tuple[AddressFact, ...]:
        """Return the addresses of a link in the kernel's order."""
        return tuple(self._addresses_by_link.get(link, ()))

    def neighbours_of(self, link: str) -> tuple[NeighbourFact, ...]:
        """Return the neighbours of a link that somebody set."""
        return tuple(self._neighbours_by_link.get(link, ()))

    def carriers(self, address: IpInterface) -> tuple[InterfaceName, ...]:
        """Return the names of the links that carry exactly this address."""
        return tuple(self._links_by_address.get(address, ()))

    def opaque_on(self, link: str) -> tuple[str, ...]:
        """Return what of a link could not be read, in words."""
        return tuple(thing.why for thing in self.opaque if thing.link == link)

    def routes_of(self, link: str) -> tuple[RouteFact, ...]:
        """Return the routes that leave by a link, in the kernel's order."""
        return tuple(self._routes_by_link.get(link, ()))

    def sysctl(self, key: str) -> SysctlValue | None:
        """Return a sysctl's value, or None if the namespace has no such sysctl."""
        return self._sysctls_by_key.get(key)

    def has_ipv6(self, link: str) -> bool:
        """Say whether a link has an IPv6 device (below MTU 1280 it has none)."""
        return self.sysctl(f"net/ipv6/conf/{link}/accept_dad") is not None

    def is_like(self, other: NamespaceFacts) -> bool:
        """Say whether both have the same digest. Usually they are equal except for the time: then nothing is hashed."""
        return evolve(self, observed_at=other.observed_at) == other or self.digest() == other.digest()

    def digest(self) -> str:
        """Return the SHA-256 of what a plan depends on, in a form that timers, counters and order do not change."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return _CANONICAL.sha256(_canonical(self))


def _grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def _canonical(facts: NamespaceFacts) -> dict[str, Any]:
    """Return the facts less what changes on its own (docs/kernel.md): timers, carrier, lifetimes, order of routes."""
    # Left out if there are none, so that plans of earlier versions keep their digest.
    further = {
        "others": [_settled_json(fact) for fact in facts.others],
        "hooks": to_json(facts.hooks),
        "policy": to_json(facts.policy),
        "opaque": [to_json(thing) for thing in facts.opaque if thing.link is not None],
        "order": sorted(json.dumps([to_json(fact.resource) for fact in group]) for group in facts.equal_routes),
    }
    return {
        "links": [link_words(link) for link in sorted(facts.links, key=lambda link: link.name)],
        "addresses": [_settled_json(fact) for fact in facts.addresses],
        "routes": _in_order(facts.routes),
        "neighbours": _in_order(facts.neighbours),
        "ebtables": to_json(facts.ebtables),
        "sysctls": sorted((setting.key, setting.value) for setting in facts.sysctls),
    } | {key: value for key, value in further.items() if value}


def _in_order(facts: tuple[RouteFact, ...] | tuple[NeighbourFact, ...]) -> list[Any] | Items:
    """Return what each of ``facts`` says, in the order of that as text, which is not kept of very many."""
    if len(facts) <= _AT_ONCE:
        return sorted((_settled_json(fact) for fact in facts), key=json.dumps)

    from heapq import merge  # noqa: PLC0415  nearly always they are few

    def text(fact: RouteFact | NeighbourFact) -> str:
        return json.dumps(_settled_json(fact))

    parts = [sorted(facts[at : at + _AT_ONCE], key=text) for at in range(0, len(facts), _AT_ONCE)]
    return Items(_settled_json, merge(*parts, key=text))


def link_words(link: LinkFact) -> dict[str, Any]:
    """Return a link less what moves on its own, for comparing."""
    found: dict[str, Any] = to_json(link)
    found.pop("carrier", None)
    found.pop("index", None)
    found.pop("other_end", None)
    found.pop("queue_length", None)
    if isinstance(link.device, TapDevice):
        found["device"]["vnet_hdr"] = False  # the program that opens a tap decides on that
    return found


def _settled_json(fact: AddressFact | RouteFact | NeighbourFact | ResourceFact) -> list[Any]:
    return [to_json(fact.resource), to_json(canonical(fact.state))]
