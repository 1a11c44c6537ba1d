"""What the tc wiring of a guest that podwire serves keeps apart, as programs of filters: it has one server.

What the pod network's servers and routers say is dropped on its way in. What the guest asks goes to the tap's own
stack, where the server listens, or nowhere; all else goes on to the redirects.

Sources: RFC 2131 and RFC 8415 (ports), RFC 4861 (neighbour discovery), RFC 7113 (how guards against rogue routers are
evaded: by extension headers).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv6Address

from planner.guest.icmpv6 import (
    ADVERTISEMENT,
    NEIGHBOUR_ADVERTISEMENT,
    NEIGHBOUR_SOLICITATION,
    REDIRECT,
    SOLICITATION,
)
from planner.guest.model import SERVER_LINK_LOCAL
from planner.kinds.bpf import (
    DROP,
    GO_ON,
    TO_STACK,
    Bytecode,
    Line,
    assemble,
    byte,
    go,
    half,
    if_any,
    if_equal,
    keep_length_of_ipv4_header,
    keep_offset,
    result,
    skip_extension_header,
    vlan_tag,
    word,
)

_ETHERTYPE, _PAYLOAD = 12, 14
_ARP, _IPV4, _IPV6 = 0x0806, 0x0800, 0x86DD
_ARP_TARGET = _PAYLOAD + 24
_PROTOCOL, _FRAGMENT, _DESTINATION = _PAYLOAD + 9, _PAYLOAD + 6, _PAYLOAD + 16
_NOT_FIRST_FRAGMENT = 0x1FFF  # which has no header of UDP
_NEXT_HEADER, _DESTINATION_6, _BEHIND_IPV6 = _PAYLOAD + 6, _PAYLOAD + 24, _PAYLOAD + 40
_PORT = 2  # of the destination, in a header of UDP
_ND_TARGET = _BEHIND_IPV6 + 8
_UDP, _ICMPV6, _MULTICAST = 17, 58, 0xFF
_EVERYBODY = 0xFFFF_FFFF
# Extension headers that hosts take in front of neighbour discovery. What comes in fragments they drop (RFC 6980).
_EXTENSIONS = (0, 43, 60)
_MOST_EXTENSIONS = 4  # more than any host sends
_DHCP_CLIENT, _DHCP_SERVER = {4: 68, 6: 546}, {4: 67, 6: 547}


def answers(served: Collection[int], *, routers: bool) -> Bytecode:
    """Return the program that drops what others would tell the guest, of frames from the pod network.

    That is DHCP answers in the families that are ``served``; with ``routers`` also their advertisements and redirects.
    """
    return assemble(
        (
            *_untagged(),
            *([if_equal(_IPV4, "ipv4")] if 4 in served else []),
            *([if_equal(_IPV6, "ipv6")] if 6 in served or routers else []),
            go("go on"),
            *(_udp_to_port(_DHCP_CLIENT[4], then="drop", otherwise="go on") if 4 in served else []),
            *(_answers_of_ipv6(dhcp=6 in served, routers=routers) if 6 in served or routers else []),
            *_verdicts(),
        )
    )


def questions(served: Collection[int], server: IPv4Address, *, routers: bool) -> Bytecode:
    """Return the program that gives what the guest asks to the stack in which ``server`` is, of frames from the tap.

    What it would ask others is dropped, and so is all else to the server: it is not the pod network's.
    """
    return assemble(
        (
            *_untagged(),
            *([if_equal(_ARP, "arp"), if_equal(_IPV4, "ipv4")] if 4 in served else []),
            *([if_equal(_IPV6, "ipv6")] if 6 in served or routers else []),
            go("go on"),
            *(_questions_of_ipv4(server) if 4 in served else []),
            *(_questions_of_ipv6(SERVER_LINK_LOCAL.ip, routers=routers) if 6 in served else []),
            *(_solicitations() if routers and 6 not in served else []),
            *_verdicts(),
        )
    )


def _untagged() -> Iterator[Line]:
    """Load the Ethernet type of a frame; one of a VLAN that the guest has on its own is none of the server's."""
    yield from (vlan_tag(), if_equal(0, None, "go on"), half(_ETHERTYPE))


