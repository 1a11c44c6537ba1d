"""The words that pages, pictures and comments say of a whole plan."""

from __future__ import annotations

from planner.plan.plan import Plan
from planner.plan.render import Command
from planner.wiring.base import wiring_named

NOTHING = "nothing to do: the namespace is already as requested"


def title_of(plan: Plan) -> str:
    """Return the heading of a plan."""
    return f"podwire plan {plan.id}: {'teardown' if plan.is_reverse else wiring_named(plan.options.wiring).title}"


def way_of(plan: Plan) -> str:
    """Return what to call the inverse of a plan."""
    return "the wiring" if plan.is_reverse else "the rollback"


def input_lines(command: Command) -> list[str]:
    """Return the lines of a command's standard input, marked as such."""
    return [f"| {line}" for line in (command.stdin or "").splitlines()]
