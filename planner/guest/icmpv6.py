"""Router advertisements for a guest, and what is asked to find its routers: ICMPv6 frames as bytes.

A DHCPv6 server tells neither routes nor subnets, and the sender of an advertisement is the router that it is about
(RFC 4861, section 6.3.4): so podwire advertises in the name of the pod network's gateway. It leaves out the MAC, which
the guest then asks the real gateway for.

Sources: RFC 4861 (neighbour discovery), RFC 8106 (DNS), RFC 4191 (routes), RFC 4443 (ICMPv6).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from planner.guest.nic import GuestNic
from planner.text.frozen import frozen
from planner.text.values import DomainName, MacAddress

SOLICITATION, ADVERTISEMENT, NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 133, 134, 135, 136
REDIRECT = 137
ECHO_REQUEST, ECHO_REPLY = 128, 129
ALL_NODES, ALL_ROUTERS = IPv6Address("ff02::1"), IPv6Address("ff02::2")
_ETHERNET, _IPV6 = struct.Struct("!6s6sH"), struct.Struct("!IHBB16s16s")
_TYPE_AT = _ETHERNET.size + _IPV6.size
_ETHERTYPE, _ICMPV6, _HOP_LIMIT = 0x86DD, 58, 255
_FOREVER = 0xFFFF_FFFF
_ROUTER_LIFETIME = 9000  # the longest that there is (RFC 4861, section 6.2.1)
_MANAGED_AND_OTHER = 0xC0  # ask DHCPv6 for the address and for the rest
_ON_LINK = 0x80  # and not autonomous: no address is to be made of the prefix
_HALF, _WHOLE = 64, 128
_LEAST_MTU = 1280  # RFC 8200, section 5
_MOST_OF_RESOLVER = 1024  # so that an option fits into any frame


@frozen
class Received:
    """An ICMPv6 message that came: its type, who sent it, and its body after the checksum."""

    type: int
    source_mac: MacAddress
    source: IPv6Address
    body: bytes


def read_frame(frame: bytes) -> Received | None:
    """Return the ICMPv6 message in an Ethernet frame, None if it is none, or was not sent on this very link."""
    if len(frame) < _TYPE_AT + 8:
        return None
    _, mac, ethertype = _ETHERNET.unpack_from(frame)
    _, length, protocol, hops, source, _ = _IPV6.unpack_from(frame, _ETHERNET.size)
    is_local = hops == _HOP_LIMIT or frame[_TYPE_AT] == ECHO_REPLY
    if ethertype != _ETHERTYPE or protocol != _ICMPV6 or not is_local:
        return None
    end = _ETHERNET.size + _IPV6.size + length
    return Received(frame[_TYPE_AT], MacAddress(mac.hex(":")), IPv6Address(source), frame[_TYPE_AT + 4 : end])


def link_local_of(mac: MacAddress) -> IPv6Address:
    """Return the link-local address that is made of a MAC (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:])


def neighbour_solicitation(mac: MacAddress, source: IPv6Address, target: IPv6Address) -> bytes:
    """Return the frame that asks who has ``target``, and tells where ``source`` is (RFC 4861, section 4.3)."""
    group = IPv6Address(IPv6Address("ff02::1:ff00:0").packed[:13] + target.packed[13:])
    option = b"\x01\x01" + bytes.fromhex(mac.replace(":", ""))
    return _frame(mac, source, group, struct.pack("!BBHI", NEIGHBOUR_SOLICITATION, 0, 0, 0) + target.packed + option)


def echo_request(mac: MacAddress, source: IPv6Address, group: IPv6Address) -> bytes:
    """Return the frame of a ping to a group (RFC 4443, section 4.1)."""
    return _frame(mac, source, group, struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, 0, 1))


def advertised_gateways(nic: GuestNic) -> tuple[IPv6Address, ...]:
    """Return the gateways of the guest's IPv6 routes, that of the default route first."""
    ways = [nic.gateway(6), *(route.via for route in nic.routes(6))]
    return tuple(dict.fromkeys(via for via in ways if isinstance(via, IPv6Address)))


