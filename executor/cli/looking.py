"""list: what is wired."""

from __future__ import annotations

import argparse
from typing import Any

from executor.cli.inputs import require_root, store_of
from executor.cli.printing import local_time, print_json, print_table
from executor.cli.streams import put
from executor.store import Entry
from executor.wirings import condition


def list_command(arguments: argparse.Namespace) -> int:
    """Print what is wired here."""
    require_root("what is wired is written down for root only")
    rows = [_row(entry) for entry in store_of(arguments).all()]
    if arguments.format == "json":
        print_json(rows)
    elif not rows:
        put("nothing is wired here\n")
    else:
        cells = [(row["id"], row["state"], local_time(row["applied_at"]), row["netns"]) for row in rows]
        print_table(("ID", "STATE", "APPLIED", "NAMESPACE"), cells)
    return 0


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "id": str(entry.id),
        "netns": str(entry.netns),
        "state": condition(entry),
        "applied_at": entry.applied_at,
    }