def _verdicts() -> Iterator[Line]:
    yield from ("go on", result(GO_ON), "drop", result(DROP), "stack", result(TO_STACK))


def _udp_to_port(port: int, *, then: str, otherwise: str) -> Iterator[Line]:
    """Yield the test whether a packet of IPv4 is UDP to a port."""
    yield from ("ipv4", byte(_PROTOCOL), if_equal(_UDP, None, otherwise))
    yield from (half(_FRAGMENT), if_any(_NOT_FIRST_FRAGMENT, otherwise))
    yield from (keep_length_of_ipv4_header(_PAYLOAD), half(_PAYLOAD + _PORT, beyond_x=True))
    yield if_equal(port, then, otherwise)


def _answers_of_ipv6(*, dhcp: bool, routers: bool) -> Iterator[Line]:
    yield from ("ipv6", keep_offset(_BEHIND_IPV6), byte(_NEXT_HEADER))
    for number in range(_MOST_EXTENSIONS):
        if dhcp:
            yield if_equal(_UDP, "udp")
        if routers:
            yield if_equal(_ICMPV6, "icmpv6")
        for kind in _EXTENSIONS:
            yield if_equal(kind, f"extension {number}")
        yield from (go("go on"), f"extension {number}")
        yield from skip_extension_header()
    yield go("drop")
    if dhcp:
        yield from ("udp", half(_PORT, beyond_x=True), if_equal(_DHCP_CLIENT[6], "drop", "go on"))
    if routers:
        yield from ("icmpv6", byte(0, beyond_x=True), if_equal(ADVERTISEMENT, "drop"))
        yield if_equal(REDIRECT, "drop", "go on")


def _questions_of_ipv4(server: IPv4Address) -> Iterator[Line]:
    yield from ("arp", word(_ARP_TARGET), if_equal(int(server), "stack", "go on"))
    yield from _udp_to_port(_DHCP_SERVER[4], then="dhcp", otherwise="to server")
    yield from ("dhcp", word(_DESTINATION), if_equal(_EVERYBODY, "stack"), if_equal(int(server), "stack", "drop"))
    yield from ("to server", word(_DESTINATION), if_equal(int(server), "drop", "go on"))


def _questions_of_ipv6(server: IPv6Address, *, routers: bool) -> Iterator[Line]:
    yield from ("ipv6", byte(_NEXT_HEADER), if_equal(_UDP, "udp"), if_equal(_ICMPV6, "icmpv6", "to server 6"))
    yield from ("udp", half(_BEHIND_IPV6 + _PORT), if_equal(_DHCP_SERVER[6], None, "to server 6"))
    yield from (byte(_DESTINATION_6), if_equal(_MULTICAST, "stack"))
    yield from _is_address(_DESTINATION_6, server, then="stack", otherwise="drop")
    yield from ("icmpv6", byte(_BEHIND_IPV6))
    if routers:
        yield if_equal(SOLICITATION, "drop")
    yield from (if_equal(NEIGHBOUR_SOLICITATION, "asked"), if_equal(NEIGHBOUR_ADVERTISEMENT, "told", "to server 6"))
    yield from ("asked", *_is_address(_ND_TARGET, server, then="stack", otherwise="to server 6"))
    yield from ("told", *_is_address(_DESTINATION_6, server, then="stack", otherwise="go on"))
    yield from ("to server 6", *_is_address(_DESTINATION_6, server, then="drop", otherwise="go on"))


def _solicitations() -> Iterator[Line]:
    """Yield what drops the question for routers, if the guest is served IPv4 only."""
    yield from ("ipv6", byte(_NEXT_HEADER), if_equal(_ICMPV6, None, "go on"))
    yield from (byte(_BEHIND_IPV6), if_equal(SOLICITATION, "drop", "go on"))


def _is_address(at: int, address: IPv6Address, *, then: str, otherwise: str) -> Iterator[Line]:
    octets = address.packed
    for start in range(0, len(octets), 4):
        is_last = start + 4 == len(octets)
        value = int.from_bytes(octets[start : start + 4], "big")
        yield from (word(at + start), if_equal(value, then if is_last else None, otherwise))
