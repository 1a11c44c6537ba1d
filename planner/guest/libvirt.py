"""For libvirt: the network part of a domain's XML.

Source: libvirt's formatdomain, "Generic ethernet connection" and "Host device assignment".
"""

from __future__ import annotations

from collections.abc import Sequence

from planner.guest.nic import GuestNic, GuestText


def libvirt(nics: Sequence[GuestNic]) -> GuestText:
    """Return the element ``devices`` with an ``interface`` for each tap and a ``hostdev`` for each PCI device.

    Neither is managed by libvirt: a tap is there already, and a device stays at vfio-pci when the VM ends.
    """
    from xml.etree import ElementTree as ET  # noqa: PLC0415  the other formats need none of it

    devices = ET.Element("devices")
    for nic in nics:
        if nic.interface.pci_address:
            device = ET.SubElement(devices, "hostdev", mode="subsystem", type="pci", managed="no")
            ET.SubElement(ET.SubElement(device, "source"), "address", _pci(nic.interface.pci_address))
            continue
        interface = ET.SubElement(devices, "interface", type="ethernet")
        ET.SubElement(interface, "mac", address=str(nic.guest.mac))
        ET.SubElement(interface, "target", dev=str(nic.interface.name), managed="no")
        ET.SubElement(interface, "model", type="virtio")
        if nic.interface.queues > 1:
            ET.SubElement(interface, "driver", queues=str(nic.interface.queues))
        ET.SubElement(interface, "mtu", size=str(nic.guest.mtu))
    ET.indent(devices)
    return GuestText(ET.tostring(devices, encoding="unicode") + "\n")


def _pci(address: str) -> dict[str, str]:
    """Return an address in its parts, in hexadecimal."""
    domain, bus, place = address.split(":")
    slot, function = place.split(".")
    parts = {"domain": domain, "bus": bus, "slot": slot, "function": function}
    return {name: f"0x{digits}" for name, digits in parts.items()}
