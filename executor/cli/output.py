"""Standard input, output and error, however the caller left them: closed, full, or read only in part."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class OutputLost(Exception):
    """Standard output takes no more; ``why`` says so in words, or is "" if its reader has simply had enough."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def say(self, status: int) -> int:
        """Say that output was lost, and return ``status``; a reader that has gone (``| head``) is no failure: 0."""
        return complain(f"standard output cannot be written: {self.why}", status) if self.why else 0


def open_closed() -> None:
    """Open /dev/null for each standard stream that is closed, so that a file opened later cannot take its number.

    Nothing that is printed can fail for its characters from then on.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            # It takes the lowest number that is free, which is fd. Output that nobody gets is lost, and said to be.
            os.open(os.devnull, os.O_RDONLY if fd == 1 else os.O_RDWR)
    sys.stdin = sys.stdin or open(0, closefd=False, encoding="utf-8")  # noqa: SIM115  open until the end
    sys.stdout = sys.stdout or open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace" if stream is sys.stderr else "replace")


def put(text: str) -> None:
    """Write to standard output, and at once, so that if it fails it fails here. Raises OutputLost."""
    put_pieces((text,))


def put_pieces(pieces: Iterable[str]) -> None:
    """Write a text that may be very long, piece by piece as it is made. Raises OutputLost."""
    try:
        sys.stdout.writelines(pieces)
        sys.stdout.flush()
    except OSError as error:
        _write_no_more_to(sys.stdout.fileno())
        raise OutputLost("" if isinstance(error, BrokenPipeError) else str(error.strerror)) from None


def put_document(pieces: Iterable[str]) -> None:
    """Write what is not for people but for programs, which expect UTF-8 whatever the locale. Raises OutputLost.

    Some of it, such as a page of HTML, says itself that it is.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    put_pieces(pieces)


def put_done(text: str) -> None:
    """Write how a change ended. It was made, whether or not anybody reads of it: lost output is only said."""
    try:
        put(text)
    except OutputLost as lost:
        lost.say(0)


def complain(sentence: object, status: int) -> int:
    """Write a sentence to standard error and return ``status``."""
    say(f"podwire: {sentence}")
    return status


def say(line: str) -> None:
    """Write a line to standard error."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:  # nobody is left to tell
        _write_no_more_to(sys.stderr.fileno())


def _write_no_more_to(fd: int) -> None:
    """Have what is still in the buffer go nowhere: it would fail once more when Python ends, with a status of 120."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, fd)
    os.close(nowhere)
