"""gc: what belongs to namespaces that are gone is forgotten."""

from __future__ import annotations

import argparse

from executor.cli.options import add_common, add_force, add_limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from planner.text.values import PlanId

EXAMPLES = """\
podwire gc
podwire gc --json"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_force(parser)
    add_common(parser)
    add_limits(parser, locks=True)


def run(arguments: argparse.Namespace) -> int:
    """Forget it, wiring by wiring; one that cannot be read keeps no other from it."""
    from executor.cli.report import Report
    from executor.cli.settings import require_root, settings_of
    from executor.operations.gc import collect

    require_root()
    settings = settings_of(arguments)
    report = Report(arguments, settings.templates, several=True)

    def work(plan_id: PlanId) -> None:
        entry = settings.store.load(plan_id)
        outcome = None if entry is None else collect(entry, settings)
        if outcome is not None and outcome.what == "gone":
            report.ended(outcome)

    nothing = "nothing is to be forgotten: every namespace is there"
    return report.of_each(settings.store.ids(), work, nothing=nothing)
