"""recover: what a process that died left half done is rolled back, or finished."""

from __future__ import annotations

import argparse

from executor.cli.options import PLAN_FORMATS, add_common, add_dry_run, add_force, add_limits, add_summary, add_talk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from executor.operations.outcome import Outcome, Preview
    from planner.text.values import PlanId

EXAMPLES = """\
podwire recover --dry-run
podwire recover pod1 --forward"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("id", nargs="?", metavar="ID", help="only this wiring (default: all that are half done)")
    parser.add_argument("--forward", action="store_true", help="complete what was begun instead of rolling it back")
    add_dry_run(parser)
    add_summary(parser)
    parser.add_argument("-y", "--yes", action="store_true", help="as of other commands; recover does not ask")
    add_talk(parser)
    add_force(parser)
    add_common(parser, PLAN_FORMATS)
    add_limits(parser, locks=True)


def run(arguments: argparse.Namespace) -> int:
    """Recover the wiring that is named, or all that are half done."""
    from executor.cli.report import Report
    from executor.cli.settings import id_meant, nothing_there, refuse_preview_format, settings_of
    from executor.operations.recover import ids_to_recover, preview_recover, recover
    from executor.trust.privileges import require_privileges

    require_privileges()
    refuse_preview_format(arguments)
    settings = settings_of(arguments)
    named = None if arguments.id is None else (id_meant(arguments.id, settings.store),)
    report = Report(arguments, settings.templates, several=named is None)

    def work(plan_id: PlanId) -> Preview | Outcome:
        if arguments.dry_run:
            return preview_recover(plan_id, settings, forward=arguments.forward)
        return recover(plan_id, settings, forward=arguments.forward)

    return report.of_each(
        named or ids_to_recover(settings.store),
        work,
        nothing=nothing_there("nothing to recover: no wiring is half done", arguments),
    )
