"""What podwire can change in a namespace: one class a kind that says *which*, one that says *how it is*.

A resource is an identity (hashable, comparable); its state is everything else that a restore must bring back.
``STATE`` names the state's class, ``TEMPLATE`` the file in ``templates/`` that turns a change of it into commands.
"""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import evolve, frozen

from planner.text.values import (
    Alias,
    InterfaceName,
    IpAddress,
    IpInterface,
    IpNetwork,
    Keyword,
    Label,
    MacAddress,
    NetnsPath,
    PlanId,
    SysctlKey,
    SysctlValue,
)

MAIN_TABLE = Keyword("main")
UNICAST = Keyword("unicast")
# The lowest MTU with which a link has an IPv6 device (RFC 8200, section 5).
IPV6_MIN_MTU = 1280


@frozen
class SysctlState:
    """The value of a sysctl."""

    value: SysctlValue


@frozen
class Sysctl:
    """A sysctl of the namespace. ``sysctl -q -p -`` with ``net/ipv6/conf/eth0/accept_dad=0`` for input (sysctl(8))."""

    TAG: ClassVar = {"kind": "sysctl"}
    STATE: ClassVar = SysctlState
    TEMPLATE: ClassVar = "sysctl.j2"
    key: SysctlKey

    def __str__(self) -> str:
        return f"sysctl {self.key}"


@frozen
class LinkSysctl:
    """A sysctl of a link that podwire creates; it is set before the link goes up and goes with the link."""

    key: SysctlKey
    value: SysctlValue


@frozen
class BridgeDevice:
    """How a bridge behaves (ip-link(8), «BRIDGE Type Support»). Ageing time in hundredths of a second."""

    TAG: ClassVar = {"type": "bridge"}
    ageing_time: int
    mcast_snooping: bool


@frozen
class TapDevice:
    """How a persistent tap was made (ip-tuntap(8)): who may open it (numeric ids) and how."""

    TAG: ClassVar = {"type": "tap"}
    owner: int | None
    owner_group: int | None
    multi_queue: bool
    vnet_hdr: bool


@frozen
class VethDevice:
    """The other end of a veth pair (veth(4)) and the namespace it lives in."""

    TAG: ClassVar = {"type": "veth"}
    peer: InterfaceName
    peer_mac: MacAddress
    peer_netns: NetnsPath


@frozen
class LinkState:
    """A link that podwire creates, whole: all of it appears with the link and dies with it.

    ``addresses`` and ``sysctls`` are those that podwire gives to it; what others add is not compared.
    """

    device: BridgeDevice | TapDevice | VethDevice
    mac: MacAddress
    mtu: int
    up: bool
    alias: Alias | None = None
    group: int = 0
    addrgenmode: Keyword | None = None
    master: InterfaceName | None = None
    addresses: tuple[IpInterface, ...] = ()
    sysctls: tuple[LinkSysctl, ...] = ()


@frozen
class Link:
    """A link that podwire creates. ``ip link add name br0 type bridge`` … ``ip link del dev br0`` (ip-link(8))."""

    TAG: ClassVar = {"kind": "link"}
    STATE: ClassVar = LinkState
    TEMPLATE: ClassVar = "link.j2"
    name: InterfaceName

    def __str__(self) -> str:
        return f"link {self.name}"


@frozen
class MacState:
    """A MAC address; ``via_down`` says that the driver only takes another one while the link is down."""

    mac: MacAddress
    via_down: bool = False


@frozen
class Mac:
    """The MAC of a link that was there before. ``ip link set dev eth0 address MAC`` (ip-link(8))."""

    TAG: ClassVar = {"kind": "mac"}
    STATE: ClassVar = MacState
    TEMPLATE: ClassVar = "mac.j2"
    link: InterfaceName

    def __str__(self) -> str:
        return f"MAC of {self.link}"


@frozen
class MasterState:
    """The bridge that a link is a port of, or None."""

    master: InterfaceName | None


@frozen
class Master:
    """The master of a link that was there before. ``ip link set dev eth0 master br0`` (ip-link(8))."""

    TAG: ClassVar = {"kind": "master"}
    STATE: ClassVar = MasterState
    TEMPLATE: ClassVar = "master.j2"
    link: InterfaceName

    def __str__(self) -> str:
        return f"master of {self.link}"


