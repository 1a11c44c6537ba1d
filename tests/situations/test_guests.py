"""Situations 23 to 25 and 28: which link is meant, what its guest must be told, wires, several wirings."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import MakeNamespace
from tests.support.cli import Cli
from tests.support.dumps import difference, dump, unchanged
from tests.support.frames import arp_request, dhcp_discover, dhcpv6_solicit
from tests.support.pods import MAC, Pod, aws, dual_stack, only, plain, ptp_style, two_links
from tests.support.ports import Port

NET1_MAC = "0a:58:0a:01:5b:05"


def guests_of(network: dict[str, Any]) -> list[tuple[list[str], list[str]]]:
    """Return the addresses and the routes that the guest is told of each interface."""
    return [
        (
            one["guest"]["addresses"],
            [f"{route['dst']} via {route['via']}{' onlink' * route['onlink']}" for route in one["guest"]["routes"]],
        )
        for one in network["interfaces"]
    ]


# --- 23 ---------------------------------------------------------------------------------------------------------------


def test_23_a_secondary_network_s_result_means_its_own_link(netns: MakeNamespace, cli: Cli) -> None:
    """One address and no routes: net1 is wired, and eth0 is not touched."""
    pod = only(two_links, "net1")(netns("host"), netns("pod"))
    untouched = pod.inside.ip("addr show dev eth0")
    with cli.wired(pod) as network:
        assert [(one["link"], one["mac"]) for one in network["interfaces"]] == [("net1", NET1_MAC)]
        assert pod.inside.ip("addr show dev eth0") == untouched


def test_23_a_secondary_network_s_macvlan_is_not_taken_for_the_only_veth(netns: MakeNamespace, cli: Cli) -> None:
    """The only veth is eth0, which the result does not name: net1 is refused, by its name."""
    pod = plain(netns("host"), netns("pod"))
    pod.host.ip("link add uplink type bridge")
    pod.host.ip(f"link add link uplink name net1 netns {pod.inside.name} type macvlan mode bridge")
    pod.inside.ip("link set net1 addrgenmode none up")  # no link-local address, which would be tentative for a while
    pod.inside.ip("addr add 192.168.1.200/24 dev net1")
    result = {
        "cniVersion": "0.3.1",
        "interfaces": [{"name": "net1", "sandbox": str(pod.inside.path)}],
        "ips": [{"version": "4", "interface": 0, "address": "192.168.1.200/24"}],
    }
    with unchanged(pod.inside):
        sentence = cli.refused("plan", *cli.wiring(Pod(pod.host, pod.inside, result)), "--wiring", "bridge")
    assert sentence.startswith("net1 is of type macvlan: ")


@pytest.mark.parametrize("interfaces", [[{"name": "cali9"}], []], ids=["host-side", "none"])
def test_23_a_result_of_another_pod(pod: Pod, cli: Cli, interfaces: list[dict[str, str]]) -> None:
    """The only veth has another address, so the result is not of this namespace."""
    ips = [{"version": "4", "address": "192.168.77.33/32"}]
    result = {"cniVersion": "0.3.1", "interfaces": interfaces, "ips": ips, "dns": {}}
    with unchanged(pod.inside):
        sentence = cli.refused("apply", *cli.wiring(Pod(pod.host, pod.inside, result)), "--yes")
    said = "no link of the namespace carries 192.168.77.33/32: is this another pod's result?"
    assert sentence == f"result.ips[0].address: {said}"


def test_23_what_is_no_link_of_the_pod_is_passed_over_and_said(pod: Pod, cli: Cli) -> None:
    """lo, a socket for the VMM, and what a runtime says of the inside of its VM."""
    inside = str(pod.inside.path)
    others = [
        {"name": "lo", "sandbox": inside},
        {"name": "vhost0", "sandbox": inside, "socketPath": "/run/vhost0.sock"},
        {"name": "tap0", "sandbox": "a-container-s-id", "mac": MAC},
    ]
    lo = {"interface": 1, "address": "127.0.0.1/8"}
    result = pod.result | {
        "cniVersion": "1.1.0",
        "interfaces": pod.result["interfaces"] + others,
        "ips": [*pod.result["ips"], lo],
    }
    whole = Pod(pod.host, pod.inside, result)
    text = cli.ok("plan", *cli.wiring(whole))
    for name in ("lo", "vhost0", "tap0"):
        assert f"  ignoring {name} from the CNI result: " in text
    with cli.wired(whole) as network:
        assert [one["link"] for one in network["interfaces"]] == ["eth0"]


# --- 24 ---------------------------------------------------------------------------------------------------------------


def calico_dual_stack(pod: Pod) -> Pod:
    """Make of an empty pod what Calico leaves: two whole addresses, gateways that proxies answer for, a bare result."""
    pod.add_veth()
    pod.inside.ip("addr add 10.244.186.221/32 dev eth0")
    pod.inside.ip("addr add fd10:244::badc/128 dev eth0 nodad")
    pod.inside.ip("route add 169.254.1.1 dev eth0 scope link")
    pod.inside.ip("route add default via 169.254.1.1 dev eth0")
    pod.inside.ip("-6 route add default via fe80::ecee:eeff:feee:eeee dev eth0")
    pod.settle()
    ips = [
        {"version": "4", "address": "10.244.186.221/32"},
        {"version": "6", "address": "fd10:244::badc/128"},
    ]
    return Pod(pod.host, pod.inside, {"cniVersion": "0.3.1", "interfaces": [{"name": "cali1"}], "ips": ips})


CALICO = (
    ["10.244.186.221/32", "fd10:244::badc/128"],
    [
        "169.254.1.1/32 via None",
        "0.0.0.0/0 via 169.254.1.1 onlink",
        "::/0 via fe80::ecee:eeff:feee:eeee",
    ],
)


@pytest.mark.parametrize("ips", [2, 1], ids=["both-addresses", "one-address"])
@pytest.mark.parametrize("other", [False, True], ids=["alone", "another-veth"])
def test_24_calico_in_both_families(netns: MakeNamespace, cli: Cli, ips: int, *, other: bool) -> None:
    """All that moves to the VM is told, however little the result says, and whatever else is in the pod."""
    pod = calico_dual_stack(Pod.between(netns("host"), netns("pod")))
    if other:
        pod.inside.ip("link add vethc1 type veth peer name c1")
    whole = Pod(pod.host, pod.inside, pod.result | {"ips": pod.result["ips"][:ips]})
    with cli.wired(whole) as network:
        assert guests_of(network) == [CALICO]


def test_24_a_subnet_that_is_reached_by_the_gateway_only(netns: MakeNamespace, cli: Cli) -> None:
    """ptp: a /32 and the routes that the pod had, or the guest would ask for its neighbours where nobody answers."""
    pod = ptp_style(netns("host"), netns("pod"))
    with cli.wired(pod) as network:
        assert guests_of(network) == [
            (
                ["10.1.90.5/32", "fd00:1:90::5/128"],
                [
                    "10.1.90.1/32 via None",
                    "10.1.90.0/24 via 10.1.90.1 onlink",
                    "0.0.0.0/0 via 10.1.90.1 onlink",
                    "fd00:1:90::1/128 via None",
                    "fd00:1:90::/64 via fd00:1:90::1 onlink",
                    "::/0 via fd00:1:90::1 onlink",
                ],
            )
        ]


def test_24_the_neighbour_and_dns(netns: MakeNamespace, cli: Cli) -> None:
    """The neighbour by the facts, DNS by the result; both are in every preview."""
    pod = aws(netns("host"), netns("pod"))
    dns = {"nameservers": ["10.96.0.10"], "search": ["svc.cluster.local"], "options": ["ndots:5"]}
    whole = Pod(pod.host, pod.inside, pod.result | {"dns": dns})
    for form in ("text", "markdown", "html"):
        text = cli.ok("plan", *cli.wiring(whole), "--format", form)
        for word in ("10.96.0.10", "svc.cluster.local", "ndots:5", "169.254.1.1 is "):
            assert word in text
    with cli.wired(whole) as network:
        guest = network["interfaces"][0]["guest"]
        assert guest["dns"] == dns | {"domain": None}
        assert [one["address"] for one in guest["neighbours"]] == ["169.254.1.1"]


def test_24_no_default_route_twice(netns: MakeNamespace, cli: Cli) -> None:
    """Of two interfaces each is told its own; the result's routes were once told to both."""
    pod = two_links(netns("host"), netns("pod"))
    with cli.wired(pod) as network:
        assert guests_of(network) == [
            (["10.1.90.5/24", "fd00:1:90::5/64"], ["0.0.0.0/0 via 10.1.90.1", "::/0 via fd00:1:90::1"]),
            (["10.1.91.5/24", "fd00:1:91::5/64"], []),
        ]


