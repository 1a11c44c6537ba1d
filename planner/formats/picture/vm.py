"""The box of the VM: what the guest has on its end of a tap."""

from __future__ import annotations

from planner.formats.picture.boxes import Box, Line, Snapshot, captioned, device_of
from planner.kinds.link import Link
from planner.network import VmInterface

# What goes from the pod comes to the VM.
_OPPOSITE = {"-": "+", "+": "-", "~": "~", "": ""}


def vm_box(interface: VmInterface, side: Snapshot) -> Box | None:
    """Return the VM's own interface, which there is as soon as there is a tap, or it has the device."""
    tap, device, guest = Link(interface.name), device_of(interface), side.guests[interface.name]
    if (side.state(tap) is None) if device is None else (side.state(device) is not None):
        return None
    sign = side.sign(tap) if device is None else _OPPOSITE[side.sign(device)]
    vlan = f" · vlan {interface.vlan}" if interface.vlan else ""
    title = f"opens {interface.name}" if device is None else f"has {device.address}{vlan}"
    lines = [Line(guest.mac), *(Line(str(address)) for address in guest.addresses)]
    lines += captioned("routes", (Line(str(route)) for route in guest.routes))
    lines += captioned("neighbours", (Line(str(neighbour)) for neighbour in guest.neighbours))
    return Box("vm", "VM", f"{title} · mtu {guest.mtu}", sign, tuple(lines))
