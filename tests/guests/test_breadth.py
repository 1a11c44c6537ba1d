"""Pods as they are in the world, each with a real guest that gets what the pod had and reaches what it reached."""

from __future__ import annotations

from pathlib import Path

from tests.guests.machines import Nic, ping, uml
from tests.guests.servers import dnsmasq
from tests.guests.serving import DHCPCD, served, udhcpc, udhcpc_that_stays
from tests.support import MakeNamespace, eventually
from tests.support.cli import Cli
from tests.support.pods import MAC, Pod, aws, calico, plain, ptp_style, two_links
from tests.support.ports import Port

ELSEWHERE, ELSEWHERE_6 = "10.200.0.1", "fd00:200::1"  # addresses of the host that only routes lead to
HOST_LINK_LOCAL = "fe80::858:aff:fe01:5a01"
# The network's own server, which gives whoever asks an address.
LAN_SERVER = """\
port=0
bind-interfaces
interface=h-eth0
leasefile-ro
dhcp-authoritative
dhcp-range=10.1.90.60,10.1.90.69,255.255.255.0,1h
"""


def test_calico(netns: MakeNamespace, cli: Cli) -> None:
    """A /32 and a /128, a gateway that is nobody's address and one that is link-local."""
    pod = calico(netns("host"), netns("pod"))
    pod.host.ip(f"addr add {ELSEWHERE}/32 dev lo")
    pod.host.ip(f"-6 addr add {ELSEWHERE_6}/128 dev lo")
    pod.add_address("fd00:1:90::5/128")
    pod.inside.ip(f"-6 route add default via {HOST_LINK_LOCAL} dev eth0")
    pod.host.ip(f"-6 route add fd00:1:90::5 dev {pod.host_end()}")
    pod.settle()
    with served(cli, pod), uml(pod.inside, Nic("tap0", MAC)) as guest:
        guest.run("ip link set eth0 up")
        guest.run(udhcpc())
        guest.run(DHCPCD)
        assert "inet 10.1.90.5/32 " in guest.run("ip -4 addr show dev eth0")
        assert "default via 169.254.1.1 dev eth0" in guest.run("ip route")
        guest.run(f"ping -c 1 -W 10 {ELSEWHERE}")
        guest.run(f"ping6 -c 1 -W 10 {ELSEWHERE_6}")
        for address in ("10.1.90.5", "fd00:1:90::5"):
            ping(pod.host, address)


def test_aws(netns: MakeNamespace, cli: Cli) -> None:
    """The gateway answers no ARP: what DHCP cannot say is said, and helps as it is written."""
    pod = aws(netns("host"), netns("pod"))
    pod.host.ip(f"addr add {ELSEWHERE}/32 dev lo")
    with served(cli, pod), uml(pod.inside, Nic("tap0", MAC)) as guest:
        guest.run(udhcpc())
        _, _, line = cli.run("guest", pod.inside.name, "--format", "dnsmasq").err.partition("in the guest, run ")
        # busybox's ip sets no neighbours; its arp does.
        words = line.split()
        assert words[:3] == ["ip", "neigh", "replace"]
        guest.run(f"arp -s {words[3]} {words[5]} -i eth0")
        guest.run(f"ping -c 1 -W 10 {ELSEWHERE}")


def test_ptp(netns: MakeNamespace, cli: Cli) -> None:
    """The subnet is behind the gateway, not on the link."""
    pod = ptp_style(netns("host"), netns("pod"))
    with served(cli, pod), uml(pod.inside, Nic("tap0", MAC)) as guest:
        guest.run("ip link set eth0 up")
        guest.run(udhcpc())
        guest.run(DHCPCD)
        assert "10.1.90.0/24 via 10.1.90.1 dev eth0" in guest.run("ip route")
        guest.run("ping -c 1 -W 10 10.1.90.1")
        guest.run("ping6 -c 1 -W 10 fd00:1:90::1")
        for address in ("10.1.90.5", "fd00:1:90::5"):
            ping(pod.host, address)


def test_a_wire(netns: MakeNamespace, cli: Cli, tmp_path: Path) -> None:
    """A pod whose plugin gave it no address (ipam {}): the guest finds the server of its network."""
    pod = Pod.between(netns("host"), netns("pod"))
    pod.host.ip(f"addr add 10.1.90.1/24 dev {pod.add_veth()}")
    pod.settle()
    with cli.wired(pod), dnsmasq(pod.host, tmp_path, LAN_SERVER), uml(pod.inside, Nic("tap0", MAC)) as guest:
        guest.run(udhcpc())
        assert "inet 10.1.90.6" in guest.run("ip -4 addr show dev eth0")
        guest.run("ping -c 1 -W 10 10.1.90.1")


def test_two_interfaces(netns: MakeNamespace, cli: Cli) -> None:
    """Each has its own lease; the default route is the first's."""
    pod = two_links(netns("host"), netns("pod"))
    pod.host.ip("addr add 10.1.91.1/24 dev h-net1")
    nics = Nic("tap0", MAC), Nic("tap1", "0a:58:0a:01:5b:05")
    pod.host.ip("-6 addr add fd00:1:91::1/64 dev h-net1")
    pod.settle()
    with served(cli, pod), uml(pod.inside, *nics) as guest:
        for link in ("eth0", "eth1"):
            guest.run(f"ip link set {link} up")
            guest.run(udhcpc(link))
            guest.run(DHCPCD.replace("eth0", link))
        assert "inet6 fd00:1:91::5/" in guest.run("ip -6 addr show dev eth1")
        guest.run("ping6 -c 1 -W 10 fd00:1:91::1")
        assert "inet 10.1.91.5/24 " in guest.run("ip -4 addr show dev eth1")
        assert guest.run("ip route").count("default") == 1
        for gateway in ("10.1.90.1", "10.1.91.1"):
            guest.run(f"ping -c 1 -W 10 {gateway}")


def test_a_lease_is_renewed_by_unicast(netns: MakeNamespace, cli: Cli) -> None:
    """The guest asks the server itself, and not the pod network."""
    pod = plain(netns("host"), netns("pod"))
    with served(cli, pod), Port.on_link(pod.inside, "tap0") as tap, uml(pod.inside, Nic("tap0", MAC)) as guest:
        guest.run(udhcpc_that_stays())
        tap.receive(lambda frame: str(frame) == "UDP 10.1.90.5:68 > 169.254.254.2:67", seconds=30)
        tap.receive(lambda frame: str(frame) == "UDP 169.254.254.2:67 > 10.1.90.5:68", seconds=30)


def test_a_vmm_is_killed_and_another_takes_its_place(netns: MakeNamespace, cli: Cli) -> None:
    """On the same tap, with the same lease; and teardown under the running one leaves the pod as it was."""
    pod = plain(netns("host"), netns("pod"))
    with served(cli, pod):
        with uml(pod.inside, Nic("tap0", MAC)) as guest:
            guest.run(udhcpc())
            guest.kill()
        # Processes of User Mode Linux may hold the tap a moment longer.
        eventually(lambda: "NO-CARRIER" in pod.inside.ip("link show dev tap0"), "the tap that nobody holds", seconds=20)
        with uml(pod.inside, Nic("tap0", MAC)) as guest:
            guest.run(udhcpc())
            guest.run("ping -c 1 -W 10 10.1.90.1")
            assert "it has lost its network" in cli.ok("teardown", pod.inside.name, "--yes")
            assert guest.attempt("ping -c 1 -W 1 10.1.90.1")[1] != 0
