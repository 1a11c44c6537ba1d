"""Colours of a terminal (ECMA-48, "Select Graphic Rendition"), or none."""

from __future__ import annotations

from typing import NamedTuple


class Style(NamedTuple):
    """How parts of a text are marked (each a pair of strings put around), and how many columns wide it is to be.

    Without ``width`` a line is as long as it is: it goes to a file or a program.
    """

    added: tuple[str, str] = ("", "")
    removed: tuple[str, str] = ("", "")
    changed: tuple[str, str] = ("", "")
    strong: tuple[str, str] = ("", "")
    faint: tuple[str, str] = ("", "")
    width: int | None = None

    def sign(self, sign: str) -> tuple[str, str]:
        """Return the marks of ``+``, ``-`` or ``~``."""
        return {"+": self.added, "-": self.removed}.get(sign, self.changed)


def paint(marks: tuple[str, str], text: str) -> str:
    """Return ``text`` between the marks; empty text stays empty."""
    return f"{marks[0]}{text}{marks[1]}" if text else text


_RESET = "\x1b[0m"
PLAIN = Style()
COLOURED = Style(
    added=("\x1b[32m", _RESET),
    removed=("\x1b[31m", _RESET),
    changed=("\x1b[33m", _RESET),
    strong=("\x1b[1m", _RESET),
    faint=("\x1b[2m", _RESET),
)
