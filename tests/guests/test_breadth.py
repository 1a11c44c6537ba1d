"""Pods as they are in the world, each with a real guest that gets what the pod had and reaches what it reached."""

from __future__ import annotations

import sys

from tests.guests.machines import Nic, ping, qemu_machine, readable_by_all, started, uml
from tests.guests.serving import served, udhcpc, udhcpc_that_stays
from tests.support import MakeNamespace
from tests.support.cli import Cli
from tests.support.pods import MAC, Pod, aws, calico, one_link, plain, ptp_style, two_links
from tests.support.ports import Port

ELSEWHERE = "10.200.0.1"  # an address of the host that only routes lead to
LARGEST = 9000 - 28  # of what a ping carries with that MTU


def test_calico(netns: MakeNamespace, cli: Cli) -> None:
    """A /32, and a gateway that is nobody's address."""
    pod = calico(netns("host"), netns("pod"))
    pod.host.ip(f"addr add {ELSEWHERE}/32 dev lo")
    with served(cli, pod), uml(pod.inside, Nic("tap0", MAC)) as guest:
        guest.run(udhcpc())
        assert "inet 10.1.90.5/32 " in guest.run("ip -4 addr show dev eth0")
        assert "default via 169.254.1.1 dev eth0" in guest.run("ip route")
        guest.run(f"ping -c 1 -W 10 {ELSEWHERE}")
        ping(pod.host, "10.1.90.5")


def test_aws(netns: MakeNamespace, cli: Cli) -> None:
    """The gateway answers no ARP: what DHCP cannot say is said, and helps as it is written."""
    pod = aws(netns("host"), netns("pod"))
    pod.host.ip(f"addr add {ELSEWHERE}/32 dev lo")
    with served(cli, pod), uml(pod.inside, Nic("tap0", MAC)) as guest:
        guest.run(udhcpc())
        _, _, line = cli.run("guest", pod.inside.name, "--format", "dnsmasq").err.partition("in the guest run ")
        # busybox's ip sets no neighbours; its arp does.
        words = line.split()
        assert words[:3] == ["ip", "neigh", "replace"]
        guest.run(f"arp -s {words[3]} {words[5]} -i eth0")
        guest.run(f"ping -c 1 -W 10 {ELSEWHERE}")


def test_ptp(netns: MakeNamespace, cli: Cli) -> None:
    """The subnet is behind the gateway, not on the link."""
    pod = ptp_style(netns("host"), netns("pod"))
    with served(cli, pod), uml(pod.inside, Nic("tap0", MAC)) as guest:
        guest.run(udhcpc())
        assert "10.1.90.0/24 via 10.1.90.1 dev eth0" in guest.run("ip route")
        guest.run("ping -c 1 -W 10 10.1.90.1")
        ping(pod.host, "10.1.90.5")


def test_two_interfaces(netns: MakeNamespace, cli: Cli) -> None:
    """Each has its own lease; the default route is the first's."""
    pod = two_links(netns("host"), netns("pod"))
    pod.host.ip("addr add 10.1.91.1/24 dev h-net1")
    nics = Nic("tap0", MAC), Nic("tap1", "0a:58:0a:01:5b:05")
    with served(cli, pod), uml(pod.inside, *nics) as guest:
        for link in ("eth0", "eth1"):
            guest.run(udhcpc(link))
        assert "inet 10.1.91.5/24 " in guest.run("ip -4 addr show dev eth1")
        assert guest.run("ip route").count("default") == 1
        for gateway in ("10.1.90.1", "10.1.91.1"):
            guest.run(f"ping -c 1 -W 10 {gateway}")


def test_jumbo_frames(netns: MakeNamespace, cli: Cli) -> None:
    """QEMU, as `podwire guest` says it: the guest has the pod's MTU, and frames of that size pass both ways."""
    pod = one_link(mtu=9000)(netns("host"), netns("pod"))
    with served(cli, pod):
        words = cli.ok("guest", pod.inside.name, "--format", "qemu").split()
        machine = [*qemu_machine(), "-global", "virtio-net-pci.romfile=", *words]
        with started(["nsenter", f"--net={pod.inside.path}", *machine]) as guest:
            mtu = "cat /sys/class/net/eth0/mtu"
            told = guest.run(mtu)  # by the VMM, before anybody is asked
            guest.run(udhcpc())
            assert (told, guest.run(mtu)) == ("9000\n", "9000\n")
            guest.run(f"ping -c 1 -W 10 -s {LARGEST} 10.1.90.1")


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
        with uml(pod.inside, Nic("tap0", MAC)) as guest:
            guest.run(udhcpc())
            guest.run("ping -c 1 -W 10 10.1.90.1")
            assert "it has lost its network" in cli.ok("teardown", pod.inside.name, "--yes")
            assert guest.attempt("ping -c 1 -W 1 10.1.90.1")[1] != 0


def test_an_unprivileged_qemu_has_its_tap_handed_to_it(netns: MakeNamespace, cli: Cli) -> None:
    """Podwire exec: user 65534, a descriptor, and nothing to open."""
    pod: Pod = plain(netns("host"), netns("pod"))
    device = "virtio-net-pci,netdev=n0,mac={mac0},host_mtu={mtu0},romfile="
    with served(cli, pod, "--tap-vnet-hdr"), readable_by_all() as files:
        vmm = [*qemu_machine(files=files), "-netdev", "tap,id=n0,fd={fd0}", "-device", device]
        env = ["env", *(f"{key}={value}" for key, value in cli.environment.items())]
        podwire = [sys.executable, "-m", "executor", "exec", pod.inside.name, "--user", "65534:65534", "--"]
        with started([*env, *podwire, *vmm]) as guest:
            guest.run(udhcpc())
            guest.run("ping -c 1 -W 10 10.1.90.1")
            ping(pod.host, "10.1.90.5")
