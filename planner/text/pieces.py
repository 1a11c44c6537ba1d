"""JSON as text, piece by piece: of a document with very many routes neither a tree nor a whole text has to be kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

# Of a longer list each element is made when it is written.
FEW = 256
_PLAIN = json.JSONEncoder()


class Items:
    """A list in a document, not empty, of which an element is made, by ``write``, only when it is written."""

    def __init__(self, write: Callable[[Any], Any], values: Iterable[Any]) -> None:
        self._write = write
        self._values = values

    def chunks(self) -> Iterator[list[Any]]:
        """Yield the elements, some at a time."""
        elements = map(self._write, self._values)
        while chunk := list(islice(elements, FEW)):
            yield chunk


def listed(write: Callable[[Any], Any], values: Sequence[Any]) -> Items | list[Any]:
    """Return ``write`` of each of ``values``, as Items if they are many."""
    return [write(value) for value in values] if len(values) <= FEW else Items(write, values)


def indented(value: Any, margin: str = "\n") -> Iterator[str]:
    """Yield what ``json.dumps(value, indent=1)`` returns; ``margin`` is what begins a line of it."""
    if isinstance(value, Items):
        yield from _chunks(value, lambda chunk: _indented(chunk, margin), margin)
        return
    try:
        whole = _indented(value, margin)
    except TypeError:  # there are Items in it
        inner = f"{margin} "
        yield from _parts(value, inner, lambda key: f"{_quoted(key)}: ", lambda item: indented(item, inner), margin)
    else:
        yield whole


def _indented(value: Any, margin: str) -> str:
    """Return it as one text: the standard library takes several times as long, since only without indent it is in C."""
    kind = type(value)
    if kind is str:
        return _quoted(value)
    if not value or kind not in (dict, list):
        return _PLAIN.encode(value)
    inner = f"{margin} "
    if kind is list:
        return f"[{inner}{f',{inner}'.join([_indented(item, inner) for item in value])}{margin}]"
    members = [f"{_quoted(key)}: {_indented(item, inner)}" for key, item in value.items()]
    return f"{{{inner}{f',{inner}'.join(members)}{margin}}}"


class Compact:
    """JSON without blanks, the keys of each object in order: what digests are made of."""

    def __init__(self, *, ensure_ascii: bool) -> None:
        self._encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=ensure_ascii).encode

    def sha256(self, value: Any) -> str:
        """Return the digest of ``value`` as UTF-8, in hexadecimal."""
        found = hashlib.sha256()
        for piece in self.pieces(value):
            found.update(piece.encode())
        return found.hexdigest()

    def pieces(self, value: Any) -> Iterator[str]:
        """Yield what ``json.dumps(value, sort_keys=True, separators=(",", ":"))`` returns."""
        if isinstance(value, Items):
            yield from _chunks(value, self._encode, "")
            return
        try:
            whole = self._encode(value)
        except TypeError:  # there are Items in it
            ordered = dict(sorted(value.items())) if isinstance(value, dict) else value
            yield from _parts(ordered, "", lambda key: f"{self._encode(key)}:", self.pieces, "")
        else:
            yield whole


def _chunks(items: Items, write: Callable[[Any], str], margin: str) -> Iterator[str]:
    """Yield a list, of which ``write`` writes some elements as a list of their own, ``margin`` before its end."""
    begin = "["
    for chunk in items.chunks():
        yield begin + write(chunk)[1 : -1 - len(margin)]
        begin = ","
    yield f"{margin}]"


def _parts(
    value: dict[str, Any] | list[Any],
    inner: str,
    name: Callable[[str], str],
    write: Callable[[Any], Iterator[str]],
    margin: str,
) -> Iterator[str]:
    """Yield an object or a list whose elements are written by ``write``, each after ``inner``."""
    is_object = isinstance(value, dict)
    begin, end = "{}" if is_object else "[]"
    for key, item in value.items() if isinstance(value, dict) else (("", item) for item in value):
        yield f"{begin}{inner}{name(key) if is_object else ''}"
        yield from write(item)
        begin = ","
    yield f"{margin}{end}"
