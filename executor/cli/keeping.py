"""confirm, gc: what is kept, and what is forgotten."""

from __future__ import annotations

import argparse

from executor.cli.changing import each, outcome_json, settings_of
from executor.cli.inputs import parse_id, require_root
from executor.cli.printing import print_json
from executor.collecting import collect
from executor.confirming import confirm
from planner.values import PlanId


def confirm_command(arguments: argparse.Namespace) -> int:
    """Keep what was applied with --confirm-within."""
    require_root()
    plan_id = parse_id(arguments.id)
    was_waiting = confirm(plan_id, settings_of(arguments))
    if arguments.format == "json":
        print_json({"id": str(plan_id), "outcome": "confirmed" if was_waiting else "nothing"})
    else:
        print(f"{plan_id}: {'confirmed, it stays wired' if was_waiting else 'it was not waiting to be confirmed'}")
    return 0


def gc_command(arguments: argparse.Namespace) -> int:
    """Forget what belongs to namespaces that are gone."""
    require_root()
    settings = settings_of(arguments)
    forgotten: list[dict[str, object]] = []

    def work(plan_id: PlanId) -> int:
        entry = settings.store.load(plan_id)
        outcome = collect(entry, settings) if entry is not None else None
        if outcome is not None and outcome.what == "gone":
            forgotten.append(outcome_json(outcome))
            if arguments.format == "text":
                print("\n".join(f"{plan_id}: {line}" for line in ("forgotten, its namespace is gone", *outcome.notes)))
        return 0

    status = each(settings.store.ids(), work)
    if arguments.format == "json":
        print_json(forgotten)
    elif not forgotten:
        print("nothing is to be forgotten: every namespace is there")
    return status
