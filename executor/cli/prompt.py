"""Asking a person before something is changed."""

from __future__ import annotations

import argparse
import sys

from executor.cli.output import put
from executor.cli.previews import plan_text
from executor.errors import Interrupted
from executor.operations.signals import interruptible
from planner.errors import Refused
from planner.plan.plan import Plan


def agree(arguments: argparse.Namespace, plan: Plan, notes: tuple[str, ...] = ()) -> None:
    """Show a plan, and sentences on what comes of it, and ask. Raises what ``ask`` does."""
    ask(plan_text(plan, arguments, notes), f"{'Roll this back' if plan.is_reverse else 'Do this'} in {plan.netns}")


def ask(preview: str, question: str, *, look: str = "preview with --dry-run") -> None:
    """Show what would be done, and ask for confirmation; ``look`` is how to see it without that.

    Raises Refused for any answer but yes, and if there is no terminal to ask on; Interrupted.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused(f"cannot ask for confirmation without a terminal: use --yes, or {look}")
    put(f"{preview}\n")
    try:
        with interruptible():
            answer = input(f'{question}? Type "yes" to continue: ')
    except EOFError:
        answer = ""
        put("\n")
    except (KeyboardInterrupt, Interrupted):
        put("\n")
        raise Interrupted("interrupted") from None
    if answer.strip() != "yes":
        raise Refused("not confirmed; nothing was changed")
