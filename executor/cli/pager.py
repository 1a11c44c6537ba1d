"""Long text on a terminal goes through a pager, as git does it; short text, and whatever is piped, straight out."""

from __future__ import annotations

import os
import shlex
import shutil
import sys

from executor.cli.output import put

# Quit if it fits, keep colours, leave the text on the screen (less(1)).
_DEFAULT = "less -FRX"


def put_long(text: str) -> None:
    """Write ``text`` to standard output, through $PODWIRE_PAGER or $PAGER if it is longer than the terminal.

    An empty variable, or ``cat``, means none. Raises OutputLost as ``put`` does.
    """
    pager = _pager() if sys.stdout.isatty() and text.count("\n") >= shutil.get_terminal_size().lines else []
    if not pager:
        put(text)
        return
    import subprocess  # noqa: PLC0415  most output is short, or piped

    try:
        # A user who may only look must not get a shell, or another file, out of less(1).
        environment = os.environ | {"LESSSECURE": "1"}
        as_bytes = text.encode(sys.stdout.encoding, "replace")
        subprocess.run(pager, input=as_bytes, check=False, env=environment)  # noqa: S603  the user's own choice
    except OSError:
        put(text)


def _pager() -> list[str]:
    """Return the words of the pager to use, none if it is not there or not wanted."""
    chosen = next((os.environ[name] for name in ("PODWIRE_PAGER", "PAGER") if name in os.environ), _DEFAULT)
    try:
        words = shlex.split(chosen)
    except ValueError:
        return []
    if not words or words[0] == "cat" or os.environ.get("TERM", "dumb") == "dumb":
        return []
    from executor.process.spawn import which  # noqa: PLC0415  most output is short, or piped

    program = words[0] if "/" in words[0] else which(words[0])
    return [program, *words[1:]] if program else []
