"""show: a wiring, as it is now; or a stored plan."""

from __future__ import annotations

import argparse

from executor.cli.options import PLAN_FORMATS, add_common, add_limits, add_summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from executor.operations.describe import Description

EXAMPLES = """\
podwire show pod1
podwire show pod1.plan --reverse
podwire show pod1.plan --format html > pod1.html"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    text = "a wiring (shows its current state) or a stored plan file (- for standard input)"
    parser.add_argument("plan", metavar="ID|PLAN", help=text)
    parser.add_argument("--reverse", action="store_true", help="show the commands that undo it")
    add_summary(parser)
    add_common(parser, PLAN_FORMATS)
    add_limits(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print how a wiring is, or a stored plan or its reverse."""
    from executor.cli.files import document_name, read_file
    from executor.cli.previews import print_plan
    from executor.templates import load_templates
    from planner.plan.plan import parse_plan

    if _is_id(arguments):
        return _show_wiring(arguments)
    templates = load_templates()
    plan = parse_plan(read_file(arguments.plan, "plan"), templates, called=document_name(arguments.plan))
    print_plan(plan.reverse() if arguments.reverse else plan, arguments, templates)
    return 0


def _is_id(arguments: argparse.Namespace) -> bool:
    """Say whether a wiring is meant: a file is one unless root has a wiring of that name."""
    import os

    from executor.cli.settings import is_owner, store_of

    what: str = arguments.plan
    if what == "-" or "/" in what:
        return False
    return (is_owner(arguments) and what in store_of(arguments).ids()) or not os.path.exists(what)


def _show_wiring(arguments: argparse.Namespace) -> int:
    from functools import partial

    from executor.cli.errors import pasteable
    from executor.cli.output import put
    from executor.cli.previews import print_plan
    from executor.cli.printing import json_text
    from executor.cli.report import Report
    from executor.cli.settings import settings_of, wiring_meant
    from executor.operations.describe import describe
    from executor.operations.teardown import preview_teardown

    plan_id = wiring_meant(arguments, arguments.plan)
    settings = settings_of(arguments)
    if arguments.reverse:
        report = Report(arguments, settings.templates, several=False)
        return report.of_each((plan_id,), partial(preview_teardown, settings=settings), nothing="")
    found = describe(plan_id, settings)
    if arguments.format not in ("text", "json"):
        print_plan(found.plan, arguments, settings.templates)
    else:
        put(json_text(_document(found)) if arguments.format == "json" else pasteable(_text(found), arguments))
    return 0


def _text(found: Description) -> str:
    from executor.cli.printing import local_time, unless_confirmed
    from executor.guest.record import server_words
    from planner.formats.guest import told_lines
    from planner.network import devices_words
    from planner.wiring.base import wiring_named

    plan = found.plan
    title = wiring_named(plan.options.wiring).title
    lines = [f"{plan.id} · {plan.netns} · {title} · {found.state}, applied {local_time(found.applied_at)}"]
    if found.state == "wired":  # else what there was to open may not be there
        by = (f", by {one.bridge}" if one.bridge else "" for one in plan.interfaces)
        lines += [
            f"the VM {devices_words([one])} for {one.link}{how}" for one, how in zip(plan.interfaces, by, strict=True)
        ]
    lines += told_lines(plan)
    lines += [*map(str, found.holders), *found.device_holders]
    if found.is_served is not None and found.state == "wired":
        how = "not served" if found.server is None else f"served by {server_words(found.server)}"
        lines.append(f"its guest is {how}" + ("" if found.is_served else f": podwire dhcp {plan.id} --daemon"))
    if found.confirm_by is not None:
        lines.append(unless_confirmed(plan.id, found.confirm_by))
    if found.drift is not None:
        count = len(found.drift.plan.changes) + len(found.drift.gone)
        lines.append(
            f"{count} drifted: podwire check {plan.id}" if count else "no drift: everything is as it was applied"
        )
    elif found.state == "half-done":
        lines.append(f"half done: podwire recover {plan.id}")
    return "".join(f"{line}\n" for line in lines)


def _document(found: Description) -> dict[str, Any]:
    from planner.text.codec import to_json

    plan = found.plan
    drift = None if found.drift is None else len(found.drift.plan.changes) + len(found.drift.gone)
    return {
        "id": str(plan.id),
        "netns": str(plan.netns),
        "state": found.state,
        "applied_at": found.applied_at,
        "wiring": str(plan.options.wiring),
        "interfaces": to_json(plan.interfaces),
        "holders": [{"tap": str(one.tap), "pid": one.pid, "program": one.program} for one in found.holders],
        "drift": drift,
        "confirm_by": found.confirm_by,
        "served": found.is_served,
        "served_by": found.server or None,
    }
