"""Small things that every command prints: JSON, times, colours or none."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from executor.cli.output import put

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from planner.formats.ansi import Style

_NARROWEST = 40
_HANG = 4

# The end of the year 9999. A state file may say anything.
_LATEST = 253_402_300_799.0 - 86400


def wants_colour() -> bool:
    """Say whether standard output is a terminal that wants colours (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def style_of(arguments: argparse.Namespace) -> Style:
    """Return how text is to look: in colours if --color or the terminal wants them, and as wide as a terminal is."""
    from planner.formats.ansi import COLOURED, PLAIN  # noqa: PLC0415  documents need none of it

    style = COLOURED if _is_coloured(arguments) else PLAIN
    if not sys.stdout.isatty():
        return style
    import shutil  # noqa: PLC0415  it loads much that only a terminal needs

    return style._replace(width=max(_NARROWEST, shutil.get_terminal_size().columns))


def _is_coloured(arguments: argparse.Namespace) -> bool:
    return {"always": True, "never": False}.get(arguments.color, wants_colour())


def json_text(value: Any) -> str:
    """Return a document as text, readable, keys in the order in which they were made."""
    import json  # noqa: PLC0415  people are shown none

    return json.dumps(value, indent=1, ensure_ascii=True) + "\n"


def print_json(value: Any) -> None:
    """Print a document."""
    put(json_text(value))


def print_table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    arguments: argparse.Namespace,
    *,
    marked: Sequence[bool],
) -> None:
    """Print columns that line up, the ``marked`` rows in a colour; on a terminal the last one goes on below."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads) - 1)]
    lines = []
    for row in (heads, *rows):
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    if sys.stdout.isatty() or _is_coloured(arguments):  # else nothing is loaded for that
        lines = _painted(lines, style_of(arguments), marked)
    put("".join(f"{line}\n" for line in lines))


def _painted(lines: Sequence[str], style: Style, marked: Sequence[bool]) -> list[str]:
    """Return the lines of a table in lines as wide as the terminal, the head and the ``marked`` rows in a colour."""
    from planner.formats.ansi import paint  # noqa: PLC0415  documents need none of it
    from planner.formats.fit import fit  # noqa: PLC0415

    marks = [style.strong, *(style.changed if is_marked else ("", "") for is_marked in marked)]
    return [
        paint(mark, piece)
        for line, mark in zip(lines, marks, strict=True)
        for piece in fit(line, style.width, hang=_HANG)
    ]


def local_time(seconds: float) -> str:
    """Return a time as people here read it, to the second; the nearest one that a calendar has."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(_on_a_calendar(seconds)))


def local_clock(seconds: float) -> str:
    """Return the time of the day alone, to the millisecond."""
    return f"{local_time(seconds)[11:]}.{int(_on_a_calendar(seconds) * 1000) % 1000:03}"


def unless_confirmed(plan_id: str, confirm_by: float) -> str:
    """Return the sentence on a wiring that is still to be confirmed, until a moment in seconds since the epoch."""
    return f"rolled back at {local_time(confirm_by)[11:]} unless: podwire confirm {plan_id}"


def _on_a_calendar(seconds: float) -> float:
    return min(max(seconds, 0.0), _LATEST)
