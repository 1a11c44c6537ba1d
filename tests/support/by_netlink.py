"""Setting by netlink what `ip` 6.1 has no words for: `python3 tests/support/by_netlink.py address|route …`.

address 10.1.0.6/24 eth0 PROTO           an address with a mark of who made it (IFA_PROTO of <linux/if_addr.h>)
route 10.9.0.0/16 10.1.0.1 eth0 12=17    a route with metrics, as <linux/rtnetlink.h> counts them (RTAX_*)
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable
from ipaddress import ip_interface, ip_network

_NEW_ADDRESS, _NEW_ROUTE = 20, 24
_CREATE = 0x1 | 0x4 | 0x200 | 0x400  # request, acknowledge, exclusive, create
_NO_DAD = 0x2
_MAIN_TABLE, _BOOT, _UNICAST = 254, 3, 1


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute, padded."""
    return struct.pack("<HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def ask(kind: int, body: bytes) -> None:
    """Have the kernel of this namespace do it. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(struct.pack("<IHHII", 16 + len(body), kind, _CREATE, 1, 0) + body)
        (code,) = struct.unpack_from("<i", kernel.recv(1 << 16), 16)
    if code:
        raise OSError(-code, "the kernel refused it")


def add_address(address: str, link: str, proto: str) -> None:
    """Add an address with a mark."""
    found = ip_interface(address)
    family = socket.AF_INET if found.version == 4 else socket.AF_INET6
    body = struct.pack("<BBBBI", family, found.network.prefixlen, _NO_DAD, 0, socket.if_nametoindex(link))
    body += attribute(2, found.ip.packed) + attribute(1, found.ip.packed) + attribute(11, bytes([int(proto)]))
    ask(_NEW_ADDRESS, body)


def add_route(dst: str, gateway: str, link: str, *metrics: str) -> None:
    """Add an IPv4 route with metrics."""
    network = ip_network(dst)
    values = (map(int, metric.split("=")) for metric in metrics)
    inner = b"".join(attribute(name, struct.pack("<I", value)) for name, value in values)
    body = struct.pack("<BBBBBBBBI", socket.AF_INET, network.prefixlen, 0, 0, _MAIN_TABLE, _BOOT, 0, _UNICAST, 0)
    body += attribute(1, network.network_address.packed) + attribute(5, socket.inet_aton(gateway))
    body += attribute(4, struct.pack("<I", socket.if_nametoindex(link))) + attribute(8, inner)
    ask(_NEW_ROUTE, body)


if __name__ == "__main__":
    COMMANDS: dict[str, Callable[..., None]] = {"address": add_address, "route": add_route}
    COMMANDS[sys.argv[1]](*sys.argv[2:])
