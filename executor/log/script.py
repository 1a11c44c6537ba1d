"""The log as a bash script that does the same again: what failed then is in it, but is not run."""

from __future__ import annotations

from collections.abc import Iterable

from executor.log.lines import moment, shell_line
from executor.state.journal import LogRecord
from planner.formats.markup import clean
from planner.kinds.shown import counted

_HEAD = """\
#!/usr/bin/env bash
# {count}, as podwire ran them. What failed then, or was not seen to end, is left out here.
set -euo pipefail
"""


def render_log_script(records: Iterable[LogRecord]) -> str:
    """Return a script of the commands in ``records``, each with when it was run, for what, and who asked for it."""
    records = tuple(records)
    blocks = [_HEAD.format(count=counted(len(records), "command"))]
    operation = None
    for record in records:
        if operation != record.operation:
            operation = record.operation
            blocks.append(f"\n{_comment(f'--- {record.verb} {record.id}, requested by: {record.requested_by}')}")
        blocks.append(_lines(record))
    return "".join(blocks)


def _lines(record: LogRecord) -> str:
    head = f"{moment(record.time)} {record.id}"
    line = shell_line(record)
    why = _why_not(record, line)
    return _comment(f"{head}: {why}") + _comment(f"  {line}") if why else f"{_comment(head)}{line}\n"


def _why_not(record: LogRecord, line: str) -> str | None:
    """Return why a command is not run again, None if it is."""
    if record.rc is None:
        return "did not end before podwire did"
    if record.rc != 0:
        return f"failed with {record.rc}"
    return None if clean(line) == line else "holds what cannot be printed"


def _comment(text: str) -> str:
    """Return a comment of one line, whatever is in the text."""
    return f"# {' '.join(clean(text).splitlines())}\n"
