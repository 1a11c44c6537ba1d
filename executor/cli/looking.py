"""list: what is wired."""

from __future__ import annotations

import argparse
from typing import Any

from executor.cli.exit_status import exit_status
from executor.cli.inputs import require_root, store_of
from executor.cli.output import complain, put
from executor.cli.printing import local_time, print_json, print_table
from executor.errors import ExecutorError
from executor.state.status import condition
from executor.state.store import WiringRecord
from planner.errors import PlannerError


def list_command(arguments: argparse.Namespace) -> int:
    """Print what is wired here."""
    require_root("what is wired is written down for root only")
    store = store_of(arguments)
    rows, damaged = [], []
    for plan_id in store.ids():
        try:
            entry = store.load(plan_id)
        except (PlannerError, ExecutorError) as error:
            damaged.append(error)
        else:
            if entry is not None:
                rows.append(_row(entry))
    if arguments.format == "json":
        print_json(rows)
    elif not rows and not damaged:
        put("nothing is wired here\n")
    elif rows:
        cells = [(row["id"], row["state"], local_time(row["applied_at"]), row["netns"]) for row in rows]
        print_table(("ID", "STATE", "APPLIED", "NAMESPACE"), cells)
    return max((complain(error, exit_status(error)) for error in damaged), default=0)


def _row(entry: WiringRecord) -> dict[str, Any]:
    return {
        "id": str(entry.id),
        "netns": str(entry.netns),
        "state": condition(entry),
        "applied_at": entry.applied_at,
    }
