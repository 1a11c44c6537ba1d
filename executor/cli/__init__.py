"""The command line, a thin skin: it reads arguments, calls planner and executor, and prints what they return."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run podwire with ``argv`` (default: the process's own) and return its exit status. It never raises."""
    from executor.cli.arguments import parse  # noqa: PLC0415  --version and --help load no third party

    arguments = parse(sys.argv[1:] if argv is None else list(argv))
    if isinstance(arguments, int):
        return arguments
    from executor.cli.running import run  # noqa: PLC0415

    return run(arguments)
