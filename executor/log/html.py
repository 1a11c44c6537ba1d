"""The log as a page: for each operation when its commands ran and how long they took, what they said folded away."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from attrs import frozen

from executor.log.lines import moment, shell_line
from executor.state.journal import LogRecord
from planner.formats.markup import Element, Node, element
from planner.formats.page import code, page
from planner.formats.plan_words import counted

# Commands of one command line that are further apart than this belong to two runs of it.
_PAUSE = 60.0
_STYLE = (
    ".operation{margin-top:40px}.head{display:flex;flex-wrap:wrap;gap:0 16px;align-items:baseline}"
    "h2{margin:0}.asked{margin:0 0 12px}"
    "summary{display:grid;grid-template-columns:10px 96px 84px minmax(0,1fr) 76px 180px;gap:16px;align-items:baseline}"
    "summary::-webkit-details-marker{display:none}summary{list-style:none}"
    ".fold{border:4px solid transparent;border-left:6px solid var(--line);width:0}"
    "details[open] .fold{transform:translateY(2px) rotate(90deg)}"
    ".took{text-align:right}.took,.clock{font-variant-numeric:tabular-nums}"
    ".track{height:10px;border-radius:3px;background:var(--zone);align-self:center;overflow:hidden}"
    ".bar{height:10px;min-width:2px;border-radius:3px;background:var(--faint)}"
    ".bad{border-left:4px solid var(--removed);padding-left:12px;margin-left:-16px;background:var(--removed-box)}"
    ".bad .bar{background:var(--removed)}.bad .status{color:var(--removed);font-weight:700}"
    ".output{padding:0 0 16px 138px;display:grid;grid-template-columns:84px minmax(0,1fr);gap:4px 16px}"
    "@media(max-width:900px){summary{grid-template-columns:10px 1fr auto auto;gap:4px 12px}"
    "summary code{grid-column:2/-1;order:1}.track{grid-column:2/-1;order:2}"
    ".output{padding-left:22px;grid-template-columns:minmax(0,1fr)}}"
)


@frozen
class _Operation:
    """Commands that were run for one command line; the seconds from the first one's start to the last one's end."""

    records: tuple[LogRecord, ...]
    start: float
    length: float


def render_log_html(records: Iterable[LogRecord]) -> str:
    """Return the page of ``records``, in their order; what failed stands out, and its output is open."""
    records = tuple(records)
    failed = sum(record.rc != 0 for record in records)
    said = f"{counted(len(records), 'command')}, {failed or 'none'} of them failed or unfinished"
    content: list[Node] = [element("h1", "podwire log"), element("p", said if records else "nothing was run yet")]
    if records:
        first, last = min(record.time for record in records), max(record.time for record in records)
        content.append(element("p", f"{moment(first)} to {moment(last)}", class_="quiet"))
    return page("podwire log", _STYLE, *content, *map(_section, _operations(records)))


def _operations(records: Sequence[LogRecord]) -> list[_Operation]:
    """Return the records by operation, in the order in which these come first; ids may have worked at once."""
    groups: list[list[LogRecord]] = []
    latest: dict[tuple[str, str, str], list[LogRecord]] = {}
    for record in records:
        key = (record.id, record.verb, record.requested_by)
        group = latest.get(key)
        if group is None or not _follows(group[-1], record):
            group = latest[key] = []
            groups.append(group)
        group.append(record)
    return [_operation(group) for group in groups]


def _follows(one: LogRecord, other: LogRecord) -> bool:
    """Say whether two commands were run without a pause between; the log may be read backwards."""
    first, second = sorted((one, other), key=lambda record: record.time)
    return second.time - _end(first) <= _PAUSE


def _operation(records: Sequence[LogRecord]) -> _Operation:
    start = min(record.time for record in records)
    return _Operation(tuple(records), start, max(max(map(_end, records)) - start, 0.001))


def _end(record: LogRecord) -> float:
    return record.time + (record.duration_ms or 0.0) / 1000


def _section(operation: _Operation) -> Element:
    first = operation.records[0]
    count = counted(len(operation.records), "command")
    spaces = sorted({record.netns or "the host" for record in operation.records})
    head = element(
        "div",
        element("h2", f"{first.verb} {first.id}"),
        element("span", moment(operation.start), class_="quiet clock"),
        element("span", f"{count} in {_took(operation.length * 1000)}", class_="quiet"),
        element("span", f"in {', '.join(spaces)}", class_="quiet"),
        class_="head",
    )
    asked = element("p", "asked for by ", code(first.requested_by or "nobody knows whom"), class_="quiet asked")
    rows = [_row(record, operation) for record in operation.records]
    return element("section", head, asked, *rows, class_="operation")


def _row(record: LogRecord, operation: _Operation) -> Element:
    bad = record.rc != 0
    status = "unfinished" if record.rc is None else "ok" if record.rc == 0 else f"failed {record.rc}"
    summary = element(
        "summary",
        element("span", class_="fold"),
        element("span", moment(record.time)[11:23], class_="quiet clock"),
        element("span", status, class_="status"),
        code(shlex.join(record.argv)),
        element("span", "" if record.duration_ms is None else _took(record.duration_ms), class_="quiet took"),
        _track(record, operation),
    )
    output = [pair for label, text in _output(record) for pair in (element("span", label, class_="quiet"), code(text))]
    return element(
        "details", summary, element("div", *output, class_="output"), class_="bad" if bad else None,
        open="open" if bad and (record.stdout or record.stderr) else None,
    )  # fmt: skip


def _output(record: LogRecord) -> list[tuple[str, str]]:
    """Return what is folded away: the whole line to run again, and what the command said."""
    lines = [("as a line", shell_line(record)), ("output", record.stdout), ("errors", record.stderr)]
    return [(label, text.rstrip("\n")) for label, text in lines if text]


def _track(record: LogRecord, operation: _Operation) -> Element:
    """Return when in its operation a command ran, and for how long: a bar in a track that stands for the whole."""
    begin = min(max((record.time - operation.start) / operation.length, 0.0), 1.0)
    part = (record.duration_ms or 0.0) / 1000 / operation.length
    style = f"margin-left:{100 * min(begin, 0.99):.2f}%;width:{100 * min(part, 1 - begin):.2f}%"
    return element("div", element("div", class_="bar", style=style), class_="track")


def _took(milliseconds: float) -> str:
    if milliseconds < 1000:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 60_000 else f"{milliseconds / 60_000:.1f} min"
