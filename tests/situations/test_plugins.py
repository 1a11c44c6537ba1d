"""Situations 1 to 6: what plugins leave in a namespace, and what the guest gets of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import MakeNamespace
from tests.support.cli import Cli
from tests.support.cni import Conf, Network, bridge, chain, host_local, ptp
from tests.support.frames import arp_request, neighbour_solicitation
from tests.support.pods import HOST_MAC, LINK_LOCAL_GATEWAY, MAC, Pod, also, aws, calico, dual_stack, plain
from tests.support.ports import Port

DUAL = host_local("10.1.90.0/24", "fd00:1:90::/64", routes=("0.0.0.0/0", "::/0"))


def answered(pod: Pod, network: dict[str, Any], gateway: str) -> None:
    """See that a VM on tap0, with the pod's old MAC and address, gets an answer from its gateway."""
    mac = network["interfaces"][0]["mac"]
    own = next(ip["address"].split("/")[0] for ip in pod.result["ips"] if (":" in ip["address"]) == (":" in gateway))
    with Port.on_tap(pod.inside, "tap0") as vm:
        if ":" in gateway:
            vm.send(neighbour_solicitation(mac, own, gateway))
            answer = vm.receive(lambda frame: str(frame) == f"ICMPv6 {gateway} > {own} neighbour advertisement")
        else:
            vm.send(arp_request(mac, own, gateway))
            answer = vm.receive(lambda frame: str(frame).startswith(f"ARP {gateway} is at "))
        assert answer.dst == mac


def added(netns: MakeNamespace, conf: Conf, ifname: str = "eth0", *, accept_dad: int = 0) -> tuple[Network, Pod]:
    """Let real plugins make a pod, and return both; without duplicate address detection, which takes a second or so."""
    host, inside = netns("host"), netns("pod")
    for namespace in (host, inside):
        namespace.ip("link set lo up")
        namespace.sysctl("net/ipv6/conf/default/accept_dad", accept_dad)
    network = Network(host, conf)
    pod = Pod(host, inside, network.add(inside, ifname))
    pod.settle()
    return network, pod


# --- 1 ----------------------------------------------------------------------------------------------------------------

