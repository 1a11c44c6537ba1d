"""What a command answered: the same value for a line given to an open ``ip`` and for a program of its own."""

from __future__ import annotations

from typing import NamedTuple

_MOST_SAID = 500


class CommandResult(NamedTuple):
    """The end of one command: its exit status, what it wrote, and how long it took.

    ``rc`` is 0 for done; of a line in an ``ip`` session it is 1 if the kernel refused, and the exit status of ``ip``
    if the line ended it. A program ended by signal N has -N. ``duration`` is in seconds.
    """

    rc: int
    stdout: str
    stderr: str
    duration: float

    @property
    def ok(self) -> bool:
        """Say whether the command succeeded."""
        return self.rc == 0


def is_interrupted(reply: CommandResult) -> bool:
    """Say whether a dump is not whole, since something changed in the meantime (NLM_F_DUMP_INTR, netlink(7)).

    ``ip`` and ``tc`` say so on standard error only, and end with 0 (iproute2, lib/libnetlink.c).
    """
    return "Dump was interrupted" in reply.stderr


def one_line(text: str) -> str:
    """Return what a program said, fit for a sentence: printable, on one line, at most 500 characters long."""
    words = " ".join(text[: 4 * _MOST_SAID].split())
    said = "".join(letter if letter.isprintable() else "?" for letter in words)
    return said if len(said) <= _MOST_SAID else f"{said[: _MOST_SAID - 1]}…"
