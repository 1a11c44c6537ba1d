"""Ethernet frames: those that came, in words, and those that a test sends, in bytes."""

from __future__ import annotations

import ipaddress
import os
import struct

from attrs import field, frozen

BROADCAST = "ff:ff:ff:ff:ff:ff"
ETH_P_IP, ETH_P_ARP, ETH_P_IPV6 = 0x0800, 0x0806, 0x86DD
ICMP, UDP, ICMPV6 = 1, 17, 58

ICMP_NAMES = {0: "echo reply", 3: "unreachable", 8: "echo request"}
ICMPV6_NAMES = {
    1: "unreachable",
    128: "echo request",
    129: "echo reply",
    131: "MLD report",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbour solicitation",
    136: "neighbour advertisement",
    137: "redirect",
    143: "MLDv2 report",
}


@frozen
class Frame:
    """An Ethernet frame as it was on the wire; `str` says in a few words what it is."""

    data: bytes = field(repr=False)
    outgoing: bool = False  # sent by the kernel on that link, rather than received from it

    @property
    def dst(self) -> str:
        """The destination MAC."""
        return self.data[:6].hex(":")

    @property
    def src(self) -> str:
        """The source MAC."""
        return self.data[6:12].hex(":")

    @property
    def ethertype(self) -> int:
        """The protocol number, e.g. 0x0806."""
        return int.from_bytes(self.data[12:14])

    @property
    def payload(self) -> bytes:
        """What comes behind the Ethernet header."""
        return self.data[14:]

    def __str__(self) -> str:
        """E.g. `ARP who has 10.1.90.1 tell 10.1.90.5`, `UDP 0.0.0.0:68 > 255.255.255.255:67`."""
        match self.ethertype:
            case 0x0806:
                return _describe_arp(self.payload)
            case 0x0800:
                header = (self.payload[0] & 15) * 4
                ends = _text(self.payload[12:16]), _text(self.payload[16:20])
                return _describe_packet(ends, self.payload[9], self.payload[header:])
            case 0x86DD:
                ends = _text(self.payload[8:24]), _text(self.payload[24:40])
                return _describe_packet(ends, *_behind_hop_by_hop(self.payload))
            case number:
                return f"ethertype {number:#06x} {self.src} > {self.dst}"


def _describe_arp(payload: bytes) -> str:
    operation, sender_mac, sender, target = payload[6:8], payload[8:14], _text(payload[14:18]), _text(payload[24:28])
    if operation == b"\0\1":
        return f"ARP who has {target} tell {sender}"
    return f"ARP {sender} is at {sender_mac.hex(':')}"


def _behind_hop_by_hop(packet: bytes) -> tuple[int, bytes]:
    protocol, rest = packet[6], packet[40:]
    if protocol == 0:  # MLD carries the router alert option there
        return rest[0], rest[8 + rest[1] * 8 :]
    return protocol, rest


def _describe_packet(ends: tuple[str, str], protocol: int, rest: bytes) -> str:
    source, destination = ends
    if protocol == UDP:
        from_port, to_port = struct.unpack_from("!HH", rest)
        return f"UDP {_with_port(source, from_port)} > {_with_port(destination, to_port)}"
    if protocol in (ICMP, ICMPV6):
        name, names = ("ICMP", ICMP_NAMES) if protocol == ICMP else ("ICMPv6", ICMPV6_NAMES)
        return f"{name} {source} > {destination} {names.get(rest[0], f'type {rest[0]}')}"
    return f"protocol {protocol} {source} > {destination}"


def _text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))


def _with_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


# --- building ---------------------------------------------------------------------------------------------------------


def ethernet(src: str, dst: str, ethertype: int, payload: bytes) -> bytes:
    """Put an Ethernet header in front of `payload`."""
    return _mac(dst) + _mac(src) + struct.pack("!H", ethertype) + payload


def arp_request(src_mac: str, src: str, target: str) -> bytes:
    """Ask who has `target` (RFC 826)."""
    header = struct.pack("!HHBBH", 1, ETH_P_IP, 6, 4, 1)
    body = _mac(src_mac) + _packed(src) + bytes(6) + _packed(target)
    return ethernet(src_mac, BROADCAST, ETH_P_ARP, header + body)


