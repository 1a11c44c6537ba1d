"""The network itself: what the VM sends arrives, what it must not hear or send doesn't, and wiring is silent."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from executor.netns.namespace import Namespace as OpenNamespace
from executor.taps.open import open_tap
from planner.kinds.link import Link, LinkState
from planner.kinds.link_attributes import Mac, MacState
from planner.plan.plan import Plan
from planner.text.values import InterfaceName
from tests.support import MakeNamespace
from tests.support.cni import Network, bridge, complete, quick
from tests.support.frames import (
    BROADCAST,
    Frame,
    arp_reply,
    arp_request,
    dhcp_discover,
    dhcpv6_solicit,
    neighbour_solicitation,
    ping,
)
from tests.support.pods import HOST_MAC, MAC, Pod, also, aws, dual_stack, plain
from tests.support.podwire import Podwire
from tests.support.ports import Port

VM4, GATEWAY4 = "10.1.90.5", "10.1.90.1"
VM6, GATEWAY6 = "fd00:1:90::5", "fd00:1:90::1"
SERVER = "169.254.254.2"
TAP = InterfaceName("tap0")


@pytest.fixture
def pod(netns: MakeNamespace) -> Pod:
    """Make a pod with an address and a gateway of each family."""
    return dual_stack(netns("host"), netns("pod"))


@pytest.fixture
def wired(pod: Pod, state_dir: Path) -> Pod:
    """Make such a pod, wired."""
    Podwire.on(pod, state_dir).apply()
    return pod


@contextmanager
def vm(pod: Pod) -> Iterator[Port]:
    """Be the VM: hold the tap, opened as podwire opens it for a VMM."""
    with OpenNamespace.open(Podwire.on(pod, Path("/nowhere")).netns) as namespace:
        (descriptor,) = open_tap(TAP, namespace=namespace)
    with Port.on_descriptor(descriptor, pod.inside, TAP) as port:
        yield port


def wire(pod: Pod) -> Port:
    """Return a capture on the host's end of the veth."""
    return Port.on_link(pod.host, pod.host_end())


def says(text: str) -> Callable[[Frame], bool]:
    """Return whether a frame is described like this."""
    return lambda frame: str(frame).startswith(text)


def from_the_pod(frames: tuple[Frame, ...]) -> list[Frame]:
    """Return those frames of a capture on the host's end that came out of the pod."""
    return [frame for frame in frames if not frame.outgoing]


def kinds(frames: list[Frame]) -> set[str]:
    """Return what frames are, each kind once."""
    return {str(frame) for frame in frames}


def delete_rule(pod: Pod, rule: str) -> None:
    """Take one of podwire's ebtables rules away: its chain and what it matches."""
    pod.inside.run("ebtables", "-D", *rule.split(), "-j", "DROP")


# --- the VM's frames --------------------------------------------------------------------------------------------------


def test_frames_reach_the_gateway_and_come_back(wired: Pod) -> None:
    """ARP and ping, answered by the other end of the veth; all from the MAC that the pod's interface had."""
    with vm(wired) as guest, wire(wired) as capture:
        guest.send(arp_request(MAC, VM4, GATEWAY4))
        answer = guest.receive(says(f"ARP {GATEWAY4} is at {HOST_MAC}"))
        guest.send(ping(MAC, answer.src, VM4, GATEWAY4))
        guest.receive(says(f"ICMP {GATEWAY4} > {VM4} echo reply"))
        sent = [frame for frame in from_the_pod(capture.frames()) if frame.ethertype != 0x86DD]
    assert [str(frame) for frame in sent] == [
        f"ARP who has {GATEWAY4} tell {VM4}",
        f"ICMP {VM4} > {GATEWAY4} echo request",
    ]
    assert {frame.src for frame in sent} == {MAC}
    assert MAC in wired.host.ip(f"neigh show {VM4}")


def test_frames_of_ipv6_reach_the_gateway_and_come_back(wired: Pod) -> None:
    """Neighbour solicitation and ping."""
    with vm(wired) as guest:
        guest.send(neighbour_solicitation(MAC, VM6, GATEWAY6))
        answer = guest.receive(says(f"ICMPv6 {GATEWAY6} > {VM6} neighbour advertisement"))
        guest.send(ping(MAC, answer.src, VM6, GATEWAY6))
        guest.receive(says(f"ICMPv6 {GATEWAY6} > {VM6} echo reply"))
    assert answer.src == HOST_MAC


