"""Running one command: its function, and how what it raises becomes one sentence and an exit status."""

from __future__ import annotations

import argparse
import gc
import os
import signal
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from executor.cli.exit_status import HALF_DONE, REFUSED, exit_status
from executor.cli.output import OutputLost, complain
from planner.errors import PodwireError
from planner.text.values import shown

_CHANGING = ("apply", "teardown", "recover", "check", "gc")
_MODULES = {
    "facts": "planning",
    "plan": "planning",
    "show": "planning",
    "apply": "changing",
    "teardown": "changing",
    "recover": "changing",
    "check": "checking",
    "confirm": "keeping",
    "gc": "keeping",
    "complete": "completion",
    "completion": "completion",
    "list": "looking",
    "log": "log",
}


def run(arguments: argparse.Namespace) -> int:
    """Run the command that ``arguments`` name and return its exit status. Raises OutputLost."""
    # Whoever started podwire may ignore it, and then nobody would learn how a program of ours ended (waitpid(2)).
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        module = _load(arguments)
    except ImportError as error:
        return complain(f"this installation of podwire is not whole ({error}): install it again", REFUSED)
    command: Callable[[argparse.Namespace], int] = getattr(module, f"{arguments.command}_command")
    try:
        return command(arguments)
    except PodwireError as error:
        return complain(error, exit_status(error))
    except KeyboardInterrupt:
        return complain("interrupted, nothing was changed", REFUSED)
    except OutputLost:
        raise
    except Exception as error:  # whatever it is, a person gets a sentence
        if os.environ.get("PODWIRE_TRACEBACK"):
            raise
        # Nobody knows how far a change got: the status that makes people look is the honest one.
        return complain(_bug(error), HALF_DONE if arguments.command in _CHANGING else REFUSED)


def _load(arguments: argparse.Namespace) -> ModuleType:
    """Return the module of a command. Nothing that is loaded is garbage, so nobody looks for that meanwhile."""
    gc.disable()
    try:
        return import_module(f"executor.cli.{_MODULES[arguments.command]}")
    finally:
        gc.enable()


def _bug(error: Exception) -> str:
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = "" if where is None else f" in {where.tb_frame.f_code.co_name}, line {where.tb_lineno}"
    return (
        f"this is a bug, please report it: {type(error).__name__} {shown(str(error), 200)}{place} "
        "(PODWIRE_TRACEBACK=1 shows all of it); podwire list says what is wired"
    )
