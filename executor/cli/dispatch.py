"""Running one command: its function, and how what it raises becomes one sentence and an exit status."""

from __future__ import annotations

import argparse
import os
import signal

from executor.cli.commands import CHANGING
from executor.cli.exit_status import HALF_DONE, REFUSED
from executor.cli.output import OutputLost, complain
from executor.cli.parser import module_of
from executor.errors import SHORTAGES, HostError, Interrupted, shortage
from planner.errors import PodwireError
from planner.text.values import shown_path


def run(arguments: argparse.Namespace) -> int:
    """Run the command that ``arguments`` name and return its exit status. Raises OutputLost."""
    # The process that started podwire may ignore it, and then we could not learn how a program ended (waitpid(2)).
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    command = module_of(arguments.command)
    try:
        status: int = command.run(arguments)
    except OutputLost:
        raise
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  whatever it is, a person gets a sentence
        return _failed(error, arguments)
    return status


def _failed(error: BaseException, arguments: argparse.Namespace) -> int:
    """Say what went wrong and return the exit status."""
    wants_traceback = bool(os.environ.get("PODWIRE_TRACEBACK"))
    if isinstance(error, KeyboardInterrupt):
        error = Interrupted("interrupted; nothing was changed")
    elif isinstance(error, Interrupted):  # what had begun to change anything has made something else of it
        error = Interrupted(f"{error}; nothing was changed")
    elif isinstance(error, SHORTAGES) and not wants_traceback:
        error = HostError(shortage(error))
    if isinstance(error, PodwireError):
        from executor.cli.errors import fail  # noqa: PLC0415  most commands succeed

        return fail(error, arguments)
    if isinstance(error, ImportError):
        return complain(f"this installation of podwire is incomplete ({error}): reinstall it", REFUSED)
    if wants_traceback:
        raise error
    # Nobody knows how far a change got: the status that makes people look is the honest one.
    return complain(_bug(error), HALF_DONE if arguments.command in CHANGING else REFUSED)


def _bug(error: BaseException) -> str:
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = "" if where is None else f" in {where.tb_frame.f_code.co_name}, line {where.tb_lineno}"
    return (
        f"this is a bug, please report it: {type(error).__name__} {shown_path(error)}{place} (PODWIRE_TRACEBACK=1 "
        "prints the traceback); podwire list says what is wired"
    )
