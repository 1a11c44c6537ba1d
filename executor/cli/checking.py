"""check: whether what was applied still is there."""

from __future__ import annotations

import argparse

from executor.cli.exit_status import PENDING
from executor.cli.inputs import require_root
from executor.cli.output import put, put_done
from executor.cli.printing import json_text, wants_colour
from executor.cli.prompt import ask
from executor.cli.reporting import ran_words
from executor.cli.settings import settings_of
from executor.netns.naming import parse_id
from executor.operations.repair import Drift, drift_of, repair
from executor.settings import Settings
from executor.state.status import wired_entry
from executor.state.store import WiringRecord
from planner.changes.change import change_to_json
from planner.formats import COLOURED, PLAIN, render_drift
from planner.plan.plan import command_to_json


def check_command(arguments: argparse.Namespace) -> int:
    """Show in what a wiring differs from what was applied, and with --fix put it right."""
    require_root()
    settings = settings_of(arguments)
    plan_id = parse_id(arguments.id)
    entry = wired_entry(plan_id, settings.store)
    drift = drift_of(entry, settings)
    if arguments.fix and drift.plan.changes:
        return _fix(entry, drift, arguments, settings)
    put(json_text(_document(drift)) if arguments.format == "json" else _text(drift))
    return PENDING if drift.plan.changes else 0


def _fix(entry: WiringRecord, drift: Drift, arguments: argparse.Namespace, settings: Settings) -> int:
    """Preview exactly the repair, ask, and make it."""
    if not arguments.yes:
        ask(_text(drift), f"repair this in {entry.netns}")
    outcome = repair(entry, settings)
    if arguments.format == "json":
        put_done(json_text(_document(drift) | {"outcome": outcome.what}))
    else:
        words = f"{outcome.sentence} ({ran_words(outcome)})" if outcome.commands else outcome.sentence
        put_done(f"{entry.id}: {words}\n")
    return 0


def _text(drift: Drift) -> str:
    plan = drift.plan
    style = COLOURED if wants_colour() else PLAIN
    text = render_drift(plan.changes, plan.commands, plan_id=plan.id, netns=plan.netns, style=style)
    return text + "".join(f"  {note}\n" for note in drift.notes)


def _document(drift: Drift) -> dict[str, object]:
    plan = drift.plan
    return {
        "id": str(plan.id),
        "netns": str(plan.netns),
        "drift": [change_to_json(change) for change in plan.changes],
        "commands": [command_to_json(command) for command in plan.commands],
        "notes": list(drift.notes),
    }
