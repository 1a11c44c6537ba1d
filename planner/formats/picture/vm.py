"""The box of the VM: what the guest has on its end of a tap."""

from __future__ import annotations

from planner.formats.picture.boxes import Box, Line, Snapshot, captioned
from planner.kinds.link import Link
from planner.network import VmInterface


def vm_box(interface: VmInterface, side: Snapshot) -> Box | None:
    """Return the VM's own interface, which there is as soon as there is a tap."""
    tap = Link(interface.name)
    if side.state(tap) is None:
        return None
    guest = side.guests[interface.name]
    lines = [Line(guest.mac), *(Line(str(address)) for address in guest.addresses)]
    lines += captioned("routes", (Line(str(route)) for route in guest.routes))
    lines += captioned("neighbours", (Line(str(neighbour)) for neighbour in guest.neighbours))
    return Box("vm", "VM", f"opens {interface.name} · mtu {guest.mtu}", side.sign(tap), tuple(lines))
