"""The guest hears one server, and that server only the guest: frames on both sides of the wiring."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

from tests.guests.readers import tcpdump
from tests.support import MakeNamespace
from tests.support.advertisements import router_advertisement
from tests.support.cli import Cli
from tests.support.frames import (
    arp_request,
    behind_extensions,
    dhcp_discover,
    dhcp_offer,
    dhcpv6_advertise,
    dhcpv6_solicit,
    later_fragment,
    neighbour_advertisement,
    redirect,
    router_solicitation,
    with_options,
)
from tests.support.pods import MAC, Pod, dual_stack
from tests.support.ports import Port

GUEST = "fe80::858:aff:fe01:5a05"  # what the guest makes of its MAC
SERVER, GATEWAY = "fe80::5a54", "fe80::858:aff:fe01:5a01"
ROGUE, ROGUE_MAC = "fe80::bad", "02:00:00:00:0b:ad"
STRANGERS = {ROGUE_MAC, "02:00:00:00:00:fe"}  # the second is the router's that advertises
# As tcpdump says it.
FLAGS, FOREVER = "Flags [managed, other stateful]", "valid time infinity, pref. time infinity"
LAST = "ARP who has 10.1.90.5 tell 10.1.90.77"


@frozen
class Sides:
    """The wire to the pod network, and the VM's end of the tap."""

    wire: Port
    vm: Port


@pytest.fixture(params=["bridge", "tc"])
def served(cli: Cli, netns: MakeNamespace, request: pytest.FixtureRequest) -> Iterator[Sides]:
    """Wire a dual-stack pod and serve its guest, who has not asked yet."""
    pod: Pod = dual_stack(netns("host"), netns("pod"))
    pod.result["dns"] = {"nameservers": ["10.96.0.10", "fd00:10::a"], "search": ["svc.example"]}
    cli.ok("apply", *cli.wiring(pod), "--serve-dhcp", "--wiring", request.param, "--yes")
    with Port.on_tap(pod.inside, "tap0") as vm, Port.on_link(pod.host, pod.host_end()) as wire:
        cli.ok("dhcp", pod.inside.name, "--daemon")
        yield Sides(wire, vm)
    cli.ok("teardown", pod.inside.name, "--yes")


def test_what_strangers_serve_never_reaches_the_guest(served: Sides) -> None:
    """Advertisements, redirects, and answers of both DHCPs; other frames do."""
    for frame in (
        router_advertisement("2001:db8:bad::/64"),
        redirect(ROGUE_MAC, ROGUE, MAC, GUEST, "2001:db8::1"),
        dhcp_offer(ROGUE_MAC, "10.1.90.66", "10.1.90.99"),
        dhcpv6_advertise(ROGUE_MAC, ROGUE, MAC, GUEST),
        arp_request(ROGUE_MAC, "10.1.90.77", "10.1.90.5"),
    ):
        served.wire.send(frame)
    served.vm.receive(lambda frame: str(frame) == LAST)
    assert [str(frame) for frame in served.vm.frames() if frame.src in STRANGERS] == [LAST]


def test_what_strangers_hide_does_not_reach_it_either(served: Sides) -> None:
    """Behind options of IPv4 and extension headers of IPv6; a fragment that only looks so does."""
    advertised = router_advertisement("2001:db8:bad::/64")
    fragment = later_fragment(ROGUE_MAC, MAC, "10.1.90.66", "10.1.90.5", bytes.fromhex("00430044") * 4)
    for frame in (
        *(behind_extensions(advertised, *kinds) for kinds in ((0,), (60,), (0, 60), (60, 60, 60))),
        behind_extensions(redirect(ROGUE_MAC, ROGUE, MAC, GUEST, "2001:db8::1"), 60),
        behind_extensions(dhcpv6_advertise(ROGUE_MAC, ROGUE, MAC, GUEST), 60),
        with_options(dhcp_offer(ROGUE_MAC, "10.1.90.66", "10.1.90.99")),
        fragment,
        arp_request(ROGUE_MAC, "10.1.90.77", "10.1.90.5"),
    ):
        served.wire.send(frame)
    served.vm.receive(lambda frame: str(frame) == LAST)
    came = [frame.data for frame in served.vm.frames() if frame.src in STRANGERS]
    assert came == [fragment, arp_request(ROGUE_MAC, "10.1.90.77", "10.1.90.5")]


