"""Which process has a virtual function open by vfio: it is never taken from under a VMM that runs."""

from __future__ import annotations

from collections.abc import Iterator

from executor.netns.lock import command_name
from executor.observe.functions import read_functions
from executor.process.others import OpenFiles
from executor.state.record import WiringRecord
from planner.changes.change import lost_devices
from planner.errors import Refused
from planner.facts.model import FunctionFact, NamespaceFacts
from planner.kinds.vf_setting import VFIO
from planner.plan.plan import Plan
from planner.text.document import Node


def vfio_holders(plan: Plan, facts: NamespaceFacts) -> tuple[str, ...]:
    """Return a sentence for each process that has a function open which ``plan`` handed over; none without one.

    vfio opens a whole IOMMU group, by ``/dev/vfio/GROUP`` (kernel, driver-api/vfio.rst).
    """
    functions = {function.group: function for function in _handed(plan, facts)}
    if not functions:
        return ()
    return tuple(
        f"{functions[group].address} is open in process {pid} ({command_name(pid)})"
        for pid, group in dict.fromkeys(_open_groups())
        if group in functions
    )


def came_back(entry: WiringRecord) -> tuple[str, ...]:
    """Return the functions of a wiring that are at the host, and not at vfio-pci any more: the card was reset, say.

    One whose interface is in a namespace has been given to somebody else.
    """
    handed = [node.maybe("pci_address", Node.text) for node in entry.plan.field("interfaces").items()]
    if not any(handed):
        return ()
    there = read_functions()
    found = ((address, there[address]) for address in handed if address in there)
    return tuple(address for address, has in found if has["driver"] != VFIO and (has["interface"] or not has["driver"]))


def refuse_held(plan: Plan, facts: NamespaceFacts) -> None:
    """Raise Refused if a process has a function open that is to be rolled back."""
    if held := vfio_holders(plan, facts):
        raise Refused(f"{'; '.join(held)}: stop the VM first, or use --force to reclaim the device while it is running")


def _handed(plan: Plan, facts: NamespaceFacts) -> Iterator[FunctionFact]:
    """Yield the functions that ``plan`` handed over, and nobody else since, and that are at vfio-pci."""
    lost = lost_devices(plan.changes, facts)
    addresses = {interface.pci_address for interface in plan.interfaces if interface.pci_address} - lost.keys()
    host = facts.of(None)
    for function in () if host is None else host.functions:
        if function.address in addresses and function.driver == VFIO:
            yield function


def _open_groups() -> Iterator[tuple[int, int]]:
    """Yield each process that has an IOMMU group open, and the group's number."""
    for pid, _, target in OpenFiles().of_all():
        folder, _, name = target.rpartition("/")
        if folder == "/dev/vfio" and name.isdecimal():
            yield pid, int(name)