def test_the_host_finds_the_vm_where_the_pod_was(wired: Pod) -> None:
    """It asks, the VM answers, and gets what was sent to the pod's address."""
    with vm(wired) as guest:
        wired.host.run("bash", "-c", f"echo hello >/dev/udp/{VM4}/4242")
        asked = guest.receive(says(f"ARP who has {VM4} tell {GATEWAY4}"))
        guest.send(arp_reply(MAC, VM4, asked.src, GATEWAY4))
        datagram = guest.receive(lambda frame: str(frame).endswith(f"> {VM4}:4242"))
    assert datagram.dst == MAC
    assert datagram.payload.endswith(b"hello\n")


def test_the_gateway_of_aws_is_reached_by_the_neighbour_that_the_guest_is_told(
    netns: MakeNamespace, state_dir: Path
) -> None:
    """Nobody answers for 169.254.1.1; a frame to the MAC of the permanent entry goes where the pod's went."""
    pod = aws(netns("host"), netns("pod"))
    plan = Podwire.on(pod, state_dir).apply()
    (interface,) = plan.interfaces
    (neighbour,) = interface.neighbours
    with vm(pod) as guest, wire(pod) as capture:
        guest.send(ping(interface.mac, neighbour.lladdr, VM4, str(neighbour.address)))
        capture.receive(says(f"ICMP {VM4} > 169.254.1.1 echo request"))
    assert neighbour.lladdr == HOST_MAC


# --- DHCP -------------------------------------------------------------------------------------------------------------

DISCOVER = "UDP 0.0.0.0:68 > 255.255.255.255:67"
OFFER = "UDP 169.254.254.2:67 > 255.255.255.255:68"
SOLICIT = "UDP [fe80::1]:546 > [ff02::1:2]:547"


def dhcp_server() -> socket.socket:
    """Return a socket as a DHCP server has it, on br0; to be called inside the namespace."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"br0\0")
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    server.bind(("", 67))
    server.settimeout(5)
    return server


def all_until_now(guest: Port, capture: Port) -> list[Frame]:
    """Return what came out of the pod so far: a frame that the VM sends now comes after it."""
    guest.send(arp_request(MAC, VM4, "10.1.90.99"))
    capture.receive(says("ARP who has 10.1.90.99 "))
    return from_the_pod(capture.frames())


def test_a_lease_is_asked_for_and_given_inside(wired: Pod) -> None:
    """The server on br0 hears the VM and the VM hears the server; the host hears nothing of it."""
    with vm(wired) as guest, wire(wired) as capture, wired.inside.inside(dhcp_server) as server:
        guest.send(dhcp_discover(MAC))
        assert server.recv(2000)[28:34].hex(":") == MAC
        server.sendto(b"an offer", ("255.255.255.255", 68))
        guest.receive(says(OFFER))
        assert not any("UDP" in str(frame) for frame in all_until_now(guest, capture))


def test_a_request_would_leave_without_the_rule(wired: Pod) -> None:
    """It is the rule in FORWARD that keeps it, and nothing else."""
    with vm(wired) as guest, wire(wired) as capture:
        delete_rule(wired, "FORWARD -p IPv4 -o eth0 --ip-proto udp --ip-dport 67")
        guest.send(dhcp_discover(MAC))
        capture.receive(says(DISCOVER))
        delete_rule(wired, "FORWARD -p IPv6 -o eth0 --ip6-proto udp --ip6-dport 547")
        guest.send(dhcpv6_solicit(MAC))
        capture.receive(says(SOLICIT))


def test_a_request_for_ipv6_stays_inside(wired: Pod) -> None:
    """If the pod has an IPv6 address; whoever listens on br0 hears it."""
    with vm(wired) as guest, wire(wired) as capture, Port.on_link(wired.inside, "br0") as listener:
        guest.send(dhcpv6_solicit(MAC))
        listener.receive(says(SOLICIT))
        assert SOLICIT not in kinds(all_until_now(guest, capture))


def test_a_request_stays_inside_behind_somebodys_accept(netns: MakeNamespace, state_dir: Path) -> None:
    """The rules come before those that were there."""
    pod = also(plain, "ebtables -A FORWARD -j ACCEPT")(netns("host"), netns("pod"))
    Podwire.on(pod, state_dir).apply()
    with vm(pod) as guest, wire(pod) as capture, pod.inside.inside(dhcp_server) as server:
        guest.send(dhcp_discover(MAC))
        assert server.recv(2000)
        assert DISCOVER not in kinds(all_until_now(guest, capture))


# --- silence ----------------------------------------------------------------------------------------------------------

LEFT_GROUPS = "ICMPv6 :: > ff02::16 MLDv2 report"
LEFT_GROUPS_FIRST = "ICMPv6 fe80::858:aff:fe01:5a05 > ff02::16 MLDv2 report"  # before the link-local address is gone


def mac_of_eth0(plan: Plan) -> str:
    """Return the MAC that the pod's interface gets."""
    (state,) = (change.after for change in plan.changes if isinstance(change.resource, Mac))
    assert isinstance(state, MacState)
    return state.mac


