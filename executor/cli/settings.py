"""How operations are to work, as the arguments of a command say."""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from executor.cli.inputs import store_of
from executor.settings import Settings
from executor.templates import load_templates

_MOST_ARGUMENTS = 2000
_LONGEST_NAME = 100


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Return how the executor is to work, as the arguments say."""
    return Settings(
        store=store_of(arguments),
        templates=load_templates(),
        timeout=arguments.timeout,
        lock_timeout=getattr(arguments, "lock_timeout", 0.0),
        requested_by=_what_was_asked(),
    )


def _what_was_asked() -> str:
    """Return the command line and who gave it, for the journal: a reviewer sees what a change was for."""
    who = os.environ.get("SUDO_USER") or os.environ.get("LOGNAME") or f"uid {os.getuid()}"
    return f"{shlex.join(['podwire', *sys.argv[1:]])[:_MOST_ARGUMENTS]} (by {who[:_LONGEST_NAME]})"
