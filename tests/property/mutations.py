"""Spoiling documents: random changes to a tree of JSON values, and to bytes. All from a generator that is handed in."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]

_NASTY: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 255, 256, 2**31, 2**32 - 1, 2**32, 2**64, -(2**63), 10**40, 10**400, 0.5, -0.0, 1e308,
    float("nan"), float("inf"), "", " ", "0", "-1", "lo", "eth0", "-eth0", "eth0 ; reboot", "a" * 16, "a" * 5000, ".",
    "..", "../../etc/passwd", "/run/netns/pod1", "\n", "eth0\n", "eth0\x00", "\ud800", "\U0010ffff", "é" * 15, "٣",
    "${x}", "{{ 7*7 }}", "$ ip link del eth0", "| -F", "10.1.90.5", "10.1.90.5/24", "10.1.90.5/33", "10.1.90.5/024",
    "0.0.0.0/0", "::/0", "::1/128", "fe80::1%eth0", "::ffff:10.1.90.5", "256.1.1.1/24", "00:00:00:00:00:00", "default",
    "02:00:00:00:00:01", "FF:FF:FF:FF:FF:FF", "0.1.0", "0.4.0", "1.1.0", "main", "local", "permanent", "kernel",
    [], {}, [[]], [None], [{}], {"": None}, {"kind": "link"}, {"type": "tap"}, {"a": {"a": {"a": []}}},
)  # fmt: skip
# Stands for a nest of that depth. Some are about as deep as Python's own limit.
_DEEP, _DEPTHS = '"nested {} deep"', (1, 7, 400, 5000, 50_000, *range(700, 1000))
_BYTES = (b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":",
          b"1e999", b"NaN", b"-", b"\\ud800", b"\\u0000", b"null", b'{"a":1,"a":2}', b"9" * 5000)  # fmt: skip


def spoil(rng: random.Random, document: Any) -> tuple[Any, list[str]]:
    """Return a copy of ``document`` with one to four changes, and what they were."""
    spoilt, done = copy.deepcopy(document), []
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4))):
        paths = list(walk(spoilt))
        path = rng.choice(paths)
        if not path:
            spoilt = junk(rng, spoilt)
            done.append("all of it replaced")
            continue
        parent = at(spoilt, path[:-1])
        done.append(f"{_change(rng, parent, path[-1], at(spoilt, rng.choice(paths)))} at {'.'.join(map(str, path))}")
    return spoilt, done


def walk(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every node, the root first."""
    yield path
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from walk(item, (*path, key))


def at(document: Any, path: Path) -> Any:
    """Return the node at ``path``; that may have gone with an earlier change, which gives None."""
    for key in path:
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def junk(rng: random.Random, value: Any) -> Any:
    """Return something else than ``value``, often of the kind that is wanted there, and often not."""
    choice = rng.randrange(8)
    if choice == 0:
        return _DEEP.strip('"').format(rng.choice(_DEPTHS))
    if choice == 1 and isinstance(value, str) and value:
        place = rng.randrange(len(value))
        return (
            value[:place]
            + rng.choice(("", " ", "'", '"', "\\", "-", "/", "9", "\u202e", "\x1b[2J", "é"))
            + value[place + 1 :]
        )
    if choice == 2 and isinstance(value, int):
        return rng.choice((value + 1, -value, value * 2**32, str(value), float(value % 2**63)))
    if choice == 3:
        return {"x": value}
    if choice == 4:
        return [value]
    return copy.deepcopy(rng.choice(_NASTY))


def _change(rng: random.Random, parent: Any, key: str | int, other: Any) -> str:
    """Change what is in ``parent`` under ``key``, and say how."""
    if not isinstance(parent, (dict, list)):
        return "nothing"
    how = rng.choice(("deleted", "replaced", "replaced", "replaced", "doubled", "exchanged", "renamed", "joined"))
    try:
        old = parent[key]  # type: ignore[index]
    except (KeyError, IndexError):
        return "nothing"
    if how == "deleted":
        del parent[key]  # type: ignore[arg-type]
    elif how == "doubled" and isinstance(parent, list):
        parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(old))
    elif how == "exchanged":
        parent[key] = copy.deepcopy(other)  # type: ignore[index]
    elif how == "renamed" and isinstance(parent, dict):
        parent[rng.choice(("x", "", str(key).upper(), f"{key} ", "\ud800", "__class__"))] = parent.pop(str(key))
    elif how == "joined" and isinstance(parent, dict):
        parent[rng.choice(("x", "unsupported", "learnt", "flags", "code", "msg", "plugins", "encap"))] = junk(rng, old)
    else:
        how = "replaced"
        parent[key] = junk(rng, old)  # type: ignore[index]
    return how


def as_text(rng: random.Random, document: Any) -> bytes:
    """Return the document as JSON; lone surrogates are escaped, or are there as bytes that are no UTF-8."""
    text = json.dumps(document, ensure_ascii=rng.random() < 0.5)
    text = re.sub(_DEEP.replace("{}", r"(\d+)"), _nested, text)
    return text.encode("utf-8", "surrogatepass")


def _nested(found: re.Match[str]) -> str:
    """Return a list in a list in a list: too deep for `copy` and `json` to make it."""
    depth = int(found[1])
    return '{"a":' * (depth % 2) + "[" * depth + "]" * depth + "}" * (depth % 2)


def spoil_bytes(rng: random.Random, text: bytes) -> bytes:
    """Return the bytes cut, flipped, doubled or with others in between."""
    spoilt = bytearray(text)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = rng.randrange(len(spoilt) + 1)
        how = rng.randrange(5)
        if how == 0:
            del spoilt[place:]
        elif how == 1:
            del spoilt[place : place + rng.randrange(20)]
        elif how == 2:
            spoilt[place:place] = rng.choice(_BYTES)
        elif how == 3:
            spoilt[place : place + 1] = rng.randbytes(1)
        else:
            spoilt[place:place] = spoilt[place : place + 200]
    return bytes(spoilt)


def noise(rng: random.Random) -> bytes:
    """Return bytes that are nothing at all, or brackets without end."""
    if rng.random() < 0.1:
        return rng.choice((b"[", b'{"a":', b'{"ips":[')) * rng.choice((10, 1000, 100_000))
    if rng.random() < 0.5:
        return b"".join(rng.choice(_BYTES) for _ in range(rng.randrange(12)))
    return rng.randbytes(rng.randrange(200))
