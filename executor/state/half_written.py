"""Files that a podwire which was killed has left half written in the state directory."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from executor.errors import HostError
from executor.state.store import StateStore
from planner.text.values import PlanId, shown_path

# What AtomicWrite calls them: .ID.json.PROCESS.NUMBER (of earlier versions without the number)
_NAME = re.compile(r"\.(.+)\.json\.[0-9]+(?:\.[0-9]+)?")


def half_written(store: StateStore) -> dict[PlanId, list[Path]]:
    """Return the files of each id, of those too that are being written just now."""
    found: dict[PlanId, list[Path]] = {}
    for directory in (store.wirings, store.dummies, store.attachments):
        with suppress(OSError):  # it has never been made
            for name in os.listdir(directory):
                with suppress(ValueError):  # not of ours
                    if named := _NAME.fullmatch(name):
                        found.setdefault(PlanId(named[1]), []).append(directory / name)
    return found


def delete_half_written(plan_id: PlanId, store: StateStore) -> None:
    """Remove the files of an id that is ours, so that nobody is writing them. Raises HostError."""
    for path in half_written(store).get(plan_id, ()):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise HostError(f"{shown_path(path)} cannot be removed: {error.strerror}") from None
