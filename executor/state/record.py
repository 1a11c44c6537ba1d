"""An entry of the state directory as a value: what is recorded of one wiring, and how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from executor.clock import Instant
from planner.errors import InvalidInput
from planner.text.document import Node
from planner.text.values import NetnsPath, PlanId, shown

_ENTRY_VERSION = 1
APPLYING, WIRED, TEARING_DOWN = "applying", "wired", "tearing-down"
_STATUSES = (APPLYING, WIRED, TEARING_DOWN)
_KEYS = (
    *("version", "id", "netns", "cookie", "inode", "links", "boot_id", "status", "applied_at", "observed_uptime"),
    *("confirm_by", "confirm_uptime", "confirm_token", "plan"),
)


class WiringRecord(NamedTuple):
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


class Head(NamedTuple):
    """Of which namespace an entry is."""

    cookie: int
    boot_id: str

    @classmethod
    def of(cls, node: Node) -> Head:
        """Return it as a document says it that need not have a plan. Raises InvalidInput."""
        return cls(node.field("cookie").integer(0, 2**64 - 1), node.field("boot_id").text())


def _indexes(node: Node) -> dict[str, int]:
    return {name: index.integer(0, 2**31) for name, index in node.members()}


def entry_of(node: Node, plan_id: PlanId) -> WiringRecord:
    """Return the entry in a document. Raises InvalidInput if it is none, or one of another id."""
    node.only(*_KEYS)
    version, status = node.field("version"), node.field("status")
    if version.integer() != _ENTRY_VERSION:
        raise version.error(f"this podwire reads entries of version {_ENTRY_VERSION} only")
    if status.text() not in _STATUSES:
        raise status.error(f"{shown(status.value)} is not one of {', '.join(_STATUSES)}")
    if node.field("id").text() != plan_id:
        raise InvalidInput(f"{node.path}.id: does not match the name of the file")
    plan = node.field("plan")
    for key, wanted in (("id", plan_id), ("netns", node.field("netns").value)) if plan.has("id") else ():
        if plan.field(key).value != wanted:
            raise plan.error(f"it belongs to another wiring: its {key} is {shown(plan.field(key).value)}")
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


def document_head(entry: WiringRecord, status: str) -> dict[str, object]:
    """Return all of an entry but its plan, as JSON values."""
    return {
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
