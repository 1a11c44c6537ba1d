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
    import shutil  # noqa: PLC0415  what prints documents needs neither

    from planner.formats.ansi import COLOURED, PLAIN  # noqa: PLC0415

    is_terminal = sys.stdout.isatty()
    wanted = {"always": True, "never": False}.get(arguments.color, wants_colour())
    width = max(_NARROWEST, shutil.get_terminal_size().columns) if is_terminal else None
    return (COLOURED if wanted else PLAIN)._replace(width=width)


def json_text(value: Any) -> str:
    """Return a document as text, readable, keys in the order in which they were made."""
    import json  # noqa: PLC0415  people are shown none

    return json.dumps(value, indent=1, ensure_ascii=True) + "\n"


def print_json(value: Any) -> None:
    """Print a document."""
    put(json_text(value))


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], style: Style, *, marked: Sequence[bool]) -> None:
    """Print columns that line up, with ``marked`` rows in a colour; the last one goes on in the next line."""
    from planner.formats.ansi import paint  # noqa: PLC0415  what prints documents needs neither
    from planner.formats.fit import fit  # noqa: PLC0415

    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads) - 1)]
    marks = [style.strong, *(style.changed if is_marked else ("", "") for is_marked in marked)]
    lines = []
    for row, mark in zip((heads, *rows), marks, strict=True):
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        pieces = fit("  ".join([*cells, row[-1]]).rstrip(), style.width, hang=_HANG)
        lines += [paint(mark, piece) for piece in pieces]
    put("".join(f"{line}\n" for line in lines))


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
