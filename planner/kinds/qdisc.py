"""The qdisc to which filters of a link are attached: ``ingress`` or ``clsact`` (tc(8))."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from planner.kinds.kind import ChangeLike, Kind, Look, Seen, link_touch, register
from planner.kinds.shown import differences
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, Keyword


@frozen
class QdiscState:
    """Which of the two it is: a link has one of them, and both take filters of its ingress."""

    kind: Keyword


@frozen
class IngressQdisc:
    """The qdisc of a link that takes filters. ``tc qdisc add dev eth0 ingress`` (tc(8))."""

    TAG: ClassVar = {"kind": "qdisc"}
    link: InterfaceName

    def __str__(self) -> str:
        return f"ingress qdisc of {self.link}"


def _observe(seen: Seen, resource: IngressQdisc, _like: Any) -> QdiscState | None:
    found: QdiscState | None = seen.entries.get(resource)
    return found


def _words(change: ChangeLike) -> list[str]:
    return [f"qdisc {change.known_state.kind}"]


def _looks(resource: IngressQdisc, state: QdiscState) -> Iterator[Look]:
    yield ["tc", "qdisc", "show", "dev", resource.link], f" qdisc {re.escape(state.kind)} ffff: "


QDISC = register(
    Kind(
        name="qdisc",
        resource=IngressQdisc,
        state=QdiscState,
        template="qdisc.j2",
        observe=_observe,
        subject=lambda resource: str(resource.link),
        words=_words,
        drift=lambda change: [*_words(change), *differences(change.before, change.after)],
        looks=_looks,
        links=lambda resource: frozenset((resource.link,)),
        touches=lambda change: frozenset((link_touch(change.resource.link),)),
    )
)
