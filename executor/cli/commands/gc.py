"""gc: what belongs to namespaces that are gone is forgotten."""

from __future__ import annotations

import argparse

from executor.cli.options import add_common, add_dry_run, add_force, add_limits, add_talk

EXAMPLES = """\
podwire gc --dry-run
podwire gc --json"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_dry_run(parser)
    add_force(parser)
    add_talk(parser)
    add_common(parser)
    add_limits(parser, locks=True)


def run(arguments: argparse.Namespace) -> int:
    """Forget it, wiring by wiring; one that cannot be read keeps no other from it."""
    from functools import partial

    from executor.cli.report import Report
    from executor.cli.settings import nothing_there, settings_of
    from executor.netns.lock import remove_unused_locks
    from executor.operations.gc import collect_id, ids_to_collect, preview_collect
    from executor.trust.privileges import require_privileges

    require_privileges()
    settings = settings_of(arguments)
    report = Report(arguments, settings.templates, several=True)

    nothing = "nothing to remove: no namespace is known to be gone"
    work = partial(preview_collect if arguments.dry_run else collect_id, settings=settings)
    status = report.of_each(ids_to_collect(settings.store), work, nothing=nothing_there(nothing, arguments))
    if not arguments.dry_run:
        remove_unused_locks()
    return status
