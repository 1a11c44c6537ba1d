"""Commands as lines of a POSIX shell (sh(1))."""

from __future__ import annotations

import shlex
from collections.abc import Iterable


def line_with_input(argv: Iterable[str], stdin: str | None) -> str:
    """Return a line that runs ``argv`` with ``stdin``, which is whole lines, as its standard input."""
    line = shlex.join(argv)
    if stdin is None:
        return line
    lines = " ".join(shlex.quote(text) for text in stdin.splitlines())
    return f"printf '%s\\n' {lines} | {line}"
