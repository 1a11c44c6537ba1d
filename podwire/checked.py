"""What callers hand in, and what the machine runs out of: whatever is wrong with it is a PodwireError."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from planner.cni.result import CniResult

_P = ParamSpec("_P")
_T = TypeVar("_T")


def in_sentences(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return the function with errors of the system, such as EMFILE, as HostError: nobody else says them."""

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return function(*args, **kwargs)
        except (MemoryError, OSError) as error:
            from executor.errors import HostError, shortage

            raise HostError(shortage(error)) from error

    return call


def text(value: object, what: str) -> str:
    """Return a value that is to be text. Raises InvalidInput, which calls it ``what``."""
    if not isinstance(value, str):
        raise _other_than(what, "text", value)
    return value


def instance(value: object, kind: type[_T], what: str) -> _T:
    """Return a value that is to be of a type. Raises InvalidInput, which calls it ``what``."""
    if not isinstance(value, kind):
        raise _other_than(what, f"a {kind.__name__}", value)
    return value


def cni_result(given: object) -> CniResult:
    """Return the CNI result that is given as text, as a mapping, or as a sequence of several. Raises InvalidInput."""
    from planner.cni.merge import merge_results
    from planner.cni.result import CniResult, parse_result
    from planner.errors import InvalidInput

    if isinstance(given, CniResult):
        return given
    if isinstance(given, (str, bytes)):
        return parse_result(given)
    if isinstance(given, Mapping):
        try:
            return parse_result(json.dumps(given))
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"result: {error}") from None
    if isinstance(given, Sequence):
        return merge_results([cni_result(one) for one in given])
    raise _other_than("result", "a CNI result (text, a mapping, or a list of them)", given)


def _other_than(what: str, wanted: str, value: Any) -> Exception:
    from planner.errors import InvalidInput

    return InvalidInput(f"{what}: {wanted} is wanted, not {type(value).__name__}")
