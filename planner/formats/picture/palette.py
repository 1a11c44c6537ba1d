"""Colours and type of the pictures and pages, light and dark; what a colour says, a mark and a line's style say too."""

from __future__ import annotations

from collections.abc import Iterable

SANS = "system-ui, -apple-system, Segoe UI, Roboto, Noto Sans, Liberation Sans, Arial, sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, Liberation Mono, monospace"

LIGHT = {
    "page": "#ffffff",
    "zone": "#f4f6f8",
    "box": "#ffffff",
    "line": "#c8d0d9",
    "rule": "#e3e8ed",
    "text": "#1f2328",
    "faint": "#5b6570",
    "added": "#116329",
    "added-box": "#eefaf1",
    "removed": "#b3202c",
    "removed-box": "#fff1f0",
    "changed": "#855300",
    "changed-box": "#fff9e6",
}
DARK = {
    "page": "#0f1419",
    "zone": "#171d24",
    "box": "#0f1419",
    "line": "#48525d",
    "rule": "#2a323b",
    "text": "#e8edf2",
    "faint": "#99a4af",
    "added": "#56d077",
    "added-box": "#102318",
    "removed": "#ff8078",
    "removed-box": "#2a1517",
    "changed": "#e3b04b",
    "changed-box": "#272010",
}
SIGN_NAMES = {"+": "added", "-": "removed", "~": "changed"}
# What is shown for a sign: a hyphen is easily overlooked beside a plus.
SIGN_MARKS = {"-": "\N{MINUS SIGN}"}

Coloured = tuple[str, str, str]


def coloured(rules: Iterable[Coloured]) -> str:
    """Return a style sheet of (selector, property, name of a colour), for light and for dark screens.

    The colours are written out: programs that draw SVG but are no browsers know no variables.
    """
    rules = tuple(rules)
    light, dark = (
        "".join(f"{selector}{{{key}:{palette[name]}}}" for selector, key, name in rules) for palette in (LIGHT, DARK)
    )
    return f"{light}@media screen and (prefers-color-scheme:dark){{{dark}}}"


def sign_class(*names: str, sign: str) -> str:
    """Return the value of ``class`` for something with a sign."""
    return " ".join(filter(None, (*names, SIGN_NAMES.get(sign))))


def mark(sign: str) -> str:
    """Return a sign as it is drawn."""
    return SIGN_MARKS.get(sign, sign)
