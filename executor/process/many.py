"""The same for many wirings: side by side, since most of what each takes is waiting for the kernel."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Generator
from contextlib import suppress
from functools import partial
from typing import TypeVar

from executor.errors import HostError
from executor.process.background import Task, in_background
from planner.text.values import PlanId

T = TypeVar("T")

# Up to so many are done one after the other, and stop in the middle of one on request.
_FEW = 8


def results(
    work: Callable[[PlanId], T], ids: Collection[PlanId], at_once: int
) -> Generator[tuple[PlanId, Callable[[], T]], None, None]:
    """Yield each id, in the order given, with a function that returns what ``work`` returned for it, or raises that.

    ``work`` is called by that function; or before, on a thread, if there are many ids and ``at_once`` is more than 1.
    If nobody wants any more of them, what has begun is waited for.
    """
    tasks = [(each, Task(partial(work, each))) for each in ids]
    waiting = deque(task for _, task in tasks)
    helpers: list[Task[None]] = []
    try:
        if at_once > 1 and len(ids) > _FEW:
            with suppress(HostError):  # there can be no more threads: fewer do as well, or none
                while len(helpers) < at_once:
                    helpers.append(in_background(partial(_work_off, waiting)))
        for each, task in tasks:
            if not helpers:
                task.run()
            yield each, task.result
    finally:
        waiting.clear()
        for helper in helpers:
            helper.result()


def _work_off(waiting: deque[Task[T]]) -> None:
    with suppress(IndexError):  # there is none left
        while True:
            waiting.popleft().run()