def test_the_guest_is_answered_and_nobody_on_the_wire_is(served: Sides) -> None:
    """Who asks from the pod network, whatever MAC it says, gets nothing; the guest's own questions stay inside."""
    for mac in (ROGUE_MAC, MAC):
        served.wire.send(dhcp_discover(mac))
        served.wire.send(dhcpv6_solicit(mac, ROGUE))
        served.wire.send(router_solicitation(mac, ROGUE))
    served.vm.send(dhcp_discover(MAC))
    served.vm.receive(lambda frame: str(frame).startswith("UDP 169.254.254.2:67 > "))
    served.vm.send(dhcpv6_solicit(MAC, GUEST))
    asked = served.vm.receive(lambda frame: str(frame) == f"ICMPv6 {SERVER} > ff02::1:ff01:5a05 neighbour solicitation")
    served.vm.send(neighbour_advertisement(MAC, GUEST, asked.src, SERVER))
    served.vm.receive(lambda frame: str(frame).startswith(f"UDP [{SERVER}]:547 > "))
    served.vm.send(router_solicitation(MAC, GUEST))
    served.vm.receive(lambda frame: "router advertisement" in str(frame))
    served.vm.send(arp_request(MAC, "10.1.90.5", "10.1.90.1"))
    served.wire.receive(lambda frame: str(frame) == "ARP who has 10.1.90.1 tell 10.1.90.5")
    came = [str(frame) for frame in served.wire.frames() if not frame.outgoing]
    assert not [words for words in came if "router" in words or words.startswith("UDP")]


def test_the_advertisement_says_what_the_guest_needs(served: Sides, tmp_path: Path) -> None:
    """As tcpdump reads it: nothing of podwire's decodes what podwire has made."""
    served.vm.send(router_solicitation(MAC, GUEST))
    frame = served.vm.receive(lambda frame: "router advertisement" in str(frame))
    said = tcpdump(frame.data, tmp_path)
    lines = [line.strip() for line in said.splitlines() if "0x00" not in line]
    assert lines[0].startswith("00:00:00.000000 IP6 (hlim 255, next-header ICMPv6 (58) ")
    assert "fe80::858:aff:fe01:5a01 > ff02::1: [icmp6 sum ok] ICMP6, router advertisement" in lines[0]
    assert lines[1:] == [
        f"hop limit 64, {FLAGS}, pref medium, router lifetime 9000s, reachable time 0ms, retrans timer 0ms",
        "mtu option (5), length 8 (1):  1500",
        f"prefix info option (3), length 32 (4): fd00:1:90::/64, Flags [onlink], {FOREVER}",
        "rdnss option (25), length 24 (3):  lifetime 4294967295s, addr: fd00:10::a",
        "dnssl option (31), length 24 (3):  lifetime 4294967295s, domain(s): svc.example.",
    ]


def test_another_client_behind_the_tap_gets_no_lease(served: Sides) -> None:
    """The lease is the guest's, by its MAC."""
    served.vm.send(dhcp_discover("02:00:00:00:00:07"))
    served.vm.send(dhcp_discover(MAC, transaction=7))
    served.vm.receive(lambda frame: str(frame).startswith("UDP 169.254.254.2:67 > "))
    offers = [frame for frame in served.vm.frames() if str(frame).startswith("UDP 169.254.254.2:67 > ")]
    assert [frame.payload[28:][4:8] for frame in offers] == [b"\0\0\0\7"]


def test_a_router_that_comes_later_is_advertised_then(cli: Cli, netns: MakeNamespace) -> None:
    """Until it answers the guest is told of none."""
    pod = dual_stack(netns("host"), netns("pod"))
    pod.host.ip(f"-6 addr del fd00:1:90::1/64 dev {pod.host_end()}")
    cli.ok("apply", *cli.wiring(pod), "--serve-dhcp", "--yes")
    with Port.on_tap(pod.inside, "tap0") as vm:
        said = cli.ok("dhcp", pod.inside.name, "--daemon")
        assert "router fd00:1:90::1 has not answered yet; it will be advertised as soon as it does" in said
        vm.send(router_solicitation(MAC, GUEST))
        vm.receive(lambda frame: str(frame) == f"ICMPv6 {SERVER} > ff02::1 router advertisement")
        pod.host.ip(f"-6 addr add fd00:1:90::1/64 dev {pod.host_end()} nodad")
        vm.receive(lambda frame: str(frame) == f"ICMPv6 {GATEWAY} > ff02::1 router advertisement", seconds=60)
    cli.ok("teardown", pod.inside.name, "--yes")