def arp_reply(src_mac: str, src: str, dst_mac: str, dst: str) -> bytes:
    """Answer `dst` that `src` is at `src_mac`."""
    header = struct.pack("!HHBBH", 1, ETH_P_IP, 6, 4, 2)
    body = _mac(src_mac) + _packed(src) + _mac(dst_mac) + _packed(dst)
    return ethernet(src_mac, dst_mac, ETH_P_ARP, header + body)


def ping(src_mac: str, dst_mac: str, src: str, dst: str, *, sequence: int = 1) -> bytes:
    """Send an echo request, of ICMP or ICMPv6 by the addresses' family (RFC 792, RFC 4443)."""
    body = struct.pack("!HH", os.getpid() & 0xFFFF, sequence) + b"podwire"
    if ":" in src:
        return icmpv6(src_mac, dst_mac, src, dst, struct.pack("!BBH", 128, 0, 0) + body)
    message = struct.pack("!BBH", 8, 0, 0) + body
    message = message[:2] + _checksum(message) + message[4:]
    return ethernet(src_mac, dst_mac, ETH_P_IP, _ipv4(src, dst, ICMP, message))


def icmpv6(src_mac: str, dst_mac: str, src: str, dst: str, message: bytes) -> bytes:
    """Send an ICMPv6 `message`, whose checksum is still 0."""
    message = message[:2] + _checksum(_pseudo_header(src, dst, ICMPV6, message) + message) + message[4:]
    return ethernet(src_mac, dst_mac, ETH_P_IPV6, _ipv6(src, dst, ICMPV6, message))


def neighbour_solicitation(src_mac: str, src: str, target: str) -> bytes:
    """Ask who has `target`, IPv6's way (RFC 4861)."""
    low = _packed(target)[-3:]
    group = _text(_packed("ff02::1:ff00:0")[:-3] + low)
    message = struct.pack("!BBHI", 135, 0, 0, 0) + _packed(target) + b"\1\1" + _mac(src_mac)
    return icmpv6(src_mac, f"33:33:ff:{low.hex(':')}", src, group, message)


def neighbour_advertisement(mac: str, src: str, dst_mac: str, dst: str) -> bytes:
    """Answer `dst`, which has asked, that `src` is at `mac` (RFC 4861, section 4.4)."""
    message = struct.pack("!BBHI", 136, 0, 0, 0x6000_0000) + _packed(src) + b"\2\1" + _mac(mac)
    return icmpv6(mac, dst_mac, src, dst, message)


def dhcp_discover(mac: str, *, transaction: int = 0x706F_6477) -> bytes:
    """Ask for an IPv4 lease (RFC 2131), as a VM does that has no address yet."""
    fixed = struct.pack("!BBBBIHH16x6s10x192x", 1, 1, 6, 0, transaction, 0, 0x8000, _mac(mac))
    options = b"\x63\x82\x53\x63" + b"\x35\x01\x01" + b"\x37\x03\x01\x03\x06" + b"\xff"
    ends = "0.0.0.0", "255.255.255.255"  # noqa: S104 -- nothing is bound: a client without an address asks everybody
    return ethernet(mac, BROADCAST, ETH_P_IP, _ipv4(*ends, UDP, _udp4(68, 67, fixed + options)))


def dhcp_offer(mac: str, server: str, client: str, *, transaction: int = 0x706F_6477) -> bytes:
    """Offer `client` to everybody who asks for an IPv4 lease, in answer to `dhcp_discover` (RFC 2131)."""
    head = struct.pack("!BBBBIHH4x", 2, 1, 6, 0, transaction, 0, 0x8000) + _packed(client)
    fixed = head + struct.pack("!8x6s10x192x", _mac(mac))
    options = b"\x63\x82\x53\x63" + b"\x35\x01\x02" + b"\x36\x04" + _packed(server) + b"\xff"
    return ethernet(mac, BROADCAST, ETH_P_IP, _ipv4(server, "255.255.255.255", UDP, _udp4(67, 68, fixed + options)))


def dhcpv6_advertise(mac: str, src: str, dst_mac: str, dst: str, *, transaction: int = 0x706F64) -> bytes:
    """Answer `dhcpv6_solicit` with the least that an advertisement says (RFC 8415)."""
    message = struct.pack("!I", 2 << 24 | transaction) + struct.pack("!HHHH6s", 2, 10, 3, 1, _mac(mac))
    datagram = struct.pack("!HHHH", 547, 546, 8 + len(message), 0) + message
    datagram = datagram[:6] + _checksum(_pseudo_header(src, dst, UDP, datagram) + datagram) + datagram[8:]
    return ethernet(mac, dst_mac, ETH_P_IPV6, _ipv6(src, dst, UDP, datagram))


