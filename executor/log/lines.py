"""A logged command as a line of a POSIX shell, and when it was run."""

from __future__ import annotations

from datetime import UTC, datetime

from executor.state.journal import LogRecord
from planner.text.shell import line_with_input

_LATEST = 253_402_300_799.0


def shell_line(record: LogRecord) -> str:
    """Return the command with its ``nsenter`` prefix and its standard input, as one line (nsenter(1))."""
    prefix = [] if record.netns is None else ["nsenter", f"--net={record.netns}"]
    return line_with_input([*prefix, *record.argv], record.stdin)


def moment(seconds: float) -> str:
    """Return a time in UTC, with milliseconds: the same for every reader."""
    return f"{datetime.fromtimestamp(min(max(seconds, 0.0), _LATEST), UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"
