"""The state directory: what is wired, under which id, in which namespace. Readable by root only.

STATE-DIR/wirings/ID.json     one entry a wiring, replaced as a whole and synced: it outlives the machine
STATE-DIR/dummies/ID.json     what was asked of CNI plugins for it, and is to be given back
STATE-DIR/dhcp/ID.json         who serves its guest (executor.guest.record); ID.log is what that says
STATE-DIR/attachments/ID.json for which container and network it was asked (executor.cni.attachments)
STATE-DIR/journal/ID.jsonl    what was run for it, before and after each command (executor.state.journal)
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from executor.errors import HostError
from executor.state.document import MOST_OF_ENTRY, AtomicWrite, delete_document, open_ours, read_document
from executor.state.next_steps import DEFAULT_STATE_DIR
from executor.state.rotation import with_older
from executor.trust.files import is_ours_alone, weak_spot
from planner.errors import InvalidInput, PodwireError
from planner.text.document import MAX_BYTES, Node, load_json
from planner.text.values import PlanId, shown_path

TYPE_CHECKING = False
if TYPE_CHECKING:  # where nothing is wired no entry is read, and what entries are made of takes its time to load
    from typing import Any

    from executor.state.record import Head, WiringRecord

# What is written when a wiring begins leaves room for the words that are longer later on.
_MOST_BYTES = MOST_OF_ENTRY
_ROOM = 4096
# An entry begins with all but its plan; thousands of links fit into this.
_MOST_OF_HEAD = 256 * 1024
_PLAN = b',"plan":'
# How operations end after which nothing is wired any more; a line that says so is no longer than this.
OVER = ("restored", "taken back", "abandoned", "gone")
_LAST_LINE = 4096
# Device, inode, size, and when it was changed.
_FileState = tuple[int, int, int, int, int]


class StateStore:
    """The entries in a state directory, by default the command line's. Nothing is made before the first is saved."""

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self.directory = Path(directory or os.environ.get("PODWIRE_STATE_DIR") or DEFAULT_STATE_DIR)
        self.wirings = self.directory / "wirings"
        self.dummies = self.directory / "dummies"
        self._servers = self.directory / "dhcp"
        self.journals = self.directory / "journal"
        self.attachments = self.directory / "attachments"
        self._is_safe = False
        # The entry that was read last, and what its file was then: an operation reads it before it has the lock, and
        # again when it has.
        self._last: tuple[Path, _FileState, WiringRecord] | None = None

    @property
    def is_there(self) -> bool:
        """Return whether something was saved in the state directory, or is about to be."""
        return self.directory.exists()

    def prepare(self) -> None:
        """Make the directories, readable by root only. Raises HostError if that cannot be, or they are not safe."""
        self.check()
        wanted = (self.directory, self.wirings, self.dummies, self._servers, self.journals)
        missing = [directory for directory in wanted if not os.path.lexists(directory)]
        for directory in missing:
            try:
                _make(directory)
            except OSError as error:
                what = "made" if directory == self.directory else "written"
                raise HostError(
                    f"the state directory {shown_path(self.directory)} cannot be {what}: {error.strerror}"
                ) from None
        if missing:
            self.check()
        for directory in self._directories():
            if not os.access(directory, os.W_OK, effective_ids=True) and directory.exists():
                raise HostError(f"the state directory {shown_path(directory)} cannot be written")

    def check(self) -> None:
        """Refuse, with HostError, a state directory that others could write to: what is in it is trusted."""
        for directory in self._directories():
            _check_directory(directory)
        _check_way(self.directory.absolute())

    def _directories(self) -> tuple[Path, ...]:
        parts = (self.wirings, self.dummies, self._servers, self.journals, self.attachments)
        return (self.directory, *parts)

    def _check_once(self) -> None:
        """Check, before anything is read, that what is there is ours. Raises HostError."""
        if not self._is_safe:
            self.check()
            self._is_safe = True

    def save(self, entry: WiringRecord) -> None:
        """Write an entry so that after a crash, of podwire or the machine, it is there whole or as it was before."""
        (replacement,) = self.atomic_writes(entry, entry.status)
        with replacement:
            replacement.commit()

    def atomic_writes(self, entry: WiringRecord, *statuses: str) -> tuple[AtomicWrite, ...]:
        """Return what saves an entry in two steps, for each of ``statuses``; nothing is written yet."""
        from executor.state.record import TEARING_DOWN, document_head  # noqa: PLC0415  code that has an entry has it

        plan = functools.cache(lambda: _as_json(entry.plan.value))  # most of it, and the same in all

        def document(status: str) -> str:
            return f'{_as_json(document_head(entry, status))[:-1]},"plan":{plan()}}}'

        path = self._path(entry.id)
        return tuple(
            AtomicWrite(
                path,
                functools.partial(document, status),
                most=_MOST_BYTES - (0 if status == TEARING_DOWN else _ROOM),
                what=f"the state entry of {entry.id}",
            )
            for status in statuses
        )

    def load(self, plan_id: PlanId) -> WiringRecord | None:
        """Return the entry of an id, None if there is none. Raises InvalidInput if it was damaged or edited."""
        what, path = f"state entry {plan_id}", self._path(plan_id)
        state = _file_state(path)
        last = self._last  # once: another thread may be at another entry
        if last is not None and last[:2] == (path, state):
            return last[2]
        text = self._read(path, what, _MOST_BYTES)
        if text is None:
            return None
        from executor.state.record import entry_of  # noqa: PLC0415  often there is no entry

        entry = entry_of(load_json(text, what, _MOST_BYTES), plan_id)
        if state is not None and state == _file_state(path):
            self._last = path, state, entry
        return entry

    def delete(self, plan_id: PlanId) -> None:
        """Forget an id, and which network it was attached for; one that is not there is forgotten already."""
        delete_document(self._path(plan_id))
        delete_document(self.attachments / f"{plan_id}.json")

    def end(self, plan_id: PlanId, note: Callable[[], bool]) -> None:
        """Forget an id once ``note`` has written down, in its journal, how it ended; that returns whether it could.

        Killed between the two, podwire looks at the namespace once more (``recover``); the other way round, a journal
        without an end would say of what is not wired that its entry is lost. On a full disk there may be room
        only when the entry is gone.
        """
        is_noted = note()
        self.delete(plan_id)
        if not is_noted:
            note()

    def ids(self) -> tuple[PlanId, ...]:
        """Return the ids that have an entry, sorted."""
        return self._ids_in(self.wirings, ".json")

    def concerning(self, plan_id: PlanId, cookie: int) -> Iterator[WiringRecord]:
        """Yield the entries of an id or of a namespace (in this boot or another). Of others no plan is read.

        A host may have hundreds, and one of them that is damaged is no reason not to wire another namespace. Raises
        InvalidInput or HostError if one of these cannot be read.
        """
        from executor.netns.namespace import boot_id  # noqa: PLC0415  code that has a cookie has it

        for other in self.ids():
            head = None if other == plan_id else self._head(other)
            if other != plan_id and (head is None or head.cookie != cookie):
                continue
            try:
                entry = self.load(other)
            except PodwireError:
                if head is not None and head.boot_id != boot_id():
                    continue  # cookies start over with each boot
                raise
            if entry is not None and (other == plan_id or entry.cookie == cookie):
                yield entry

    def beside(self, plan_id: PlanId, cookie: int) -> Iterator[WiringRecord]:
        """Yield the entries of other ids in a namespace; a damaged one is left out: it must keep nobody from going."""
        for other in self.ids():
            if other == plan_id or (head := self._head(other)) is None or head.cookie != cookie:
                continue
            with contextlib.suppress(PodwireError):
                entry = self.load(other)
                if entry is not None and entry.cookie == cookie:
                    yield entry

    def _head(self, plan_id: PlanId) -> Head | None:
        """Return of which namespace an entry is without reading its plan; None if that cannot be known."""
        from executor.state.record import Head  # noqa: PLC0415  the same

        try:
            beginning = self._read(self._path(plan_id), "head", _MOST_OF_HEAD) or b""
            with contextlib.suppress(InvalidInput):
                return Head.of(load_json(beginning.partition(_PLAN)[0] + b"}", "head"))
            entry = self.load(plan_id)  # an earlier podwire's, or anybody's who keeps another order
        except PodwireError:
            return None
        return None if entry is None else Head(entry.cookie, entry.boot_id)

    def _read(self, path: Path, what: str, most: int) -> bytes | None:
        self._check_once()
        return read_document(path, what, most)

    def save_dummy(self, plan_id: PlanId, document: dict[str, Any]) -> None:
        """Write down what CNI plugins are asked for an id, as safely as an entry."""
        with AtomicWrite(self.dummies / f"{plan_id}.json", lambda: _as_json(document)) as replacement:
            replacement.commit()

    def load_dummy(self, plan_id: PlanId) -> Node | None:
        """Return what CNI plugins were asked for an id, None if that was nothing."""
        what = f"dummy gateway of {plan_id}"
        text = self._read(self.dummies / f"{plan_id}.json", what, MAX_BYTES)
        return None if text is None else load_json(text, what)

    def delete_dummy(self, plan_id: PlanId) -> None:
        """Forget what CNI plugins were asked for: it was given back."""
        delete_document(self.dummies / f"{plan_id}.json")

    def dummy_ids(self) -> tuple[PlanId, ...]:
        """Return the ids that have a dummy gateway, sorted."""
        return self._ids_in(self.dummies, ".json")

    def server_file(self, plan_id: PlanId, kind: str = "json") -> Path:
        """Return the file that says who serves the guest of an id, or with ``kind`` log what that says."""
        return self._servers / f"{plan_id}.{kind}"

    def files_of(self, plan_id: PlanId) -> tuple[Path, ...]:
        """Return all files that an id may have."""
        documents = (self.wirings, self.dummies, self._servers, self.attachments)
        return (*(folder / f"{plan_id}.json" for folder in documents), self.journal_path(plan_id))

    def journal_path(self, plan_id: PlanId) -> Path:
        """Return where the journal of an id is, or would be."""
        return self.journals / f"{plan_id}.jsonl"

    def journalled_ids(self) -> tuple[PlanId, ...]:
        """Return the ids that ever had a command run for them, sorted."""
        return self._ids_in(self.journals, ".jsonl")

    def unended_ids(self) -> tuple[PlanId, ...]:
        """Return the ids without an entry whose journal does not end with that nothing is wired any more, sorted.

        Only the last line of each is read: there may be very many. Some may have ended all the same.
        """
        there = set(self.ids())
        ids = (one for one in self.journalled_ids() if one not in there)
        return tuple(one for one in ids if not self.has_ended(one))

    def has_ended(self, plan_id: PlanId) -> bool:
        """Say whether the last line of an id's journal tells of an end, or there is no line that can be read."""
        return _has_ended(self.journal_path(plan_id))

    def _path(self, plan_id: PlanId) -> Path:
        return self.wirings / f"{plan_id}.json"

    def _ids_in(self, directory: Path, suffix: str) -> tuple[PlanId, ...]:
        self._check_once()
        return _ids_in(directory, suffix)


