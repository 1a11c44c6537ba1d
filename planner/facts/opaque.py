"""What podwire cannot read stays opaque: it is somebody else's, and no reason not to work beside it.

Planning refuses what a plan would touch of it, by name. Rolling back ignores it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from planner.errors import InvalidInput
from planner.text.document import Node
from planner.text.frozen import frozen
from planner.text.values import InterfaceName

T = TypeVar("T")


@frozen
class Opaque:
    """Something in a namespace that podwire cannot read: why not, and on which link, None for a link of an odd name."""

    why: str
    link: InterfaceName | None = None


class Readable:
    """Reads what can be read, and keeps in ``opaque`` what cannot."""

    def __init__(self) -> None:
        """Begin with nothing read."""
        self.opaque: list[Opaque] = []

    def each(self, nodes: Iterable[Node], read: Callable[[Node], T], link: InterfaceName | None = None) -> Iterator[T]:
        """Yield ``read`` of each of ``nodes`` that can be read; ``link`` is theirs if they don't name it."""
        for node in nodes:
            try:
                found = read(node)
            except InvalidInput as error:
                self._keep(node, str(error), link)
            else:
                yield found

    def check(self, nodes: Iterable[Node], read: Callable[[Node], object]) -> None:
        """Keep those of ``nodes`` that ``read`` cannot read."""
        for _ in self.each(nodes, read):
            pass

    def _keep(self, node: Node, why: str, link: InterfaceName | None) -> None:
        links = set(filter(None, (link, *map(_name, _named_links(node)))))
        self.opaque.extend(Opaque(why, name) for name in sorted(links))
        if not links:
            self.opaque.append(Opaque(why))


def _named_links(node: Node) -> Iterator[object]:
    """Yield what an answer of ``ip -j`` calls the links that it is about."""
    if not isinstance(node.value, dict):
        return
    yield node.value.get("ifname")
    yield node.value.get("dev")
    hops = node.value.get("nexthops")
    for hop in hops if isinstance(hops, list) else []:
        yield hop.get("dev") if isinstance(hop, dict) else None


def _name(value: object) -> InterfaceName | None:
    try:
        return InterfaceName(value) if isinstance(value, str) else None
    except ValueError:
        return None
