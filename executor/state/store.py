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
import itertools
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from attrs import frozen

from executor.clock import Instant
from executor.errors import HostError
from planner.errors import InvalidInput, PodwireError
from planner.text.document import MAX_BYTES, Node, load_json
from planner.text.values import NetnsPath, PlanId, shown

DEFAULT_STATE_DIR = "/var/lib/podwire"
_ENTRY_VERSION = 1
APPLYING, WIRED, TEARING_DOWN = "applying", "wired", "tearing-down"
_STATUSES = (APPLYING, WIRED, TEARING_DOWN)
_KEYS = (
    *("version", "id", "netns", "cookie", "inode", "links", "boot_id", "status", "applied_at", "observed_uptime"),
    *("confirm_by", "confirm_uptime", "confirm_token", "plan"),
)
_NUMBERS = itertools.count(1)
_as_json = json.JSONEncoder(separators=(",", ":")).encode


@frozen
class WiringRecord:
    """One wiring: which namespace (path, cookie, boot), how far it is, and the plan as a document.

    ``inode`` is the number of the namespace and ``links`` those of its links when it was wired, if that was recorded.
    ``applied_at`` and ``confirm_by`` are seconds since the epoch, for people; what is computed with are the uptimes
    (``executor.clock``), which no clock that is set changes: ``observed_uptime`` is when the lifetimes in the plan were
    what it says. The plan is parsed by those who need it. Until it is confirmed, ``confirm_token`` names the wiring to
    the process that will roll it back.
    """

    id: PlanId
    netns: NetnsPath
    cookie: int
    boot_id: str
    status: str
    applied_at: float
    plan: Node
    confirm_by: float | None = None
    confirm_token: str | None = None
    inode: int = 0
    links: Mapping[str, int] = {}
    observed_uptime: float | None = None
    confirm_uptime: float | None = None

    @property
    def to_be_confirmed(self) -> Instant | None:
        """Return by when the wiring is to be confirmed, None if it need not be (any more)."""
        if self.confirm_by is None:
            return None
        return Instant(self.confirm_by, self.confirm_uptime, self.boot_id)

    def observed(self, wall: float) -> Instant:
        """Return when the lifetimes in the plan were as it says: at ``wall``, if nothing better was written down."""
        return Instant(wall, self.observed_uptime, self.boot_id)

    def is_of(self, cookie: int, boot_id: str) -> bool:
        """Say whether the wiring is of this very namespace; one of the same name may be another."""
        return (self.cookie, self.boot_id) == (cookie, boot_id)