def mac_of_br0(plan: Plan) -> str:
    """Return the MAC that the bridge gets."""
    (state,) = (change.after for change in plan.changes if change.resource == Link(InterfaceName("br0")))
    assert isinstance(state, LinkState)
    return state.mac


def test_wiring_is_silent(netns: MakeNamespace, state_dir: Path) -> None:
    """From before apply until a second after it the host hears one kind of frame, a report on the link's groups.

    When it is sent is the kernel's choice, and so whether the link still has its link-local address and its old MAC.
    """
    host, inside = netns("host"), netns("pod")
    inside.sysctl("net/ipv6/conf/default/mldv2_unsolicited_report_interval", 10)  # the pod has said all when it begins
    pod = dual_stack(host, inside)
    with wire(pod) as capture:
        said = len(capture.listen(0.3))
        plan = Podwire.on(pod, state_dir).apply()
        heard = from_the_pod(capture.listen(1.2)[said:])
    assert kinds(heard) <= {LEFT_GROUPS, LEFT_GROUPS_FIRST}
    assert {frame.src for frame in heard} <= {mac_of_eth0(plan), MAC}


def test_only_the_vm_is_heard_while_wired(wired: Pod) -> None:
    """Programs in the namespace talk to the VM over br0, and to nobody else."""
    with vm(wired) as guest, wire(wired) as capture:
        wired.inside.run("bash", "-c", f"echo hello >/dev/udp/{SERVER[:-1]}77/9")
        guest.receive(says(f"ARP who has 169.254.254.77 tell {SERVER}"))
        wired.inside.run("bash", "-c", "echo hello >/dev/udp/169.254.254.255/9", check=False)
        heard = all_until_now(guest, capture)
    assert kinds(heard) - {LEFT_GROUPS} == {f"ARP who has 10.1.90.99 tell {VM4}"}


def test_a_program_in_the_namespace_would_be_heard_without_the_rule(wired: Pod) -> None:
    """It is the rule in OUTPUT that keeps the bridge's own frames in."""
    delete_rule(wired, "OUTPUT -o eth0")
    with wire(wired) as capture:
        wired.inside.run("bash", "-c", "echo hello >/dev/udp/169.254.254.77/9")
        capture.receive(says(f"ARP who has 169.254.254.77 tell {SERVER}"))


# --- two pods on one bridge -------------------------------------------------------------------------------------------


@pytest.fixture
def neighbours(netns: MakeNamespace, tmp_path: Path) -> list[tuple[Pod, Plan]]:
    """Make two pods on the host's bridge cni0, by the bridge plugin, and wire both."""
    host = netns("host")
    network = Network(host, bridge())
    wired = []
    for seed in range(2):
        inside = netns("pod")
        quick(host, inside)
        pod = Pod(host, inside, network.add(inside))
        complete(inside, "eth0")
        wired.append((pod, Podwire.on(pod, tmp_path / inside.name, seed=seed).apply()))
    return wired


