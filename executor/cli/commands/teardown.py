"""teardown: a wiring, or all of them, is rolled back."""

from __future__ import annotations

import argparse

from executor.cli.options import (
    PLAN_FORMATS,
    add_common,
    add_dry_run,
    add_force,
    add_limits,
    add_netns,
    add_summary,
    add_talk,
    add_yes,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from executor.operations.outcome import Outcome, Preview
    from planner.text.values import PlanId

# The kernel takes links away one after the other, whatever asks; more of them only wait for each other.
_AT_ONCE = 4

EXAMPLES = """\
podwire teardown pod1 --dry-run
podwire teardown pod1 --yes"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("id", nargs="?", metavar="ID", help="the wiring")
    add_netns(parser, required=False, what="whatever is wired in this namespace")
    parser.add_argument("--all", action="store_true", help="every wiring of the state directory")
    add_dry_run(parser)
    add_yes(parser)
    add_summary(parser)
    add_force(parser)
    add_talk(parser)
    add_common(parser, PLAN_FORMATS)
    add_limits(parser, locks=True)


def run(arguments: argparse.Namespace) -> int:
    """Roll back what is named, after asking, or with --dry-run show what would be run."""
    from functools import partial

    from executor.cli.prompt import agree
    from executor.cli.report import Report
    from executor.cli.settings import id_meant, nothing_there, refuse_preview_format, settings_of
    from executor.netns.naming import resolve_netns
    from executor.operations.mend import all_ids
    from executor.operations.teardown import ids_in, preview_teardown, teardown
    from executor.trust.privileges import require_privileges
    from planner.errors import InvalidInput

    require_privileges()
    refuse_preview_format(arguments)
    settings = settings_of(arguments)
    if [arguments.id is None, arguments.netns is None, not arguments.all].count(False) != 1:
        raise InvalidInput("teardown: give either the ID of a wiring, or --netns, or --all")
    report = Report(arguments, settings.templates, several=arguments.id is None)

    def work(plan_id: PlanId) -> Preview | Outcome:
        if arguments.dry_run:
            return preview_teardown(plan_id, settings)
        return teardown(plan_id, settings, agree=None if arguments.yes else partial(agree, arguments))

    if arguments.netns is not None:
        ids = ids_in(resolve_netns(arguments.netns), settings.store)
    else:
        ids = all_ids(settings.store) if arguments.all else (id_meant(arguments.id, settings.store),)
    at_once = _AT_ONCE if arguments.yes and not arguments.verbose else 1
    return report.of_each(ids, work, nothing=nothing_there("nothing is wired here", arguments), at_once=at_once)
