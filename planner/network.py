"""What a VM runtime needs to know of a wired namespace (the reference's ContainerSideNetwork)."""

from __future__ import annotations

from collections.abc import Iterable

from planner.cni.result import CniResult
from planner.guest.model import Guest, GuestNeighbour
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, IpInterface, Keyword, MacAddress, NetnsPath


@frozen
class VmInterface:
    """One interface of the VM: what to open, and the guest's configuration (None in what an older podwire stored).

    ``type`` is ``tap`` (or ``vf``), ``name`` the tap, ``link`` the pod's interface; ``mac`` is the original one, which
    the guest gets. ``dhcp_address`` is the bridge's own, for a DHCP server.
    """

    type: Keyword
    name: InterfaceName
    link: InterfaceName
    mac: MacAddress
    mtu: int
    bridge: InterfaceName | None = None
    dhcp_address: IpInterface | None = None
    queues: int = 1
    vnet_hdr: bool = False
    neighbours: tuple[GuestNeighbour, ...] = ()
    pci_address: str | None = None
    vlan: int | None = None
    guest: Guest | None = None

    @property
    def device(self) -> str:
        """Return what the VM has of it: the tap that it opens, or the address of the PCI device that it is given."""
        return self.pci_address or self.name


def devices_words(interfaces: Iterable[VmInterface]) -> str:
    """Return what the VM does with the devices of its interfaces, as the rest of a sentence: ``opens tap0, tap1``."""
    groups: dict[str, list[str]] = {"opens": [], "is given": []}
    for one in interfaces:
        groups["is given" if one.pci_address else "opens"].append(one.device)
    return " and ".join(f"{verb} {', '.join(devices)}" for verb, devices in groups.items() if devices)


@frozen
class ContainerSideNetwork:
    """The result as it was fixed, the namespace, and the VM's interfaces in the order of the container links."""

    result: CniResult
    netns: NetnsPath
    interfaces: tuple[VmInterface, ...]
