"""The far end of a veth pair, in its namespace: it comes and goes with the near one (veth(4), ip-link(8))."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from planner.kinds.kind import ChangeLike, Foreign, Kind, Look, Seen, link_touch, register
from planner.kinds.shown import differences
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, MacAddress


@frozen
class VethEndState:
    """The far end of a pair: its MAC is what it is known by."""

    mac: MacAddress
    mtu: int
    up: bool


@frozen
class VethEnd:
    """The far end of a veth pair. ``ip link set dev veth0 up``; it goes when the near end does (veth(4))."""

    TAG: ClassVar = {"kind": "veth_end"}
    name: InterfaceName

    def __str__(self) -> str:
        return f"far end {self.name}"


def _observe(seen: Seen, resource: VethEnd, like: VethEndState) -> VethEndState | Foreign | None:
    link = seen.links.get(resource.name)
    if link is None:
        return None
    return VethEndState(like.mac, link.mtu, link.up) if link.mac == like.mac else Foreign(resource.name)


def _words(change: ChangeLike) -> list[str]:
    state: VethEndState = change.known_state
    return [f"far end of the pair, mtu {state.mtu}", f"its own mac {state.mac}"]


def _looks(resource: VethEnd, state: VethEndState) -> Iterator[Look]:
    flag = "[<,]UP[,>]" if state.up else "<[A-Z_,-]*>"
    argv = ["ip", "-o", "link", "show", "dev", resource.name]
    yield argv, rf"{flag}.* mtu {state.mtu} .*link/ether {re.escape(state.mac)} "


VETH_END = register(
    Kind(
        name="veth_end",
        resource=VethEnd,
        state=VethEndState,
        template="veth_end.j2",
        observe=_observe,
        subject=lambda resource: str(resource.name),
        words=_words,
        drift=lambda change: list(differences(change.before, change.after)),
        looks=_looks,
        links=lambda resource: frozenset((resource.name,)),
        touches=lambda change: frozenset((link_touch(change.resource.name),)),
        is_made_link=True,
    )
)
