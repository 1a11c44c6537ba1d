"""Taking times: medians over rounds in which every way has its turn, so that a busy moment befalls all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping

from attrs import frozen


@frozen
class Times:
    """The durations of one thing that was done several times, in milliseconds."""

    ms: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.ms)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third quartile."""
        first, _, third = statistics.quantiles(self.ms, n=4)
        return first, third

    def ratio_to(self, other: Times) -> float:
        """Return the ratio of the medians."""
        return self.median / other.median


def timed(work: Callable[[], object]) -> float:
    """Return how many milliseconds ``work`` takes."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def in_turns(rounds: int, works: Mapping[str, Callable[[], Iterable[float]]]) -> dict[str, tuple[Times, ...]]:
    """Let each of ``works`` have its turn, ``rounds`` times after one that does not count.

    A work returns how long each of its parts took; the answer has the times of each part.
    """
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            row = tuple(work())
            if number:
                rows[name].append(row)
    return {name: tuple(Times(column) for column in zip(*found, strict=True)) for name, found in rows.items()}
