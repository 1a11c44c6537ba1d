"""What ADD answers: the previous result, and what the VM opens, as Firecracker's tools and tc-redirect-tap have it.

For each interface of the VM two are added: the tap, in the namespace, and a pseudo-interface of the tap's name, whose
sandbox is the container's id and whose MAC is the VM's. The addresses of the link are repeated for the latter.
(firecracker-go-sdk, cni/vmconf and cni/internal, looks for exactly that.) A virtual function has no tap, and ``pciID``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from executor.cni.call import Call
from planner.cni.result import CniResult
from planner.kinds.link import Link, LinkState
from planner.network import VmInterface
from planner.plan.plan import Plan

_WITH_MTU = ("1.1.0",)


def result_of(call: Call, plan: Plan) -> dict[str, Any]:
    """Return the result of ADD, in the version of the configuration."""
    assert call.conf.previous is not None  # noqa: S101  ADD was refused without one
    previous = CniResult.parse(call.conf.previous)
    result = _in_version(call, previous)
    for key in ("interfaces", "ips"):
        if result.get(key) is None:  # null is as good as not there
            result[key] = []
    interfaces, ips = result["interfaces"], result["ips"]
    given = tuple(ips)
    for interface in plan.interfaces:
        if not interface.pci_address:
            interfaces.append(_tap(interface, plan, call))
        interfaces.append(_pseudo(interface, call))
        own = _addresses(given, interfaces, interface)
        ips += [{**ip, "interface": len(interfaces) - 1} for ip in own]
    return result


def _in_version(call: Call, previous: CniResult) -> dict[str, Any]:
    """Return the previous result: as it came, with keys that only its plugin knows, if it has the version wanted."""
    assert call.conf.previous is not None  # noqa: S101
    value: Any = call.conf.previous.value
    if value.get("cniVersion") == call.conf.version:
        return dict(copy.deepcopy(value))
    return previous.to_json(call.conf.version)


def _tap(interface: VmInterface, plan: Plan, call: Call) -> dict[str, Any]:
    states = (change.after for change in plan.changes if change.resource == Link(interface.name))
    mac = next((str(state.mac) for state in states if isinstance(state, LinkState)), None)
    found = {"name": str(interface.name), "mac": mac, "sandbox": str(call.netns), **_mtu(interface, call)}
    return {key: value for key, value in found.items() if value is not None}


def _pseudo(interface: VmInterface, call: Call) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": str(interface.name),
        "mac": str(interface.mac),
        "sandbox": call.attachment.container,
    }
    if interface.neighbours:  # what a guest behind AWS's plugin needs beside its addresses and routes
        found["neighbours"] = [{"address": str(one.address), "lladdr": str(one.lladdr)} for one in interface.neighbours]
    if interface.pci_address and call.conf.version in _WITH_MTU:
        found["pciID"] = str(interface.pci_address)
    return found | _mtu(interface, call)


def _mtu(interface: VmInterface, call: Call) -> dict[str, int]:
    return {"mtu": interface.mtu} if call.conf.version in _WITH_MTU else {}


def _addresses(
    ips: Iterable[dict[str, Any]], interfaces: list[dict[str, Any]], interface: VmInterface
) -> list[dict[str, Any]]:
    """Return the addresses of the link of an interface; those of no interface are of the only one."""
    found = []
    for ip in ips:
        index = ip.get("interface")
        if index is None or index < 0 or interfaces[index].get("name") == interface.link:
            found.append(ip)
    return found
