"""The same for many wirings: side by side, since most of what each takes is waiting for the kernel."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import TypeVar

from planner.text.values import PlanId

T = TypeVar("T")

# Up to so many are done one after the other, and stop in the middle of one if they are told to.
_FEW = 8


def results(
    work: Callable[[PlanId], T], ids: Collection[PlanId], at_once: int
) -> Iterator[tuple[PlanId, Callable[[], T]]]:
    """Yield each id, in the order given, with a function that returns what ``work`` returned for it, or raises that.

    ``work`` is called by that function; or before, on a thread, if there are many ids and ``at_once`` is more than 1.
    Whoever leaves early waits for all.
    """
    if at_once == 1 or len(ids) <= _FEW:
        yield from ((each, partial(work, each)) for each in ids)
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  it loads much

    with ThreadPoolExecutor(at_once) as pool:
        yield from [(each, pool.submit(work, each).result) for each in ids]
