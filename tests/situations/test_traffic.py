"""Situations 20 to 22: what else decides about the VM's frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import MakeNamespace, Namespace
from tests.support.cli import Cli
from tests.support.cni import Network, bridge
from tests.support.dumps import unchanged
from tests.support.frames import Frame, arp_request, dhcp_discover, ethernet, ping
from tests.support.pods import HOST_MAC, MAC, Build, Pod, also, on_host, plain
from tests.support.ports import Port

netfilter = pytest.mark.skipif(
    not Path("/proc/sys/net/bridge").exists(), reason="br_netfilter is not loaded: modprobe br_netfilter"
)
DHCP_ADDRESS = "169.254.254.2"


def passed_on(frames: tuple[Frame, ...], words: str) -> list[str]:
    """Return those of the frames that have `words` in their description."""
    return [str(frame) for frame in frames if words in str(frame)]


# --- 20 ---------------------------------------------------------------------------------------------------------------

RULESETS = {
    "iptables drops what is forwarded": ("iptables -P FORWARD DROP",),
    "nftables drops what is forwarded": (
        "nft add table inet t",
        "nft add chain inet t forward '{ type filter hook forward priority 0; policy drop; }'",
    ),
    "nftables redirects to somewhere else": (
        "nft add table ip t",
        "nft add chain ip t before '{ type nat hook prerouting priority -100; }'",
        "nft add rule ip t before ip daddr 10.1.90.1 dnat to 10.1.90.99",
    ),
    "nftables drops what comes in": (
        "nft add table ip t",
        "nft add chain ip t before '{ type filter hook prerouting priority -300; policy drop; }'",
    ),
}


@netfilter
@pytest.mark.parametrize("lines", RULESETS.values(), ids=RULESETS)
def test_20_the_pod_s_own_firewall(netns: MakeNamespace, cli: Cli, lines: tuple[str, ...]) -> None:
    """The VM's frames pass, there and back; the rules are as they were, and in force again afterwards."""
    pod = also(on_host(plain, "ip neigh add 10.1.90.5 lladdr 0a:58:0a:01:5a:05 dev h-eth0"), *lines)(
        netns("host"), netns("pod")
    )
    called = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    assert pod.inside.run("cat", called).out == "1\n"
    with cli.wired(pod), Port.on_tap(pod.inside, "tap0") as vm:
        assert pod.inside.run("cat", called).out == "0\n"
        vm.send(ping(MAC, HOST_MAC, "10.1.90.5", "10.1.90.1"))
        vm.receive(lambda frame: str(frame) == "ICMP 10.1.90.1 > 10.1.90.5 echo reply")


# --- 21 ---------------------------------------------------------------------------------------------------------------


def two_pods(netns: MakeNamespace, cli: Cli) -> tuple[Pod, Pod]:
    """Let the real plugin put two pods on one host bridge, and wire both."""
    host = netns("host")
    host.ip("link set lo up")
    network = Network(host, bridge())
    pods = []
    for name in ("one", "two"):
        inside = netns(name)
        inside.ip("link set lo up")
        pods.append(Pod(host, inside, network.add(inside)))
    for pod in pods:
        pod.settle()
        cli.apply(pod)
    return pods[0], pods[1]


def mac_of(namespace: Namespace, link: str) -> str:
    """Return the MAC of a link."""
    return namespace.ip(f"link show dev {link}").split("link/ether ")[1].split()[0]


def test_21_each_answers_for_its_own_dhcp_address_only(netns: MakeNamespace, cli: Cli) -> None:
    """Both bridges have the same one; a VM that asks gets one answer, from its own."""
    one, two = two_pods(netns, cli)
    mac = one.result["interfaces"][2]["mac"]
    with Port.on_tap(one.inside, "tap0") as vm, Port.on_tap(two.inside, "tap0") as other:
        vm.send(arp_request(mac, "10.1.90.2", DHCP_ADDRESS))
        other.receive(
            lambda frame: str(frame) == f"ARP who has {DHCP_ADDRESS} tell 10.1.90.2"
        )  # so it went all the way
        vm.send(arp_request(mac, "10.1.90.2", "10.1.90.1"))
        vm.receive(lambda frame: str(frame).startswith("ARP 10.1.90.1 is at"))
        answers = passed_on(vm.frames(), f"ARP {DHCP_ADDRESS} is at")
        assert answers == [f"ARP {DHCP_ADDRESS} is at {mac_of(one.inside, 'br0')}"]


