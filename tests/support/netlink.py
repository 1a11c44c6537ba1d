"""What the kernel itself lists by netlink, raw: `ip` 6.1 hides who made an address, and the flags of neighbours.

    before = raw_dump(namespace)
    ...
    assert raw_difference(before, raw_dump(namespace)) == ""

Nothing is left out but what moves by itself: timers, counters, what follows a carrier, neighbours that were learnt by
asking, and groups that a bridge has heard somebody join. Routes that are equal in table, destination, tos and metric
stay in the kernel's order. See rtnetlink(7) and linux/rtnetlink.h, if_addr.h, neighbour.h, if_bridge.h.
"""

from __future__ import annotations

import difflib
import socket
import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from tests.support.namespaces import Namespace

_DUMP_REQUEST = 0x301
_ERROR, _DONE = 2, 3
_ALIGN = 4
_TYPE_BITS = 0x3FFF
_PROXY = 8
_FOREVER = 2**32 - 1
_KEPT_STATES = 0x40 | 0x80  # noarp, permanent
_KEPT_FLAGS = 0x10  # extern_learn
_MANAGED = 1  # in NDA_FLAGS_EXT
_TENTATIVE = 0x40
_FOLLOW_CARRIER = 0x1 | 0x10  # dead, linkdown
_LASTING_GROUP = 1  # MDB_PERMANENT

Attributes = dict[int, bytes]
# By what records are sorted, and the record as a line; None is one that does not count.
Line = tuple[tuple[object, ...], str] | None


def _address(header: bytes, found: Attributes) -> Line:
    preferred, valid = struct.unpack("<II", found.pop(6)[:8])
    flags = struct.unpack("<I", found.pop(8))[0] & ~_TENTATIVE
    family, length, _, scope, index = struct.unpack("<BBBBI", header)
    lives = f"{_time(valid)}/{_time(preferred)}"
    return (family,), f"link {index} /{length} scope {scope} flags {flags:#x} lifetimes {lives} {_words(found)}"


def _route(header: bytes, found: Attributes) -> Line:
    family, length, _, tos, _, protocol, scope, kind, flags = struct.unpack("<BBBBBBBBI", header)
    expires = struct.unpack("<IIi", found.pop(12, bytes(32))[:12])[2]
    table = struct.unpack("<I", found.pop(15))[0]
    metric = struct.unpack("<I", found.pop(6, bytes(4)))[0]
    if 9 in found:
        found[9] = _without_carrier(found[9])
    dst = found.pop(1, b"")
    # These always name their link, so there is no order among them.
    link = found.get(4, b"") if dst[:2] in (b"\xfe\x80", b"\xff\x00") else b""
    where = f"table {table} dst {dst.hex()}/{length} tos {tos} metric {metric}"
    how = f"proto {protocol} scope {scope} type {kind} flags {flags & ~_FOLLOW_CARRIER:#x}"
    line = f"{where} {how}{' expires' if expires else ''} {_words(found)}"
    return (family, table, dst, length, tos, metric, link), line


def _without_carrier(hops: bytes) -> bytes:
    """Return the ways of a route (RTA_MULTIPATH: each a rtnexthop), without what the flags tell of carriers."""
    found, at = bytearray(hops), 0
    while at < len(found):
        length, flags = struct.unpack_from("<HB", found, at)
        found[at + 2] = flags & ~_FOLLOW_CARRIER
        at += _aligned(max(length, _ALIGN))
    return bytes(found)


def _neighbour(header: bytes, found: Attributes) -> Line:
    family, _, _, index, state, flags, kind = struct.unpack("<BBHiHBB", header)
    extended = struct.unpack("<I", found.get(15, bytes(4)))[0]
    if not (state & _KEPT_STATES or flags & (_PROXY | _KEPT_FLAGS) or extended & _MANAGED):
        return None
    dst, mac = found.get(1, b""), found.get(2, b"")
    if state & 0x40 and (mac[:3] in (b"\x33\x33\xff", b"\x01\x00\x5e") or mac[:2] == b"\x33\x33") and _is_group(dst):
        return None  # the kernel's note of a group address that it has sent to
    if state & 0x40 and not any(mac):
        return None  # of an address on lo
    found.pop(3, None)
    found.pop(4, None)
    state = "alive" if not state & _KEPT_STATES else hex(state)
    return (family, index, dst, mac), f"link {index} state {state} flags {flags:#x} type {kind} {_words(found)}"


