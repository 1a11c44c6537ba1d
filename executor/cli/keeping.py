"""confirm, gc: what is kept, and what is forgotten."""

from __future__ import annotations

import argparse

from executor.cli.inputs import require_root
from executor.cli.output import put_done
from executor.cli.printing import json_text
from executor.cli.reporting import Report
from executor.cli.settings import settings_of
from executor.netns.naming import parse_id
from executor.operations.commit_confirm import confirm
from executor.operations.gc import collect
from planner.text.values import PlanId


def confirm_command(arguments: argparse.Namespace) -> int:
    """Keep what was applied with --confirm-within."""
    require_root()
    plan_id = parse_id(arguments.id)
    was_waiting = confirm(plan_id, settings_of(arguments))
    if arguments.format == "json":
        put_done(json_text({"id": str(plan_id), "outcome": "confirmed" if was_waiting else "nothing"}))
    else:
        put_done(f"{plan_id}: {'confirmed, it stays wired' if was_waiting else 'it was not waiting to be confirmed'}\n")
    return 0


def gc_command(arguments: argparse.Namespace) -> int:
    """Forget what belongs to namespaces that are gone."""
    require_root()
    settings = settings_of(arguments)
    report = Report(arguments.format, several=True)

    def work(plan_id: PlanId) -> None:
        entry = settings.store.load(plan_id)
        outcome = collect(entry, settings) if entry is not None else None
        if outcome is not None and outcome.what == "gone":
            report.ended(outcome)

    nothing = "nothing is to be forgotten: every namespace is there"
    return report.of_each(settings.store.ids(), work, nothing=nothing)
