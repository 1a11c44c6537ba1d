"""Reading JSON that somebody else wrote: hostile until it is parsed, and every error says where.

``load_json`` turns bytes into plain values, ``Node`` walks them. Nothing inside a ``Node`` is touched by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet

from planner.errors import InvalidInput
from planner.text.values import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

# A namespace of 64 links and 10,000 routes is some 3 MB of facts; nothing honest is larger than this.
MAX_BYTES = 32 * 1024 * 1024
# Code that walks a document calls itself for each level; Python's own limit is another one in each version.
MAX_LEVELS = 200
_INFINITE = float("inf")


def load_json(text: bytes | str, what: str, most: int | None = None, *, called: str = "") -> Node:
    """Parse one JSON document called ``what`` in messages and return its root; as a whole it is ``called`` otherwise.

    Stricter than RFC 8259 asks: UTF-8, no duplicate keys, no NaN, no lone surrogates, at most ``most`` bytes (by
    default MAX_BYTES) and 200 levels. A byte order mark is passed over. Raises InvalidInput.
    """
    import json  # noqa: PLC0415  a command that has nothing to read does without

    most = MAX_BYTES if most is None else most
    called = called or what
    if len(text) > most:
        raise InvalidInput(f"{called} is larger than {most // 2**20} MiB")
    try:
        # Not by the codec utf-8-sig: the agent can load no module where its caller is.
        decoded = (text if isinstance(text, str) else text.decode("utf-8")).removeprefix("\ufeff")
        value = json.loads(decoded, object_pairs_hook=_unique_keys, parse_constant=no_constant)
        if "\\u" in decoded:  # only so a lone surrogate can be written in UTF-8
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise InvalidInput(f"{called} is not valid UTF-8 text") from None
    except RecursionError:
        raise InvalidInput(f"{called} is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{called} is not JSON: {error.msg} in line {error.lineno}") from None
    except ValueError as error:
        raise InvalidInput(f"{called} is not JSON that podwire reads: {_short(error)}") from None
    if decoded.count("{") + decoded.count("[") > MAX_LEVELS and _is_deep(value):
        raise InvalidInput(f"{called} is nested too deeply")
    return Node(value, what)


def _is_deep(value: object) -> bool:
    """Say whether there is something in more than ``MAX_LEVELS`` arrays and objects."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_LEVELS):
        inner = (one for outer in level for one in (outer.values() if isinstance(outer, dict) else outer))
        level = [one for one in inner if isinstance(one, (dict, list))]
        if not level:
            return False
    return True


def _short(error: ValueError) -> str:
    text = str(error)
    return "a number has too many digits" if "digits" in text else text


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"duplicate key {shown(twice)} in one object")
    return found


def no_constant(name: str) -> object:
    """Raise ValueError for ``NaN`` and the like, which Python's json reads and JSON does not have (RFC 8259)."""
    raise ValueError(f"{name} is not a number")


class Node:
    """A value of a document together with its path there, such as ``result.ips[1].address``.

    There is one for each value that is read, so it is small, and its path is put together only if it is asked for.
    """

    __slots__ = ("_key", "_within", "value")

    def __init__(self, value: object, path: str) -> None:
        self.value = value
        self._within: Node | None = None
        self._key: str | int = path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and (self.value, self.path) == (other.value, other.path)

    __hash__ = None  # type: ignore[assignment]  # a value may be a dict

    def __repr__(self) -> str:
        return f"Node({self.value!r}, {self.path!r})"

    @property
    def path(self) -> str:
        """Where the value is in its document."""
        if self._within is None:
            return str(self._key)
        step = f"[{self._key}]" if isinstance(self._key, int) else f".{self._key}"
        return self._within.path + step

    def error(self, problem: str) -> InvalidInput:
        """Return (not raise) the error that says ``problem`` of this element."""
        return InvalidInput(f"{self.path}: {problem}")

    def has(self, key: str) -> bool:
        """Say whether this object has ``key`` with a value other than null."""
        return self._object().get(key) is not None

    def field(self, key: str) -> Node:
        """Return the element under ``key``; InvalidInput if it is missing or null."""
        value = self._object().get(key)
        if value is None:
            raise self.error(f"{shown(key)} is missing")
        return self.element(key, value)

    def optional(self, key: str, read: Callable[[Node], T], default: T) -> T:
        """Return ``read`` of the element under ``key``, or ``default`` if it is missing or null."""
        value = self._object().get(key)
        return default if value is None else read(self.element(key, value))

    def maybe(self, key: str, read: Callable[[Node], T]) -> T | None:
        """Return ``read`` of the element under ``key``, or None if it is missing or null."""
        value = self._object().get(key)
        return None if value is None else read(self.element(key, value))

    def items(self) -> Iterator[Node]:
        """Yield the elements of this list."""
        if not isinstance(self.value, list):
            raise self.error(f"expected a list, not {shown(self.value)}")
        return (self.element(index, item) for index, item in enumerate(self.value))

    def each(self, read: Callable[[Node], T]) -> tuple[T, ...]:
        """Return ``read`` of every element of this list."""
        return tuple(read(item) for item in self.items())

    def keys(self) -> AbstractSet[str]:
        """Return the keys of this object."""
        return self._object().keys()

    def members(self) -> Iterator[tuple[str, Node]]:
        """Yield the keys of this object with their elements."""
        return ((key, self.element(key, value)) for key, value in self._object().items())

    def only(self, *known: str) -> None:
        """Refuse keys other than ``known``."""
        for key in self._object():
            if key not in known:
                raise self.error(f"the key {shown(key)} is unknown")

    def text(self) -> str:
        """Return this string."""
        if not isinstance(self.value, str):
            raise self.error(f"expected a string, not {shown(self.value)}")
        return self.value

    def texts(self) -> tuple[str, ...]:
        """Return this list of strings."""
        return self.each(Node.text)

    def boolean(self) -> bool:
        """Return this true or false."""
        if not isinstance(self.value, bool):
            raise self.error(f"expected true or false, not {shown(self.value)}")
        return self.value

    def integer(self, low: int = 0, high: int = 2**32 - 1) -> int:
        """Return this integer, which must lie between ``low`` and ``high``."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.error(f"expected a whole number, not {shown(self.value)}")
        if not low <= self.value <= high:
            raise self.error(f"{shown(self.value)} is not between {low} and {high}")
        return self.value

    def number(self) -> float:
        """Return this number."""
        if not isinstance(self.value, (int, float)) or isinstance(self.value, bool):
            raise self.error(f"expected a number, not {shown(self.value)}")
        try:
            found = float(self.value)
        except OverflowError:
            found = _INFINITE
        if abs(found) == _INFINITE:  # json reads 1e999 as that
            raise self.error("the number is too large")
        return found

    def parse(self, parser: Callable[[str], T]) -> T:
        """Return ``parser`` of this string; its ValueError becomes InvalidInput with the path."""
        text = self.text()
        try:
            return parser(text)
        except ValueError as error:
            raise self.error(str(error)) from None

    def element(self, key: str | int, value: object) -> Node:
        """Return the element ``value`` under ``key`` of this one."""
        element = Node(value, "")
        element._within, element._key = self, key
        return element

    def _object(self) -> dict[str, object]:
        if not isinstance(self.value, dict):
            raise self.error(f"expected an object, not {shown(self.value)}")
        return self.value
