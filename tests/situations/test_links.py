"""Situations 7, 8, 11 and 18: links of every kind, size, name and state."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import MakeNamespace, Namespace, eventually
from tests.support.cli import Cli
from tests.support.cni import Network, host_local
from tests.support.dumps import unchanged
from tests.support.frames import arp_request
from tests.support.pods import MAC, Build, Pod, also, dual_stack, on_host, one_link, plain
from tests.support.ports import Port

# --- 7 ----------------------------------------------------------------------------------------------------------------


def links_of(pod: Pod) -> dict[str, Any]:
    """Return the links in the pod's namespace, by their names."""
    return {link["ifname"]: link for link in json.loads(pod.inside.ip("-j -d link show"), strict=False)}


@pytest.mark.parametrize("mtu", [9000, 1500, 1400, 1280, 1200])
def test_07_an_mtu(netns: MakeNamespace, cli: Cli, mtu: int) -> None:
    """Bridge and tap have the interface's, and the VM is told; below 1280 there is no IPv6 to take care of."""
    pod = one_link(mtu=mtu)(netns("host"), netns("pod"))
    with cli.wired(pod) as wired:
        assert wired["interfaces"][0]["mtu"] == mtu
        assert [links_of(pod)[name]["mtu"] for name in ("eth0", "br0", "tap0")] == [mtu] * 3


@pytest.mark.parametrize("scope", ["eth0", "all", "default"])
def test_07_ipv6_switched_off(netns: MakeNamespace, cli: Cli, scope: str) -> None:
    """For the interface, for all or for new ones (as in many a container): nothing of IPv6 is touched."""
    pod = plain(netns("host"), netns("pod"))
    for each in {scope, "default" if scope == "all" else scope}:
        pod.inside.sysctl(f"net/ipv6/conf/{each}/disable_ipv6", 1)
    with cli.wired(pod):
        assert pod.inside.ip("-6 -o addr show dev br0") == ""


def test_07_an_mtu_on_a_route_only(netns: MakeNamespace, cli: Cli) -> None:
    """Whether or not it is locked, which the route's JSON doesn't say."""
    pod = also(
        plain,
        "ip route add 192.0.2.0/24 via 10.1.90.1 mtu 1400",
        "ip route add 198.51.100.0/24 via 10.1.90.1 mtu lock 1300",
    )(netns("host"), netns("pod"))
    with cli.wired(pod) as wired:
        assert wired["interfaces"][0]["mtu"] == 1500


# --- 8 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa", "passthru"])
def test_08_macvlan(netns: MakeNamespace, cli: Cli, mode: str) -> None:
    """Made by the real plugin: refused with the reason and with what would work, and neither pod nor NIC is touched."""
    host, inside = netns("host"), netns("pod")
    for namespace in (host, inside):
        namespace.sysctl("net/ipv6/conf/default/accept_dad", 0)  # it would take its second or two
    host.ip("link add nic type veth peer name far")
    for link in ("lo", "nic", "far"):
        host.ip(f"link set {link} up")
    conf = {
        "cniVersion": "1.0.0",
        "name": "pods",
        "type": "macvlan",
        "master": "nic",
        "mode": mode,
        "ipam": host_local(),
    }
    pod = Pod(host, inside, Network(host, conf).add(inside))
    pod.settle()
    with unchanged(host, inside):
        sentence = cli.refused("apply", *cli.wiring(pod), "--yes")
    assert sentence == (
        "eth0 is of type macvlan: a macvlan takes only frames for its own MAC, so the VM's would never arrive "
        "(a passthru one would change its parent's MAC, which is the host's NIC): use --wiring tc"
    )
    with cli.wired(pod, "--wiring", "tc") as wired, Port.on_tap(inside, "tap0") as vm:
        mac, address = wired["interfaces"][0]["mac"], pod.result["ips"][0]["address"].split("/")[0]
        if mode in ("bridge", "passthru"):  # the others talk to nobody on this host
            host.ip("addr add 10.1.90.250/24 dev far")
            vm.send(arp_request(mac, address, "10.1.90.250"))
            vm.receive(lambda frame: str(frame).startswith("ARP 10.1.90.250 is at"))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("ipvlan", "an ipvlan shares its parent's MAC and cannot be a port of a bridge: use a bridge or ptp plugin"),
        ("macvtap", "a macvtap is opened by the VMM itself and needs no wiring"),
        ("none", "which is no Ethernet: it cannot be a port of a bridge"),
    ],
)
def test_08_links_that_this_kernel_may_lack(pod: Pod, cli: Cli, kind: str, reason: str) -> None:
    """By captured facts, since there are kernels without ipvlan: what the plan says of such a link."""
    facts = cli.json("facts", "--netns", pod.inside.name)
    for link in facts["links"]:
        if link["name"] == "eth0":
            link["type"] = kind
            if kind == "none":
                del link["mac"]
    file = cli.file("facts.json", facts)
    sentence = cli.refused("plan", *cli.wiring(pod), "--facts", file)
    assert sentence.startswith(f"eth0 is of type {kind}")
    assert sentence.endswith(reason)


