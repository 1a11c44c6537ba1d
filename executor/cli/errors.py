"""What went wrong: a sentence on standard error, with --json also a document, with next steps that can be pasted."""

from __future__ import annotations

import argparse
import re

from executor.cli.exit_status import exit_status
from executor.cli.output import complain, put_done
from executor.cli.printing import json_text
from executor.state.next_steps import with_state_dir

_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


def fail(error: Exception, arguments: argparse.Namespace, status: int | None = None) -> int:
    """Say what went wrong and return the exit status, by default that of ``error``."""
    found = exit_status(error) if status is None else status
    sentence = pasteable(error, arguments)
    if arguments.json:
        put_done(json_text(error_json(error, sentence, found)))
    return complain(sentence, found)


def error_json(error: Exception, sentence: str, status: int) -> dict[str, object]:
    """Return an error as a document; its ``kind`` is a word, such as ``refused`` or ``rolled-back``."""
    kind = _WORDS.sub("-", type(error).__name__).lower()
    return {"outcome": "failed", "kind": kind, "error": sentence, "exit_status": status}


def pasteable(sentence: object, arguments: argparse.Namespace) -> str:
    """Return a sentence whose next steps work as they are: they name the state directory if the command line did."""
    return with_state_dir(sentence, arguments.state_dir)