# --- 25 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ips", ["another-link-s", "none"])
def test_25_a_link_without_an_address_is_a_wire(netns: MakeNamespace, cli: Cli, ips: str) -> None:
    """Its guest's requests for an address go out to the network, in both families."""
    pod = plain(netns("host"), netns("pod"))
    pod.add_veth("net1", mac=NET1_MAC, host_mac="0a:58:0a:01:5b:01")
    pod.settle()
    result = pod.result
    if ips == "none":
        (net1,) = (one for one in pod.result["interfaces"] if one["name"] == "net1")
        result = {"cniVersion": "0.3.1", "interfaces": [net1], "ips": []}
    with cli.wired(Pod(pod.host, pod.inside, result)) as network:
        (tap,) = (one["name"] for one in network["interfaces"] if one["link"] == "net1")
        with Port.on_link(pod.host, pod.host_end("net1")) as outside, Port.on_tap(pod.inside, tap) as vm:
            vm.send(dhcp_discover(NET1_MAC))
            outside.receive(lambda frame: "0.0.0.0:68 > 255.255.255.255:67" in str(frame))
            vm.send(dhcpv6_solicit(NET1_MAC))
            outside.receive(lambda frame: ":547" in str(frame))


def test_25_a_family_without_an_address_is_a_wire_too(netns: MakeNamespace, cli: Cli) -> None:
    """The pod has IPv4 only: DHCP stays inside, DHCPv6 goes out."""
    pod = plain(netns("host"), netns("pod"))
    with cli.wired(pod), Port.on_link(pod.host, pod.host_end()) as outside, Port.on_tap(pod.inside, "tap0") as vm:
        vm.send(dhcp_discover(MAC))
        vm.send(dhcpv6_solicit(MAC))
        outside.receive(lambda frame: ":547" in str(frame))
        vm.send(arp_request(MAC, "10.1.90.5", "10.1.90.99"))
        outside.receive(lambda frame: str(frame).startswith("ARP who has 10.1.90.99"))
        assert not [frame for frame in outside.frames() if ":67" in str(frame)]