@frozen
class AdminState:
    """Whether a link is administratively up."""

    up: bool


@frozen
class Admin:
    """Up or down, of a link that was there before. ``ip link set dev eth0 up`` (ip-link(8))."""

    TAG: ClassVar = {"kind": "admin"}
    STATE: ClassVar = AdminState
    TEMPLATE: ClassVar = "admin.j2"
    link: InterfaceName

    def __str__(self) -> str:
        return f"up or down of {self.link}"


@frozen
class AddrGenModeState:
    """How the kernel makes the IPv6 link-local address of a link."""

    mode: Keyword


@frozen
class AddrGenMode:
    """IPv6 address generation of a link. ``ip link set dev eth0 addrgenmode none`` (ip-link(8))."""

    TAG: ClassVar = {"kind": "addrgenmode"}
    STATE: ClassVar = AddrGenModeState
    TEMPLATE: ClassVar = "addrgenmode.j2"
    link: InterfaceName

    def __str__(self) -> str:
        return f"address generation of {self.link}"


@frozen
class AddressState:
    """An address less its identity. Lifetimes are seconds, None is forever.

    ``tentative``: whether the kernel still probes for duplicates (it does for ever without a carrier). ``learnt``: made
    from a router advertisement, which will bring it back. ``absent_routes``: the prefix routes that the kernel makes
    with the address but that somebody had removed, so that they have to go again (ptp does that).
    """

    scope: Keyword
    label: Label | None = None
    broadcast: IpAddress | None = None
    flags: tuple[Keyword, ...] = ()
    metric: int | None = None
    valid_lft: int | None = None
    preferred_lft: int | None = None
    tentative: bool = False
    learnt: bool = False
    absent_routes: tuple[IpNetwork, ...] = ()

    @property
    def comes_back(self) -> bool:
        """Say whether the network itself restores this."""
        return self.learnt

    @property
    def canonical(self) -> AddressState:
        """Return this without what ticks or ends by itself: two observations of one address are then equal."""
        if self.valid_lft is None and self.preferred_lft is None and not self.tentative:
            return self
        valid, preferred = _finite(self.valid_lft), _finite(self.preferred_lft)
        return evolve(self, valid_lft=valid, preferred_lft=preferred, tentative=False)

    def aged(self, elapsed: float) -> AddressState | None:
        """Return the state ``elapsed`` seconds later, or None when the address has expired by then."""
        if self.valid_lft is None:
            left = None
        elif (left := self.valid_lft - int(elapsed)) <= 0:
            return None
        preferred = None if self.preferred_lft is None else max(0, self.preferred_lft - int(elapsed))
        return evolve(self, valid_lft=left, preferred_lft=preferred)


def _finite(lifetime: int | None) -> int | None:
    return None if lifetime is None else 0 if lifetime == 0 else 1


@frozen
class Address:
    """An address of a link; with a peer the prefix length is the peer's.

    ``ip addr add 10.1.90.5/24 dev eth0`` (ip-address(8)).
    """

    TAG: ClassVar = {"kind": "address"}
    STATE: ClassVar = AddressState
    TEMPLATE: ClassVar = "address.j2"
    link: InterfaceName
    address: IpInterface
    peer: IpAddress | None = None

    @property
    def is_spared(self) -> bool:
        """Say whether the kernel would probe for duplicates when it is added, but can be kept from it by ``nodad``.

        A peer with a shorter prefix than its whole length is left to ``accept_dad``: ``ip addr change`` would give it a
        second connected route (addrconf.c, modify_prefix_route).
        """
        whole = self.peer is None or self.address.network.prefixlen == self.address.max_prefixlen
        return self.address.version == 6 and whole

    def __str__(self) -> str:
        peer = f" peer {self.peer}" if self.peer else ""
        return f"address {self.address}{peer} on {self.link}"


