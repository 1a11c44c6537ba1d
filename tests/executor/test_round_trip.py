"""Whatever is in a namespace comes back: the raw dump before is the raw dump after apply and teardown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planner.errors import Refused
from planner.options import PlanOptions
from planner.plan.plan import Plan
from tests.support import MakeNamespace, Namespace, eventually
from tests.support.cni import Conf, Network, bridge, chain, complete, host_local, ptp, quick
from tests.support.dumps import difference, dump, lasting_difference
from tests.support.pods import Build, Pod, also, dual_stack
from tests.support.podwire import NO_OPTIONS, Podwire
from tests.support.situations import SITUATIONS

pytestmark = pytest.mark.usefixtures("busy_kernel")


@pytest.mark.parametrize("build", SITUATIONS.values(), ids=SITUATIONS)
def test_everything_comes_back(netns: MakeNamespace, state_dir: Path, build: Build) -> None:
    """After teardown the namespace is what it was, and no address is tentative that was not."""
    round_trip(build(netns("host"), netns("pod")), state_dir)


def test_what_serves_a_guest_comes_and_goes(netns: MakeNamespace, state_dir: Path) -> None:
    """The rules that keep others from serving it, and the bridge's addresses, none of which is ever tentative."""
    options = PlanOptions(serve_dhcp=True)
    plan = round_trip(dual_stack(netns("host"), netns("pod")), state_dir, options)
    assert any("router-advertisement" in (command.stdin or "") for command in plan.commands)


def round_trip(pod: Pod, state_dir: Path, options: PlanOptions = NO_OPTIONS) -> Plan:
    """Wire the pod and roll it back, and compare the raw dumps; return the plan."""
    podwire = Podwire.on(pod, state_dir)
    plan = podwire.plan(options)
    for interface in plan.interfaces:
        probe_slowly(pod.inside, interface.link)
    before, probed = dump(pod.inside), tentative(pod.inside)

    podwire.apply(plan)

    for interface in plan.interfaces:
        assert_stripped(pod.inside, interface.link)
    assert podwire.plan(options).changes == (), "planning a second time finds something to do"

    podwire.teardown()

    # What is not probed for is known as soon as the kernel's work queue comes to it.
    eventually(lambda: tentative(pod.inside) == probed, f"no address tentative but {probed or 'none'}")
    assert lasting_difference(before, pod.inside) == ""
    assert podwire.entry is None
    return plan


def tentative(inside: Namespace) -> set[str]:
    """Return the addresses that the kernel still probes for duplicates, so that nobody can use them."""
    return {line.split()[3] for line in inside.ip("-6 -o addr show tentative").splitlines()}


def probe_slowly(inside: Namespace, link: str) -> None:
    """Let a probe for a duplicate address take a minute instead of its second, so that it would be seen for sure."""
    inside.run("sysctl", "-qw", f"net/ipv6/neigh/{link}/retrans_time_ms=60000", check=False)


def assert_stripped(inside: Namespace, link: str) -> None:
    """Assert that the link is a port of a bridge of podwire's, up, with a new MAC and without an address."""
    (shown,) = json.loads(inside.ip(f"-j -d addr show dev {link}"))
    assert shown["addr_info"] == []
    assert shown["master"].startswith("br")
    assert "UP" in shown["flags"]
    assert shown["address"].startswith("02:")


def test_what_does_not_come_back_would_be_seen(netns: MakeNamespace, state_dir: Path) -> None:
    """The comparison of the round trip can fail: one address of the many, or one that is tentative, and it does."""
    pod = dual_stack(netns("host"), netns("pod"))
    probe_slowly(pod.inside, "eth0")
    before = dump(pod.inside)
    podwire = Podwire.on(pod, state_dir)
    podwire.apply()
    assert difference(before, dump(pod.inside)) != ""
    podwire.teardown()
    pod.inside.ip("addr del fd00:1:90::5/64 dev eth0")
    assert "fd00:1:90::5" in difference(before, dump(pod.inside))
    pod.inside.ip("addr add fd00:1:90::5/64 dev eth0")
    assert tentative(pod.inside) == {"fd00:1:90::5/64"}


# --- what could not be brought back -----------------------------------------------------------------------------------

UNRESTORABLE = {
    "an encapsulated route": (
        "ip route add 10.9.0.0/16 encap ip id 5 dst 10.1.90.1 dev eth0",
        "^route 10.9.0.0/16 dev eth0 has an encapsulation, ",
    ),
    "an IPv6 route that depends on the source": (
        "ip route add fd00:98::/48 from fd00:1:90::/64 via fd00:1:90::1",
        "^route fd00:98::/48 via fd00:1:90::1 dev eth0 metric 1024 has 'from', ",
    ),
    "a route with a realm": (
        "ip route add 10.9.0.0/16 via 10.1.90.1 realm 5",
        "^route 10.9.0.0/16 via 10.1.90.1 dev eth0 has 'flow', ",
    ),
    "two routes that differ in their metrics only": (
        "ip route append default via 10.1.90.1 mtu 1300",
        "^route default via 10.1.90.1 dev eth0 exists twice with different metrics, ",
    ),
    "a rule that podwire would add": (
        "ebtables -A INPUT -i eth0 -j DROP",
        "^the ebtables rule '-A INPUT -i eth0 -j DROP' ",
    ),
}


