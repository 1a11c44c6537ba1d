"""``frozen`` of attrs, with methods that classes share where attrs compiles some for each of them.

podwire has some 150 classes. To compile how each is compared, hashed and shown was a sixth of a cold start.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from attrs import frozen

    __all__ = ["frozen"]
else:

    def frozen(cls: type | None = None, /, *, eq: bool = True, **options: Any) -> Any:
        """Make a class of frozen values as ``attrs.frozen`` does; without ``eq`` each is equal to itself only.

        What a class says itself (``__eq__``, ``__repr__``) stays.
        """

        def make(plain: type) -> type:
            own = set(vars(plain))
            keeps_hash = "cache_hash" in options  # it is asked for often: attrs keeps it, and compares
            made = attrs.frozen(plain, eq=None if keeps_hash else False, repr=False, **options)
            if "__repr__" not in own:
                made.__repr__ = _repr
            if eq and not keeps_hash and "__eq__" not in own:
                names = [field.name for field in attrs.fields(made) if field.eq]
                made.__eq__, made.__hash__ = _comparison(attrgetter(*names) if names else type)
            return made

        return make if cls is None else make(cls)


def _comparison(key: Callable[[Any], Any]) -> tuple[Callable[[Any, Any], bool], Callable[[Any], int]]:
    """Return how values are compared and hashed that are what ``key`` returns of them."""

    def equal(self: Any, other: Any) -> bool:
        return key(self) == key(other) if other.__class__ is self.__class__ else NotImplemented

    return equal, lambda self: hash(key(self))


def _repr(self: Any) -> str:
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in attrs.fields(type(self)) if field.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"
