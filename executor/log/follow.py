"""Following journals: what is over is told once, and nothing is read twice, however long it goes on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path

from executor.errors import HostError
from executor.state.journal import LogRecord, Reader, lines_of
from executor.state.rotation import with_older
from planner.text.values import PlanId


class FollowedJournal:
    """The journal of one id, read on from where it was read to: in all its files, whatever they are called by now."""

    def __init__(self, plan_id: PlanId, path: Path) -> None:
        self._path = path
        self._reader = Reader(plan_id)
        self._read_to: dict[int, int] = {}

    def new(self) -> list[LogRecord]:
        """Return the commands that are over since the last look. Raises HostError."""
        lines = chain.from_iterable(lines_of(path, self._read_to) for path in with_older(self._path))
        return list(self._reader.over(lines))


class FollowedJournals:
    """The journals of several ids, of which ``paths`` returns those that there are by now."""

    def __init__(self, paths: Callable[[], dict[PlanId, Path]]) -> None:
        self._paths = paths
        self._journals: dict[PlanId, FollowedJournal] = {}

    def new(self, unreadable: Callable[[HostError], None]) -> list[LogRecord]:
        """Return the commands that are over since the last look, in the order of time.

        A journal that cannot be read is told to ``unreadable``, and keeps none of the others from being read.
        """
        found: list[LogRecord] = []
        for plan_id, path in self._paths().items():
            try:
                found += self._journals.setdefault(plan_id, FollowedJournal(plan_id, path)).new()
            except HostError as error:
                unreadable(error)
        return sorted(found, key=lambda record: record.time)