@pytest.mark.parametrize(("line", "sentence"), UNRESTORABLE.values(), ids=UNRESTORABLE)
def test_what_could_not_be_brought_back_is_refused_by_name(
    netns: MakeNamespace, state_dir: Path, line: str, sentence: str
) -> None:
    """Before the first change, so that nothing is lost."""
    pod = also(dual_stack, line)(netns("host"), netns("pod"))
    with pytest.raises(Refused, match=sentence):
        Podwire.on(pod, state_dir).plan()


def test_a_port_with_settings_of_its_own_is_refused(netns: MakeNamespace, state_dir: Path) -> None:
    """Leaving its bridge it would lose them; each is named."""
    pod = also(
        dual_stack,
        "ip link add cbr type bridge",
        "ip link set eth0 master cbr",
        "ip link set eth0 type bridge_slave learning off cost 55 priority 10",
    )(netns("host"), netns("pod"))
    with pytest.raises(Refused, match=r"^eth0 is a port of cbr with settings of its own \(priority, learning, cost\)"):
        Podwire.on(pod, state_dir).plan()


# --- real plugins -----------------------------------------------------------------------------------------------------

DUAL = host_local("10.1.90.0/24", "fd00:1:90::/64", routes=("0.0.0.0/0", "::/0"))
STATIC: Conf = {
    "type": "static",
    "addresses": [{"address": "10.1.90.5/24", "gateway": "10.1.90.1"}, {"address": "fd00:1:90::5/64"}],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.90.1"}, {"dst": "192.0.2.0/24", "gw": "10.1.90.7"}],
}
MAPPINGS = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
PORTMAP: Conf = {
    "type": "portmap",
    "capabilities": {"portMappings": True},
    "runtimeConfig": {"portMappings": MAPPINGS},
}
TUNING: Conf = {
    "type": "tuning",
    "mtu": 1400,
    "mac": "02:00:00:00:00:99",
    "promisc": True,
    "sysctl": {"net.ipv4.conf.IFNAME.arp_ignore": "1"},
}

CONFIGURATIONS = {
    **{f"bridge, {version}": bridge(version=version) for version in ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0")},
    "bridge, 1.0.0, masquerading": bridge(ipMasq=True),
    "bridge, 1.0.0, dual stack": bridge(DUAL),
    "bridge, 0.3.1, static": bridge(STATIC, version="0.3.1"),
    "bridge, 1.0.0, static, MTU 9000, promiscuous": bridge(STATIC, mtu=9000, promiscMode=True),
    "ptp, 0.2.0": ptp(version="0.2.0"),
    "ptp, 0.4.0, dual stack": ptp(DUAL, version="0.4.0"),
    "ptp, 1.0.0, dual stack, MTU 1400": ptp(DUAL, mtu=1400),
    "bridge, tuning and portmap, 1.0.0": chain(bridge(), TUNING, PORTMAP),
    "ptp and tuning, 0.4.0, dual stack": chain(ptp(DUAL, version="0.4.0"), TUNING, version="0.4.0"),
}


@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_what_a_plugin_left_comes_back(netns: MakeNamespace, state_dir: Path, configuration: Conf) -> None:
    """Its answer is understood, and its DEL finds after teardown what its ADD made."""
    host, inside = netns("host"), netns("pod")
    quick(host, inside)
    empty = dump(inside)
    network = Network(host, configuration)
    result = network.add(inside)

    complete(inside, "eth0")

    plan = round_trip(Pod(host, inside, result), state_dir)

    assert [interface.link for interface in plan.interfaces] == ["eth0"]
    network.delete(inside, result=result)
    assert difference(empty, dump(inside)) == ""
    assert "10.1.90." not in host.run("iptables-save").out


def test_two_plugins_in_one_namespace_come_back(netns: MakeNamespace, state_dir: Path) -> None:
    """Their results together: a bridge and a veth on the host's side, two interfaces in the pod."""
    host, inside = netns("host"), netns("pod")
    quick(host, inside)
    second = host_local("10.1.91.0/24", routes=("192.0.2.0/24",))
    results = [Network(host, bridge()).add(inside), Network(host, ptp(second)).add(inside, "net1")]
    complete(inside, "eth0", "net1")
    plan = round_trip(Pod(host, inside, together(*results)), state_dir)
    assert [(interface.name, interface.link) for interface in plan.interfaces] == [("tap0", "eth0"), ("tap1", "net1")]


def test_a_macvlan_is_refused(netns: MakeNamespace, state_dir: Path) -> None:
    """With the reason and what would work; a bridge would take it, and the VM's frames would never arrive."""
    host, inside = netns("host"), netns("pod")
    host.ip("link add uplink type bridge")
    macvlan: Conf = {"cniVersion": "1.0.0", "name": "pods", "type": "macvlan", "master": "uplink", "ipam": STATIC}
    pod = Pod(host, inside, Network(host, macvlan).add(inside))
    with pytest.raises(Refused, match=r"^eth0 is of type macvlan: .*use --wiring tc$"):
        Podwire.on(pod, state_dir).plan()


def together(*results: dict[str, Any]) -> dict[str, Any]:
    """Return one result that says what several say, the later ones' interfaces behind the earlier ones'."""
    whole: dict[str, Any] = results[0] | {"interfaces": [], "ips": [], "routes": []}
    for result in results:
        shift = len(whole["interfaces"])
        whole["interfaces"] += result["interfaces"]
        whole["ips"] += [ip | {"interface": ip["interface"] + shift} for ip in result["ips"]]
        whole["routes"] += result.get("routes", [])
    return whole
