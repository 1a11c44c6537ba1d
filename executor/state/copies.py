"""What is left when a file of the state directory is damaged: the copy of each entry in its journal.

STATE-DIR/damaged/NAME.N      what was found at the place of a file and is none: it is kept, out of the way
"""

from __future__ import annotations

import itertools
import os
import stat
from contextlib import suppress
from itertools import chain
from pathlib import Path

from executor.errors import HostError
from executor.state.journal import lines_of
from executor.state.record import TEARING_DOWN, WIRED, WiringRecord, entry_of
from executor.state.rotation import with_older
from executor.state.store import OVER, StateStore
from planner.errors import InvalidInput, PodwireError
from planner.text.document import Node
from planner.text.values import PlanId, shown_path

# What goes to where nothing is wired any more; what else is run for a wiring (a repair, the plugins of a dummy gateway)
# leaves it as far as it was.
_GOING_BACK = ("teardown", "recover", "gc", "unconfirmed", "abandon")
# Why a wiring is still there that had to be confirmed.
CONFIRMED = "confirmed"
_Copy = tuple[object, str] | None


def copy_of_entry(plan_id: PlanId, store: StateStore) -> WiringRecord | None:
    """Return the entry of an id as its journal has it, None if it has none, or if that wiring was rolled back."""
    found: _Copy = None
    try:
        for node in chain.from_iterable(map(lines_of, with_older(store.journal_path(plan_id)))):
            with suppress(InvalidInput):  # somebody edited that line, or a disk did
                found = _after(node, found)
        if found is None:
            return None
        record, status = found
        entry = entry_of(Node(record, f"copy of state entry {plan_id}"), plan_id)
    except PodwireError:
        return None
    return entry._replace(status=status)


def _after(node: Node, found: _Copy) -> _Copy:
    """Return the record of a wiring, and how far that is, after what a line of its journal says."""
    event = node.field("event").text()
    if event == "began" and node.has("record"):
        return node.field("record").value, TEARING_DOWN
    if found is None:
        return None
    record, status = found
    if event == "began" and node.field("verb").text() in _GOING_BACK:
        return record, TEARING_DOWN
    if event != "ended":
        return found
    outcome = node.field("outcome").text()
    if outcome in OVER:
        return None
    if node.field("why").text() == CONFIRMED and isinstance(record, dict):
        record = {key: value for key, value in record.items() if not key.startswith("confirm_")}
    return record, {"wired": WIRED, "half-done": TEARING_DOWN}.get(outcome, status)


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
        raise HostError(f"{shown_path(path)} cannot be moved away: {error.strerror}") from None
    return str(place.relative_to(store.directory))
