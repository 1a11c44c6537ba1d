"""Attributes of a link that was there before: MAC, master, up or down, address generation (ip-link(8))."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from planner.kinds.ebtables import RULES
from planner.kinds.kind import ChangeLike, Kind, Look, Seen, link_touch, register
from planner.kinds.shown import arrow, differences, word
from planner.kinds.sysctl import BRIDGE_NETFILTER, DAD
from planner.text.frozen import frozen
from planner.text.values import LOOPBACK, InterfaceName, Keyword, MacAddress


@frozen
class _OfLink:
    """What a link has one of. Its kind is that of the class, and attrs has only this one to make."""

    link: InterfaceName


@frozen
class MacState:
    """A MAC address; ``via_down`` says that the driver only takes another one while the link is down."""

    mac: MacAddress
    via_down: bool = False


class Mac(_OfLink):
    """The MAC of a link that was there before. ``ip link set dev eth0 address MAC`` (ip-link(8))."""

    __slots__ = ()
    TAG: ClassVar = {"kind": "mac"}

    def __str__(self) -> str:
        return f"MAC of {self.link}"


@frozen
class MasterState:
    """The bridge that a link is a port of, or None."""

    master: InterfaceName | None


class Master(_OfLink):
    """The master of a link that was there before. ``ip link set dev eth0 master br0`` (ip-link(8))."""

    __slots__ = ()
    TAG: ClassVar = {"kind": "master"}

    def __str__(self) -> str:
        return f"master of {self.link}"


@frozen
class AdminState:
    """Whether a link is administratively up.

    ``ipv6_mtu`` is that of IPv6 on a link that is down, if it is another one: going up takes it away (addrconf.c).
    """

    up: bool
    ipv6_mtu: int | None = None


class Admin(_OfLink):
    """Up or down, of a link that was there before. ``ip link set dev eth0 up`` (ip-link(8))."""

    __slots__ = ()
    TAG: ClassVar = {"kind": "admin"}

    def __str__(self) -> str:
        return f"up or down of {self.link}"


@frozen
class AddrGenModeState:
    """How the kernel makes the IPv6 link-local address of a link."""

    mode: Keyword


class AddrGenMode(_OfLink):
    """IPv6 address generation of a link. ``ip link set dev eth0 addrgenmode none`` (ip-link(8))."""

    __slots__ = ()
    TAG: ClassVar = {"kind": "addrgenmode"}

    def __str__(self) -> str:
        return f"address generation of {self.link}"


@frozen
class QueueLengthState:
    """How many frames may wait to be sent; 0 is no queue."""

    length: int


class QueueLength(_OfLink):
    """The length of a link's transmit queue. ``ip link set dev eth0 txqueuelen 1000`` (ip-link(8))."""

    __slots__ = ()
    TAG: ClassVar = {"kind": "txqueuelen"}

    def __str__(self) -> str:
        return f"queue length of {self.link}"


def _observe_mac(seen: Seen, resource: Mac, like: MacState) -> MacState | None:
    link = seen.links.get(resource.link)
    return MacState(mac=link.mac, via_down=like.via_down) if link and link.mac else None


def _observe_master(seen: Seen, resource: Master, _like: Any) -> MasterState | None:
    link = seen.links.get(resource.link)
    return MasterState(master=link.master) if link else None


def _observe_admin(seen: Seen, resource: Admin, _like: Any) -> AdminState | None:
    link = seen.links.get(resource.link)
    return AdminState(up=link.up, ipv6_mtu=link.ipv6_mtu) if link else None


def _observe_addrgenmode(seen: Seen, resource: AddrGenMode, _like: Any) -> AddrGenModeState | None:
    link = seen.links.get(resource.link)
    return AddrGenModeState(mode=link.addrgenmode) if link and link.addrgenmode else None


def _observe_queue(seen: Seen, resource: QueueLength, _like: Any) -> QueueLengthState | None:
    link = seen.links.get(resource.link)
    return QueueLengthState(length=link.queue_length) if link and link.queue_length is not None else None


def _shown(*options: str) -> Callable[[InterfaceName], list[str]]:
    return lambda link: ["ip", *options, "-o", "link", "show", "dev", link]


def _look_at_mac(resource: Mac, state: MacState) -> Iterator[Look]:
    yield _shown()(resource.link), word(f"link/ether {state.mac}")


def _look_at_master(resource: Master, state: MasterState) -> Iterator[Look]:
    yield _shown()(resource.link), f" master {re.escape(state.master)} " if state.master else "! master "


def _look_at_admin(resource: Admin, state: AdminState) -> Iterator[Look]:
    yield _shown()(resource.link), "[<,]UP[,>]" if state.up else "![<,]UP[,>]"


def _look_at_addrgenmode(resource: AddrGenMode, state: AddrGenModeState) -> Iterator[Look]:
    yield _shown("-d")(resource.link), word(f"addrgenmode {state.mode}")


def _look_at_queue(resource: QueueLength, state: QueueLengthState) -> Iterator[Look]:
    # A link without a queue shows none.
    yield _shown()(resource.link), rf" qlen {state.length}[ \\]" if state.length else "! qlen "


def _of_a_link(
    name: str,
    resource: type[Any],
    state: type[Any],
    *,
    observe: Callable[[Seen, Any, Any], Any],
    looks: Callable[[Any, Any], Iterator[Look]],
    words: Callable[[ChangeLike], list[str]],
    also_touches: tuple[str, ...] = (),
) -> Kind:
    """Return the kind of an attribute of a link."""
    return register(
        Kind(
            name=name,
            resource=resource,
            state=state,
            template=f"{name}.j2",
            observe=observe,
            subject=lambda found: str(found.link),
            words=words,
            drift=lambda change: list(differences(change.before, change.after)),
            looks=looks,
            links=lambda found: frozenset((found.link,)),
            touches=lambda change: frozenset((link_touch(change.resource.link), *also_touches)),
            is_shared=lambda found: found.link == LOOPBACK,
            goes_ahead=True,
        )
    )


MAC = _of_a_link(
    "mac",
    Mac,
    MacState,
    observe=_observe_mac,
    looks=_look_at_mac,
    words=lambda change: [f"mac {arrow(change, 'mac')}"],
)
# No link is a port of a bridge without its rules: they are there before it becomes one, and until it is none any more.
MASTER = _of_a_link(
    "master",
    Master,
    MasterState,
    observe=_observe_master,
    looks=_look_at_master,
    words=lambda change: [f"master {arrow(change, 'master')}"],
    also_touches=(RULES, BRIDGE_NETFILTER),
)
ADMIN = _of_a_link(
    "admin",
    Admin,
    AdminState,
    observe=_observe_admin,
    looks=_look_at_admin,
    words=lambda change: ["down → up" if getattr(change.after, "up", False) else "up → down"],
    also_touches=(DAD,),
)
ADDRGENMODE = _of_a_link(
    "addrgenmode",
    AddrGenMode,
    AddrGenModeState,
    observe=_observe_addrgenmode,
    looks=_look_at_addrgenmode,
    words=lambda change: [f"address generation {arrow(change, 'mode')}"],
)
QUEUE_LENGTH = _of_a_link(
    "txqueuelen",
    QueueLength,
    QueueLengthState,
    observe=_observe_queue,
    looks=_look_at_queue,
    words=lambda change: [f"queue length {arrow(change, 'length')}"],
)
