"""The parts of wirings, each as changes: MAC, tap, bridge, ports, up, and ``lo``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from ipaddress import ip_interface

from attrs import evolve

from planner.changes.change import Change
from planner.errors import InvalidInput, Refused
from planner.facts.kernel_routes import ipv6_local_routes
from planner.facts.model import AddressFact, LinkFact, NamespaceFacts, RouteFact
from planner.kinds.address import Address, AddressState
from planner.kinds.kind import Resource
from planner.kinds.link import IPV6_MIN_MTU, BridgeDevice, Link, LinkState, TapDevice
from planner.kinds.link_attributes import Admin, AdminState, Mac, MacState, Master, MasterState
from planner.kinds.sysctl import LinkSysctl
from planner.options import PlanOptions
from planner.text.frozen import frozen
from planner.text.values import (
    LOOPBACK,
    Alias,
    InterfaceName,
    IpInterface,
    Keyword,
    Label,
    MacAddress,
    NetnsPath,
    PlanId,
    SysctlKey,
    SysctlValue,
)
from planner.wiring.routes import refuse_unsupported

NO_GENERATION = Keyword("none")
_OWN, _OWN_IPV6 = ip_interface("127.0.0.1/8"), ip_interface("::1/128")
# Drivers that take a new MAC while the link is up (IFF_LIVE_ADDR_CHANGE); others answer "busy".
_LIVE_MAC = {"veth", "bridge", "tun", "dummy", "vlan", "macvlan", "bond", "team"}


@frozen
class WiringTag:
    """Whose the created links are: their alias, which an operator sees, and their device group."""

    id: PlanId
    group: int

    @property
    def alias(self) -> Alias:
        """Return ``podwire:ID``."""
        return Alias.of(self.id)


def set_hardware_addr(
    link: LinkFact, mac: MacAddress, netns: NetnsPath, reason: str = "the VM takes over the old MAC"
) -> tuple[Change, ...]:
    """Return the change that gives ``link`` another MAC; none if it has it.

    The link goes down for it only if the driver needs that. Reference: SetHardwareAddr. Raises Refused for a link
    that has no Ethernet address.
    """
    if link.mac is None:
        raise Refused(f"{link.name} has no MAC address: it is no Ethernet link")
    if link.mac == mac:
        return ()
    via_down = link.type not in _LIVE_MAC and link.up
    states = (MacState(link.mac, via_down), MacState(mac, via_down))
    return (Change(Mac(link.name), *states, reason, netns),)


def create_tap(
    name: InterfaceName,
    *,
    mac: MacAddress,
    mtu: int,
    owner: WiringTag,
    options: PlanOptions,
    netns: NetnsPath,
    master: InterfaceName | None = None,
    reason: str,
) -> Change:
    """Return the change that makes a persistent tap, up, with its MTU set after creation.

    Reference: CreateTAP.
    """
    device = TapDevice(
        owner=options.tap_owner,
        owner_group=options.tap_owner_group,
        multi_queue=options.tap_queues > 1,
        vnet_hdr=options.tap_vnet_hdr,
    )
    state = LinkState(
        device=device,
        mac=mac,
        mtu=mtu,
        up=True,
        alias=owner.alias,
        group=owner.group,
        addrgenmode=_silent(mtu),
        master=master,
    )
    return Change(Link(name), None, state, reason, netns)


def setup_bridge(
    name: InterfaceName,
    links: Sequence[LinkFact],
    *,
    mac: MacAddress,
    owner: WiringTag,
    addresses: tuple[IpInterface, ...] = (),
    netns: NetnsPath,
    reason: str,
) -> tuple[Change, ...]:
    """Return the changes that make a bridge with the MTU of the first of ``links``, and make them its ports, all up.

    The bridge learns no MAC, asks nothing (no multicast snooping) and takes no address from router advertisements.
    Reference: SetupBridge. Raises InvalidInput without links.
    """
    if not links:
        raise InvalidInput(f"bridge {name}: there are no links to join")
    made = create_bridge(name, links[0].mtu, mac=mac, owner=owner, addresses=addresses, netns=netns, reason=reason)
    return (made, *enslave(links, name, netns), *bring_up(links, netns, "carries the VM's frames"))


def teardown_bridge(
    name: InterfaceName, links: Sequence[LinkFact], facts: NamespaceFacts, netns: NetnsPath
) -> tuple[Change, ...]:
    """Return the changes that release ``links`` from the bridge ``name`` and take it down.

    Reference: TeardownBridge. Raises InvalidInput if there is no such bridge.
    """
    bridge = facts.link(name)
    if bridge is None:
        raise InvalidInput(f"bridge {name}: there is no such link")
    released = tuple(
        Change(Master(link.name), MasterState(link.master), MasterState(None), f"leaves {name}", netns)
        for link in links
        if link.master == name
    )
    down = Change(Admin(name), AdminState(up=True), AdminState(up=False), "no longer used", netns)
    return (*released, down) if bridge.up else released


def create_bridge(
    name: InterfaceName,
    mtu: int,
    *,
    mac: MacAddress,
    owner: WiringTag,
    addresses: tuple[IpInterface, ...],
    netns: NetnsPath,
    reason: str,
) -> Change:
    """Return the change that makes a bridge, up, which learns nothing, asks nothing and listens to nothing."""
    ipv6 = mtu >= IPV6_MIN_MTU
    deaf = (LinkSysctl(SysctlKey(f"net/ipv6/conf/{name}/accept_ra"), SysctlValue("0")),) if ipv6 else ()
    state = LinkState(
        device=BridgeDevice(ageing_time=0, mcast_snooping=False),
        mac=mac,
        mtu=mtu,
        up=True,
        alias=owner.alias,
        group=owner.group,
        addrgenmode=_silent(mtu),
        addresses=addresses,
        sysctls=deaf,
    )
    return Change(Link(name), None, state, reason, netns)


def _silent(mtu: int) -> Keyword | None:
    """Return the address generation mode of a created link; below IPv6's minimum MTU it has none to set."""
    return NO_GENERATION if mtu >= IPV6_MIN_MTU else None


