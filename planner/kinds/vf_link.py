"""The interface of a virtual function in a pod's namespace: it goes with its driver, and comes back on the host."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from attrs import evolve

from planner.kinds.kind import ChangeLike, Kind, Look, Seen, register
from planner.kinds.shown import differences
from planner.kinds.sysctl import ConfValue
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, Keyword, LinkAlias, MacAddress, PciAddress


@frozen
class LinkMode:
    """A switch of a link that is not as usual, in the words of ip-link(8): ``promisc`` ``on``, ``arp`` ``off``."""

    name: Keyword
    value: Keyword

    @property
    def usual(self) -> str:
        """Return the value that it has on a new link."""
        return "off" if self.value == "on" else "on"


# By flag (netdevice(7)), the switch that is not as usual if a link has it, or if it has it not.
_ON, _OFF = Keyword("on"), Keyword("off")
_IF_SET = {
    "PROMISC": LinkMode(Keyword("promisc"), _ON),
    "ALLMULTI": LinkMode(Keyword("allmulticast"), _ON),
    "DYNAMIC": LinkMode(Keyword("dynamic"), _ON),
    "NOARP": LinkMode(Keyword("arp"), _OFF),
}
_IF_UNSET = {"MULTICAST": LinkMode(Keyword("multicast"), _OFF)}


@frozen
class VfLinkState:
    """All that the interface had beside addresses, routes and neighbours, which are resources of their own."""

    name: InterfaceName
    mac: MacAddress
    mtu: int
    up: bool
    queue_length: int | None = None
    group: Keyword = Keyword("default")
    ipv6: bool = True
    altnames: tuple[InterfaceName, ...] = ()
    conf: tuple[ConfValue, ...] = ()
    alias: LinkAlias | None = None
    modes: tuple[LinkMode, ...] = ()


@frozen
class VfLink:
    """The interface of a virtual function, in the pod's namespace. ``ip link set dev X netns …`` (ip-link(8))."""

    TAG: ClassVar = {"kind": "vf_link"}
    address: PciAddress
    name: InterfaceName

    @property
    def temporary(self) -> InterfaceName:
        """Return the name that it has on its way, which no other link has: it is made of its address."""
        return InterfaceName(f"pw{re.sub('[:.]', '', self.address)}")

    def __str__(self) -> str:
        return f"link {self.name} of {self.address}"


def _observe(seen: Seen, resource: VfLink, like: VfLinkState) -> VfLinkState | None:
    link = next((link for link in seen.facts.links if link.parent_device == resource.address), None)
    return None if link is None or link.mac is None else link_state(link, evolve(like, mac=link.mac))


def link_state(link: Any, like: VfLinkState | None = None) -> VfLinkState:
    """Return the state in which a link (planner.facts.model.LinkFact) is.

    Of an interface that is not called as it is ``like``, which is on its way, nothing else counts.
    """
    return VfLinkState(
        name=link.name,
        mac=link.mac,
        mtu=link.mtu,
        up=link.up,
        queue_length=link.queue_length,
        group=link.group,
        ipv6=link.addrgenmode is not None,
        altnames=tuple(InterfaceName(name) for name in link.altnames),
        conf=_without_moving(link.conf, like),
        alias=None if link.alias is None else LinkAlias(link.alias),
        modes=_modes(link.flags),
    )


def _modes(flags: Collection[str]) -> tuple[LinkMode, ...]:
    """Return the switches that are not as usual."""
    found = [mode for flag, mode in _IF_SET.items() if flag in flags]
    return (*found, *(mode for flag, mode in _IF_UNSET.items() if flag not in flags))


def _without_moving(conf: tuple[ConfValue, ...], like: VfLinkState | None) -> tuple[ConfValue, ...]:
    """Return the sysctls, of those that are known already only what is known of them.

    The default may have changed since, so that more of them differ from it; those are not the link's.
    """
    if like is None:
        return conf
    known = {(value.family, value.name) for value in like.conf}
    return tuple(value for value in conf if (value.family, value.name) in known)


def _words(change: ChangeLike) -> list[str]:
    state: VfLinkState = change.known_state
    return [f"VF {change.resource.address}, mtu {state.mtu}", f"mac {state.mac}"]


def _looks(resource: VfLink, _state: Any) -> Iterator[Look]:
    argv = ["ip", "-o", "-d", "link", "show", "dev", resource.name]
    yield argv, f"parentdev {re.escape(resource.address)} "


VF_LINK = register(
    Kind(
        name="vf_link",
        resource=VfLink,
        state=VfLinkState,
        template="vf_link.j2",
        observe=_observe,
        subject=lambda resource: str(resource.name),
        words=_words,
        drift=lambda change: list(differences(change.before, change.after)),
        looks=_looks,
        links=lambda _: frozenset(),
        touches=lambda _: None,
        device=lambda resource: resource.address,
        brings=lambda resource: (resource.name,),
    )
)
