"""Who made an address or a route, and as what a neighbour was made: ``ip`` 6.1 doesn't print what the kernel notes.

To be called on a thread inside the namespace.
"""

from __future__ import annotations

import _socket
import os
import re
import struct
from contextlib import suppress
from pathlib import Path

from executor.observe.netlink import attributes, dump
from planner.facts.makers import AddressMakers
from planner.facts.neighbours import NeighbourTypes

# <linux/rtnetlink.h>, <linux/if_addr.h>: RTM_GETADDR, struct ifaddrmsg, IFA_ADDRESS, IFA_LOCAL and IFA_PROTO.
_GET_ADDRESS = 22
_IFADDRMSG = struct.Struct("=BBBBI")
_ADDRESS, _LOCAL, _PROTO = 1, 2, 11
_SINCE = (5, 18)
# <linux/neighbour.h>: RTM_GETNEIGH, struct ndmsg and NDA_DST.
_GET_NEIGHBOUR = 30
_NDMSG = struct.Struct("=BBHiHBB")
_DST = 1
_NET = Path("/proc/thread-self/net")
_CONF = Path("/proc/sys/net/ipv6/conf")


def read_address_makers() -> AddressMakers | None:
    """Return who made each address, by the link's index and the address; None if the kernel doesn't say."""
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if version is None or tuple(map(int, version.groups())) < _SINCE:
        return None
    found = {}
    for body in dump(_socket.NETLINK_ROUTE, _GET_ADDRESS, _IFADDRMSG.pack(_socket.AF_UNSPEC, 0, 0, 0, 0)):
        given = dict(attributes(body[_IFADDRMSG.size :]))
        if _PROTO in given:
            family, length, _, _, index = _IFADDRMSG.unpack_from(body)
            address = _socket.inet_ntop(family, given.get(_LOCAL, given.get(_ADDRESS, b"")))
            found[index, f"{address}/{length}"] = given[_PROTO][0]
    return found


def read_making_temporary() -> tuple[str, ...]:
    """Return the links on which the kernel makes temporary addresses of others (kernel, ip-sysctl.rst)."""
    return tuple(name for name, value in _of_links("use_tempaddr").items() if int(value) > 0)


def read_ipv6_mtus() -> dict[str, str]:
    """Return the MTU of IPv6 on each link that has IPv6 (kernel, ip-sysctl.rst)."""
    return _of_links("mtu")


def _of_links(setting: str) -> dict[str, str]:
    found = {}
    for path in _CONF.glob(f"*/{setting}"):
        with suppress(OSError):  # a link may be gone by now
            found[path.parent.name] = path.read_text("utf-8").strip()
    return found


def read_neighbour_types() -> NeighbourTypes:
    """Return the type of each IPv4 neighbour's address, by the link's index and the address (``ndm_type``)."""
    found = {}
    for body in dump(_socket.NETLINK_ROUTE, _GET_NEIGHBOUR, _NDMSG.pack(_socket.AF_INET, 0, 0, 0, 0, 0, 0)):
        _, _, _, index, _, _, kind = _NDMSG.unpack_from(body)
        address = dict(attributes(body[_NDMSG.size :])).get(_DST)
        if address is not None:
            found[index, _socket.inet_ntop(_socket.AF_INET, address)] = kind
    return found


def read_route_makers() -> str | None:
    """Return what the kernel lists of IPv6 routes with their flags; None without IPv6."""
    return _read("ipv6_route")


def read_groups() -> str | None:
    """Return what the kernel lists of IPv6 groups that links listen to; None without IPv6."""
    return _read("igmp6")


def _read(name: str) -> str | None:
    try:
        return (_NET / name).read_text("utf-8", "replace")
    except OSError:
        return None
