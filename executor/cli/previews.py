"""Printing a plan in each of its formats."""

from __future__ import annotations

import argparse
import sys
from itertools import chain

from executor.cli.output import complain, put_document, put_pieces
from executor.cli.pager import put_long
from executor.cli.printing import style_of
from executor.templates import load_pages
from planner.formats import PLAIN, render_text
from planner.formats.fit import fit
from planner.formats.plan_format import plan_pieces
from planner.formats.text import render_summary
from planner.plan.plan import Plan
from planner.plan.render import Templates


def print_plan(plan: Plan, arguments: argparse.Namespace, templates: Templates, *, notes: tuple[str, ...] = ()) -> None:
    """Print a plan in the format that is wanted, and what comes of it: sentences, which no document has a place for."""
    is_text = arguments.format == "text"
    if is_text and (getattr(arguments, "summary", False) or sys.stdout.isatty()):
        put_long(plan_text(plan, arguments, notes))
        return
    pieces = plan_pieces(plan, arguments.format, templates, load_pages, style=style_of(arguments) if is_text else PLAIN)
    if is_text:
        put_pieces(chain(pieces, (f"{note}\n" for note in notes)))
        return
    put_document(pieces)
    for note in notes:
        complain(note, 0)


def plan_text(plan: Plan, arguments: argparse.Namespace, notes: tuple[str, ...] = ()) -> str:
    """Return the preview for people, whole or with --summary, and sentences on what comes of it."""
    render = render_summary if getattr(arguments, "summary", False) else render_text
    style = style_of(arguments)
    lines = (line for note in notes for line in fit(note, style.width))
    return render(plan, style=style) + "".join(f"{line}\n" for line in lines)