class StateStore:
    """The entries in a state directory, by default the command line's. Nothing is made before the first is saved."""

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self.directory = Path(directory or os.environ.get("PODWIRE_STATE_DIR") or DEFAULT_STATE_DIR)
        self.wirings = self.directory / "wirings"
        self.dummies = self.directory / "dummies"
        self._servers = self.directory / "dhcp"
        self.journals = self.directory / "journal"
        self.attachments = self.directory / "attachments"

    def prepare(self) -> None:
        """Make the directories, readable by root only. Raises HostError if that cannot be."""
        for directory in (self.directory, self.wirings, self.dummies, self._servers, self.journals):
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise HostError(
                    f"the state directory {shown(str(directory))} cannot be made: {error.strerror}"
                ) from None
            _check_directory(directory)

    def save(self, entry: WiringRecord) -> None:
        """Write an entry so that after a crash, of podwire or the machine, it is there whole or as it was before."""
        (replacement,) = self.atomic_writes(entry, entry.status)
        with replacement:
            replacement.commit()

    def atomic_writes(self, entry: WiringRecord, *statuses: str) -> tuple[AtomicWrite, ...]:
        """Return what saves an entry in two steps, for each of ``statuses``; nothing is written yet."""
        plan = functools.cache(lambda: _as_json(entry.plan.value))  # most of it, and the same in all

        def document(status: str) -> str:
            head = {
                "version": _ENTRY_VERSION,
                "id": str(entry.id),
                "netns": str(entry.netns),
                "cookie": entry.cookie,
                "inode": entry.inode,
                "links": dict(entry.links),
                "boot_id": entry.boot_id,
                "status": status,
                "applied_at": entry.applied_at,
                "observed_uptime": entry.observed_uptime,
                "confirm_by": entry.confirm_by,
                "confirm_uptime": entry.confirm_uptime,
                "confirm_token": entry.confirm_token,
            }
            return f'{_as_json(head)[:-1]},"plan":{plan()}}}'

        return tuple(AtomicWrite(self._path(entry.id), functools.partial(document, status)) for status in statuses)

    def load(self, plan_id: PlanId) -> WiringRecord | None:
        """Return the entry of an id, None if there is none. Raises InvalidInput if it was damaged or edited."""
        path = self._path(plan_id)
        text = _read(path)
        return None if text is None else entry_of(load_json(text, f"state entry {plan_id}"), plan_id)

    def delete(self, plan_id: PlanId) -> None:
        """Forget an id, and which network it was attached for; one that is not there is forgotten already."""
        delete_document(self._path(plan_id))
        delete_document(self.attachments / f"{plan_id}.json")

    def ids(self) -> tuple[PlanId, ...]:
        """Return the ids that have an entry, sorted."""
        return _ids_in(self.wirings, ".json")

    def concerning(self, plan_id: PlanId, cookie: int) -> Iterator[WiringRecord]:
        """Yield the entries of an id or of a namespace (in this boot or another). Of others not even JSON is read.

        A host may have hundreds, and one of them that is damaged is no reason not to wire another namespace.
        """
        digits = str(cookie).encode()
        for other in self.ids():
            if other == plan_id or digits in (_read(self._path(other)) or b""):
                entry = self.load(other)
                if entry is not None and (other == plan_id or entry.cookie == cookie):
                    yield entry

    def beside(self, plan_id: PlanId, cookie: int) -> Iterator[WiringRecord]:
        """Yield the entries of other ids in a namespace; a damaged one is left out: it must keep nobody from going."""
        digits = str(cookie).encode()
        for other in self.ids():
            with contextlib.suppress(PodwireError):
                if other != plan_id and digits in (_read(self._path(other)) or b""):
                    entry = self.load(other)
                    if entry is not None and entry.cookie == cookie:
                        yield entry

    def save_dummy(self, plan_id: PlanId, document: dict[str, Any]) -> None:
        """Write down what CNI plugins are asked for an id, as safely as an entry."""
        with AtomicWrite(self.dummies / f"{plan_id}.json", lambda: _as_json(document)) as replacement:
            replacement.commit()

    def load_dummy(self, plan_id: PlanId) -> Node | None:
        """Return what CNI plugins were asked for an id, None if that was nothing."""
        text = _read(self.dummies / f"{plan_id}.json")
        return None if text is None else load_json(text, f"dummy gateway of {plan_id}")

    def delete_dummy(self, plan_id: PlanId) -> None:
        """Forget what CNI plugins were asked for: it was given back."""
        delete_document(self.dummies / f"{plan_id}.json")

    def dummy_ids(self) -> tuple[PlanId, ...]:
        """Return the ids that have a dummy gateway, sorted."""
        return _ids_in(self.dummies, ".json")

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
        return _ids_in(self.journals, ".jsonl")

    def _path(self, plan_id: PlanId) -> Path:
        return self.wirings / f"{plan_id}.json"


def _ids_in(directory: Path, suffix: str) -> tuple[PlanId, ...]:
    try:
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise HostError(f"the state directory {shown(str(directory))} cannot be read: {error.strerror}") from None
    found = []
    for name in names:
        with contextlib.suppress(ValueError):  # not one of ours: a temporary file, an editor's backup
            if name.endswith(suffix):
                found.append(PlanId(name.removesuffix(suffix)))
    return tuple(found)


def _check_directory(directory: Path) -> None:
    """Refuse a state directory that others could write to: what is in it is trusted."""
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise HostError(f"the state directory {shown(str(directory))} is not a directory")
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise HostError(f"the state directory {shown(str(directory))} belongs to, or can be written by, somebody else")
    if not os.access(directory, os.W_OK):
        raise HostError(f"the state directory {shown(str(directory))} cannot be written")


