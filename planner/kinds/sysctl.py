"""A sysctl of the namespace, or of a link in it (sysctl(8))."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from planner.kinds.kind import ChangeLike, Kind, Look, Seen, Touches, link_touch, register
from planner.kinds.shown import arrow, differences, word
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, Keyword, SysctlKey, SysctlValue

# What is in common with adding addresses: whether they are probed for (duplicate address detection).
DAD = "duplicate address detection"
# What is in common with becoming a port of a bridge: whether its frames pass iptables.
BRIDGE_NETFILTER = "bridge netfilter"
_OF_LINKS = ("net", "ipv6", "conf")
_EVERY_LINK = ("all", "default")


@frozen
class ConfValue:
    """A sysctl of a link, ``net/FAMILY/conf/LINK/NAME``, in which it differs from the namespace's default."""

    family: Keyword
    name: Keyword
    value: SysctlValue

    def __str__(self) -> str:
        return f"{self.family} {self.name}={self.value}"


@frozen
class SysctlState:
    """The value of a sysctl."""

    value: SysctlValue


@frozen
class Sysctl:
    """A sysctl of the namespace. ``sysctl -q -p -`` with ``net/ipv6/conf/eth0/accept_dad=0`` for input (sysctl(8))."""

    TAG: ClassVar = {"kind": "sysctl"}
    key: SysctlKey

    @property
    def link(self) -> InterfaceName | None:
        """Return the link whose sysctl it is, None for one of the whole namespace."""
        words = self.key.split("/")
        if tuple(words[:3]) != _OF_LINKS or words[3] in _EVERY_LINK:
            return None
        return InterfaceName(words[3])

    @property
    def is_probing(self) -> bool:
        """Say whether it decides on duplicate address detection."""
        return self.key.endswith("/accept_dad")

    def __str__(self) -> str:
        return f"sysctl {self.key}"


@frozen
class LinkSysctl:
    """A sysctl of a link that podwire creates; it is set before the link goes up and goes with the link."""

    key: SysctlKey
    value: SysctlValue

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


def _observe(seen: Seen, resource: Sysctl, _like: Any) -> SysctlState | None:
    value = seen.sysctls.get(resource.key)
    return None if value is None else SysctlState(value=value)


def _looks(resource: Sysctl, state: SysctlState) -> Iterator[Look]:
    yield ["sysctl", "-n", str(resource.key)], word(state.value)


def _touches(change: ChangeLike) -> Touches:
    if tuple(change.resource.key.split("/")[:3]) != _OF_LINKS:
        return frozenset((BRIDGE_NETFILTER,))
    link = change.resource.link
    return frozenset((DAD,) if link is None else (DAD, link_touch(link)))


def _drift(change: ChangeLike) -> list[str]:
    return [f"{change.resource.key} {text.removeprefix('value ')}" for text in differences(change.before, change.after)]


SYSCTL = register(
    Kind(
        name="sysctl",
        resource=Sysctl,
        state=SysctlState,
        template="sysctl.j2",
        observe=_observe,
        subject=lambda _: "sysctl",
        words=lambda change: [f"{change.resource.key} {arrow(change, 'value')}"],
        drift=_drift,
        looks=_looks,
        links=lambda resource: frozenset(() if resource.link is None else (resource.link,)),
        touches=_touches,
        only_makes=lambda _: True,
        is_shared=lambda resource: resource.link is None,
    )
)
