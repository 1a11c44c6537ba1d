"""Printing a plan in each of its formats."""

from __future__ import annotations

from executor.cli.output import put
from executor.cli.pager import put_long
from executor.cli.printing import wants_colour
from executor.templates import load_pages
from planner.formats import COLOURED, PLAIN, Style, render_text
from planner.formats.plan_format import render_plan
from planner.plan.plan import Plan
from planner.plan.render import Templates


def print_plan(plan: Plan, form: str, templates: Templates) -> None:
    """Print a plan in the format that is wanted."""
    if form == "text":
        put_long(plan_text(plan))
    else:
        put(render_plan(plan, form, templates, load_pages))


def plan_text(plan: Plan) -> str:
    """Return the preview for people, in colours where standard output is a terminal that wants them."""
    return render_text(plan, style=wanted_style())


def wanted_style() -> Style:
    """Return colours if standard output is a terminal that wants them."""
    return COLOURED if wants_colour() else PLAIN