def delete_document(path: Path) -> None:
    """Remove what ``AtomicWrite`` wrote, and what it left if it was killed; nothing there is fine. Raises HostError."""
    try:
        for name in _half_written(path):
            path.with_name(name).unlink(missing_ok=True)
        path.unlink()
        _sync(path.parent)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise HostError(f"{shown(str(path))} cannot be removed: {error.strerror}") from None


def _half_written(path: Path) -> list[str]:
    """Return the names of what processes that were killed left of ``path`` while they replaced it."""
    start = f".{path.name}."
    names = (name for name in os.listdir(path.parent) if name.startswith(start))
    return [name for name in names if name[len(start) :].replace(".", "").isdecimal()]


class AtomicWrite:
    """A document that takes the place of a file in two steps: it is written beside the file, then renamed over it.

    The first step, which waits for the disk, may be done while something else is waited for as well. What is not
    committed is removed when this is left.
    """

    def __init__(self, path: Path, document: Callable[[], str]) -> None:
        self._path = path
        self._document = document
        self._beside = path.with_name(f".{path.name}.{os.getpid()}.{next(_NUMBERS)}")
        self._written = False

    def text(self) -> str:
        """Return the document."""
        return self._document()

    def write(self) -> None:
        """Write and sync the document beside the file. Raises HostError."""
        data = self.text().encode()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._errors():
            fd = os.open(self._beside, flags, 0o600)
            self._written = True
            with open(fd, "wb", buffering=0) as file:
                file.write(data)
                os.fsync(fd)

    def commit(self) -> None:
        """Put the document in the file's place, whole; ``write`` it if that was not done. Raises HostError."""
        if not self._written:
            self.write()
        with self._errors():
            is_new = not self._path.exists()
            self._beside.replace(self._path)
            self._written = False
            if is_new:  # else a crash of the machine may bring back what was there, whole as well
                _sync(self._path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._written:
            self._written = False
            with contextlib.suppress(OSError):
                self._beside.unlink()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise HostError(f"{shown(str(self._path))} cannot be written: {error.strerror}") from None


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read(path: Path) -> bytes | None:
    """Return the content of a file of ours, None if there is none; a symlink is nobody's file of ours."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise HostError(f"{shown(str(path))} is not a regular file")
            return file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise HostError(f"{shown(str(path))} cannot be read: {error.strerror}") from None


def _indexes(node: Node) -> dict[str, int]:
    return {name: index.integer(0, 2**31) for name, index in node.members()}


def entry_of(node: Node, plan_id: PlanId) -> WiringRecord:
    """Return the entry in a document. Raises InvalidInput if it is none, or one of another id."""
    node.only(*_KEYS)
    version, status = node.field("version"), node.field("status")
    if version.integer() != _ENTRY_VERSION:
        raise version.error(f"this podwire reads entries of version {_ENTRY_VERSION} only")
    if status.text() not in _STATUSES:
        raise status.error(f"{shown(status.value)} is none of {', '.join(_STATUSES)}")
    if node.field("id").text() != plan_id:
        raise InvalidInput(f"{node.path}.id: it is not the id that the file is named after")
    plan: Any = node.field("plan")
    return WiringRecord(
        id=plan_id,
        netns=node.field("netns").parse(NetnsPath),
        cookie=node.field("cookie").integer(0, 2**64 - 1),
        boot_id=node.field("boot_id").text(),
        status=status.text(),
        applied_at=node.field("applied_at").number(),
        plan=plan,
        confirm_by=node.maybe("confirm_by", Node.number),
        confirm_token=node.maybe("confirm_token", Node.text),
        inode=node.maybe("inode", lambda item: item.integer(0, 2**32 - 1)) or 0,
        links=node.maybe("links", _indexes) or {},
        observed_uptime=node.maybe("observed_uptime", Node.number),
        confirm_uptime=node.maybe("confirm_uptime", Node.number),
    )
