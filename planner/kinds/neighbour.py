"""An entry of the neighbour table that somebody set (ip-neighbour(8))."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from planner.kinds.kind import ChangeLike, Kind, Look, Seen, link_touch, register
from planner.kinds.shown import differences, word
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, IpAddress, Keyword, MacAddress

_REACHABLE = "reachable"


@frozen
class NeighbourState:
    """A neighbour entry that somebody set: ``state`` is permanent, noarp or, if others learnt it, reachable.

    It is None for a proxy entry, and for a managed one, which the kernel itself asks for.
    """

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
    link: InterfaceName
    address: IpAddress
    proxy: bool = False

    def __str__(self) -> str:
        return f"{'proxy ' if self.proxy else ''}neighbour {self.address} on {self.link}"


def _observe(seen: Seen, resource: Neighbour, _like: Any) -> NeighbourState | None:
    found: NeighbourState | None = seen.entries.get(resource)
    return found


def _words(change: ChangeLike) -> list[str]:
    resource, state = change.resource, change.known_state
    if resource.proxy:
        return [f"answers for {resource.address} (proxy)"]
    if state.state is None:
        return [f"neighbour {resource.address} is asked for (managed)"]
    return [f"neighbour {resource.address} is {state.lladdr} ({state.state})"]


def _looks(resource: Neighbour, state: NeighbourState) -> Iterator[Look]:
    if resource.proxy:
        yield ["ip", "neigh", "show", "proxy", "dev", resource.link], word(resource.address)
        return
    nud = "all" if state.state in (None, _REACHABLE) else str(state.state)
    argv = ["ip", "neigh", "show", "to", str(resource.address), "dev", resource.link, "nud", nud]
    yield argv, word(f"lladdr {state.lladdr}") if state.lladdr else word(resource.address)


NEIGHBOUR = register(
    Kind(
        name="neighbour",
        resource=Neighbour,
        state=NeighbourState,
        template="neighbour.j2",
        observe=_observe,
        subject=lambda resource: str(resource.link),
        words=_words,
        drift=lambda change: [_words(change)[0], *differences(change.before, change.after)],
        looks=_looks,
        links=lambda resource: frozenset((resource.link,)),
        touches=lambda change: frozenset((link_touch(change.resource.link),)),
        goes_ahead=True,
    )
)