def test_21_no_server_in_the_other_s_namespace_is_reachable(netns: MakeNamespace, cli: Cli) -> None:
    """Not even by one who knows its bridge's MAC; its own a VM does reach."""
    one, two = two_pods(netns, cli)
    mac = one.result["interfaces"][2]["mac"]
    with Port.on_tap(one.inside, "tap0") as vm, Port.on_link(two.inside, "eth0") as door:
        frame = ping(mac, mac_of(two.inside, "br0"), "169.254.254.77", DHCP_ADDRESS)
        vm.send(frame)
        door.receive(lambda seen: seen.data == frame)
        vm.send(arp_request(mac, "169.254.254.77", DHCP_ADDRESS))
        vm.receive(lambda seen: str(seen).startswith(f"ARP {DHCP_ADDRESS} is at"))
        assert passed_on(vm.frames(), "echo reply") == []
        assert [str(seen) for seen in door.frames() if seen.outgoing and mac_of(two.inside, "br0") == seen.src] == []


# --- 22 ---------------------------------------------------------------------------------------------------------------

TABLES: dict[str, Build] = {
    "an ACCEPT in FORWARD": also(plain, "ebtables -A FORWARD -j ACCEPT"),
    "rules in every chain": also(
        plain,
        "ebtables -A INPUT -p IPv4 -j ACCEPT",
        "ebtables -A OUTPUT -p IPv4 -j ACCEPT",
        "ebtables -A FORWARD -p IPv4 -j ACCEPT",
    ),
    "a chain of their own": also(
        plain,
        "ebtables -N theirs",
        "ebtables -A theirs -j RETURN",
        "ebtables -A FORWARD -j theirs",
    ),
}


@pytest.mark.parametrize("build", TABLES.values(), ids=TABLES)
def test_22_foreign_rules(netns: MakeNamespace, cli: Cli, build: Build) -> None:
    """They stay in place behind ours, which work all the same: the VM's DHCP request doesn't leave the pod."""
    pod = build(netns("host"), netns("pod"))
    foreign = rules_of(pod)
    with cli.wired(pod):
        assert [line for line in rules_of(pod) if "eth0" not in line] == foreign
        with Port.on_tap(pod.inside, "tap0") as vm, Port.on_link(pod.host, "h-eth0") as wire:
            vm.send(dhcp_discover(MAC))
            vm.send(arp_request(MAC, "10.1.90.5", "10.1.90.1"))
            vm.receive(lambda frame: str(frame).startswith("ARP 10.1.90.1 is at"))
            assert passed_on(wire.frames(), "UDP 0.0.0.0:68") == []


def rules_of(pod: Pod) -> list[str]:
    """Return the rules and policies that `ebtables-save` prints."""
    return [line for line in pod.inside.run("ebtables-save").out.splitlines() if line.startswith(("-", ":"))]


def test_22_a_policy(netns: MakeNamespace, cli: Cli) -> None:
    """It stays, and does what its owner wants: here the VM's frames don't pass, as the pod's own wouldn't."""
    pod = also(plain, "ebtables -P FORWARD DROP")(netns("host"), netns("pod"))
    with cli.wired(pod), Port.on_tap(pod.inside, "tap0") as vm, Port.on_link(pod.host, "h-eth0") as wire:
        assert ":FORWARD DROP" in rules_of(pod)
        vm.send(ethernet(MAC, HOST_MAC, 0x88B5, bytes(46)))
        vm.send(arp_request(MAC, "10.1.90.5", DHCP_ADDRESS))
        vm.receive(lambda frame: str(frame).startswith(f"ARP {DHCP_ADDRESS} is at"))
        assert passed_on(wire.frames(), "ethertype 0x88b5") == []


def test_22_a_rule_that_came_while_wired(pod: Pod, cli: Cli) -> None:
    """It is left alone, with the chain that it is in, and said; everything else is as it was."""
    cli.apply(pod)
    pod.inside.run("ebtables", "-A", "FORWARD", "-p", "ARP", "-j", "ACCEPT")
    text = cli.ok("teardown", pod.inside.name, "--yes")
    assert "left alone because podwire did not create it: ebtables rule '-A FORWARD -p ARP -j ACCEPT'" in text
    assert rules_of(pod) == [":INPUT ACCEPT", ":FORWARD ACCEPT", ":OUTPUT ACCEPT", "-A FORWARD -p ARP -j ACCEPT"]


def test_22_a_table_that_cannot_be_read(pod: Pod, cli: Cli) -> None:
    """With rules of nftables' own that ebtables doesn't know: refused before the first change, with the reason."""
    pod.inside.run("nft", "add", "table", "bridge", "filter")
    pod.inside.run("nft", "add chain bridge filter FORWARD { type filter hook forward priority -200; }")
    pod.inside.run("nft", "add rule bridge filter FORWARD meta mark 5 drop")
    with unchanged(pod.inside):
        sentence = cli.refused("apply", *cli.wiring(pod), "--yes")
    assert sentence.startswith(f"the ebtables filter table of {pod.inside.path} cannot be read: ")