def test_a_pod_answers_only_its_own_vm_for_its_dhcp_address(neighbours: list[tuple[Pod, Plan]]) -> None:
    """Both bridges have the same address; a VM that asks for it gets one answer, from the bridge of its own pod."""
    (here, plan), (there, other_plan) = neighbours
    ours, theirs = (planned.interfaces[0] for planned in (plan, other_plan))
    assert ours.dhcp_address == theirs.dhcp_address
    with vm(here) as guest, vm(there) as other, Port.on_link(here.host, "cni0") as capture:
        guest.send(arp_request(ours.mac, "10.1.90.2", SERVER))
        answer = guest.receive(says(f"ARP {SERVER} is at"))
        other.receive(says(f"ARP who has {SERVER} tell 10.1.90.2"))  # it was asked
        other.send(arp_request(theirs.mac, "10.1.90.3", "10.1.90.2"))
        guest.receive(says("ARP who has 10.1.90.2 "))  # whatever the other pod has to say was said before
        answers = [frame for frame in guest.frames() if says(f"ARP {SERVER} is at")(frame)]
        assert not any("is at" in str(frame) for frame in capture.frames())
    assert answers == [answer]
    assert answer.src == mac_of_br0(plan)


def test_a_server_in_a_pod_is_not_reached_from_its_network(neighbours: list[tuple[Pod, Plan]]) -> None:
    """Neither by the broadcast of another nor by a frame to the bridge's own MAC; without the rule it would be."""
    (here, plan), (there, other_plan) = neighbours
    mac, bridge_mac = plan.interfaces[0].mac, mac_of_br0(other_plan)
    direct = ping(mac, bridge_mac, "169.254.254.9", SERVER)
    with (
        vm(here) as guest,
        vm(there) as other,
        Port.on_link(there.inside, "br0") as listener,
        Port.on_link(here.host, "cni0") as host,
    ):
        guest.send(direct)
        host.send(dhcp_discover(HOST_MAC))
        other.receive(says(DISCOVER))  # it came as far as the other VM
        other.send(arp_request(other_plan.interfaces[0].mac, "10.1.90.3", SERVER))
        listener.receive(says(f"ARP who has {SERVER} tell 10.1.90.3"))  # and the server hears its own VM
        assert not {"UDP", "ICMP"} & {str(frame).split()[0] for frame in listener.frames()}

        delete_rule(there, "INPUT -i eth0")
        guest.send(direct)
        host.send(dhcp_discover(HOST_MAC))
        listener.receive(says(f"ICMP 169.254.254.9 > {SERVER} echo request"))
        listener.receive(says(DISCOVER))


# --- the pod's firewall -----------------------------------------------------------------------------------------------

FIREWALLS = {
    "nftables": (
        "nft add table inet pod",
        "nft add chain inet pod forward '{ type filter hook forward priority 0; policy drop; }'",
    ),
    "iptables": ("iptables -A FORWARD -j DROP", "ip6tables -P FORWARD DROP"),
}


@pytest.mark.parametrize("lines", FIREWALLS.values(), ids=FIREWALLS)
def test_frames_pass_where_the_pods_firewall_drops_what_is_forwarded(
    netns: MakeNamespace, state_dir: Path, lines: tuple[str, ...]
) -> None:
    """With br_netfilter on they would be dropped: they are as soon as it is on again."""
    on = "sysctl -qw net/bridge/bridge-nf-call-iptables=1 net/bridge/bridge-nf-call-ip6tables=1"
    pod = also(dual_stack, *lines, on)(netns("host"), netns("pod"))
    Podwire.on(pod, state_dir).apply()
    with vm(pod) as guest, wire(pod) as capture:
        guest.send(ping(MAC, HOST_MAC, VM4, GATEWAY4))
        guest.send(ping(MAC, HOST_MAC, VM6, GATEWAY6))
        capture.receive(says(f"ICMP {VM4} > {GATEWAY4} echo request"))
        capture.receive(says(f"ICMPv6 {VM6} > {GATEWAY6} echo request"))

        pod.inside.run(*on.split())
        guest.send(ping(MAC, HOST_MAC, VM4, GATEWAY4, sequence=2))
        guest.send(ping(MAC, HOST_MAC, VM6, GATEWAY6, sequence=2))
        pings = [frame for frame in all_until_now(guest, capture) if "echo request" in str(frame)]
    assert len(pings) == 2


def test_a_broadcast_is_not_sent_back_to_the_vm(wired: Pod) -> None:
    """Neither bridge nor veth returns to it what it sent."""
    with vm(wired) as guest:
        guest.send(arp_request(MAC, VM4, GATEWAY4))
        guest.receive(says(f"ARP {GATEWAY4} is at"))
        assert not [frame for frame in guest.frames() if frame.src == MAC or frame.dst == BROADCAST]
