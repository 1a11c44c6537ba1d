"""Classes of values: as attrs makes them, with shared methods."""

from __future__ import annotations

import attrs
import pytest

from planner.text.frozen import frozen


@frozen
class Point:
    """Two numbers, and a remark that makes no difference."""

    x: int
    y: int = 0
    remark: str = attrs.field(default="", eq=False, repr=False)


@frozen
class Other:
    """The same fields in another class."""

    x: int
    y: int = 0


@frozen
class Empty:
    """Nothing."""


@frozen
class Named:
    """A class that says itself how it is shown and compared."""

    name: str

    def __repr__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and other.name.lower() == self.name.lower()

    def __hash__(self) -> int:
        return hash(self.name.lower())


@frozen(eq=False)
class Record:
    """One of a kind."""

    name: str


def test_values_are_equal_by_what_they_hold() -> None:
    """And by their class; a field without `eq` does not count."""
    assert Point(1, 2, "one") == Point(1, 2)
    assert hash(Point(1, 2, "one")) == hash(Point(1, 2))
    assert Point(1) != Point(2)
    others: list[object] = [Other(1), (1, 0)]
    assert Point(1) not in others
    assert Empty() == Empty()
    assert len({Point(1), Point(1), Other(1), Empty(), Empty()}) == 3


def test_values_show_what_they_hold() -> None:
    """As attrs does."""
    assert repr(Point(1, 2, "one")) == "Point(x=1, y=2)"
    assert repr(Empty()) == "Empty()"


def test_a_value_cannot_be_changed() -> None:
    """It is frozen, and `evolve` makes another."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Point(1).x = 2  # type: ignore[misc]
    assert attrs.evolve(Point(1), x=2) == Point(2)


def test_what_a_class_says_itself_stays() -> None:
    """How it is shown, compared and hashed."""
    assert repr(Named("a")) == "a"
    assert {Named("a"), Named("A")} == {Named("a")}


def test_a_record_is_equal_to_itself_only() -> None:
    """Without `eq`."""
    one = Record("a")
    assert one == one  # noqa: PLR0124
    assert one != Record("a")
