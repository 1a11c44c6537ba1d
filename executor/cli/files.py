"""Files that commands read and write: whatever is wrong with one is a sentence that names it."""

from __future__ import annotations

import os
import stat

from executor.cli.printing import json_text
from executor.errors import HostError
from planner.errors import InvalidInput, Refused
from planner.plan.plan import Plan, plan_to_json
from planner.text.document import MAX_BYTES
from planner.text.values import shown


def read_file(name: str, what: str, *, trusted: bool = False) -> bytes:
    """Return the bytes of a file, ``-`` being standard input.

    Raises HostError if it cannot be read, Refused if it is to be ``trusted`` but somebody else could have written
    it, InvalidInput if nothing is in it.
    """
    called = f"the {what} on standard input" if name == "-" else f"the {what} {shown(name, 200)}"
    try:
        with open(os.dup(0) if name == "-" else _open_to_read(name), "rb") as file:
            found = os.fstat(file.fileno())
            if name != "-" and not (stat.S_ISREG(found.st_mode) or stat.S_ISFIFO(found.st_mode)):
                raise HostError(f"{called} is not a file")
            if trusted and stat.S_ISREG(found.st_mode):
                _refuse_untrusted(found, called)
            text = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no file name"
        raise HostError(f"{called} cannot be read: {why}") from None
    if not text.strip():
        raise InvalidInput(f"{called} is empty")
    return text


def _open_to_read(name: str) -> int:
    """Open a file; a pipe (``--result <(…)``) too, but without waiting for somebody to open its other end."""
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(fd, True)
    return fd


def _refuse_untrusted(found: os.stat_result, called: str) -> None:
    """Refuse a file that somebody else could have written."""
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise Refused(
            f"{called} belongs to, or can be written by, somebody else: look at it (podwire show), "
            "then take it over (chown, chmod) or say --allow-untrusted-plan"
        )


def write_plan(plan: Plan, name: str) -> None:
    """Write a plan to a file that only its owner can read and write, even if it was there before."""
    if name == "-":
        raise InvalidInput("-o: a file is wanted; to print the plan, --json")
    try:
        with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                os.fchmod(file.fileno(), 0o600)
                os.ftruncate(file.fileno(), 0)
            file.write(json_text(plan_to_json(plan)))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no file name"
        raise HostError(f"the plan {shown(name, 200)} cannot be written: {why}") from None
