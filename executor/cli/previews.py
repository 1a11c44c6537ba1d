"""Printing a plan in each of its formats."""

from __future__ import annotations

from importlib import import_module

from executor.cli.output import put
from executor.cli.pager import put_long
from executor.cli.printing import json_text, wants_colour
from planner.formats import COLOURED, PLAIN, render_commands, render_script, render_text
from planner.plan.plan import Plan, plan_to_json
from planner.plan.render import Templates


def print_plan(plan: Plan, form: str, templates: Templates) -> None:
    """Print a plan in the format that is wanted."""
    if form == "text":
        put_long(plan_text(plan))
    elif form == "json":
        put(json_text(plan_to_json(plan)))
    elif form == "commands":
        put(render_commands(plan))
    elif form == "script":
        put(render_script(plan, templates))
    else:
        put(_page(plan, form))


def plan_text(plan: Plan) -> str:
    """Return the preview for people, in colours where standard output is a terminal that wants them."""
    return render_text(plan, style=COLOURED if wants_colour() else PLAIN)


def _page(plan: Plan, form: str) -> str:
    """Return the plan as markdown, html or svg; only then the module that draws it is loaded."""
    module = import_module(f"planner.formats.{form}")
    text: str = getattr(module, f"render_{form}")(plan)
    return text
