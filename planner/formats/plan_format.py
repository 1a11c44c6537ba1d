"""One plan, in the format that is asked for by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING

from planner.errors import InvalidInput
from planner.formats import PLAIN, Style
from planner.formats.text import text_lines
from planner.plan.plan import Plan, plan_document
from planner.plan.render import Templates
from planner.text.pieces import indented
from planner.text.values import shown

if TYPE_CHECKING:
    from planner.formats.pages import Pages

PLAN_FORMATS = ("text", "commands", "script", "json", "markdown", "html", "svg")


def render_plan(
    plan: Plan, form: str, templates: Templates, pages: Callable[[], Pages], *, style: Style = PLAIN
) -> str:
    """Return a plan in one of ``PLAN_FORMATS``; only for html ``pages`` is called. Raises InvalidInput for another."""
    return "".join(plan_pieces(plan, form, templates, pages, style=style))


def plan_pieces(
    plan: Plan, form: str, templates: Templates, pages: Callable[[], Pages], *, style: Style = PLAIN
) -> Iterable[str]:
    """Return what ``render_plan`` does, piece by piece where the whole may be very long."""
    if form == "text":
        return (f"{line}\n" for line in text_lines(plan, style=style))
    if form == "json":
        return chain(indented(plan_document(plan)), "\n")
    if form == "commands":
        from planner.formats.commands import shell_pieces  # noqa: PLC0415  each is loaded only where it is used

        return shell_pieces(plan.commands)
    if form == "script":
        from planner.formats.script import script_pieces  # noqa: PLC0415  the same

        return script_pieces(plan, templates)
    if form not in PLAN_FORMATS:
        raise InvalidInput(f"format: {shown(form)} is not one of {', '.join(PLAN_FORMATS)}")
    render = getattr(import_module(f"planner.formats.{form}"), f"render_{form}")
    return [render(plan, pages()) if form == "html" else render(plan)]
