"""Router advertisements (RFC 4861, section 4.2), as a router on the link would send them."""

from __future__ import annotations

import ipaddress
import struct

from tests.support.frames import icmpv6

ROUTER = "fe80::1"
ROUTER_MAC = "02:00:00:00:00:fe"
_ADVERTISEMENT, _SOURCE_MAC, _PREFIX = 134, 1, 3
_ON_LINK_AND_AUTONOMOUS = 0xC0


FOR_EVER = 2**32 - 1


def router_advertisement(
    prefix: str = "2001:db8:5::/64", *, seconds: int = 1800, prefix_seconds: int | None = None
) -> bytes:
    """Advertise a default route, and a prefix to make addresses from, for so many seconds."""
    lives = seconds if prefix_seconds is None else prefix_seconds
    network = ipaddress.IPv6Network(prefix)
    head = struct.pack("!BBHBBHII", _ADVERTISEMENT, 0, 0, 64, 0, seconds, 0, 0)
    source = struct.pack("!BB6s", _SOURCE_MAC, 1, bytes.fromhex(ROUTER_MAC.replace(":", "")))
    option = struct.pack("!BBBBIII", _PREFIX, 4, network.prefixlen, _ON_LINK_AND_AUTONOMOUS, lives, lives, 0)
    message = head + source + option + network.network_address.packed
    return icmpv6(ROUTER_MAC, "33:33:00:00:00:01", ROUTER, "ff02::1", message)
