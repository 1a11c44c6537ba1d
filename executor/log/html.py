"""The log as a page: for each operation when its commands ran and how long they took, what they said folded away."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from executor.log.lines import moment, shell_line
from executor.state.journal import LogRecord
from planner.formats.pages import Pages
from planner.kinds.shown import counted
from planner.text.frozen import frozen


@frozen
class _Operation:
    """Commands that were run for one command line; the seconds from the first one's start to the last one's end."""

    records: tuple[LogRecord, ...]
    start: float
    length: float


@frozen
class _Row:
    """One command, in the words of the page; ``begin`` and ``part`` place its bar, in percent of its operation."""

    clock: str
    status: str
    words: str
    took: str
    begin: str
    part: str
    output: tuple[tuple[str, str], ...]
    is_bad: bool
    is_open: bool


@frozen
class _Section:
    """One operation, in the words of the page."""

    title: str
    began: str
    took: str
    places: str
    requested_by: str
    rows: tuple[_Row, ...]


def render_log_html(records: Iterable[LogRecord], pages: Pages) -> str:
    """Return the page of ``records``, in their order; what failed stands out, and its output is open."""
    records = tuple(records)
    failed = sum(record.rc != 0 for record in records)
    said = f"{counted(len(records), 'command')}, {failed or 'none'} of them failed or unfinished"
    times = [record.time for record in records]
    return pages.render(
        "log.html",
        title="podwire log",
        said=said if records else "nothing was run yet",
        span=f"{moment(min(times))} to {moment(max(times))}" if records else "",
        operations=[_section(operation) for operation in _operations(records)],
    )


def _operations(records: Sequence[LogRecord]) -> list[_Operation]:
    """Return the records by operation, in the order in which these come first; ids may have worked at once."""
    groups: dict[str, list[LogRecord]] = {}
    for record in records:
        groups.setdefault(record.operation, []).append(record)
    return [_operation(group) for group in groups.values()]


def _operation(records: Sequence[LogRecord]) -> _Operation:
    start = min(record.time for record in records)
    return _Operation(tuple(records), start, max(max(map(_end, records)) - start, 0.001))


def _end(record: LogRecord) -> float:
    return record.time + (record.duration_ms or 0.0) / 1000


def _section(operation: _Operation) -> _Section:
    first = operation.records[0]
    return _Section(
        title=f"{first.verb} {first.id}",
        began=moment(operation.start),
        took=f"{counted(len(operation.records), 'command')} in {_took(operation.length * 1000)}",
        places=", ".join(sorted({record.netns or "the host" for record in operation.records})),
        requested_by=first.requested_by or "unknown",
        rows=tuple(_row(record, operation) for record in operation.records),
    )


def _row(record: LogRecord, operation: _Operation) -> _Row:
    begin = min(max((record.time - operation.start) / operation.length, 0.0), 1.0)
    part = (record.duration_ms or 0.0) / 1000 / operation.length
    return _Row(
        clock=moment(record.time)[11:23],
        status="unfinished" if record.rc is None else "ok" if record.rc == 0 else f"failed {record.rc}",
        words=shlex.join(record.argv),
        took="" if record.duration_ms is None else _took(record.duration_ms),
        begin=f"{100 * min(begin, 0.99):.2f}",
        part=f"{100 * min(part, 1 - begin):.2f}",
        output=tuple(_output(record)),
        is_bad=record.rc != 0,
        is_open=bool(record.stdout or record.stderr),
    )


def _output(record: LogRecord) -> list[tuple[str, str]]:
    """Return what is folded away: the whole line to run again, and what the command said."""
    lines = [("as a line", shell_line(record)), ("output", record.stdout), ("errors", record.stderr)]
    return [(label, text.rstrip("\n")) for label, text in lines if text]


def _took(milliseconds: float) -> str:
    if milliseconds < 1000:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 60_000 else f"{milliseconds / 60_000:.1f} min"