def enslave(links: Sequence[LinkFact], bridge: InterfaceName, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that make ``links`` ports of ``bridge``."""
    return tuple(
        Change(Master(link.name), MasterState(link.master), MasterState(bridge), "carries the VM's frames", netns)
        for link in links
        if link.master != bridge
    )


def bring_up(links: Sequence[LinkFact], netns: NetnsPath, reason: str) -> tuple[Change, ...]:
    """Return the changes that bring those of ``links`` up that are down."""
    return tuple(
        Change(Admin(link.name), AdminState(up=False, ipv6_mtu=link.ipv6_mtu), AdminState(up=True), reason, netns)
        for link in links
        if not link.up
    )


def as_host_can(made: Change, facts: NamespaceFacts) -> Change:
    """Return the change that makes a link, less what cannot be set on a host without IPv6 (ipv6.disable=1)."""
    if facts.sysctl("net/ipv6/conf/all/accept_dad") is not None or not isinstance(made.after, LinkState):
        return made
    sysctls = tuple(setting for setting in made.after.sysctls if not setting.key.startswith("net/ipv6/"))
    return evolve(made, after=evolve(made.after, addrgenmode=None, sysctls=sysctls))


def loopback_up(facts: NamespaceFacts, removed: Collection[Resource], netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that bring ``lo`` up, less what was ``removed`` anyhow.

    Going down again it would keep 127.0.0.1/8, which came with going up, and lose its neighbours, IPv6 addresses and
    IPv6 routes, such as ``blackhole`` ones. Raises Refused if those could not come back in their places.
    """
    lo = facts.link(LOOPBACK)
    if lo is None or lo.up:
        return ()
    _refuse_own(facts)
    lost: list[RouteFact | AddressFact] = [
        fact for fact in facts.routes_of(LOOPBACK) if fact.resource.dst.version == 6 and fact.resource.table != "local"
    ]
    lost += [fact for fact in facts.addresses_of(LOOPBACK) if fact.resource.address.version == 6]
    lost += _quiet_addresses(facts)
    for fact in lost:
        refuse_unsupported(fact)
    _refuse_in_front([fact.resource for fact in lost], removed, facts)
    gone = tuple(
        Change(fact.resource, fact.state, None, "lo does not keep it as it is when it goes down again", netns)
        for fact in (*facts.neighbours_of(LOOPBACK), *lost)
        if fact.resource not in removed
    )
    own = Address(LOOPBACK, _OWN)
    state = AddressState(scope=Keyword("host"), label=Label("lo"))
    there = any(fact.resource == own for fact in facts.addresses)
    address = () if there else (Change(own, None, state, "lo has it when it is up", netns),)
    return (*gone, *address, *bring_up((lo,), netns, "programs in the namespace expect it"))


def _refuse_own(facts: NamespaceFacts) -> None:
    """Raise Refused if somebody gave ``lo`` what comes with its going up: afterwards that would be the kernel's.

    With 127.0.0.1/8 comes a local route that stays; if that is there, it was up with it.
    """
    there = {fact.resource.dst for fact in facts.routes_of(LOOPBACK) if fact.resource.type == "local"}
    for fact in facts.addresses_of(LOOPBACK):
        address = fact.resource.address
        if address == _OWN_IPV6 or (address == _OWN and address.network not in there):
            raise Refused(
                f"{fact.resource}, which is down, could not be restored, since lo gets one by going up: remove it, or "
                "bring lo up"
            )


def _refuse_in_front(lost: Collection[Resource], removed: Collection[Resource], facts: NamespaceFacts) -> None:
    """Raise Refused if ``lo`` loses a route, or an address's entry, in front of an equal that stays.

    Or one that is moved to keep its place, since it does not stay that long.
    """
    mine = _with_entries(lost, facts)
    gone = mine | _with_entries(removed, facts)
    for group in facts.equal_routes:
        routes = [fact.resource for fact in group]
        first = next((place for place, route in enumerate(routes) if route in mine), len(routes))
        other = next((route for route in routes[first:] if route not in gone), None)
        if other is not None:
            raise Refused(f"{routes[first]} could not be restored in front of {other}: remove one of them")
        moved = next((route for route in routes if route in mine and route in removed and route not in lost), None)
        if moved is not None:
            raise Refused(f"{moved} could not be restored in its place among equal ones, as lo is down: bring lo up")


def _with_entries(resources: Collection[Resource], facts: NamespaceFacts) -> set[Resource]:
    """Return the resources, and the entries of the local table that come with the addresses among them."""
    found: set[Resource] = set(resources)
    for address in (resource for resource in resources if isinstance(resource, Address)):
        if address.address.version == 6:
            found.update(ipv6_local_routes(address))
        else:
            routes = (fact.resource for fact in facts.routes_of(address.link))
            found.update(route for route in routes if (route.table, route.source) == ("local", address.address.ip))
    return found


def _quiet_addresses(facts: NamespaceFacts) -> list[AddressFact]:
    """Return the IPv4 addresses of ``lo`` whose network has no local route: going up makes one that stays for good.

    Those listed after it as well, or they would change places. In the order in which they can be removed.
    """
    there = {fact.resource.dst for fact in facts.routes_of(LOOPBACK) if fact.resource.type == "local"}
    found = [fact for fact in facts.addresses_of(LOOPBACK) if fact.resource.address.version == 4]
    networks = [fact.resource.subnet for fact in found]
    quiet = (subnet.prefixlen < subnet.max_prefixlen and subnet not in there for subnet in networks)
    first = next((place for place, is_quiet in enumerate(quiet) if is_quiet), len(found))
    return [fact for fact in reversed(found[first:]) if fact.resource.address != _OWN]
