"""The configuration of a guest, its server or its VMM, in the format that it reads: one function per format."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from attrs import evolve

from planner.errors import InvalidInput
from planner.guest.cloud_init import user_data, version_1, version_2
from planner.guest.dnsmasq import dnsmasq
from planner.guest.kernel import kernel
from planner.guest.libvirt import libvirt
from planner.guest.nic import GuestNic, GuestText
from planner.guest.vmm import cloud_hypervisor, firecracker, qemu
from planner.plan.plan import Plan, guests
from planner.text.codec import to_json
from planner.text.values import shown


def _json(nics: Sequence[GuestNic]) -> GuestText:
    """Return the interfaces as they are in a plan, with the guest's whole configuration."""
    interfaces = tuple(evolve(nic.interface, guest=nic.guest) for nic in nics)
    return GuestText(json.dumps(to_json(interfaces), indent=1) + "\n")


_FORMATS: dict[str, Callable[[Sequence[GuestNic]], GuestText]] = {
    "json": _json,
    "dnsmasq": dnsmasq,
    "cloud-init": version_2,
    "cloud-init-v1": version_1,
    "user-data": user_data,
    "kernel": kernel,
    "qemu": qemu,
    "firecracker": firecracker,
    "cloud-hypervisor": cloud_hypervisor,
    "libvirt": libvirt,
}


def guest_nics(plan: Plan, only: str | None = None) -> tuple[GuestNic, ...]:
    """Return the VM's interfaces in a plan, or ``only`` that of a pod's link or a tap.

    Raises InvalidInput if there is no such one.
    """
    nics = tuple(GuestNic(interface, guest) for interface, guest in zip(plan.interfaces, guests(plan), strict=True))
    found = tuple(nic for nic in nics if only in (None, nic.name, nic.interface.name))
    if not found:
        known = ", ".join(f"{nic.name} ({nic.interface.name})" for nic in nics)
        raise InvalidInput(f"{shown(only or '')} is no interface of {plan.id}, which has {known}")
    return found


def guest_text(nics: Sequence[GuestNic], form: str) -> GuestText:
    """Return the configuration of interfaces in a format. Raises InvalidInput for an unknown one."""
    if form not in _FORMATS:
        raise InvalidInput(f"format: {shown(form)} is not one of {', '.join(_FORMATS)}")
    return _FORMATS[form](nics)
