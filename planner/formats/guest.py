"""The box of the VM: what the guest has on its end of a tap, as the plan's CNI result says."""

from __future__ import annotations

from collections.abc import Iterator

from planner.cni.result import CniIp
from planner.formats.picture.boxes import Box, Line, Snapshot, captioned
from planner.kinds.link import Link
from planner.network import VmInterface
from planner.plan.plan import Plan


def vm_box(interface: VmInterface, side: Snapshot) -> Box | None:
    """Return the VM's own interface, which there is as soon as there is a tap."""
    tap = Link(interface.name)
    if side.state(tap) is None:
        return None
    ips = _guest_ips(interface, side.plan)
    lines = [Line(interface.mac), *(Line(str(ip.address)) for ip in ips)]
    lines += captioned("routes", (Line(route) for route in _guest_routes(side.plan, ips)))
    lines += captioned("neighbours", (Line(f"{one.address} is {one.lladdr}") for one in interface.neighbours))
    return Box("vm", "VM", f"opens {interface.name} · mtu {interface.mtu}", side.sign(tap), tuple(lines))


def _guest_ips(interface: VmInterface, plan: Plan) -> list[CniIp]:
    index = next((i for i, given in enumerate(plan.result.interfaces) if given.name == interface.link), None)
    return [ip for ip in plan.result.ips if index is not None and ip.interface == index]


def _guest_routes(plan: Plan, ips: list[CniIp]) -> Iterator[str]:
    """Yield the result's routes: all to an only interface, else those whose gateway lies in one of its addresses.

    A route without a gateway may use that of an address (CNI specification, ADD Success).
    """
    for route in plan.result.routes:
        dst = "default" if route.dst.prefixlen == 0 else str(route.dst)
        own = next((ip.gateway for ip in ips if ip.gateway and ip.gateway.version == route.dst.version), None)
        via = route.gateway or own
        if via and (len(plan.interfaces) == 1 or any(via in ip.address.network for ip in ips)):
            yield f"{dst} via {via}"
        elif len(plan.interfaces) == 1:
            yield dst