PLUGINS = {
    "bridge 0.3.1": bridge(version="0.3.1"),
    "bridge 1.0.0": bridge(version="1.0.0", ipMasq=True),
    "ptp 0.4.0": ptp(version="0.4.0"),
    "ptp 1.0.0": ptp(version="1.0.0"),
    "bridge, tuning and portmap 1.0.0": chain(
        {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipam": host_local()},
        {"type": "tuning", "sysctl": {"net.ipv4.conf.all.arp_filter": "1"}},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ),
    "ptp and tuning 0.4.0": chain(
        {"type": "ptp", "ipam": host_local()}, {"type": "tuning", "mtu": 1400}, version="0.4.0"
    ),
}


@pytest.mark.parametrize("conf", PLUGINS.values(), ids=PLUGINS)
def test_01_one_veth_from_a_real_plugin(netns: MakeNamespace, cli: Cli, conf: Conf) -> None:
    """The VM is answered, all comes back, and the plugin's DEL finds its pod."""
    network, pod = added(netns, conf)
    with cli.wired(pod) as wired:
        assert [(entry["name"], entry["link"]) for entry in wired["interfaces"]] == [("tap0", "eth0")]
        answered(pod, wired, "10.1.90.1")
    network.delete(pod.inside, result=pod.result)
    assert "eth0" not in pod.inside.ip("link show")


def test_01_with_static_addresses(netns: MakeNamespace, cli: Cli) -> None:
    """The plugin `static`: what is in the configuration."""
    addresses = [{"address": "10.1.90.77/24", "gateway": "10.1.90.1"}]
    ipam = {"type": "static", "addresses": addresses, "routes": [{"dst": "0.0.0.0/0"}]}
    _, pod = added(netns, bridge(ipam))
    with cli.wired(pod) as wired:
        answered(pod, wired, "10.1.90.1")


# --- 2 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [bridge, ptp])
def test_02_dual_stack_from_a_real_plugin(netns: MakeNamespace, cli: Cli, make: Any) -> None:
    """The guest is answered in both families, and both come back."""
    _, pod = added(netns, make(DUAL), accept_dad=1)
    with cli.wired(pod) as wired:
        answered(pod, wired, "10.1.90.1")
        answered(pod, wired, "fd00:1:90::1")


def test_02_teardown_asks_nobody_whether_an_address_is_free(netns: MakeNamespace, cli: Cli) -> None:
    """No duplicate address detection is seen, and when teardown returns no address is tentative."""
    pod = dual_stack(netns("host"), netns("pod"))
    cli.apply(pod)
    with Port.on_link(pod.host, pod.host_end()) as wire:
        cli.teardown(pod)
        assert pod.inside.ip("-6 -o addr show tentative") == ""
        assert [str(frame) for frame in wire.frames() if "neighbour solicitation" in str(frame)] == []


# --- 3 ----------------------------------------------------------------------------------------------------------------


def test_03_calico_as_it_is(netns: MakeNamespace, cli: Cli) -> None:
    """A guest that takes a /32 and a gateway beyond it is answered by the host's proxy ARP."""
    pod = calico(netns("host"), netns("pod"))
    with cli.wired(pod) as wired:
        answered(pod, wired, LINK_LOCAL_GATEWAY)


def test_03_calico_made_fit_for_a_guest(netns: MakeNamespace, cli: Cli) -> None:
    """With a dummy gateway: a /24, a default route by it; the host answers for that address as well."""
    pod = calico(netns("host"), netns("pod"))
    options = ("--dummy-gateway", "10.1.90.200")
    result = cli.plan(pod, *options)["result"]
    assert [(ip["address"], ip["gateway"]) for ip in result["ips"]] == [("10.1.90.5/24", "10.1.90.200")]
    assert [(route["dst"], route["gw"]) for route in result["routes"]] == [("0.0.0.0/0", "10.1.90.200")]
    with cli.wired(pod, *options) as wired:
        answered(pod, wired, "10.1.90.200")


def test_03_calico_with_a_static_neighbour(netns: MakeNamespace, cli: Cli) -> None:
    """If no proxy ARP answers, the guest is told the entry that the pod had."""
    entry = "ip neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent"
    pod = also(calico, entry)(netns("host"), netns("pod"))
    with cli.wired(pod) as wired:
        told = [{"address": LINK_LOCAL_GATEWAY, "lladdr": "ee:ee:ee:ee:ee:ee"}]
        assert wired["interfaces"][0]["neighbours"] == told


def test_03_calico_without_a_gateway_to_use(netns: MakeNamespace, cli: Cli) -> None:
    """If it is to be made fit, the message says which three ways there are."""
    pod = calico(netns("host"), netns("pod"))
    sentence = cli.refused("plan", *cli.wiring(pod), "--calico-subnet", "24")
    assert sentence == (
        "the default route of eth0 is Calico's: a dummy gateway is needed "
        "(--dummy-gateway, --dummy-result or --dummy-conflist)"
    )


# --- 4 ----------------------------------------------------------------------------------------------------------------


def test_04_aws_vpc_cni(netns: MakeNamespace, cli: Cli) -> None:
    """The guest is told who its gateway is, since nobody answers for that; entry, rule and table come back."""
    pod = aws(netns("host"), netns("pod"))
    assert f"{LINK_LOCAL_GATEWAY} is {HOST_MAC}" in cli.ok("plan", *cli.wiring(pod))
    with cli.wired(pod) as wired:
        assert wired["interfaces"][0]["neighbours"] == [{"address": LINK_LOCAL_GATEWAY, "lladdr": HOST_MAC}]


# --- 5 ----------------------------------------------------------------------------------------------------------------


def test_05_weave(pod: Pod, cli: Cli) -> None:
    """Spec 0.2.0 knows no interfaces: what the only veth really has is taken; DNS is kept from the result."""
    weave = {
        "cniVersion": "0.2.0",
        "ip4": {"ip": "10.1.90.5/24", "gateway": "10.1.90.1", "routes": [{"dst": "0.0.0.0/0"}]},
        "dns": {"nameservers": ["10.1.90.1"]},
    }
    pod = Pod(pod.host, pod.inside, weave)
    result = cli.plan(pod)["result"]
    assert [(entry["name"], entry["mac"]) for entry in result["interfaces"]] == [("eth0", MAC)]
    assert [(ip["address"], ip["gateway"], ip["interface"]) for ip in result["ips"]] == [
        ("10.1.90.5/24", "10.1.90.1", 0)
    ]
    assert result["dns"] == {"nameservers": ["10.1.90.1"]}
    with cli.wired(pod) as wired:
        assert wired["interfaces"][0]["mac"] == MAC


def test_05_both_families_without_interfaces(netns: MakeNamespace, cli: Cli) -> None:
    """`ip4` and `ip6` of spec 0.2.0: each is matched to the link that carries it."""
    pod = dual_stack(netns("host"), netns("pod"))
    old = {"cniVersion": "0.2.0", "ip4": {"ip": "10.1.90.5/24"}, "ip6": {"ip": "fd00:1:90::5/64"}, "dns": {}}
    with cli.wired(Pod(pod.host, pod.inside, old)) as wired:
        answered(pod, wired, "10.1.90.1")
        answered(pod, wired, "fd00:1:90::1")


# --- 6 ----------------------------------------------------------------------------------------------------------------


def test_06_several_interfaces_in_any_order(netns: MakeNamespace, cli: Cli) -> None:
    """Numbered by the order of `ips`, one without an IP before them, those on the host's side not at all."""
    pod = plain(netns("host"), netns("pod"))
    pod.add_veth("net1", mac="0a:58:0a:01:5b:05", host_mac="0a:58:0a:01:5b:01")
    pod.add_address("10.1.91.5/24", link="net1")
    pod.add_veth("bare", mac="0a:58:0a:01:5c:05", host_mac="0a:58:0a:01:5c:01")
    pod.settle()
    eth0, net1, bare = pod.result["interfaces"]
    ip0, ip1 = pod.result["ips"]
    shuffled = pod.result | {
        "interfaces": [{"name": "cni0", "mac": "02:00:00:00:00:01"}, eth0, bare, net1],
        "ips": [ip1 | {"interface": 3}, ip0 | {"interface": 1}],
    }
    with cli.wired(Pod(pod.host, pod.inside, shuffled)) as wired:
        found = [(entry["name"], entry["link"], entry["dhcp_address"]) for entry in wired["interfaces"]]
        assert found == [
            ("tap0", "bare", "169.254.254.2/24"),
            ("tap1", "net1", "169.254.253.2/24"),
            ("tap2", "eth0", "169.254.252.2/24"),
        ]


def test_06_two_real_plugins_one_after_the_other(netns: MakeNamespace, cli: Cli) -> None:
    """As a runtime calls them for a pod with a second network, whose result it puts behind the first."""
    network, pod = added(netns, bridge())
    other = Network(pod.host, ptp(host_local("10.1.91.0/24", routes=())) | {"name": "second"})
    result = other.add(pod.inside, "net1")
    shift = len(pod.result["interfaces"])
    both = pod.result | {
        "interfaces": pod.result["interfaces"] + result["interfaces"],
        "ips": pod.result["ips"] + [ip | {"interface": ip["interface"] + shift} for ip in result["ips"]],
    }
    pod.settle()
    with cli.wired(Pod(pod.host, pod.inside, both)) as wired:
        assert [(entry["name"], entry["link"]) for entry in wired["interfaces"]] == [("tap0", "eth0"), ("tap1", "net1")]
        answered(pod, wired, "10.1.90.1")
    other.delete(pod.inside, "net1", result=result)
    network.delete(pod.inside, result=pod.result)


def test_06_an_address_that_no_interface_carries(pod: Pod, cli: Cli) -> None:
    """It is named: the result is of another pod, or old."""
    pod.result["ips"].append({"address": "10.1.90.6/24", "interface": 0})
    assert cli.refused("plan", *cli.wiring(pod)) == (
        "result.ips[1].address: no link of the namespace carries 10.1.90.6/24 (eth0 has 10.1.90.5/24)"
    )
