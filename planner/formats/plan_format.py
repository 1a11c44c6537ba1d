"""One plan, in the format that is asked for by its name."""

from __future__ import annotations

import json
from importlib import import_module

from planner.errors import InvalidInput
from planner.formats import PLAIN, Style, render_commands, render_script, render_text
from planner.plan.plan import Plan, plan_to_json
from planner.plan.render import Templates
from planner.text.values import shown

PLAN_FORMATS = ("text", "commands", "script", "json", "markdown", "html", "svg")


def render_plan(plan: Plan, form: str, templates: Templates, *, style: Style = PLAIN) -> str:
    """Return a plan in one of ``PLAN_FORMATS``. Raises InvalidInput for another."""
    if form == "text":
        return render_text(plan, style=style)
    if form == "json":
        return json.dumps(plan_to_json(plan), indent=1) + "\n"
    if form == "commands":
        return render_commands(plan)
    if form == "script":
        return render_script(plan, templates)
    if form not in PLAN_FORMATS:
        raise InvalidInput(f"format: {shown(form)} is none of {', '.join(PLAN_FORMATS)}")
    text: str = getattr(import_module(f"planner.formats.{form}"), f"render_{form}")(plan)
    return text
