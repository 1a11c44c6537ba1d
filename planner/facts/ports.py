"""What a bridge keeps of its ports and is lost when one leaves: forwarding and multicast entries that somebody made."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress

from attrs import evolve

from planner.facts.model import LinkFact
from planner.text.document import Node
from planner.text.values import InterfaceName, Keyword

_FDB, _MDB, _NEIGHBOURS, _BACKUP = map(Keyword, ("fdb", "mdb", "neighbours", "backup"))
_HELD_FLAGS = {"sticky", "extern_learn"}


def with_entries(
    links: tuple[LinkFact, ...], nodes: Iterable[Node], fdb: Node, mdb: Node, with_neighbours: Collection[InterfaceName]
) -> tuple[LinkFact, ...]:
    """Return the links, each with what its bridge keeps of it among its settings as a port (bridge(8)).

    ``nodes`` are what ``ip`` says of the links: a port that is another's backup is forgotten there as it leaves.
    ``with_neighbours`` are the links for which somebody set neighbours: a bridge that has its MAC from a port loses
    them, since it changes as the port leaves.
    """
    macs = {link.name: link.mac for link in links}
    kept: dict[InterfaceName, set[Keyword]] = {}
    for name in _with_forwarding(fdb, macs):
        kept.setdefault(name, set()).add(_FDB)
    for name in _with_groups(mdb):
        kept.setdefault(name, set()).add(_MDB)
    for name in _backups(nodes):
        kept.setdefault(name, set()).add(_BACKUP)
    for link in links:
        if link.master in with_neighbours and link.master and macs.get(link.master) == link.mac:
            kept.setdefault(link.name, set()).add(_NEIGHBOURS)
    return tuple(
        evolve(link, port_settings=(*link.port_settings, *sorted(kept[link.name]))) if link.name in kept else link
        for link in links
    )


def _with_forwarding(fdb: Node, macs: Mapping[InterfaceName, str | None]) -> Iterator[InterfaceName]:
    """Yield the ports with entries that somebody made; the bridge itself makes one of the port's own MAC."""
    for node in fdb.items():
        if not node.has("master") or not node.has("ifname"):
            continue
        name = node.field("ifname").parse(InterfaceName)
        state = node.optional("state", Node.text, "")
        is_own = node.field("mac").value == macs.get(name) and state == "permanent"
        held = _HELD_FLAGS & set(node.maybe("flags", Node.texts) or ())
        if (state in ("static", "permanent") and not is_own) or held:
            yield name


def _with_groups(mdb: Node) -> Iterator[InterfaceName]:
    for table in mdb.items():
        for node in table.field("mdb").items() if table.has("mdb") else ():
            if node.optional("state", Node.text, "") == "permanent" and node.has("port"):
                yield node.field("port").parse(InterfaceName)


def _backups(nodes: Iterable[Node]) -> Iterator[InterfaceName]:
    for node in nodes:
        value: object = node.value
        for key in ("linkinfo", "info_slave_data", "backup_port"):
            value = value.get(key) if isinstance(value, dict) else None
        with suppress(ValueError):  # one of an odd name is never wired
            if isinstance(value, str):
                yield InterfaceName(value)
