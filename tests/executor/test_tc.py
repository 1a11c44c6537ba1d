"""tc wiring on real namespaces: frames arrive both ways, the pod keeps what it has, and all comes back."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pytest
from attrs import evolve

from planner.errors import Refused
from planner.formats import render_commands
from planner.options import PlanOptions
from planner.plan.plan import Plan
from planner.text.values import Keyword
from tests.support import MakeNamespace, run
from tests.support.cni import Network, bridge, complete, host_local, quick
from tests.support.dumps import difference, dump, lasting_difference
from tests.support.frames import arp_request, dhcp_discover, dhcpv6_solicit, ping
from tests.support.pods import MAC, Build, Pod, also, dual_stack, plain, two_links
from tests.support.podwire import Podwire
from tests.support.ports import Port
from tests.support.situations import SITUATIONS

TC = PlanOptions(wiring=Keyword("tc"))
SERVED = evolve(TC, serve_dhcp=True)
CLSACT = "tc qdisc add dev eth0 clsact"
BESIDE_FILTER = "tc filter add dev eth0 ingress protocol ip pref 7 u32 match ip protocol 17 0xff flowid 1:1"
BESIDE = {
    "an ingress qdisc": also(plain, "tc qdisc add dev eth0 ingress"),
    "a clsact qdisc with filters both ways": also(
        plain, CLSACT, BESIDE_FILTER, BESIDE_FILTER.replace("ingress", "egress")
    ),
    "a filter of the first preference": also(plain, CLSACT, BESIDE_FILTER.replace("pref 7", "pref 1")),
    "no queue": also(plain, "ip link set dev eth0 txqueuelen 0"),
    "a queue of its own": also(plain, "ip link set dev eth0 txqueuelen 77"),
    "no queue and a qdisc": also(plain, CLSACT, "ip link set dev eth0 txqueuelen 0"),
    "lo and eth0 down": also(plain, "ip link set dev eth0 down", "ip link set dev lo down"),
}


def tc_dump(pod: Pod) -> str:
    """Return what tc and the queues look like, which raw dumps leave out."""
    inside = pod.inside
    qdiscs = inside.run("tc", "qdisc", "show").out.splitlines()
    shown = "".join(line for line in qdiscs if " dev lo " not in line)  # lo gets one as it goes up for the first time
    for link in json.loads(inside.ip("-j link show"), strict=False):
        shown += f"{link['ifname']} {link.get('txqlen')}\n"
        for direction in ("ingress", "egress"):
            shown += inside.run("tc", "filter", "show", "dev", link["ifname"], direction, check=False).out
    return shown


@pytest.mark.parametrize("build", (SITUATIONS | BESIDE).values(), ids=SITUATIONS | BESIDE)
def test_everything_comes_back(netns: MakeNamespace, state_dir: Path, build: Build) -> None:
    """And is there all the time: the pod's addresses, routes and neighbours are not touched."""
    pod = build(netns("host"), netns("pod"))
    podwire = Podwire.on(pod, state_dir)
    try:
        plan = podwire.plan(TC)
    except Refused as refusal:
        assert "no Ethernet" in str(refusal) or "cannot be wired" in str(refusal), refusal  # noqa: PT017
        return
    before, traffic = dump(pod.inside), tc_dump(pod)
    had = kept(pod, plan)
    podwire.apply(plan)
    assert podwire.plan(TC).changes == (), "planning a second time finds something to do"
    if all(fact.up for fact in plan.facts.links):
        assert kept(pod, plan) == had
    podwire.teardown()
    assert lasting_difference(before, pod.inside) == ""
    assert tc_dump(pod) == traffic


def kept(pod: Pod, plan: Plan) -> list[str]:
    """Return what the pod's interfaces have, less how many frames may wait, and how long what expires still lives."""
    shown = [pod.inside.ip(f"addr show dev {interface.link}") for interface in plan.interfaces]
    routes = [line for line in pod.inside.ip("route show table all").splitlines() if " dev tap" not in line]
    return [
        re.sub(r" qlen \d+| (expires|valid_lft|preferred_lft) \d+sec| +$", "", text, flags=re.MULTILINE)
        for text in shown + routes
    ]


@pytest.mark.parametrize(
    ("build", "options"),
    [
        *((build, TC) for build in (plain, dual_stack, two_links, *BESIDE.values())),
        *((build, SERVED) for build in (dual_stack, two_links, BESIDE["a filter of the first preference"])),
    ],
)
def test_the_commands_do_what_apply_does(
    netns: MakeNamespace, tmp_path: Path, build: Build, options: PlanOptions
) -> None:
    """Typed in, in a twin, there and back."""
    pods = [build(netns("host"), netns("pod")) for _ in range(2)]
    applied, typed = (Podwire.on(pod, tmp_path / pod.inside.name) for pod in pods)
    plan, by_hand = applied.plan(options), typed.plan(options)
    applied.apply(plan)
    assert applied.plan(options).changes == ()
    type_in(by_hand)
    assert tc_dump(pods[0]).replace(pods[0].inside.name, "") == tc_dump(pods[1]).replace(pods[1].inside.name, "")
    applied.teardown()
    type_in(by_hand.reverse())
    assert tc_dump(pods[0]) == tc_dump(pods[1])


def type_in(plan: Plan) -> None:
    """Run the lines of a plan by hand."""
    for line in render_commands(plan).splitlines():
        assert run(["bash", "-c", line], check=False).rc == 0, line


@pytest.fixture
def pod(netns: MakeNamespace) -> Pod:
    """Return a pod of both families."""
    return dual_stack(netns("host"), netns("pod"))


