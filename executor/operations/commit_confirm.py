"""``apply --confirm-within``: a change that nobody confirms in time is rolled back by itself.

A process of its own waits for that, started before the first command, in a session of its own: it outlives the
terminal and the podwire that applied. It knows the wiring that it watches by a token in the state entry.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from contextlib import suppress

from attrs import evolve

from executor.errors import ExecutorError, HostError
from executor.operations.rollback import restore
from executor.settings import Settings
from executor.state.journal import Journal
from executor.state.store import StateStore
from executor.templates import load_templates
from planner.errors import InvalidInput, PlannerError
from planner.text.values import PlanId

# The watcher waits longer for the lock than people do: an apply that hangs must end first.
_LOCK_TIMEOUT = 600.0
# What keeps it from taking the change back may pass: it tries again, ever more seldom, until the change is no longer
# there to be rolled back.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 60.0
# It forks and ends: what goes on is nobody's child, so that a program that uses podwire has none to collect.
_START = """\
import os, sys
if os.fork():
    os._exit(0)
import json
sys.path[:] = json.loads(sys.argv[1])
from executor.operations.commit_confirm import main
main(sys.argv[2])
"""


def new_token() -> str:
    """Return a name for one wiring that is to be confirmed."""
    return secrets.token_hex(16)


def start_watcher(plan_id: PlanId, token: str, seconds: float, settings: Settings) -> None:
    """Start the process that takes the wiring ``token`` of ``plan_id`` back after ``seconds``, unless it is confirmed.

    Raises HostError if it cannot be started.
    """
    job = {
        "id": str(plan_id),
        "token": token,
        "seconds": seconds,
        "state_dir": str(settings.store.directory),
        "timeout": settings.timeout,
    }
    try:
        subprocess.run(  # noqa: S603  our own interpreter, and nothing of the user's but a validated id
            [sys.executable, "-c", _START, json.dumps(sys.path), json.dumps(job)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise HostError(f"the process that would take the change back cannot be started: {error}") from None


def confirm(plan_id: PlanId, settings: Settings) -> bool:
    """Keep the wiring of an id; say whether it had been waiting for that. Raises InvalidInput for an unknown id."""
    settings.store.prepare()
    with Journal.open(settings.store.journal_path(plan_id), lock_timeout=settings.lock_timeout):
        entry = settings.store.load(plan_id)
        if entry is None:
            raise InvalidInput(f"id: {plan_id} is not wired here (any more); podwire list shows what is")
        if entry.confirm_token is None:
            return False
        settings.store.save(evolve(entry, confirm_token=None, confirm_by=None))
    return True


def main(job: str) -> None:
    """Wait, then roll the wiring back if it is still the one to watch (the watcher's own process)."""
    words = json.loads(job)
    time.sleep(words["seconds"])
    store = StateStore(words["state_dir"])
    settings = Settings(
        store=store,
        templates=load_templates(),
        timeout=words["timeout"],
        lock_timeout=_LOCK_TIMEOUT,
        requested_by=f"nobody confirmed within {words['seconds']:g} s",
    )
    pause = _FIRST_PAUSE
    while True:
        # Nobody listens here; meanwhile list shows the wiring as half done, and recover may be quicker.
        with suppress(ExecutorError, PlannerError, OSError, MemoryError):
            _take_back(PlanId(words["id"]), words["token"], settings)
            return
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _take_back(plan_id: PlanId, token: str, settings: Settings) -> None:
    entry = settings.store.load(plan_id)
    if entry is not None and entry.confirm_token == token:
        restore(entry, settings, "unconfirmed", unconfirmed=token)