def _is_group(address: bytes) -> bool:
    return address[:1] == b"\xff" if len(address) == 16 else 224 <= (address or b"\0")[0] < 240


def _plain(header: bytes, found: Attributes) -> Line:
    return (header, sorted(found.items())), f"{header.hex()} {_words(found)}"


def _group_entry(header: bytes, found: Attributes) -> Line:
    # MDBA_MDB > MDBA_MDB_ENTRY > MDBA_MDB_ENTRY_INFO: a br_mdb_entry, then attributes with timers.
    entries = []
    for _, entry in _attributes(found.get(1, b"")):
        entries += [info[:28].hex() for _, info in _attributes(entry) if info[4] == _LASTING_GROUP]
    return (header,), f"{header.hex()} {sorted(entries)}"


@frozen
class Table:
    """What is asked for (the message and its header), how long the header of a record is, and what a record says."""

    message: int
    header: bytes
    size: int
    line: Callable[[bytes, Attributes], Line]


_AF_BRIDGE = 7
TABLES = {
    "address": Table(22, bytes(8), 8, _address),
    "route": Table(26, bytes(12), 12, _route),
    "neighbour": Table(30, bytes(12), 12, _neighbour),
    "proxy": Table(30, struct.pack("<BBHiHBB", 0, 0, 0, 0, 0, _PROXY, 0), 12, _neighbour),
    "fdb": Table(30, struct.pack("<BBHiHBB", _AF_BRIDGE, 0, 0, 0, 0, 0, 0), 12, _neighbour),
    "mdb": Table(86, struct.pack("<BBBBI", _AF_BRIDGE, 0, 0, 0, 0), 8, _group_entry),
    "rule": Table(34, bytes(12), 12, _plain),
    "nexthop": Table(106, bytes(8), 8, _plain),
}


@frozen
class LinkRecord:
    """What a link's record says of its state: IFF_* of <linux/if.h>, and IF_OPER_*."""

    name: str
    flags: int
    state: int


def dump_links() -> list[LinkRecord]:
    """Return the links of this thread's namespace."""
    return [
        LinkRecord(found[3].rstrip(b"\0").decode("utf-8", "replace"), struct.unpack("<8xI4x", header)[0], found[16][0])
        for header, found in _records(Table(18, bytes(16), 16, _plain))
    ]


def raw_dump(namespace: Namespace) -> dict[str, list[str]]:
    """Return the lines of every table of a namespace, links by their numbers."""
    return namespace.inside(lambda: {name: _dumped(table) for name, table in TABLES.items()})


def raw_difference(before: dict[str, list[str]], after: dict[str, list[str]]) -> str:
    """Return what differs as a unified diff, each line behind the name of its table; "" if nothing does."""
    one, other = ([f"{name}: {line}" for name in TABLES for line in taken[name]] for taken in (before, after))
    return "\n".join(difflib.unified_diff(one, other, "before", "after", lineterm="", n=0))


def _dumped(table: Table) -> list[str]:
    lines = [line for header, found in _records(table) if (line := table.line(header, found)) is not None]
    return [text for _, text in sorted(lines, key=lambda line: repr(line[0]))]


def _records(table: Table) -> Iterator[tuple[bytes, Attributes]]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        size = 16 + len(table.header)
        kernel.send(struct.pack("<IHHII", size, table.message, _DUMP_REQUEST, 1, 0) + table.header)
        while True:
            data, at = kernel.recv(1 << 20), 0
            while at < len(data):
                length, kind = struct.unpack_from("<IH", data, at)
                if kind in (_DONE, _ERROR):
                    return
                body = data[at + 16 : at + length]
                yield body[: table.size], dict(_attributes(body[table.size :]))
                at += _aligned(length)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("<HH", data, at)
        yield kind & _TYPE_BITS, data[at + 4 : at + length]
        at += _aligned(max(length, _ALIGN))


def _aligned(length: int) -> int:
    return (length + _ALIGN - 1) & ~(_ALIGN - 1)


def _words(found: Attributes) -> str:
    return " ".join(f"{key}:{value.hex()}" for key, value in sorted(found.items()))


def _time(seconds: int) -> str:
    return "forever" if seconds == _FOREVER else "over" if seconds == 0 else "limited"
