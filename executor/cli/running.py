"""Running one command: its function, and how what it raises becomes one sentence and an exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from importlib import import_module

from executor.cli.statuses import REFUSED, exit_status
from executor.errors import ExecutorError
from planner.errors import PlannerError

_MODULES = {
    "facts": "planning",
    "plan": "planning",
    "show": "planning",
    "apply": "changing",
    "teardown": "changing",
    "recover": "changing",
    "confirm": "keeping",
    "gc": "keeping",
    "list": "looking",
    "log": "looking",
}


def run(arguments: argparse.Namespace) -> int:
    """Run the command that ``arguments`` name and return its exit status."""
    module = import_module(f"executor.cli.{_MODULES[arguments.command]}")
    command: Callable[[argparse.Namespace], int] = getattr(module, f"{arguments.command}_command")
    try:
        status = command(arguments)
        sys.stdout.flush()
    except (PlannerError, ExecutorError) as error:
        return _say(error, exit_status(error))
    except BrokenPipeError:
        # Whoever read the output has enough (podwire plan | head); nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _say("interrupted, nothing was changed", REFUSED)
    return status


def _say(what: object, status: int) -> int:
    print(f"podwire: {what}", file=sys.stderr)
    return status
