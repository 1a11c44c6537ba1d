"""plan: the dry run."""

from __future__ import annotations

import argparse

from executor.cli.options import PLAN_FORMATS, add_common, add_limits, add_summary, add_wiring

EXAMPLES = """\
podwire plan --result result.json --netns pod1 -o pod1.plan
podwire plan --result result.json --netns pod1 --facts facts.json   # off the host"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_wiring(parser, required=True)
    parser.add_argument("--facts", metavar="FILE", help="plan from captured facts, without root or the namespace")
    parser.add_argument("-o", "--output", metavar="PLAN", help="also write the plan to a file, for podwire apply")
    add_summary(parser)
    text = "exit with 2 if there are changes, 0 if there are none"
    parser.add_argument("--detailed-exitcode", action="store_true", help=text)
    add_common(parser, PLAN_FORMATS)
    add_limits(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what would be done, and keep it in a file if that is wanted."""
    from executor.cli.exit_status import PENDING
    from executor.cli.files import write_plan
    from executor.cli.output import put
    from executor.cli.previews import print_plan
    from executor.cli.wiring import plan_here, read_result
    from executor.templates import load_templates

    plan = plan_here(arguments, read_result(arguments))
    if arguments.output is not None:
        write_plan(plan, arguments.output)
    print_plan(plan, arguments, load_templates())
    if arguments.output is not None and arguments.format == "text" and plan.changes:
        put(_next_steps(arguments.output, arguments))
    return PENDING if arguments.detailed_exitcode and plan.changes else 0


def _next_steps(name: str, arguments: argparse.Namespace) -> str:
    from shlex import quote

    from executor.cli.errors import pasteable

    file = quote(name if not name.startswith("-") else f"./{name}")
    return pasteable(f"\nnext: podwire show {file} --reverse    podwire apply {file}\n", arguments)
