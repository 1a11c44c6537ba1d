"""check: whether what was applied is still there, and putting it right."""

from __future__ import annotations

import argparse

from executor.cli.options import add_common, add_limits, add_quiet, add_yes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from executor.operations.repair import Drift
    from executor.settings import Settings
    from planner.text.values import PlanId

EXAMPLES = """\
podwire check pod1
podwire check pod1 --fix
podwire check --all --format prometheus > /var/lib/node_exporter/podwire.prom"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("id", nargs="?", metavar="ID", help="the wiring")
    parser.add_argument("--all", action="store_true", help="every wiring of the state directory")
    parser.add_argument("--fix", action="store_true", help="repair what has drifted, after showing it")
    add_yes(parser)
    add_quiet(parser)
    add_common(parser, ("text", "json", "prometheus"))
    add_limits(parser, locks=True)


def run(arguments: argparse.Namespace) -> int:
    """Show in what wirings differ from what was applied, and with --fix repair one."""
    from executor.cli.settings import id_meant, settings_of
    from executor.operations.mend import all_ids
    from executor.operations.repair import check
    from executor.trust.privileges import require_privileges
    from planner.errors import InvalidInput

    require_privileges()
    settings = settings_of(arguments)
    if (arguments.id is None) != arguments.all:
        raise InvalidInput("check: give either the ID of a wiring, or --all")
    if arguments.fix and (arguments.all or arguments.format == "prometheus"):
        raise InvalidInput("--fix: it repairs one wiring, and prints text or JSON")
    if not arguments.all and arguments.format != "prometheus":
        return _check_one(check(id_meant(arguments.id, settings.store), settings), arguments, settings)
    ids = all_ids(settings.store) if arguments.all else (id_meant(arguments.id, settings.store),)
    return _check_each(ids, arguments, settings)


def _check_one(drift: Drift, arguments: argparse.Namespace, settings: Settings) -> int:
    from executor.cli.exit_status import PENDING
    from executor.cli.output import put
    from executor.cli.printing import json_text

    if arguments.fix and drift.is_there:
        return _fix(drift, arguments, settings)
    if arguments.format == "json":
        put(json_text(_document(drift, arguments)))
    elif drift.is_there or not arguments.quiet:
        put(_text(drift, arguments))
    return PENDING if drift.is_there else 0


def _check_each(ids: Iterable[PlanId], arguments: argparse.Namespace, settings: Settings) -> int:
    """Check several wirings; one that cannot be checked keeps no other from it. Return the worst exit status."""
    from executor.cli.errors import error_json, of_id, pasteable
    from executor.cli.exit_status import PENDING, exit_status
    from executor.cli.output import complain, put
    from executor.cli.printing import json_text
    from executor.cli.prometheus import metrics
    from executor.cli.settings import nothing_there
    from executor.operations.repair import check
    from planner.errors import PodwireError

    found: dict[PlanId, Drift | None] = {}
    documents, status = [], 0
    for plan_id in ids:
        try:
            drift = found[plan_id] = check(plan_id, settings)
        except PodwireError as error:
            found[plan_id], sentence = None, pasteable(error, arguments)
            documents.append({"id": str(plan_id)} | error_json(error, sentence, exit_status(error)))
            status = max(status, complain(of_id(plan_id, sentence), exit_status(error)))
            continue
        documents.append(_document(drift, arguments))
        status = max(status, PENDING if drift.is_there else 0)
        if arguments.format == "text" and (drift.is_there or not arguments.quiet):
            put(_text(drift, arguments) + "\n" if drift.is_there else f"{plan_id}: no drift\n")
    if arguments.format == "json":
        put(json_text(documents))
    elif arguments.format == "prometheus":
        put(metrics(found))
    elif not (found or arguments.quiet):
        put(nothing_there("nothing is wired here", arguments) + "\n")
    return status


def _fix(drift: Drift, arguments: argparse.Namespace, settings: Settings) -> int:
    """Preview exactly the repair, ask, and make it."""
    from executor.cli.output import put_done
    from executor.cli.printing import json_text
    from executor.cli.prompt import ask
    from executor.cli.report import ran_words
    from executor.operations.repair import repair
    from executor.state.status import wired_entry

    plan = drift.plan
    if not arguments.yes and not drift.gone:
        ask(_text(drift, arguments, is_fixing=True), f"Repair this in {plan.netns}", look="run without --fix")
    outcome = repair(wired_entry(plan.id, settings.store), settings)
    if arguments.format == "json":
        document = _document(drift, arguments)
        put_done(json_text(document | {"drift": [], "repaired": document["drift"], "outcome": outcome.what}))
    elif not arguments.quiet:
        words = f"{outcome.sentence} ({ran_words(outcome)})" if outcome.commands else outcome.sentence
        put_done(f"{plan.id}: {words}\n")
    return 0


def _text(drift: Drift, arguments: argparse.Namespace, *, is_fixing: bool = False) -> str:
    from executor.cli.errors import pasteable
    from executor.cli.printing import style_of
    from planner.formats import render_drift

    plan = drift.plan
    text = render_drift(
        plan.changes,
        plan.commands,
        plan_id=plan.id,
        netns=plan.netns,
        gone=drift.gone,
        is_fixing=is_fixing,
        style=style_of(arguments),
    )
    head, _, more = text.partition("\n")
    notes = "".join(f"  {note}\n" for note in _notes(drift, arguments))
    return f"{head}\n{pasteable(more + notes, arguments)}"


def _notes(drift: Drift, arguments: argparse.Namespace) -> list[str]:
    """Return what there is to say beside the drift, also of a guest that waits for its addresses."""
    from executor.cli.settings import store_of
    from executor.operations.describe import unserved

    serve = unserved(drift.plan, store_of(arguments))
    return [*drift.notes, f"its guest is not served: {serve}"] if serve else [*drift.notes]


def _document(drift: Drift, arguments: argparse.Namespace) -> dict[str, object]:
    from planner.changes.change import change_to_json
    from planner.plan.plan import command_to_json

    plan = drift.plan
    return {
        "id": str(plan.id),
        "netns": str(plan.netns),
        "drift": [change_to_json(change) for change in plan.changes],
        "commands": [command_to_json(command) for command in plan.commands],
        "gone": list(drift.gone),
        "notes": _notes(drift, arguments),
    }