def advertisements(nic: GuestNic, gateway: IPv6Address | None, source: IPv6Address, mac: MacAddress) -> Iterator[bytes]:
    """Yield the frames that tell the guest, in the name of ``source``, of its subnets and the routes by ``gateway``.

    ``source`` is the link-local address of ``gateway``, or any if that is None; ``mac`` sends the frames. Without a
    default route by ``gateway`` they say that it is no default router. What does not fit into one frame is in several
    (RFC 4861, section 6.2.3).
    """
    routes = [route for route in nic.guest.routes if route.dst.version == 6 and route.via == gateway and gateway]
    is_default = any(route.dst.prefixlen == 0 for route in routes)
    head = struct.pack(
        "!BBHBBHII", ADVERTISEMENT, 0, 0, 64, _MANAGED_AND_OTHER, _ROUTER_LIFETIME if is_default else 0, 0, 0
    )
    options = [struct.pack("!BBHI", 5, 1, 0, nic.guest.mtu), *map(_prefix, _subnets(nic))]
    options += [_route(route.dst) for route in routes if isinstance(route.dst, IPv6Network) and route.dst.prefixlen]
    options += _resolver(nic)
    room = max(nic.guest.mtu, _LEAST_MTU) - _IPV6.size - len(head)
    yield from (_frame(mac, source, ALL_NODES, head + b"".join(some)) for some in _grouped(options, room))


def _grouped(parts: Iterable[bytes], room: int) -> Iterator[list[bytes]]:
    """Yield the parts in their order, in groups of at most ``room`` octets; none is longer than that."""
    group: list[bytes] = []
    for part in parts:
        if group and sum(map(len, group)) + len(part) > room:
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _subnets(nic: GuestNic) -> Iterator[IPv6Network]:
    """Yield what is on the link: the subnets of addresses, and routes without a gateway."""
    own = [one.network for one in nic.addresses(6) if isinstance(one, IPv6Interface)]
    found = [network for network in own if network.prefixlen < _WHOLE]
    found += [
        route.dst
        for route in nic.guest.routes
        if route.via is None and isinstance(route.dst, IPv6Network) and route.dst.prefixlen
    ]
    found += [IPv6Network(via) for via in nic.unreached_gateways(6) if isinstance(via, IPv6Address)]
    yield from dict.fromkeys(found)


def _prefix(network: IPv6Network) -> bytes:
    """Return a prefix information option (RFC 4861, section 4.6.2)."""
    head = struct.pack("!BBBBIII", 3, 4, network.prefixlen, _ON_LINK, _FOREVER, _FOREVER, 0)
    return head + network.network_address.packed


def _route(network: IPv6Network) -> bytes:
    """Return a route information option (RFC 4191, section 2.3)."""
    length = 2 if network.prefixlen <= _HALF else 3
    prefix = network.network_address.packed[: 8 * (length - 1)]
    return struct.pack("!BBBBI", 24, length, network.prefixlen, 0, _FOREVER) + prefix


def _resolver(nic: GuestNic) -> Iterator[bytes]:
    """Yield the options for name servers and for domains to search in (RFC 8106, section 5)."""
    for kind, values in ((25, (server.packed for server in nic.nameservers(6))), (31, map(_name, nic.search))):
        for some in _grouped(values, _MOST_OF_RESOLVER):
            data = b"".join(some)
            data += bytes(-len(data) % 8)
            yield struct.pack("!BBHI", kind, 1 + len(data) // 8, 0, _FOREVER) + data


def _name(domain: DomainName) -> bytes:
    """Return a name as DNS has it on the wire (RFC 1035, section 3.1)."""
    labels = (label.encode("ascii") for label in domain.split("."))
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _frame(mac: MacAddress, source: IPv6Address, group: IPv6Address, message: bytes) -> bytes:
    """Return a frame to a group, its message with the checksum (RFC 8200, section 8.1; RFC 2464, section 7)."""
    pseudo = source.packed + group.packed + struct.pack("!II", len(message), _ICMPV6)
    message = message[:2] + _checksum(pseudo + message) + message[4:]
    ethernet = _ETHERNET.pack(b"\x33\x33" + group.packed[12:], bytes.fromhex(mac.replace(":", "")), _ETHERTYPE)
    ipv6 = _IPV6.pack(6 << 28, len(message), _ICMPV6, _HOP_LIMIT, source.packed, group.packed)
    return ethernet + ipv6 + message


def _checksum(data: bytes) -> bytes:
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)
