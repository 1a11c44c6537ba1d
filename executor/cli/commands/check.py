"""check: whether what was applied is still there, and putting it right."""

from __future__ import annotations

import argparse

from executor.cli.options import add_common, add_limits, add_yes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from executor.operations.repair import Drift
    from executor.settings import Settings
    from executor.state.store import WiringRecord

EXAMPLES = """\
podwire check pod1
podwire check pod1 --fix"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("id", metavar="ID", help="the wiring")
    parser.add_argument("--fix", action="store_true", help="repair what drifted, after showing it")
    add_yes(parser)
    add_common(parser)
    add_limits(parser, locks=True)


def run(arguments: argparse.Namespace) -> int:
    """Show in what a wiring differs from what was applied, and with --fix repair it."""
    from executor.cli.errors import pasteable
    from executor.cli.exit_status import PENDING
    from executor.cli.output import put
    from executor.cli.printing import json_text
    from executor.cli.settings import require_root, settings_of
    from executor.netns.naming import parse_id
    from executor.operations.repair import drift_of
    from executor.state.status import wired_entry

    require_root()
    settings = settings_of(arguments)
    entry = wired_entry(parse_id(arguments.id), settings.store)
    drift = drift_of(entry, settings)
    if arguments.fix and drift.plan.changes:
        return _fix(entry, drift, arguments, settings)
    put(json_text(_document(drift)) if arguments.format == "json" else pasteable(_text(drift), arguments))
    return PENDING if drift.plan.changes else 0


def _fix(entry: WiringRecord, drift: Drift, arguments: argparse.Namespace, settings: Settings) -> int:
    """Preview exactly the repair, ask, and make it."""
    from executor.cli.output import put_done
    from executor.cli.printing import json_text
    from executor.cli.prompt import ask
    from executor.cli.report import ran_words
    from executor.operations.repair import repair

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
    from executor.cli.previews import wanted_style
    from planner.formats import render_drift

    plan = drift.plan
    text = render_drift(plan.changes, plan.commands, plan_id=plan.id, netns=plan.netns, style=wanted_style())
    return text + "".join(f"  {note}\n" for note in drift.notes)


def _document(drift: Drift) -> dict[str, object]:
    from planner.changes.change import change_to_json
    from planner.plan.plan import command_to_json

    plan = drift.plan
    return {
        "id": str(plan.id),
        "netns": str(plan.netns),
        "drift": [change_to_json(change) for change in plan.changes],
        "commands": [command_to_json(command) for command in plan.commands],
        "notes": list(drift.notes),
    }
