"""Printing a plan in each of its formats."""

from __future__ import annotations

from executor.cli.printing import print_json, wants_colour
from executor.cli.streams import put
from planner.formats import COLOURED, PLAIN, render_commands, render_script, render_text
from planner.plan import Plan, plan_to_json
from planner.render import Templates


def print_plan(plan: Plan, form: str, templates: Templates, *, reverse: bool = False) -> None:
    """Print a plan as text, commands, script or JSON; ``reverse`` says that it takes another back."""
    if form == "json":
        print_json(plan_to_json(plan))
    elif form == "commands":
        put(render_commands(plan))
    elif form == "script":
        put(render_script(plan, templates))
    else:
        style = COLOURED if wants_colour() else PLAIN
        put(render_text(plan, style=style, reverse=reverse))
