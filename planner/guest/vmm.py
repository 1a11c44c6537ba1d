"""For virtual machine monitors: QEMU's arguments, and parts of the configuration of others.

Sources: qemu-system(1), docs of virtio-net-pci; Firecracker's API specification (firecracker.yaml, NetworkInterface);
Cloud Hypervisor's (cloud-hypervisor.yaml, NetConfig).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from planner.guest.nic import GuestNic, GuestText

_QUEUE_PAIR = 2


def qemu(nics: Sequence[GuestNic]) -> GuestText:
    """Return the arguments, a line for each interface; no word in them needs quoting.

    ``host_mtu`` tells the guest the MTU by virtio, so that it has it before it asks anybody.
    """
    return GuestText("".join(f"{_qemu_nic(number, nic)}\n" for number, nic in enumerate(nics)))


def _qemu_nic(number: int, nic: GuestNic) -> str:
    tap = nic.interface
    if tap.pci_address:
        return f"-device vfio-pci,host={tap.pci_address}"
    netdev = f"tap,id=net{number},ifname={tap.name},script=no,downscript=no"
    device = f"virtio-net-pci,netdev=net{number},mac={nic.guest.mac},host_mtu={nic.guest.mtu}"
    if tap.queues > 1:
        netdev += f",queues={tap.queues}"
        device += f",mq=on,vectors={_QUEUE_PAIR * tap.queues + 2}"  # two a queue, one for control, one for changes
    return f"-netdev {netdev} -device {device}"


def firecracker(nics: Sequence[GuestNic]) -> GuestText:
    """Return the part of a configuration file (``--config-file``) that is about the network."""
    interfaces = [
        {"iface_id": str(nic.name), "host_dev_name": str(nic.interface.name), "guest_mac": str(nic.guest.mac)}
        for nic in nics
        if not nic.interface.pci_address
    ]
    notes = [f"Firecracker takes no PCI device: {nic.name} cannot be given to it" for nic in _functions(nics)]
    notes += [
        f"Firecracker opens one queue, and {nic.interface.name} was made for {nic.interface.queues}"
        for nic in nics
        if nic.interface.queues > 1
    ]
    return GuestText(_json({"network-interfaces": interfaces}), tuple(notes))


def cloud_hypervisor(nics: Sequence[GuestNic]) -> GuestText:
    """Return the part of a VM's configuration (``vm.create``) that is about the network."""
    interfaces = [
        {
            "id": str(nic.name),
            "tap": str(nic.interface.name),
            "mac": str(nic.guest.mac),
            "mtu": nic.guest.mtu,
            "num_queues": _QUEUE_PAIR * nic.interface.queues,
        }
        for nic in nics
        if not nic.interface.pci_address
    ]
    devices = [
        {"id": str(nic.name), "path": f"/sys/bus/pci/devices/{nic.interface.pci_address}"} for nic in _functions(nics)
    ]
    return GuestText(_json({"net": interfaces} | ({"devices": devices} if devices else {})))


def _functions(nics: Sequence[GuestNic]) -> list[GuestNic]:
    """Return those that are given to the VM whole, as PCI devices."""
    return [nic for nic in nics if nic.interface.pci_address]


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1) + "\n"
