"""How wide text is, without a font: never less than in any of the common ones."""

from __future__ import annotations

import re
from typing import Literal
from unicodedata import east_asian_width

Font = Literal["mono", "sans", "bold"]

# Of the font's size. The widest common fixed-width fonts have 0.602 (Menlo, DejaVu Sans Mono).
_MONO = 0.61
# DejaVu Sans, as wide as Verdana and wider than what systems use for their own text; hundredths, from space on.
_SANS = (
    32, 40, 46, 84, 64, 95, 78, 28, 39, 39, 50, 84, 32, 36, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 34, 34,
    84, 84, 84, 53, 100, 69, 69, 70, 77, 64, 58, 78, 76, 30, 30, 66, 56, 87, 75, 79, 61, 79, 70, 64, 62, 74, 69, 99,
    69, 62, 69, 39, 34, 39, 84, 50, 50, 62, 64, 55, 64, 62, 36, 64, 64, 28, 28, 58, 28, 98, 64, 62, 64, 64, 42, 53,
    40, 64, 60, 82, 60, 60, 53, 64, 34, 64, 84,
)  # fmt: skip
_BOLD = 1.15
# What podwire itself writes beyond ASCII; every font that has them has them no wider.
_KNOWN = {"→": 0.9, "·": 0.64, "…": 1.0, "\N{MINUS SIGN}": 0.84}
_STRANGE = 1.1
_WIDE = 1.4
_WORDS = re.compile(r"\S+")
_PIECES = re.compile(r"/?[^:/.,=@_-]*[:.,=@_-]+|/?[^:/.,=@_-]+|/")


def width(text: str, size: float, font: Font) -> float:
    """Return the width of ``text`` in the unit of ``size``, which is the font's."""
    return sum(_advance(char, font) for char in text) * size


def is_known(text: str) -> bool:
    """Say whether the width of all of ``text`` is known; else it should be made to fit what was reckoned with."""
    return all(" " <= char <= "~" or char in _KNOWN for char in text)


def _advance(char: str, font: Font) -> float:
    if " " <= char <= "~":
        return _MONO if font == "mono" else _SANS[ord(char) - 32] / 100 * (_BOLD if font == "bold" else 1)
    if char in _KNOWN:
        return _KNOWN[char]
    return _WIDE if east_asian_width(char) in "WF" else _STRANGE


def wrapped(text: str, limit: float, size: float, font: Font) -> list[str]:
    """Return ``text`` in lines no wider than ``limit``.

    They are broken between words, else after a ``:`` and the like, or before a ``/``.
    """
    lines = [""]
    for word in _WORDS.findall(text):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if width(joined, size, font) <= limit:
            lines[-1] = joined
        elif width(word, size, font) <= limit:
            lines.append(word)
        else:
            lines += _broken(word, limit, size, font)
    return [line for line in lines if line] or [""]


def _broken(word: str, limit: float, size: float, font: Font) -> list[str]:
    """Return a word that is too long for a line in several, none of them wider than ``limit``."""
    lines = [""]
    for piece in _PIECES.findall(word):
        for part in [piece] if width(piece, size, font) <= limit else list(piece):
            if lines[-1] and width(lines[-1] + part, size, font) > limit:
                lines.append("")
            lines[-1] += part
    return lines
