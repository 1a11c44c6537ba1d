"""The command line, a thin skin: it reads arguments, calls planner and executor, and prints what they return."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from executor.cli.output import OutputLost, complain, open_closed, put
from executor.trust.umask import close_to_others
from executor.version import __version__

# The exit status for bad input and refusals; the others are in executor.cli.exit_status.
_REFUSED = 1
_MANY_OBJECTS = 200_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run podwire with ``argv`` and return its exit status. It never raises.

    By default it runs what this process was called with, and ends the process.
    """
    # Nothing that is loaded is garbage: a command is over before anybody looks for that, unless it goes on for long.
    gc.set_threshold(_MANY_OBJECTS)
    if argv is not None:
        return _run(list(argv))
    status = _run(sys.argv[1:])
    # All is written. The interpreter would take apart what was loaded: a tenth of the time of a command.
    os._exit(status)


def _run(words: list[str]) -> int:
    open_closed()
    close_to_others()
    try:
        return _main(words)
    except OutputLost as lost:
        return lost.say(_REFUSED)
    except KeyboardInterrupt:  # still loading
        return complain("interrupted; nothing was changed", _REFUSED)
    except (MemoryError, OSError, ImportError) as error:  # the same; a module that cannot be opened is not found
        return complain(f"podwire cannot be loaded: {str(error) or 'there is not enough memory'}", _REFUSED)


def _main(words: list[str]) -> int:
    if words[:1] == ["--version"]:
        put(f"podwire {__version__}\n")
        return 0
    from executor.cli.parser import parse  # noqa: PLC0415  --version loads next to nothing

    arguments = parse(words)
    if isinstance(arguments, int):
        return arguments
    from executor.cli.dispatch import run  # noqa: PLC0415  --help loads no third party

    return run(arguments)