@frozen
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
    """

    metrics: tuple[RouteMetric, ...] = ()
    expires: int | None = None
    preference: Keyword | None = None
    learnt: bool = False
    unsupported: str | None = None

    @property
    def comes_back(self) -> bool:
        """Say whether the network itself restores this."""
        return self.learnt

    @property
    def canonical(self) -> RouteState:
        """Return this without what ticks."""
        return self if self.expires is None else evolve(self, expires=_finite(self.expires))

    def aged(self, elapsed: float) -> RouteState | None:
        """Return the state ``elapsed`` seconds later, or None when the route has expired by then."""
        if self.expires is None:
            return self
        left = self.expires - int(elapsed)
        return evolve(self, expires=left) if left > 0 else None


@frozen
class Route:
    """A route; all that may tell it from another of the same destination is its identity (ip-route(8)).

    ``ip route append unicast 0.0.0.0/0 via 10.1.90.1 dev eth0 …``
    """

    TAG: ClassVar = {"kind": "route"}
    STATE: ClassVar = RouteState
    TEMPLATE: ClassVar = "route.j2"
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
        return tuple(hop.dev for hop in self.nexthops if hop.dev)

    @property
    def has_gateway(self) -> bool:
        """Say whether the route goes through a gateway, which must be reachable when it is added."""
        return self.nhid is not None or any(hop.via for hop in self.nexthops)

    @property
    def default_scope(self) -> str:
        """Return the scope that ``ip route add`` gives where none is named (ip-route(8))."""
        if self.type == "local":
            return "host"
        if self.type in ("broadcast", "multicast", "anycast"):
            return "link"
        return "link" if self.type == UNICAST and not self.has_gateway and len(self.nexthops) == 1 else "global"

    def __str__(self) -> str:
        kind = "" if self.type == UNICAST else f"{self.type} "
        dst = "default" if self.dst.prefixlen == 0 else str(self.dst)
        hops = "".join(str(hop) for hop in self.nexthops)
        table = "" if self.table == MAIN_TABLE else f" table {self.table}"
        metric = "" if self.metric is None else f" metric {self.metric}"
        return f"route {kind}{dst}{hops}{table}{metric}"


@frozen
class NeighbourState:
    """A neighbour entry that somebody set: ``state`` is permanent or noarp, None for a proxy entry."""

    lladdr: MacAddress | None = None
    state: Keyword | None = None
    flags: tuple[Keyword, ...] = ()
    protocol: Keyword | None = None


@frozen
class Neighbour:
    """An entry of the neighbour table (ip-neighbour(8)).

    ``ip neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent``
    """

    TAG: ClassVar = {"kind": "neighbour"}
    STATE: ClassVar = NeighbourState
    TEMPLATE: ClassVar = "neighbour.j2"
    link: InterfaceName
    address: IpAddress
    proxy: bool = False

    def __str__(self) -> str:
        return f"{'proxy ' if self.proxy else ''}neighbour {self.address} on {self.link}"


@frozen
class DropRule:
    """A rule that drops frames, in the terms of ebtables(8): by port of the bridge, and perhaps by UDP destination."""

    chain: Keyword
    in_link: InterfaceName | None = None
    out_link: InterfaceName | None = None
    protocol: Keyword | None = None
    udp_port: int | None = None


@frozen
class RulesState:
    """The rules of one wiring, with the chains and the table that they brought along (and take away again)."""

    rules: tuple[DropRule, ...]
    new_chains: tuple[Keyword, ...] = ()
    new_table: bool = False


@frozen
class EbtablesRules:
    """All ebtables rules of one wiring: ``ebtables-restore --noflush`` with an ``-I`` a rule (ebtables(8))."""

    TAG: ClassVar = {"kind": "ebtables"}
    STATE: ClassVar = RulesState
    TEMPLATE: ClassVar = "ebtables.j2"
    id: PlanId

    def __str__(self) -> str:
        return f"ebtables rules of {self.id}"


Resource = Sysctl | Link | Mac | Master | Admin | AddrGenMode | Address | Route | Neighbour | EbtablesRules
State = (
    SysctlState
    | LinkState
    | MacState
    | MasterState
    | AdminState
    | AddrGenModeState
    | AddressState
    | RouteState
    | NeighbourState
    | RulesState
)


def canonical(state: Any) -> Any:
    """Return ``state`` without what moves by itself (lifetimes), so that two observations compare equal."""
    return getattr(state, "canonical", state)
