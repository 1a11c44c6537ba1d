"""Words for states: what kinds say of a change, and what a script looks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from attrs import NOTHING, fields, has

from planner.kinds.kind import ChangeLike


def arrow(change: ChangeLike, key: str) -> str:
    """Return how an attribute of the state goes from one value to another."""
    old, new = (getattr(state, key, None) for state in (change.before, change.after))
    return f"{'none' if old is None else old} → {'none' if new is None else new}"


def word(text: object) -> str:
    """Return the regular expression of text between blanks."""
    return f" {re.escape(str(text))} "


def counted(count: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def differences(seen: Any, wanted: Any) -> Iterator[str]:
    """Yield what differs between two states, or parts of states, of one type."""
    for attribute in fields(type(wanted)):
        name = attribute.name
        one, other = getattr(seen, name, None), getattr(wanted, name)
        if one == other:
            continue
        if has(type(one)) and type(one) is type(other):
            yield from differences(one, other)
        elif isinstance(other, bool):
            yield f"{_said(name, yes=bool(one))}, was applied as {_said(name, yes=other)}"
        else:
            yield f"{name.replace('_', ' ')} {_value(one)}, was applied as {_value(other)}"


def _said(name: str, *, yes: bool) -> str:
    if name == "up":
        return "up" if yes else "down"
    return f"{name.replace('_', ' ')} {'on' if yes else 'off'}"


def _value(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return ", ".join(map(_value, value))
    if has(type(value)) and "__str__" not in type(value).__dict__:  # it would be shown as Python writes it
        said = ((each.name, getattr(value, each.name)) for each in fields(type(value)) if each.default is NOTHING)
        return " ".join(f"{name.replace('_', ' ')} {_value(item)}" for name, item in said)
    return str(value)
