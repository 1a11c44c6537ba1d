"""confirm: what was applied with --confirm-within is kept."""

from __future__ import annotations

import argparse

from executor.cli.options import add_common, add_limits, add_quiet

EXAMPLES = """\
podwire apply pod1.plan --yes --confirm-within 60s
podwire confirm pod1"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("id", metavar="ID", help="the wiring")
    add_quiet(parser)
    add_common(parser)
    add_limits(parser, locks=True)


def run(arguments: argparse.Namespace) -> int:
    """Keep a wiring that waits for that."""
    from executor.cli.output import put_done
    from executor.cli.printing import json_text
    from executor.cli.settings import id_meant, settings_of
    from executor.operations.commit_confirm import confirm
    from executor.trust.privileges import require_privileges

    require_privileges()
    settings = settings_of(arguments)
    plan_id = id_meant(arguments.id, settings.store)
    was_waiting = confirm(plan_id, settings)
    if arguments.format == "json":
        put_done(json_text({"id": str(plan_id), "outcome": "confirmed" if was_waiting else "nothing"}))
    elif not (arguments.quiet and was_waiting):
        what = "confirmed; the wiring is kept" if was_waiting else "it was not waiting to be confirmed"
        put_done(f"{plan_id}: {what}\n")
    return 0
