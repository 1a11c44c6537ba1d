"""Run programs, and wait for things, always with a limit."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from attrs import frozen

from tests import sandbox

T = TypeVar("T")

OUTSIDE = "this test would touch the machine's own network: run it by ./dev test, which gives it namespaces of its own"


@frozen
class Outcome:
    """What a program left: exit status, standard output and standard error."""

    rc: int
    out: str
    err: str


class CommandFailed(AssertionError):
    """A program that a test relies on failed; the message has its command line and what it printed."""


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    timeout: float = 30,
    check: bool = True,
) -> Outcome:
    """Run `argv` and return its outcome; with `check`, a status other than 0 fails the test. `timeout`: seconds."""
    if not sandbox.inside():
        raise CommandFailed(OUTSIDE)
    finished = subprocess.run(argv, input=stdin, env=env, timeout=timeout, check=False, capture_output=True, text=True)
    outcome = Outcome(finished.returncode, finished.stdout, finished.stderr)
    return must_succeed(outcome, argv) if check else outcome


def must_succeed(outcome: Outcome, argv: Sequence[str | Path]) -> Outcome:
    """Return the outcome of `argv` if its status is 0, or else fail the test with what it printed."""
    if outcome.rc != 0:
        line = shlex.join(str(word) for word in argv)
        raise CommandFailed(f"status {outcome.rc}: {line}\n{outcome.out}{outcome.err}")
    return outcome


def eventually(look: Callable[[], T], what: str, *, seconds: float = 20) -> T:
    """Look again until the answer is true, and return it; after `seconds` the test fails and names `what`."""
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.005)
    return answer
