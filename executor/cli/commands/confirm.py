"""confirm: what was applied with --confirm-within is kept."""

from __future__ import annotations

import argparse

from executor.cli.options import add_common, add_limits

EXAMPLES = """\
podwire apply pod1.plan --yes --confirm-within 60s
podwire confirm pod1"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("id", metavar="ID", help="the wiring")
    add_common(parser)
    add_limits(parser, locks=True)


def run(arguments: argparse.Namespace) -> int:
    """Keep a wiring that waits for that."""
    from executor.cli.output import put_done
    from executor.cli.printing import json_text
    from executor.cli.settings import settings_of
    from executor.netns.naming import parse_id
    from executor.operations.commit_confirm import confirm
    from executor.trust.privileges import require_privileges

    require_privileges()
    plan_id = parse_id(arguments.id)
    was_waiting = confirm(plan_id, settings_of(arguments))
    if arguments.format == "json":
        put_done(json_text({"id": str(plan_id), "outcome": "confirmed" if was_waiting else "nothing"}))
    else:
        put_done(
            f"{plan_id}: {'confirmed; the wiring is kept' if was_waiting else 'it was not waiting to be confirmed'}\n"
        )
    return 0
