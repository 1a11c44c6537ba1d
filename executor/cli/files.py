"""Files that commands read and write: whatever is wrong with one is a sentence that names it."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from executor.cli.options import PLAN_FORMATS
from executor.errors import HostError
from executor.state.document import AtomicWrite
from executor.trust.files import is_ours_alone
from planner.errors import InvalidInput, Refused
from planner.plan.plan import Plan, is_plan_document, plan_document
from planner.text.document import MAX_BYTES, load_json
from planner.text.pieces import indented
from planner.text.values import shown_path


def read_file(name: str, what: str, *, trusted: bool = False) -> bytes:
    """Return the bytes of a file, ``-`` being standard input.

    Raises HostError if it cannot be read, Refused if it is to be ``trusted`` but somebody else could have written
    it, InvalidInput if nothing is in it.
    """
    called = f"the {what} on standard input" if name == "-" else f"the {what} {shown_path(name)}"
    try:
        with open(os.dup(0) if name == "-" else _open_to_read(name), "rb") as file:
            found = os.fstat(file.fileno())
            if name != "-" and not (stat.S_ISREG(found.st_mode) or stat.S_ISFIFO(found.st_mode)):
                raise HostError(f"{called} is not a file")
            if trusted and name != "-":
                _refuse_untrusted(found, called)
            text = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.EINVAL:  # which no other file answers
            raise HostError(f"{called} is a namespace: give the ID of its wiring (podwire list)") from None
        why = error.strerror if isinstance(error, OSError) else "that is not a file name"
        raise HostError(f"{called} cannot be read: {why}") from None
    if not text.strip():
        raise InvalidInput(f"{called} {'are' if what == 'facts' else 'is'} empty")
    return text


def document_name(name: str) -> str:
    """Return what to call a file whose content is wrong, ``-`` being standard input."""
    return "standard input" if name == "-" else shown_path(name)


def _open_to_read(name: str) -> int:
    """Open a file; a pipe (``--result <(…)``) too, but without waiting for somebody to open its other end."""
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(fd, True)
    return fd


def _refuse_untrusted(found: os.stat_result, called: str) -> None:
    """Refuse what somebody else could have written, be it a file or a pipe."""
    if not is_ours_alone(found):
        raise Refused(
            f"{called} is owned or writable by another user: review it (podwire show), then change its owner or mode "
            "(chown, chmod) or use --allow-untrusted-plan"
        )


def write_plan(plan: Plan, name: str) -> None:
    """Write a plan to a file that only its owner can read and write; a plan that is there is replaced, as a whole.

    Anything else that is there is kept, and so is what the plan was made from. Links are not followed. Raises
    InvalidInput, HostError, Refused.
    """
    if not name:
        raise InvalidInput("-o: the name of the file is empty")
    if name == "-":
        raise InvalidInput("-o: this is not a file; to print the plan, use --json")
    if name in PLAN_FORMATS:
        raise InvalidInput(f"-o: {name} is a format: use --format {name}, or ./{name} for a file of that name")
    called = f"the plan {shown_path(name)}"
    path = Path(name)
    try:
        with suppress(FileNotFoundError):
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not stat.S_ISREG(mode):
                raise HostError(f"{called} cannot be written: it is not a regular file (to print the plan, use --json)")
            _refuse_other_than_a_plan(path, called)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is not a file name"
        raise HostError(f"{called} cannot be written: {why}") from None
    with AtomicWrite(path, lambda: "".join(indented(plan_document(plan))) + "\n", what=called) as written:
        written.commit()


def _refuse_other_than_a_plan(path: Path, called: str) -> None:
    """Refuse to replace a file that holds anything, and no plan: it may be the only copy of a CNI result."""
    with path.open("rb") as file:
        text = file.read(MAX_BYTES + 1)
    found: object = None
    with suppress(InvalidInput):
        found = load_json(text, called).value
    if text.strip() and not is_plan_document(found):
        raise Refused(f"{called} is not written: the file exists and is not a plan; remove it, or choose another name")
