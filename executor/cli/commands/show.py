"""show: a stored plan."""

from __future__ import annotations

import argparse

from executor.cli.options import PLAN_FORMATS, add_common, add_summary

EXAMPLES = """\
podwire show pod1.plan --reverse
podwire show pod1.plan --format html > pod1.html"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("plan", metavar="PLAN", help="the file of a stored plan, - for standard input")
    parser.add_argument("--reverse", action="store_true", help="show what takes it back")
    add_summary(parser)
    add_common(parser, PLAN_FORMATS)


def run(arguments: argparse.Namespace) -> int:
    """Print a stored plan or its reverse."""
    from executor.cli.files import read_file
    from executor.cli.previews import print_plan
    from executor.templates import load_templates
    from planner.plan.plan import parse_plan

    templates = load_templates()
    plan = parse_plan(read_file(arguments.plan, "plan"), templates)
    print_plan(plan.reverse() if arguments.reverse else plan, arguments, templates)
    return 0
