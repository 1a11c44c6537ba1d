"""Nobody else can write to what podwire makes, whatever umask it was started with."""

from __future__ import annotations

import os

_OTHERS = 0o022
# Python may have made these for its compiled modules, by that umask, before a line of ours was run.
_MADE_BEFORE = ("__pycache__", "agent/__pycache__", "cli/__pycache__", "cni/__pycache__", "trust/__pycache__")


def close_to_others() -> None:
    """Have the process make nothing from now on that other users can write to, compiled modules neither."""
    before = os.umask(_OTHERS)
    os.umask(before | _OTHERS)
    if before & _OTHERS == _OTHERS:
        return
    here = os.path.dirname(os.path.dirname(__file__))
    for name in _MADE_BEFORE:
        try:
            folder = os.lstat(f"{here}/{name}")
            if folder.st_uid == os.geteuid() and folder.st_mode & _OTHERS:
                os.chmod(f"{here}/{name}", folder.st_mode & 0o755)
        except OSError:  # none was made
            continue
