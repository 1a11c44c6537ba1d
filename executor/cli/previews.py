"""Printing a plan in each of its formats."""

from __future__ import annotations

import argparse
import sys

from executor.cli.output import put_document, put_pieces
from executor.cli.pager import put_long
from executor.cli.printing import style_of
from executor.templates import load_pages
from planner.formats import PLAIN, render_text
from planner.formats.plan_format import plan_pieces
from planner.formats.text import render_summary
from planner.plan.plan import Plan
from planner.plan.render import Templates


def print_plan(plan: Plan, arguments: argparse.Namespace, templates: Templates) -> None:
    """Print a plan in the format that is wanted."""
    is_text = arguments.format == "text"
    if is_text and (getattr(arguments, "summary", False) or sys.stdout.isatty()):
        put_long(plan_text(plan, arguments))
        return
    pieces = plan_pieces(plan, arguments.format, templates, load_pages, style=style_of(arguments) if is_text else PLAIN)
    if is_text:
        put_pieces(pieces)
    else:
        put_document(pieces)


def plan_text(plan: Plan, arguments: argparse.Namespace) -> str:
    """Return the preview for people, whole or with --summary."""
    render = render_summary if getattr(arguments, "summary", False) else render_text
    return render(plan, style=style_of(arguments))
