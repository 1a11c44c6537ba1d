"""Virtual functions as sysfs has them (Documentation/ABI/testing/sysfs-bus-pci), and the sysctls of links."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator

_DEVICES = "/sys/bus/pci/devices"
_VFIO = "/sys/bus/pci/drivers/vfio-pci"
# The class of what vfio doesn't count among the devices of a group (PCI-to-PCI bridges).
_BRIDGE = "0x0604"
_CONF = "/proc/sys/net"
_FAMILIES = ("ipv4", "ipv6")
# What cannot be set, follows something else, or is a resource of its own.
_NOT_SET = {"mc_forwarding", "stable_secret", "mtu", "addr_gen_mode"}
_NUMBER = r"-?[0-9]{1,10}"
_MOST = 4096


def read_functions() -> dict[str, dict[str, str]]:
    """Return the virtual functions of this machine by their address, each with what sysfs says of it, as text."""
    vfio = "1" if os.path.isdir(_VFIO) else "0"
    found = {}
    for address in _names(_DEVICES):
        physfn = _target(f"{_DEVICES}/{address}/physfn")
        if physfn:
            found[address] = _function(address, physfn) | {"vfio": vfio}
    return found


def _function(address: str, physfn: str) -> dict[str, str]:
    device, physical = f"{_DEVICES}/{address}", f"{_DEVICES}/{physfn}"
    numbers = (name.removeprefix("virtfn") for name in _names(physical) if name.startswith("virtfn"))
    override = _text(f"{device}/driver_override")
    others = (other for other in _names(f"{device}/iommu_group/devices") if other != address)
    return {
        "physfn": physfn,
        "number": next((number for number in numbers if _target(f"{physical}/virtfn{number}") == address), "0"),
        "pf": next(iter(_names(f"{physical}/net")), ""),
        "driver": _target(f"{device}/driver"),
        "override": "" if override == "(null)" else override,
        "group": _target(f"{device}/iommu_group"),
        "group_devices": " ".join(other for other in others if not _is_bridge(other)),
        "interface": next(iter(_names(f"{device}/net")), ""),
    }


def _is_bridge(address: str) -> bool:
    return _text(f"{_DEVICES}/{address}/class").startswith(_BRIDGE)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _target(link: str) -> str:
    """Return the last component of a link's target, "" if there is no such link."""
    try:
        return os.path.basename(os.readlink(link))
    except OSError:
        return ""


def _text(path: str) -> str:
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, _MOST).decode("ascii", errors="replace").strip()
        finally:
            os.close(fd)
    return ""


def read_conf(links: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the sysctls of links in which they differ from the default of their namespace; runs inside of that."""
    return {link: dict(_differing(link)) for link in links}


def _differing(link: str) -> Iterator[tuple[str, str]]:
    for family in _FAMILIES:
        for name in _names(f"{_CONF}/{family}/conf/{link}"):
            value, usual = (_text(f"{_CONF}/{family}/conf/{of}/{name}") for of in (link, "default"))
            if name not in _NOT_SET and value != usual and re.fullmatch(_NUMBER, value):
                yield f"{family}/{name}", value
