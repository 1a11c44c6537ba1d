"""Making lines fit a terminal: broken between words, never inside one, and indented below their beginning."""

from __future__ import annotations

import re

_MARKS = re.compile(r"\x1b\[[0-9;]*m")
_HANG = 4


def visible(text: str) -> int:
    """Return how many characters of ``text`` are seen: those of colours are not."""
    return len(_MARKS.sub("", text))


def fit(line: str, width: int | None, *, hang: int | None = None) -> list[str]:
    """Return a line in lines of at most ``width``, unless one word is longer; None is as long as it is.

    What goes on below is indented by ``hang``, by default a little more than the line is.
    """
    if width is None or visible(line) <= width:
        return [line]
    text = _MARKS.sub("", line)
    margin = " " * (len(text) - len(text.lstrip()) + _HANG if hang is None else hang)
    start, *words = line[_leading(line) :].split(" ")
    lines = [line[: _leading(line)] + start]
    for word in words:
        if visible(lines[-1]) + 1 + visible(word) <= width:
            lines[-1] += f" {word}"
        elif word:
            lines.append(margin + word)
    return [found.rstrip() for found in lines]


def _leading(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def continued(head: str, words: list[str], width: int | None, *, hang: int) -> list[str]:
    """Return ``head`` and the words of a shell's command, with a backslash where it goes on in the next line."""
    lines = [head + words[0]]
    for word in words[1:]:
        if width is None or visible(lines[-1]) + len(word) + len(" x \\") - 1 <= width:
            lines[-1] += f" {word}"
        else:
            lines[-1] += " \\"
            lines.append(" " * hang + word)
    return lines