def _has_ended(journal: Path) -> bool:
    """Say whether the last line of a journal tells of an end (executor.state.journal), or it cannot be read."""
    try:
        fd = open_ours(journal, "a journal")
        if fd is None:
            return True
        with open(fd, "rb") as file:
            size = os.fstat(fd).st_size
            if size == 0:  # nothing was done yet under this id, or the journal was full and has begun anew
                return with_older(journal) == [journal]
            file.seek(max(0, size - _LAST_LINE))
            last = file.read(_LAST_LINE).rstrip(b"\n").rpartition(b"\n")[2]
    except (HostError, OSError):
        return True
    return any(b'"event":"ended","outcome":"%b"' % outcome.encode() in last for outcome in OVER)


def _file_state(path: Path) -> _FileState | None:
    """Return what changes whenever a file is replaced, written or given away; None if it cannot be known."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _ids_in(directory: Path, suffix: str) -> tuple[PlanId, ...]:
    try:
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise HostError(f"the state directory {shown_path(directory)} cannot be read: {error.strerror}") from None
    found = []
    for name in names:
        with contextlib.suppress(ValueError):  # not one of ours: a temporary file, an editor's backup
            if name.endswith(suffix):
                found.append(PlanId(name.removesuffix(suffix)))
    return tuple(found)


def _make(directory: Path) -> None:
    """Make a directory for us alone; those above it get the usual modes."""
    missing = [parent for parent in directory.parents if not os.path.lexists(parent)]
    for parent in reversed(missing):
        parent.mkdir(mode=0o755, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)


def _check_directory(directory: Path) -> None:
    """Refuse one of the state directories, if it is there, that others could write to."""
    called = f"the state directory {shown_path(directory)}"
    try:
        found = directory.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise HostError(f"{called} cannot be used: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise HostError(f"{called} is not a directory")
    if not is_ours_alone(found):
        raise HostError(f"{called} is owned or writable by another user")


def _check_way(directory: Path) -> None:
    """Refuse a state directory, there or not, in the place of which others could put another."""
    called = f"the state directory {shown_path(directory)}"
    try:
        weak = weak_spot(directory)
    except OSError as error:
        raise HostError(f"{called} cannot be used: {error.strerror}") from None
    if weak is not None:
        place = shown_path(weak)
        raise HostError(f"{called} is not safe: {place} is owned or writable by another user")


def _as_json(document: object) -> str:
    import json  # noqa: PLC0415  reading writes none

    return json.dumps(document, separators=(",", ":"))
