"""In what condition a recorded wiring is. Light: nothing is run."""

from __future__ import annotations

import time
from typing import NamedTuple

from executor.errors import HostError, NamespaceGone
from executor.netns.find import find_namespace
from executor.netns.namespace import Namespace, boot_id
from executor.state.record import WIRED, WiringRecord
from executor.state.store import StateStore
from planner.errors import InvalidInput, PodwireError, Refused
from planner.text.document import Node
from planner.text.values import InterfaceName, Keyword, MacAddress, NetnsPath, PciAddress, PlanId
from planner.wiring import DEFAULT_WIRING


def open_recorded(entry: WiringRecord) -> Namespace:
    """Open the namespace of an entry, at its path or wherever it lives now.

    Raises NamespaceGone if it is proven to be gone, HostError if it cannot be found or opened.
    """
    if entry.boot_id != boot_id():
        raise NamespaceGone(f"the namespace of {entry.id} is gone: the machine was restarted")
    return find_namespace(entry.netns, entry.cookie, entry.inode)


def is_gone(entry: WiringRecord) -> bool:
    """Say whether it is proven that the namespace of an entry is gone; what is at its path now does not count."""
    try:
        open_recorded(entry).close()
    except NamespaceGone:
        return True
    except HostError:
        return False
    return False


class WiredInterface(NamedTuple):
    """An interface of the VM as ``list`` shows it: the tap or PCI device, the pod's link, the guest's MAC."""

    device: str
    link: str
    mac: str

    def __str__(self) -> str:
        return f"{self.device} for {self.link} ({self.mac})"


class Wiring(NamedTuple):
    """A wiring as ``list`` shows it. ``state`` is wired, half-done, gone, or, as ``problem`` says, damaged or lost.

    ``kind`` is the name of how it is wired. If it is still to be confirmed, ``confirm_by`` is until when, in seconds
    since the epoch.
    """

    id: PlanId
    state: str
    netns: NetnsPath | None = None
    applied_at: float = 0.0
    problem: PodwireError | None = None
    kind: str = ""
    interfaces: tuple[WiredInterface, ...] = ()
    confirm_by: float | None = None

    @property
    def taps(self) -> tuple[str, ...]:
        """Return words on each of the VM's interfaces."""
        return tuple(map(str, self.interfaces))


def wirings(store: StateStore) -> tuple[Wiring, ...]:
    """Return what is recorded, sorted by id. Raises HostError if the state directory cannot be read."""
    found = []
    for plan_id in store.ids():
        try:
            entry = recorded(plan_id, store)
        except PodwireError as error:
            found.append(Wiring(plan_id, "damaged", problem=error))
        else:
            if entry is not None:
                kind, interfaces = _what_it_is(entry)
                state = condition(entry)
                by = confirm_by(entry) if state == "wired" else None
                found.append(Wiring(plan_id, state, entry.netns, entry.applied_at, None, kind, interfaces, by))
    return tuple(found)


def _what_it_is(entry: WiringRecord) -> tuple[str, tuple[WiredInterface, ...]]:
    """Return how an entry is wired, and its taps or PCI devices; only these are read, since a plan takes long."""
    try:
        kind = entry.plan.field("options").maybe("wiring", lambda node: node.parse(Keyword)) or DEFAULT_WIRING
        interfaces = entry.plan.field("interfaces").each(_interface)
    except PodwireError:
        return "", ()
    return kind, interfaces


def _interface(node: Node) -> WiredInterface:
    name, link = (node.field(key).parse(InterfaceName) for key in ("name", "link"))
    device = node.maybe("pci_address", lambda one: one.parse(PciAddress)) or name
    return WiredInterface(device, link, node.field("mac").parse(MacAddress))


def condition(entry: WiringRecord) -> str:
    """Return ``wired``, ``half-done`` (a process died, or going back failed) or ``gone``."""
    if is_gone(entry):
        return "gone"
    return "half-done" if is_half_done(entry) else "wired"


def is_half_done(entry: WiringRecord) -> bool:
    """Say whether a wiring was left between its ends: a process died, going back failed, or nobody confirmed it.

    What is overdue is being rolled back right now, or the process that would have done so was killed.
    """
    return entry.status != WIRED or is_overdue(entry)


def is_overdue(entry: WiringRecord) -> bool:
    """Say whether the time to confirm a wiring is over, and nobody did."""
    confirm_by = entry.to_be_confirmed
    return confirm_by is not None and confirm_by.elapsed > 0


def refuse_half_done(entry: WiringRecord) -> None:
    """Raise Refused for a wiring that was left between its ends: nobody can say of it that it is wired."""
    if is_half_done(entry):
        raise Refused(f"{entry.id} is half done: run podwire recover {entry.id} first")


def refuse_gone(entry: WiringRecord) -> None:
    """Raise NamespaceGone for a wiring whose namespace is proven to be gone."""
    if is_gone(entry):
        raise NamespaceGone(f"the namespace of {entry.id} is gone: podwire gc removes its record")


def confirm_by(entry: WiringRecord) -> float | None:
    """Return until when a wiring is to be confirmed, by the clock as it is now; None if it need not be (any more)."""
    return None if entry.to_be_confirmed is None else time.time() - entry.to_be_confirmed.elapsed


def recorded(plan_id: PlanId, store: StateStore) -> WiringRecord | None:
    """Return the entry of an id, None if there is none. Raises InvalidInput, with what may help, if it is damaged."""
    try:
        return store.load(plan_id)
    except InvalidInput as error:
        raise InvalidInput(
            f"{error} (podwire recover {plan_id} restores the copy in the journal, if there is one)"
        ) from None


def refuse_unknown(plan_id: PlanId, store: StateStore) -> None:
    """Raise InvalidInput for an id under which nothing was ever done: it may be a slip of the pen."""
    if plan_id not in store.journalled_ids():
        raise InvalidInput(f"id: {plan_id} was never wired here; podwire list shows what is")


def refuse_lost(plan_id: PlanId, store: StateStore) -> None:
    """Raise Refused for an id whose entry is not there, though by its journal it should be: the pod is wired."""
    if is_lost(plan_id, store):
        raise lost(plan_id)


def is_lost(plan_id: PlanId, store: StateStore) -> bool:
    """Say whether an id without an entry is wired by its journal, in a namespace that is not gone."""
    if store.has_ended(plan_id):
        return False
    from executor.state.copies import copy_of_entry  # noqa: PLC0415  most ids have an entry, or an end

    copy = copy_of_entry(plan_id, store)
    return copy is not None and not is_gone(copy)


def lost(plan_id: PlanId) -> Refused:
    """Return what to raise, or to say, of an id whose entry is lost."""
    return Refused(
        f"the state entry of {plan_id} is lost, but its journal does not say that the wiring ended: run podwire "
        f"recover {plan_id}"
    )


def wired_entry(plan_id: PlanId, store: StateStore) -> WiringRecord:
    """Return the entry of an id. Raises InvalidInput if it was never wired here, Refused if it is not any more."""
    entry = recorded(plan_id, store)
    if entry is None:
        refuse_unknown(plan_id, store)
        refuse_lost(plan_id, store)
        raise Refused(f"{plan_id} is no longer wired: podwire log {plan_id} shows what was done")
    return entry


def whole_entry(plan_id: PlanId, store: StateStore) -> WiringRecord:
    """Return the entry of an id that is not half done. Raises what ``wired_entry`` does, Refused."""
    entry = wired_entry(plan_id, store)
    refuse_half_done(entry)
    return entry
