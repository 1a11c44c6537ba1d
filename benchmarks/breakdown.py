"""Where the time of one apply and one teardown goes: command by command, and what lies between them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

from attrs import frozen

from benchmarks.pods import scratch_pod, state_directory
from executor.state.events import Event, Ran, Running
from tests.support.podwire import Podwire

_SETTLING = 0.03


@frozen
class Step:
    """A command: when it began after the operation did, and how long it took, in milliseconds."""

    line: str
    began: float
    took: float


@frozen
class Breakdown:
    """The medians of an operation: what came before its first command, its commands, what came behind the last."""

    steps: tuple[Step, ...]
    whole: float

    @property
    def first(self) -> float:
        """Return when the first command began: until then, opening, observing, comparing and writing down."""
        return min(step.began for step in self.steps)

    @property
    def last(self) -> float:
        """Return when the last command ended: behind it comes verifying, and writing that down."""
        return max(step.began + step.took for step in self.steps)


def breakdowns(rounds: int) -> tuple[Breakdown, Breakdown]:
    """Return those of apply and teardown on a plain pod."""
    with scratch_pod() as pod, state_directory() as state:
        wired = Podwire.on(pod, state)
        ups, downs = [], []
        for _ in range(rounds + 1):
            time.sleep(_SETTLING)
            plan = wired.plan()
            ups.append(_watched(partial(wired.apply, plan)))
            downs.append(_watched(wired.teardown))
    return _medians(ups[1:]), _medians(downs[1:])


def _watched(work: Callable[[Callable[[Event], None]], object]) -> Breakdown:
    began: dict[int, float] = {}
    steps: dict[int, Step] = {}
    start = time.perf_counter()

    def listen(event: Event) -> None:
        at = (time.perf_counter() - start) * 1000
        if isinstance(event, Running):
            began[event.number] = at
        elif isinstance(event, Ran):
            steps[event.number] = Step(event.command.line, began[event.number], event.reply.duration * 1000)

    work(listen)
    return Breakdown(tuple(steps[number] for number in sorted(steps)), (time.perf_counter() - start) * 1000)


def _medians(rows: list[Breakdown]) -> Breakdown:
    steps = tuple(
        Step(
            same[0].line,
            statistics.median(step.began for step in same),
            statistics.median(step.took for step in same),
        )
        for same in zip(*(row.steps for row in rows), strict=True)
    )
    return Breakdown(steps, statistics.median(row.whole for row in rows))
