"""Router advertisements for a guest: however much there is to tell, each frame can be sent.

What a guest makes of them is in tests/guests.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest
from attrs import evolve

from planner.cni.result import CniDns
from planner.guest.formats import guest_nics
from planner.guest.icmpv6 import advertisements
from planner.text.values import DomainName, MacAddress, parse_address
from tests.planner.builders import address, namespace, plan_of, result_of, route, veth

GATEWAY, SOURCE, MAC = IPv6Address("fd00::1"), IPv6Address("fe80::1"), MacAddress("02:00:00:00:00:01")
ETHERNET, IPV6, HEAD = 14, 40, 16
MTU, PREFIX, ROUTE, RDNSS, DNSSL = 5, 3, 24, 25, 31  # RFC 4861, 4191, 8106


def options(frame: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of the options of an advertisement (RFC 4861, section 4.6)."""
    at = ETHERNET + IPV6 + HEAD
    while at < len(frame):
        kind, length = frame[at], 8 * frame[at + 1]
        assert length
        yield kind, frame[at + 2 : at + length]
        at += length
    assert at == len(frame)


@pytest.mark.parametrize("mtu", [1280, 1500, 9000])
@pytest.mark.parametrize("many", [1, 100, 300])
def test_what_one_frame_cannot_carry_is_in_several(many: int, mtu: int) -> None:
    """All is told, in the order in which it was; each says how long the router is one."""
    routes = (route(f"fd01:{number:x}::/32 via fd00::1 dev eth0") for number in range(many))
    default = route("default via fd00::1 dev eth0")
    facts = namespace(veth(mtu=mtu), address("fd00::5/64"), *routes, default)
    servers = tuple(parse_address(f"fd00:53::{number:x}") for number in range(many))
    search = tuple(DomainName(f"{'d' * 40}{number}.example") for number in range(many))
    (nic,) = guest_nics(plan_of(facts, evolve(result_of(facts), dns=CniDns(servers, None, search, ()))))
    frames = list(advertisements(nic, GATEWAY, SOURCE, MAC))
    assert max(map(len, frames)) <= ETHERNET + mtu
    assert {frame[ETHERNET + IPV6 : ETHERNET + IPV6 + 2] + frame[ETHERNET + IPV6 + 4 :][:4] for frame in frames} == {
        b"\x86\x00\x40\xc0" + (9000).to_bytes(2)
    }
    found = [option for frame in frames for option in options(frame)]
    kinds = [kind for kind, _ in found]
    assert kinds == sorted(kinds, key=[MTU, PREFIX, ROUTE, RDNSS, DNSSL].index)
    assert [data[6:10] for kind, data in found if kind == ROUTE] == [
        bytes([0xFD, 0x01]) + number.to_bytes(2) for number in range(many)
    ]
    told = b"".join(data[6:] for kind, data in found if kind == RDNSS)
    assert told == b"".join(server.packed for server in servers)
    names = b"".join(data[6:].rstrip(b"\0") + b"\0" for kind, data in found if kind == DNSSL)
    assert names.count(b"\x07example\0") == names.count(b"\x07example") == many
