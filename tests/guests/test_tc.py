"""Guests behind tc wiring that podwire serves: they hear no other server, and nobody else hears theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guests.machines import Nic, ping, uml
from tests.guests.servers import dnsmasq
from tests.guests.serving import DHCPCD, served, udhcpc, udhcpc_that_stays
from tests.support import MakeNamespace, Namespace
from tests.support.advertisements import router_advertisement
from tests.support.cli import Cli
from tests.support.frames import dhcp_discover, dhcp_offer, dhcpv6_advertise, redirect
from tests.support.pods import HOST_MAC, MAC, Build, Pod, dual_stack
from tests.support.ports import Port

ROGUE, ROGUE_MAC = "fe80::bad", "02:00:00:00:0b:ad"
GUEST = "fe80::858:aff:fe01:5a05"
# Somebody on the pod network who serves whoever asks.
ROGUE_SERVER = """\
port=0
bind-interfaces
interface=h-eth0
leasefile-ro
dhcp-authoritative
dhcp-range=10.1.90.60,10.1.90.69,255.255.255.0,1h
dhcp-range=fd00:1:90::60,fd00:1:90::69,64,1h
"""


def on_macvlan(host: Namespace, inside: Namespace) -> Pod:
    """Make a dual-stack pod on a macvlan, whose parent hears the gateway over a wire."""
    pod = Pod.between(host, inside)
    host.ip(f"link add h-eth0 address {HOST_MAC} type veth peer name uplink")
    host.ip("link set uplink addrgenmode none")
    for link in ("uplink", "h-eth0"):
        host.ip(f"link set {link} up")
    host.ip(f"link add link uplink name eth0 netns {inside.name} address {MAC} type macvlan mode bridge")
    inside.ip("link set eth0 up")
    pod.result["interfaces"].append({"name": "eth0", "mac": MAC, "sandbox": str(inside.path)})
    pod.add_address("10.1.90.5/24", gateway="10.1.90.1")
    pod.add_address("fd00:1:90::5/64", gateway="fd00:1:90::1")
    pod.settle()
    return pod


@pytest.mark.parametrize(("build", "boots"), [(dual_stack, 2), (on_macvlan, 1)])
def test_a_guest_among_strangers(netns: MakeNamespace, cli: Cli, tmp_path: Path, build: Build, boots: int) -> None:
    """Both families, a renewal by unicast, a reboot: what others serve never comes, and its questions never leave."""
    pod = build(netns("host"), netns("pod"))
    # As many hosts have it: the strict one, by which the guest's own address is not to come from a tap.
    pod.inside.sysctl("net/ipv4/conf/all/rp_filter", 1)
    # The pod's own stack has the guest's link-local address, and would go on looking for routers.
    pod.inside.sysctl("net/ipv6/conf/eth0/router_solicitations", 0)
    with (
        dnsmasq(pod.host, tmp_path, ROGUE_SERVER),
        served(cli, pod, "--wiring", "tc"),
        Port.on_link(pod.host, "h-eth0") as wire,
        Port.on_link(pod.inside, "tap0") as tap,
        uml(pod.inside, Nic("tap0", MAC)) as guest,
    ):
        for number in range(boots):
            if number:
                guest.reboot()
            guest.run("ip link set eth0 up")
            serve_rogues(wire)
            guest.run(udhcpc())
            guest.run(DHCPCD)
            serve_rogues(wire)  # the guest certainly hears by now, and what comes later comes behind these
            for address in ("10.1.90.5", "fd00:1:90::5"):
                ping(pod.host, address)
            assert "inet 10.1.90.5/24 " in guest.run("ip -4 addr show dev eth0")
            assert "default via 10.1.90.1 dev eth0" in guest.run("ip route")
            found = guest.run("ip -6 addr show dev eth0 scope global")
            assert "fd00:1:90::5/" in found
            assert found.count("inet6 ") == 1
            assert guest.run("ip -6 route").count("default via") == 1
            guest.run("ping -c 1 -W 10 10.1.90.1")
            guest.run("ping6 -c 1 -W 10 fd00:1:90::1")
        guest.run(udhcpc_that_stays())
        tap.receive(lambda frame: str(frame) == "UDP 10.1.90.5:68 > 169.254.254.2:67", seconds=30)
        tap.receive(lambda frame: str(frame) == "UDP 169.254.254.2:67 > 10.1.90.5:68", seconds=30)
        said = [str(frame) for frame in wire.frames() if not frame.outgoing]
        heard = [frame.src for frame in tap.frames() if frame.outgoing]
    assert not [words for words in said if words.startswith("UDP") or "router" in words or "169.254" in words]
    assert not [words for words in said if "fe80::5a54" in words]
    assert ROGUE_MAC not in heard
    assert "02:00:00:00:00:fe" not in heard


def serve_rogues(wire: Port) -> None:
    """Say what nobody has asked for, as a rogue router and a rogue server do."""
    for frame in (
        router_advertisement("2001:db8:bad::/64"),
        redirect(ROGUE_MAC, ROGUE, MAC, GUEST, "2001:db8::1"),
        dhcp_offer(ROGUE_MAC, "10.1.90.66", "10.1.90.99"),
        dhcpv6_advertise(ROGUE_MAC, ROGUE, MAC, GUEST),
    ):
        wire.send(frame)


def test_strangers_are_heard_without(cli: Cli, pod: Pod) -> None:
    """By a wiring that was not made for a server: what is kept out above does come over the wire."""
    cli.ok("apply", *cli.wiring(pod), "--wiring", "tc", "--yes")
    offer = dhcp_offer(ROGUE_MAC, "10.1.90.66", "10.1.90.99")
    with Port.on_tap(pod.inside, "tap0") as vm, Port.on_link(pod.host, pod.host_end()) as wire:
        vm.send(dhcp_discover(MAC))
        wire.send(offer)
        vm.receive(lambda frame: frame.data == offer)