def router_solicitation(mac: str, src: str) -> bytes:
    """Ask for routers (RFC 4861, section 4.1)."""
    return icmpv6(mac, "33:33:00:00:00:02", src, "ff02::2", struct.pack("!BBHI", 133, 0, 0, 0))


def redirect(mac: str, src: str, dst_mac: str, dst: str, target: str) -> bytes:
    """Tell `dst` that another first hop is better for `target` (RFC 4861, section 4.5)."""
    message = struct.pack("!BBHI", 137, 0, 0, 0) + _packed(src) + _packed(target)
    return icmpv6(mac, dst_mac, src, dst, message)


def dhcpv6_solicit(mac: str, src: str = "fe80::1", *, transaction: int = 0x706F64) -> bytes:
    """Ask for an IPv6 lease (RFC 8415): to all servers and relays, from a link-local address."""
    client = struct.pack("!HHHH6s", 1, 10, 3, 1, _mac(mac))
    wanted = struct.pack("!HHIII", 3, 12, 1, 0, 0)
    message = struct.pack("!I", 1 << 24 | transaction) + client + struct.pack("!HHH", 8, 2, 0) + wanted
    dst = "ff02::1:2"
    datagram = struct.pack("!HHHH", 546, 547, 8 + len(message), 0) + message
    datagram = datagram[:6] + _checksum(_pseudo_header(src, dst, UDP, datagram) + datagram) + datagram[8:]
    return ethernet(mac, "33:33:00:01:00:02", ETH_P_IPV6, _ipv6(src, dst, UDP, datagram))


def with_options(frame: bytes) -> bytes:
    """Put options, all of them "no operation", into the IPv4 header of a frame (RFC 791, section 3.1)."""
    packet = frame[14:]
    header = bytes([0x46, *packet[1:2]]) + struct.pack("!H", len(packet) + 4) + packet[4:10] + b"\0\0"
    header += packet[12:20] + b"\1\1\1\1"
    return frame[:14] + header[:10] + _checksum(header) + header[12:] + packet[20:]


def behind_extensions(frame: bytes, *kinds: int) -> bytes:
    """Put extension headers, filled with padding, between the IPv6 header of a frame and what follows (RFC 8200)."""
    packet = frame[14:]
    for kind in reversed(kinds):
        extension = bytes([packet[6], 0]) + b"\1\4\0\0\0\0"
        length = struct.pack("!H", int.from_bytes(packet[4:6]) + len(extension))
        packet = packet[:4] + length + bytes([kind]) + packet[7:40] + extension + packet[40:]
    return frame[:14] + packet


def later_fragment(src_mac: str, dst_mac: str, src: str, dst: str, payload: bytes) -> bytes:
    """Send what is not the first fragment of a datagram, and has no header of UDP (RFC 791, section 3.2)."""
    packet = _ipv4(src, dst, UDP, payload)
    header = packet[:6] + b"\0\xb9" + packet[8:10] + b"\0\0" + packet[12:20]
    return ethernet(src_mac, dst_mac, ETH_P_IP, header[:10] + _checksum(header) + header[12:] + payload)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def _udp4(source: int, destination: int, payload: bytes) -> bytes:
    return struct.pack("!HHHH", source, destination, 8 + len(payload), 0) + payload  # 0: no checksum, IPv4 allows that


def _ipv4(src: str, dst: str, protocol: int, payload: bytes) -> bytes:
    ends = _packed(src) + _packed(dst)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0) + ends
    return header[:10] + _checksum(header) + header[12:] + payload


def _ipv6(src: str, dst: str, protocol: int, payload: bytes) -> bytes:
    ends = _packed(src) + _packed(dst)
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 255) + ends + payload


def _pseudo_header(src: str, dst: str, protocol: int, payload: bytes) -> bytes:
    ends = _packed(src) + _packed(dst)
    return ends + struct.pack("!II", len(payload), protocol)


def _checksum(data: bytes) -> bytes:
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)