def test_25_nobody_is_told_to_serve_a_wire(netns: MakeNamespace, cli: Cli) -> None:
    """The preview says that its guest asks the network."""
    pod = dual_stack(netns("host"), netns("pod"))
    pod.add_veth("net1", mac=NET1_MAC, host_mac="0a:58:0a:01:5b:01")
    pod.settle()
    lines = [line for line in cli.ok("plan", *cli.wiring(pod)).splitlines() if "the VM opens" in line]
    assert [("asks the network" in line, "DHCP server" in line) for line in lines] == [(True, False), (False, True)]


# --- 28 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first_back", ["eth0", "net1"])
def test_28_a_nic_that_is_plugged_in(netns: MakeNamespace, cli: Cli, first_back: str) -> None:
    """While the VM of eth0 goes on; either may go first."""
    pod = plain(netns("host"), netns("pod"))
    name = pod.inside.name
    eth0 = Pod(pod.host, pod.inside, dict(pod.result))
    before = dump(pod.inside)
    cli.apply(eth0)
    net1 = Pod(pod.host, pod.inside)
    net1.add_veth("net1", mac=NET1_MAC, host_mac="0a:58:0a:01:5b:01")
    net1.add_address("10.50.0.5/24", link="net1")
    pod.settle()
    words = cli.wiring(net1)
    assert "under an id of its own (--id)" in cli.refused("apply", *words, "--yes")
    with Port.on_tap(pod.inside, "tap0") as vm:
        network = cli.json("apply", *words, "--id", "net1", "--yes")
        assert [(one["link"], one["name"]) for one in network["interfaces"]] == [("net1", "tap1")]
        vm.send(arp_request(MAC, "10.1.90.5", "10.1.90.1"))
        vm.receive(lambda frame: str(frame).startswith("ARP 10.1.90.1 is at "))
    order = [name, "net1"] if first_back == "eth0" else ["net1", name]
    for plan_id in order:
        assert cli.json("teardown", plan_id, "--yes")["outcome"] == "restored"
    assert "10.50.0.5/24" in pod.inside.ip("addr show dev net1")
    pod.inside.ip("link del net1")
    assert difference(before, dump(pod.inside)) == ""


def test_28_a_link_is_wired_once(netns: MakeNamespace, cli: Cli) -> None:
    """A result of all networks, as Multus' last call has it, names what is wired."""
    pod = two_links(netns("host"), netns("pod"))
    name = pod.inside.name
    only_eth0 = pod.result | {"interfaces": pod.result["interfaces"][:1], "ips": pod.result["ips"][:2]}
    cli.apply(Pod(pod.host, pod.inside, only_eth0))
    with unchanged(pod.inside):
        sentence = cli.refused("plan", *cli.wiring(pod), "--id", "both")
    assert sentence == f"eth0 is already wired, as {name}: run podwire teardown {name} first"