@pytest.fixture
def podwire(pod: Pod, state_dir: Path) -> Podwire:
    """Return podwire, which has wired the pod with tc."""
    found = Podwire.on(pod, state_dir)
    found.apply(found.plan(TC))
    return found


@pytest.mark.usefixtures("podwire")
def test_frames_arrive_both_ways(pod: Pod) -> None:
    """The gateway answers the VM, and the host reaches it; the pod's own stack answers for nobody."""
    host_mac = json.loads(pod.host.ip(f"-j link show dev {pod.host_end()}"))[0]["address"]
    with Port.on_tap(pod.inside, "tap0") as vm, Port.on_link(pod.host, pod.host_end()) as wire:
        vm.send(arp_request(MAC, "10.1.90.5", "10.1.90.1"))
        vm.receive(lambda frame: str(frame).startswith("ARP 10.1.90.1 is at"))
        request = ping(host_mac, MAC, "10.1.90.1", "10.1.90.5")
        wire.send(request)
        vm.receive(lambda frame: frame.data == request)
        wire.send(arp_request(host_mac, "10.1.90.1", "10.1.90.5"))
        vm.receive(lambda frame: str(frame) == "ARP who has 10.1.90.5 tell 10.1.90.1")
        vm.send(ping(MAC, host_mac, "10.1.90.5", "10.1.90.1"))
        vm.receive(lambda frame: "reply" in str(frame))
        assert not [frame for frame in wire.frames() if str(frame).startswith("ARP 10.1.90.5 is at")]


@pytest.mark.usefixtures("podwire")
def test_dhcp_requests_stay_inside(pod: Pod) -> None:
    """Those of the families that the pod has an address of; what is sent behind them does leave."""
    with Port.on_tap(pod.inside, "tap0") as vm, Port.on_link(pod.host, pod.host_end()) as wire:
        with Port.on_link(pod.inside, "tap0") as stack:
            for request in (dhcp_discover(MAC), dhcpv6_solicit(MAC)):
                vm.send(request)
                stack.receive(lambda frame, sent=request: frame.data == sent)  # type: ignore[misc]
        vm.send(arp_request(MAC, "10.1.90.5", "10.1.90.77"))
        wire.receive(lambda frame: str(frame) == "ARP who has 10.1.90.77 tell 10.1.90.5")
        assert not [frame for frame in wire.frames() if "67" in str(frame).split() or "547" in str(frame).split()]
        sent = [frame.data for frame in wire.frames()]
        assert dhcp_discover(MAC) not in sent
        assert dhcpv6_solicit(MAC) not in sent


def test_the_plugin_checks_and_cleans_up_while_wired(netns: MakeNamespace, state_dir: Path) -> None:
    """The real bridge plugin with ipMasq: its CHECK passes, and its DEL leaves no NAT behind."""
    host, inside = netns("host"), netns("pod")
    quick(host, inside)
    for namespace in (host, inside):
        namespace.ip("link set lo up")
    network = Network(host, bridge(host_local(), ipMasq=True))
    nat = host.run("iptables", "-t", "nat", "-S").out
    pod = Pod(host, inside, network.add(inside))
    complete(inside, "eth0")
    podwire = Podwire.on(pod, state_dir)
    before = dump(inside)
    podwire.apply(podwire.plan(TC))
    network.check(inside, result=pod.result)
    podwire.teardown()
    assert difference(before, dump(inside)) == ""
    podwire.apply(podwire.plan(TC))
    network.delete(inside, result=pod.result)
    left = host.run("iptables", "-t", "nat", "-S").out
    assert [line for line in left.splitlines() if line not in nat.splitlines()] == []


def test_somebody_elses_filter_stays_and_is_said(netns: MakeNamespace, state_dir: Path) -> None:
    """It comes behind ours, so it sees nothing while wired; one that comes first is named."""
    pod = BESIDE["a filter of the first preference"](netns("host"), netns("pod"))
    podwire = Podwire.on(pod, state_dir)
    plan = podwire.plan(TC)
    assert [note for note in plan.notes if "tc filter at the ingress of eth0 (pref 1) sees the VM's frames" in note]
    behind = BESIDE["a clsact qdisc with filters both ways"](netns("host"), netns("pod"))
    notes = Podwire.on(behind, state_dir / "other").plan(TC).notes
    assert [note.split(" sees")[0] for note in notes] == ["a tc filter at the egress of eth0 (pref 7)"]


def test_a_redirect_that_goes_is_drift(pod: Pod, podwire: Podwire) -> None:
    """And is put right; what the pod has is left alone."""
    pod.inside.ip("addr add 192.0.2.9/32 dev eth0")
    pod.inside.run("tc", "filter", "del", "dev", "eth0", "ingress")
    drift = podwire.drift()
    assert [str(change.resource) for change in drift.plan.changes] == ["tc filter at the ingress of eth0 (pref 100)"]
    podwire.repair()
    assert podwire.drift().plan.changes == ()
    assert "192.0.2.9" in pod.inside.ip("addr show dev eth0")


def test_names_and_macs_are_the_pods(podwire: Podwire, pod: Pod) -> None:
    """The VM gets the MAC that the pod's interface keeps."""
    entry = podwire.entry
    assert entry is not None
    (interface,) = podwire.plan(TC).interfaces
    assert (interface.name, interface.mac, interface.bridge) == ("tap0", MAC, None)
    shown = partial(pod.inside.ip, "-j link show dev eth0")
    assert json.loads(shown())[0]["address"] == MAC
