"""The commands that sentences name as next steps: pasted, they must look into the state directory that was used."""

from __future__ import annotations

import os
import re
import shlex

DEFAULT_STATE_DIR = "/var/lib/podwire"
# The commands that look into the state directory, as sentences name them.
_STEP = re.compile(r"\bpodwire (?:apply|teardown|recover|list|log|check|confirm|dhcp|gc)\b")


def with_state_dir(sentence: object, directory: str | None) -> str:
    """Return a sentence whose next steps name ``directory``, unless they use it by default."""
    if directory in (None, os.environ.get("PODWIRE_STATE_DIR") or DEFAULT_STATE_DIR):
        return str(sentence)
    return _STEP.sub(lambda step: f"{step[0]} --state-dir {shlex.quote(directory)}", str(sentence))