# --- 11 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["eth0", "a23456789012345", "eth0.100", "net-1_a", "7"])
def test_11_a_name(netns: MakeNamespace, cli: Cli, name: str) -> None:
    """Of one to 15 characters, with dots and dashes, and never with the `@if5` that `ip link` shows behind it."""
    pod = one_link(name)(netns("host"), netns("pod"))
    assert f"{name}@if" in pod.inside.ip("link show")
    text = cli.ok("plan", *cli.wiring(pod))
    assert "@if" not in text
    with cli.wired(pod) as wired:
        assert wired["interfaces"][0]["link"] == name


def test_11_other_names_of_a_link(netns: MakeNamespace, cli: Cli) -> None:
    """They stay with it, and are no names for the result."""
    pod = also(plain, "ip link property add dev eth0 altname the-pods-own.interface")(netns("host"), netns("pod"))
    with cli.wired(pod):
        assert links_of(pod)["eth0"]["altnames"] == ["the-pods-own.interface"]
    pod.result["interfaces"][0]["name"] = "the-pods-own.interface"
    assert "the-pods-own.interface" in cli.refused("plan", *cli.wiring(pod))


def test_11_an_alias_that_could_move_a_cursor(netns: MakeNamespace, cli: Cli) -> None:
    """Whoever may set it in the pod neither keeps podwire from working nor writes to the operator's terminal."""
    pod = plain(netns("host"), netns("pod"))
    pod.inside.run("ip", "link", "set", "eth0", "alias", "one\x1b[2J[{}]\ttwo")
    assert "\x1b" not in cli.ok("plan", *cli.wiring(pod))
    with cli.wired(pod):
        assert links_of(pod)["eth0"]["ifalias"] == "one\x1b[2J[{}]\ttwo"


# --- 18 ---------------------------------------------------------------------------------------------------------------


def lost_its_carrier(host: Namespace, inside: Namespace) -> Pod:
    """Make a dual-stack pod whose other end has gone down, and that got an address since, which is probed anyhow."""
    pod = dual_stack(host, inside)
    pod.settle()
    host.ip(f"link set {pod.host_end()} down")
    pod.settle()
    inside.ip("addr add fd00:8::1/64 dev eth0")
    eventually(lambda: inside.ip("-6 -o addr show dev eth0 tentative") == "", "the end of the probe")
    return pod


def never_had_a_carrier(host: Namespace, inside: Namespace) -> Pod:
    """Make a pod whose other end was never set up: its IPv6 address is tentative, and stays so."""
    pod = Pod.between(host, inside)
    inside.ip(f"link add eth0 address {MAC} type veth peer name {pod.host_end()} netns {host.name}")
    inside.ip("link set eth0 up")
    pod.result["interfaces"].append({"name": "eth0", "mac": MAC, "sandbox": str(inside.path)})
    pod.add_address("10.1.90.5/24")
    pod.add_address("fd00:1:90::5/64")
    return pod


STATES: dict[str, Build] = {
    "down": also(plain, "ip link set eth0 down"),
    "down, with an IPv6 address": also(plain, "ip link set eth0 down", "ip addr add fd00:8::1/64 dev eth0"),
    "without a carrier that it had": lost_its_carrier,
    "without a carrier ever": never_had_a_carrier,
    "arp off": also(dual_stack, "ip link set eth0 arp off"),
    "promiscuous": also(dual_stack, "ip link set eth0 promisc on"),
    "allmulticast": also(dual_stack, "ip link set eth0 allmulticast on"),
    "lo down": also(dual_stack, "ip link set lo down"),
}


@pytest.mark.parametrize("build", STATES.values(), ids=STATES)
def test_18_a_state(netns: MakeNamespace, cli: Cli, build: Build) -> None:
    """While wired the link is up, since the VM's frames go through it; afterwards it is as it was, tentative or not."""
    pod = build(netns("host"), netns("pod"))
    with cli.wired(pod):
        assert all("UP" in links_of(pod)[name]["flags"] for name in ("eth0", "br0", "tap0", "lo"))


def test_18_a_carrier_that_comes_later(netns: MakeNamespace, cli: Cli) -> None:
    """The VM is reached as soon as the other end is up; until then nothing is wrong with the wiring."""
    pod = on_host(plain, "ip link set h-eth0 down")(netns("host"), netns("pod"))
    cli.apply(pod)
    pod.host.ip("link set h-eth0 up")
    with Port.on_tap(pod.inside, "tap0") as vm, Port.on_link(pod.host, "h-eth0") as wire:
        pod.settle()
        vm.send(arp_request(MAC, "10.1.90.5", "10.1.90.1"))
        vm.receive(lambda frame: str(frame).startswith("ARP 10.1.90.1 is at"))
        assert "ARP who has 10.1.90.1 tell 10.1.90.5" in map(str, wire.frames())
