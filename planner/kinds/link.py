"""A link that podwire creates, whole: a bridge, a tap, or a veth pair (ip-link(8), ip-tuntap(8), veth(4))."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from attrs import evolve

from planner.kinds.address import Address
from planner.kinds.kind import ChangeLike, Foreign, Kind, Look, Seen, Touches, link_touch, register
from planner.kinds.shown import differences
from planner.kinds.sysctl import LinkSysctl
from planner.text.frozen import frozen
from planner.text.values import Alias, InterfaceName, IpInterface, Keyword, LinkAlias, MacAddress, NetnsPath, PlanId

# The lowest MTU with which a link has an IPv6 device (RFC 8200, section 5).
IPV6_MIN_MTU = 1280
# A feature of the host (planner.kinds.kind.Kind.features).
TAPS = "taps"


@frozen
class BridgeDevice:
    """How a bridge behaves (ip-link(8), "BRIDGE Type Support"). Ageing time in hundredths of a second."""

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

    ``addresses`` and ``sysctls`` are those that podwire gives to it; what others add is not compared. ``alias`` names
    the wiring, unless somebody gave it another.
    """

    device: BridgeDevice | TapDevice | VethDevice
    mac: MacAddress
    mtu: int
    up: bool
    alias: LinkAlias | None = None
    group: int = 0
    addrgenmode: Keyword | None = None
    master: InterfaceName | None = None
    addresses: tuple[IpInterface, ...] = ()
    sysctls: tuple[LinkSysctl, ...] = ()


@frozen
class Link:
    """A link that podwire creates. ``ip link add name br0 type bridge`` … ``ip link del dev br0`` (ip-link(8))."""

    TAG: ClassVar = {"kind": "link"}
    name: InterfaceName

    def __str__(self) -> str:
        return f"link {self.name}"


def _observe(seen: Seen, resource: Link, like: LinkState) -> LinkState | Foreign | None:
    link = seen.links.get(resource.name)
    if link is None:
        return None
    # Of a pair only this end is seen from here.
    device = like.device if isinstance(like.device, VethDevice) and link.type == "veth" else link.device
    if isinstance(device, TapDevice) and isinstance(like.device, TapDevice):
        device = evolve(device, vnet_hdr=like.device.vnet_hdr)  # the last program to open it decides that (tun.c)
    if device is None or link.mac is None or not _could_be_ours(link, device, like):
        return Foreign(resource.name)
    return evolve(
        like,
        device=device,
        mac=link.mac,
        mtu=link.mtu,
        up=link.up,
        alias=None if link.alias is None else LinkAlias(link.alias),
        group=int(link.group) if link.group.isdecimal() else 0,
        addrgenmode=like.addrgenmode and link.addrgenmode,
        master=link.master,
        addresses=tuple(a for a in like.addresses if Address(link=link.name, address=a) in seen.entries),
        sysctls=tuple(s for s in like.sysctls if seen.sysctls.get(s.key) == s.value),
    )


def _could_be_ours(link: Any, device: Any, like: LinkState) -> bool:
    """Say whether podwire made ``link`` to become ``like``: it has its alias or the MAC that was drawn for it.

    Killed before it gave them, it has left a link that nobody has done anything with.
    """
    if type(device) is not type(like.device):
        return False
    is_marked = link.mac == like.mac or (like.alias is not None and link.alias == like.alias)
    is_fresh = link.alias is None and not link.up and link.master is None and link.group == "default"
    return is_marked or (is_fresh and device == like.device)


def _words(change: ChangeLike) -> list[str]:
    state: LinkState = change.known_state
    words = [*_device_words(state), f"mtu {state.mtu}"]
    if state.master:
        words.append(f"in {state.master}")
    lines = [", ".join(words), f"its own mac {state.mac}"]
    return [*lines, *(str(address) for address in state.addresses)] if change.after else [lines[0]]


def _device_words(state: LinkState) -> list[str]:
    device = state.device
    if isinstance(device, BridgeDevice):
        quiet = (["no learning"] if device.ageing_time == 0 else []) + (
            [] if device.mcast_snooping else ["no snooping"]
        )
        return ["bridge", *quiet]
    if isinstance(device, TapDevice):
        owner = "" if device.owner is None else f" of user {device.owner}"
        return (
            [f"tap{owner}"]
            + (["multi-queue"] if device.multi_queue else [])
            + (["vnet header"] if device.vnet_hdr else [])
        )
    return [f"veth to {device.peer}"]


def _looks(resource: Link, _state: Any) -> Iterator[Look]:
    # A link that is to appear must not exist at all, whatever made it; one that is to go must be the one we know.
    yield ["ip", "-o", "link", "show", "dev", resource.name], f"^ [0-9]+: {re.escape(resource.name)}[:@]"


def _touches(change: ChangeLike) -> Touches:
    states = [state for state in (change.before, change.after) if state is not None]
    masters = (state.master for state in states if state.master)
    peers = (state.device.peer for state in states if isinstance(state.device, VethDevice))
    return frozenset(map(link_touch, (change.resource.name, *masters, *peers)))


def _namespaces(change: ChangeLike) -> Iterator[NetnsPath]:
    for state in (change.before, change.after):
        if state is not None and isinstance(state.device, VethDevice):
            yield state.device.peer_netns


def _owners(change: ChangeLike) -> Iterator[PlanId]:
    for state in (change.before, change.after):
        if state is not None and (owner := Alias.owner_in(state.alias)):
            yield owner


def _features(change: ChangeLike) -> tuple[str, ...]:
    states = (change.before, change.after)
    return (TAPS,) if any(state is not None and isinstance(state.device, TapDevice) for state in states) else ()


def destroyed_taps(changes: Iterable[ChangeLike]) -> tuple[InterfaceName, ...]:
    """Return the taps that ``changes`` remove, if only to make them again: a program that has one open loses it."""
    return tuple(
        change.resource.name
        for change in changes
        if isinstance(change.before, LinkState)
        and isinstance(change.before.device, TapDevice)
        and (change.after is None or change.after.device != change.before.device)
    )


def _group(change: ChangeLike) -> int | None:
    """Return the device group that a link is removed with: the kernel waits (RCU) once for a group."""
    state: LinkState | None = change.before if change.after is None else None
    return state.group or None if state is not None else None


def _spare_strangers(changes: tuple[Any, ...], seen: Seen) -> tuple[Any, ...]:
    """Return the changes, links removed one by one if somebody else's link has joined their device group."""
    removed = {change.resource.name for change in changes if change.after is None}
    strangers = {link.group for link in seen.facts.links if link.name not in removed}
    return tuple(
        evolve(change, before=evolve(change.before, group=0))
        if change.after is None and change.before is not None and str(change.before.group) in strangers
        else change
        for change in changes
    )


LINK = register(
    Kind(
        name="link",
        resource=Link,
        state=LinkState,
        template="link.j2",
        observe=_observe,
        subject=lambda resource: str(resource.name),
        words=_words,
        drift=lambda change: list(differences(change.before, change.after)),
        looks=_looks,
        links=lambda _: frozenset(),
        touches=_touches,
        owners=_owners,
        namespaces=_namespaces,
        features=_features,
        together=_group,
        only_makes=lambda change: change.after is not None,
        is_slow=lambda change: change.after is None,
        refine=_spare_strangers,
        is_made_link=True,
    )
)
