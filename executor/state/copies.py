"""What is left when a file of the state directory is damaged: the copy of each entry in its journal.

STATE-DIR/damaged/NAME.N      what was found at the place of a file and is none: it is kept, out of the way
"""

from __future__ import annotations

import itertools
import os
import stat
from itertools import chain
from pathlib import Path

from executor.errors import HostError
from executor.state.journal import lines_of
from executor.state.record import TEARING_DOWN, WIRED, WiringRecord, entry_of
from executor.state.rotation import with_older
from executor.state.store import StateStore
from planner.errors import PodwireError
from planner.text.document import Node
from planner.text.values import PlanId, shown

# How an operation ends behind which the wiring is still there, whole or in part.
_STILL_THERE = ("wired", "half-done")


def copy_of_entry(plan_id: PlanId, store: StateStore) -> WiringRecord | None:
    """Return the entry of an id as its journal has it, None if it has none, or if that wiring was rolled back."""
    record, ended = None, ""
    try:
        for node in chain.from_iterable(map(lines_of, with_older(store.journal_path(plan_id)))):
            event = node.field("event").value
            if event == "began" and node.has("record"):
                record, ended = node.field("record"), ""
            elif event == "ended":
                ended = node.field("outcome").text()
        if record is None or ended not in ("", *_STILL_THERE):
            return None
        entry = entry_of(Node(record.value, f"copy of state entry {plan_id}"), plan_id)
    except PodwireError:
        return None
    return entry._replace(status=WIRED if ended == "wired" else TEARING_DOWN)


def set_aside_what_is_no_file(plan_id: PlanId, store: StateStore) -> tuple[str, ...]:
    """Move what is at the place of an id's files, and is a folder, a link, …, out of the way; say so in sentences.

    Raises HostError if it cannot be moved.
    """
    found = []
    for path in store.files_of(plan_id):
        try:
            kind = stat.S_IFMT(path.lstat().st_mode)
        except OSError:
            continue
        if kind != stat.S_IFREG:
            found.append(f"{path.parent.name}/{path.name} is not a regular file: it is {_set_aside(path, store)} now")
    return tuple(found)


def _set_aside(path: Path, store: StateStore) -> str:
    folder = store.directory / "damaged"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        names = (folder / f"{path.parent.name}-{path.name}.{number}" for number in itertools.count(1))
        place = next(name for name in names if not os.path.lexists(name))
        path.rename(place)
    except OSError as error:
        raise HostError(f"{shown(str(path))} cannot be moved away: {error.strerror}") from None
    return str(place.relative_to(store.directory))
