"""Printing a plan in each of its formats."""

from __future__ import annotations

import argparse
import shutil
import sys

from attrs import evolve

from executor.cli.output import put_pieces
from executor.cli.pager import put_long
from executor.cli.printing import wants_colour
from executor.templates import load_pages
from planner.formats import COLOURED, PLAIN, Style, render_text
from planner.formats.plan_format import plan_pieces
from planner.formats.text import render_summary
from planner.plan.plan import Plan
from planner.plan.render import Templates

_NARROWEST = 40


def print_plan(plan: Plan, arguments: argparse.Namespace, templates: Templates) -> None:
    """Print a plan in the format that is wanted."""
    is_text = arguments.format == "text"
    if is_text and (getattr(arguments, "summary", False) or sys.stdout.isatty()):
        put_long(plan_text(plan, arguments))
    else:
        style = style_of(arguments) if is_text else PLAIN
        put_pieces(plan_pieces(plan, arguments.format, templates, load_pages, style=style))


def plan_text(plan: Plan, arguments: argparse.Namespace) -> str:
    """Return the preview for people, whole or with --summary."""
    render = render_summary if getattr(arguments, "summary", False) else render_text
    return render(plan, style=style_of(arguments))


def style_of(arguments: argparse.Namespace) -> Style:
    """Return how text is to look: in colours if --color or the terminal wants them, and as wide as a terminal is."""
    is_terminal = sys.stdout.isatty()
    wanted = {"always": True, "never": False}.get(arguments.color, wants_colour())
    width = max(_NARROWEST, shutil.get_terminal_size().columns) if is_terminal else None
    return evolve(COLOURED if wanted else PLAIN, width=width)
