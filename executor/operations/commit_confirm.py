"""``apply --confirm-within``: a change that nobody confirms in time is rolled back automatically.

A process of its own waits for that, started before the first command, in a session of its own: it outlives the
terminal and the podwire that applied. It knows the wiring that it watches by a token in the state entry.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from typing import Any

from executor.clock import Instant, uptime
from executor.errors import HostError
from executor.operations.ownership import own
from executor.operations.rollback import restore
from executor.settings import Settings
from executor.state.copies import CONFIRMED
from executor.state.journal import note_end
from executor.state.record import WIRED, WiringRecord
from executor.state.status import refuse_gone, refuse_half_done, wired_entry
from executor.state.store import StateStore
from executor.trust.privileges import hand_on
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


def to_be_confirmed(entry: WiringRecord, seconds: float) -> WiringRecord:
    """Return the entry of a wiring that is to be confirmed within ``seconds`` from now."""
    now = Instant.now()
    uptime = None if now.uptime is None else now.uptime + seconds
    token = os.urandom(16).hex()  # a name for this one wiring
    return entry._replace(confirm_by=now.wall + seconds, confirm_uptime=uptime, confirm_token=token)


def start_watcher(entry: WiringRecord, seconds: float, settings: Settings) -> None:
    """Start the process that takes the wiring of ``entry`` back when its time is over, unless it is confirmed.

    Raises HostError if it cannot be started.
    """
    job = {
        "id": str(entry.id),
        "token": entry.confirm_token,
        "seconds": seconds,
        "uptime": entry.confirm_uptime,
        "state_dir": str(settings.store.directory),
        "timeout": settings.timeout,
    }
    import subprocess  # noqa: PLC0415  most changes are not to be confirmed

    hand_on()
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
        raise HostError(f"cannot start the background process that would roll the change back: {error}") from None


def confirm(plan_id: PlanId, settings: Settings) -> bool:
    """Keep the wiring of an id; say whether it had been waiting for that.

    Raises InvalidInput or Refused if none is there, or none that is wired: one that is half done or overdue is to be
    rolled back. NamespaceGone.
    """
    with own(plan_id, settings):
        entry = wired_entry(plan_id, settings.store)
        refuse_half_done(entry)
        refuse_gone(entry)
        if entry.confirm_token is None:
            return False
        settings.store.save(entry._replace(confirm_token=None, confirm_by=None, confirm_uptime=None))
        note_end(settings.store.journal_path(plan_id), WIRED, CONFIRMED)
    return True


def main(job: str) -> None:
    """Wait, then roll the wiring back if it is still the one to watch (the watcher's own process)."""
    words = json.loads(job)
    # In steps: sleep(3) does not count the time that the machine sleeps, uptime does.
    while (left := words["uptime"] - uptime()) > 0:
        time.sleep(min(left, _LONGEST_PAUSE))
    pause = _FIRST_PAUSE
    while True:
        # Nobody listens here, and nobody else would try again: whatever it is that goes wrong. Meanwhile list shows the
        # wiring as half done, and recover may be quicker.
        with suppress(Exception):
            _roll_back(words)
            return
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _roll_back(words: dict[str, Any]) -> None:
    settings = Settings(
        store=StateStore(words["state_dir"]),
        timeout=words["timeout"],
        lock_timeout=_LOCK_TIMEOUT,
        requested_by=f"nobody confirmed within {words['seconds']:g} s",
    )
    entry, token = settings.store.load(PlanId(words["id"])), words["token"]
    if entry is not None and entry.confirm_token == token:
        restore(entry, settings, "unconfirmed", unconfirmed=token)
