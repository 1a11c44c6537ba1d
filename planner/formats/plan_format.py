"""One plan, in the format that is asked for by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from planner.errors import InvalidInput
from planner.formats import PLAIN, Style, render_commands, render_script, render_text
from planner.plan.plan import Plan, plan_to_json
from planner.plan.render import Templates
from planner.text.values import shown

if TYPE_CHECKING:
    from planner.formats.pages import Pages

PLAN_FORMATS = ("text", "commands", "script", "json", "markdown", "html", "svg")


def render_plan(
    plan: Plan, form: str, templates: Templates, pages: Callable[[], Pages], *, style: Style = PLAIN
) -> str:
    """Return a plan in one of ``PLAN_FORMATS``; only for html ``pages`` is called. Raises InvalidInput for another."""
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
    render = getattr(import_module(f"planner.formats.{form}"), f"render_{form}")
    text: str = render(plan, pages()) if form == "html" else render(plan)
    return text
