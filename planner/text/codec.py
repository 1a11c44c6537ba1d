"""Attrs classes to and from JSON, led by their type annotations; what equals its default is left out.

A general library for this (cattrs) was measured: compiling its hooks costs more at a cold start than all of planning.
The rules here are few: an attrs class is an object that knows no other keys, a tuple is a list, a validated type or an
address is a string, and a union of attrs classes is told apart by the key that each names in ``TAG``.
"""

from __future__ import annotations

import functools
import ipaddress
import operator
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from planner.text import values
from planner.text.document import Node
from planner.text.pieces import FEW, listed

T = TypeVar("T")
_Read = Callable[[Node], Any]
_Write = Callable[[Any], Any]

_SCALARS: dict[Any, _Read] = {
    str: Node.text,
    int: Node.integer,
    bool: Node.boolean,
    float: Node.number,
    values.IpAddress: lambda node: node.parse(values.parse_address),
    values.IpInterface: lambda node: node.parse(values.parse_interface),
    values.IpNetwork: lambda node: node.parse(values.parse_network),
}
ADDRESS_TYPES = (
    ipaddress.IPv4Address,
    ipaddress.IPv4Interface,
    ipaddress.IPv4Network,
    ipaddress.IPv6Address,
    ipaddress.IPv6Interface,
    ipaddress.IPv6Network,
)


def to_json(value: object) -> Any:
    """Return ``value`` (an attrs instance, a tuple, a validated type, an address or a plain value) as JSON values."""
    kind: Any = type(value)
    return _writer(kind)(value)


def to_document(value: object) -> Any:
    """Return the same, with a tuple of very many as Items."""
    kind: Any = type(value)
    return _document_writer(kind)(value)


@functools.cache
def _document_writer(kind: Any) -> _Write:
    if attrs.has(kind):
        return _class_writer(kind, _document_writer)
    if issubclass(kind, tuple):
        return lambda value: listed(to_document if len(value) <= FEW else to_json, value)
    return _writer(kind)


@functools.cache
def _writer(kind: type) -> _Write:
    """Return the function that writes a ``kind``; made once for each."""
    writer_of: Callable[[Any], _Write] = _writer
    if attrs.has(kind):
        return _class_writer(kind, writer_of)
    if issubclass(kind, tuple):
        return lambda value: [writer_of(type(item))(item) for item in value]
    if issubclass(kind, (str, *ADDRESS_TYPES)):
        return str
    return lambda value: value


def _class_writer(kind: type, writer_of: Callable[[Any], _Write]) -> _Write:
    fields = attrs.fields(kind)
    names, defaults = [field.name for field in fields], [field.default for field in fields]
    tag: dict[str, Any] = getattr(kind, "TAG", {})
    if not fields:
        return lambda _: dict(tag)
    # For a single name attrgetter would return the value, not a tuple of it.
    items_of = operator.attrgetter(*names, names[0])

    def write(value: Any) -> dict[str, Any]:
        found = dict(tag)
        for name, default, item in zip(names, defaults, items_of(value)):  # noqa: B905  the name added is left over
            if item is default:
                continue
            # Most defaults are None or there is none, and addresses take their time to say that they are not equal.
            if default is None or default is attrs.NOTHING or item != default or type(item) is not type(default):
                found[name] = writer_of(type(item))(item)
        return found

    return write


def from_json(kind: type[T], node: Node) -> T:
    """Return the ``kind`` (an attrs class, a union of tagged ones, a validated type) that ``node`` holds.

    Raises InvalidInput with the path of what is missing, unknown or not what it should be.
    """
    read: Callable[[Node], T] = _reader(kind)  # type: ignore[arg-type]  # a class or a union is hashable
    return read(node)


def read_with(kind: type[T], read: Callable[[Node], T]) -> None:
    """Make ``from_json`` read a ``kind`` by a function of its own: its annotations don't tell how."""
    _SCALARS[kind] = read


@functools.cache
def _reader(kind: Any) -> _Read:
    """Return the function that reads a ``kind``; made once for each."""
    if kind in _SCALARS:
        return _SCALARS[kind]
    if typing.get_origin(kind) is tuple:
        item = _reader(typing.get_args(kind)[0])
        return lambda node: node.each(item)
    if isinstance(kind, types.UnionType):
        return _union_reader(tuple(arm for arm in typing.get_args(kind) if arm is not types.NoneType))
    if attrs.has(kind):
        return _class_reader(kind)
    return lambda node: node.parse(kind)


def _union_reader(arms: tuple[Any, ...]) -> _Read:
    if len(arms) == 1:
        return _reader(arms[0])
    by_tag = {next(iter(arm.TAG.values())): _reader(arm) for arm in arms}
    key = next(iter(arms[0].TAG))

    def read(node: Node) -> Any:
        tag = node.field(key)
        reader = by_tag.get(tag.text())
        if reader is None:
            raise tag.error(f"expected one of {', '.join(sorted(by_tag))}, not {values.shown(tag.value)}")
        return reader(node)

    return read


def _class_reader(kind: Any) -> _Read:
    hints = typing.get_type_hints(kind)
    readers = {attribute.name: _reader(_without_none(hints[attribute.name])) for attribute in attrs.fields(kind)}
    required = [attribute.name for attribute in attrs.fields(kind) if attribute.default is attrs.NOTHING]
    nullable = {name: None for name in required if _without_none(hints[name]) is not hints[name]}
    tag: dict[str, str] = getattr(kind, "TAG", {})

    def read(node: Node) -> Any:
        found: dict[str, Any] = dict(nullable)
        for key, member in node.members():
            if key in readers and member.value is not None:
                found[key] = readers[key](member)
            elif key not in readers and key not in tag:
                node.only(*readers, *tag)
        for name in required:
            if name not in found:
                node.field(name)  # raises: it is missing
        try:
            return kind(**found)
        except ValueError as error:
            raise node.error(str(error)) from None

    return read


def _without_none(hint: Any) -> Any:
    """Return ``X`` of ``X | None``; other hints, address unions among them, as they are."""
    if isinstance(hint, types.UnionType) and types.NoneType in typing.get_args(hint):
        arms = tuple(arm for arm in typing.get_args(hint) if arm is not types.NoneType)
        return functools.reduce(lambda left, right: left | right, arms)
    return hint
