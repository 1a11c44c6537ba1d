"""The helpers see what they are there to see: a check that can't fail checks nothing."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from tests.support import CommandFailed, MakeNamespace, Namespace, eventually, run
from tests.support.cni import Network, bridge, chain, host_local, ptp
from tests.support.dumps import Dump, difference, dump
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
from tests.support.pods import LINK_LOCAL_GATEWAY, MAC, Pod, aws, calico, dual_stack, plain
from tests.support.ports import Port

VM = "02:00:00:00:00:99"


# --- running ----------------------------------------------------------------------------------------------------------


def test_a_failing_program_fails_the_test_with_what_it_said() -> None:
    """The message is all that one has when a test fails on another machine."""
    with pytest.raises(CommandFailed, match=r"^status 3: sh -c 'echo out; echo err >&2; exit 3'\nout\nerr\n$"):
        run(["sh", "-c", "echo out; echo err >&2; exit 3"])


def test_eventually_waits_and_gives_up() -> None:
    """It returns the first true answer, and fails with a name at the deadline."""
    numbers = itertools.count()
    assert eventually(lambda: next(numbers) // 3, "three") == 1
    with pytest.raises(AssertionError, match=r"^not within 0\.02 s: rain$"):
        eventually(lambda: False, "rain", seconds=0.02)


def test_code_inside_a_namespace_leaves_the_caller_where_it_was(netns: MakeNamespace) -> None:
    """Only the thread that runs it enters, and what goes wrong there is raised here."""
    link, here = Path("/proc/thread-self/ns/net"), Path("/proc/thread-self/ns/net").readlink()
    namespace = netns()
    assert namespace.path.stat().st_ino == namespace.inside(lambda: link.stat().st_ino)
    assert link.readlink() == here != namespace.inside(link.readlink)
    with pytest.raises(ZeroDivisionError):
        namespace.inside(lambda: 1 // 0)


# --- dumps ------------------------------------------------------------------------------------------------------------

CHANGES = {
    "an address removed": "addr del 10.1.90.6/24 dev eth0",
    "secondaries in another order": "addr del 10.1.90.6/24 dev eth0; addr add 10.1.90.6/24 dev eth0",
    "IPv6 addresses in another order": "addr del fd00:2::6/64 dev eth0; addr add fd00:2::6/64 dev eth0 nodad",
    "an address flag": "addr change fd00:2::5/64 dev eth0 nodad noprefixroute",
    "an address label": "addr del 10.1.90.7/24 dev eth0; addr add 10.1.90.7/24 dev eth0 label eth0:other",
    "an address that is forever": "addr change fd00:2::7/64 dev eth0 nodad",
    "an address made deprecated": "addr change fd00:2::5/64 dev eth0 preferred_lft 0",
    "a link set down": "link set veth1 down",
    "a link flag": "link set eth0 promisc on",
    "an altname": "link property add dev eth0 altname other",
    "an alias": "link set eth0 alias podwire:x",
    "a MAC": "link set eth0 address 0a:00:00:00:00:42",
    "an MTU": "link set eth0 mtu 1499",
    "a master": "link set veth1 nomaster",
    "the address generation mode": "link set eth0 addrgenmode none",
    "a bridge option": "link set br7 type bridge ageing_time 0",
    "a port option": "link set veth1 type bridge_slave learning off",
    "a route removed": "route del 192.0.2.0/24",
    "a route's metric": "route del 192.0.2.0/24; route add 192.0.2.0/24 via 10.1.90.1 metric 5",
    "a route in another table": "route add 192.0.2.0/24 via 10.1.90.1 table 7",
    "equal routes in another order": "route del 198.51.100.0/24 via 10.1.90.1; "
    "route append 198.51.100.0/24 via 10.1.90.1",
    "an IPv6 route": "route add 2001:db8::/32 via fd00:2::1",
    "a rule": "rule add from 10.1.90.5 lookup 7",
    "an IPv6 rule": "-6 rule add from fd00:2::5 lookup 7",
    "a permanent neighbour": "neigh add 10.1.90.9 lladdr 02:00:00:00:00:09 dev eth0",
    "a noarp neighbour": "neigh add 10.1.90.9 lladdr 02:00:00:00:00:09 nud noarp dev eth0",
    "a proxy neighbour": "neigh add proxy 10.1.90.9 dev eth0",
}


@pytest.fixture
def busy(netns: MakeNamespace) -> Namespace:
    """Make a namespace that has something of everything."""
    inside = netns("pod")
    pod = plain(netns("host"), inside)
    for line in (
        "addr add 10.1.90.6/24 dev eth0",
        "addr add 10.1.90.7/24 dev eth0 label eth0:seven",
        "addr add fd00:2::5/64 dev eth0 nodad",
        "addr add fd00:2::6/64 dev eth0 nodad",
        "addr add fd00:2::7/64 dev eth0 nodad valid_lft 500 preferred_lft 400",
        "route add 192.0.2.0/24 via 10.1.90.1",
        "route add 198.51.100.0/24 via 10.1.90.1",
        "route append 198.51.100.0/24 via 10.1.90.2",
        "link add br7 type bridge",
        "link add veth1 type veth peer name veth2",
        "link set veth1 master br7",
        "link set veth1 up",
    ):
        inside.ip(line)
    pod.settle()
    return inside


@pytest.mark.parametrize("lines", CHANGES.values(), ids=CHANGES)
def test_difference_sees(busy: Namespace, lines: str) -> None:
    """Whatever of a namespace somebody could have configured."""
    before = dump(busy)
    assert difference(before, dump(busy)) == ""
    for line in lines.split("; "):
        busy.ip(line)
    assert difference(before, dump(busy)) != ""


def test_difference_sees_rules_queues_and_sysctls(busy: Namespace) -> None:
    """What isn't shown by `ip`."""
    for argv in (
        ["ebtables", "-A", "FORWARD", "-j", "DROP"],
        ["tc", "qdisc", "add", "dev", "eth0", "clsact"],
        ["sysctl", "-qw", "net/ipv6/conf/eth0/accept_dad=0"],
        ["sysctl", "-qw", "net/ipv4/conf/all/proxy_arp=1"],
    ):
        before = dump(busy)
        busy.run(*argv)
        assert difference(before, dump(busy)) != "", argv


def test_difference_is_short_and_says_where(busy: Namespace) -> None:
    """One line a thing, with the section that it is in and the link that it belongs to."""
    before = dump(busy)
    busy.ip("addr del 10.1.90.7/24 dev eth0")
    changed = [line for line in difference(before, dump(busy)).splitlines() if line.startswith(("+", "-"))]
    assert [line.split("\\")[0].rstrip() for line in changed[2:]] == [
        "-addr: 2: eth0    inet 10.1.90.7/24 scope global secondary eth0:seven",
        "-route4: local 10.1.90.7 dev eth0 table local proto kernel scope host src 10.1.90.5",
    ]


def test_difference_ignores_what_goes_by_itself(netns: MakeNamespace) -> None:
    """Traffic, a first up, timers and time leave a namespace as it was configured."""
    host, inside = netns("host"), netns("pod")
    pod = plain(host, inside)
    inside.ip("link add br7 type bridge")
    inside.ip("link add idle type veth peer name idle2")
    inside.ip("link set br7 up")
    inside.ip("addr add fd00:2::7/64 dev eth0 nodad valid_lft 500 preferred_lft 400")
    inside.run("ebtables", "-A", "INPUT", "-j", "CONTINUE")
    inside.run(
        "nft", "add table ip t; add chain ip t c { type filter hook output priority 0; }; add rule ip t c counter"
    )
    raw = dump(inside)
    inside.ip("link set idle up")
    inside.ip("link set idle down")
    inside.run("bash", "-c", "echo ping >/dev/udp/10.1.90.1/9; echo ping >/dev/udp/10.1.90.77/9")
    inside.run("bash", "-c", "echo ping >/dev/udp/224.0.0.9/9; echo ping >/dev/udp/127.0.0.1/9")
    eventually(lambda: "10.1.90.1 " in inside.ip("neigh show nud reachable"), "the gateway's answer")
    eventually(lambda: "valid_lft 500sec" not in inside.ip("addr show dev eth0"), "a second's passing")
    later = dump(inside)
    assert difference(raw, later) == ""
    assert {name for name in raw.sections if raw.sections[name] != later.sections[name]} >= {
        "link",
        "addr",
        "neigh",
        "nft",
        "qdisc",
    }
    assert pod.result["ips"]


NOISE = [
    ("link", "2: a: <UP> qdisc noop state DOWN mode", "2: a: <UP> qdisc noqueue state UP mode"),
    ("link", "2: a: <NO-CARRIER,UP> x", "2: a: <UP,LOWER_UP> x"),
    ("link", "2: a: <BROADCAST,NO-CARRIER,UP> x", "2: a: <BROADCAST,UP> x"),
    ("link", "2: b: <> \\ bridge hello_timer    0.50 x", "2: b: <> \\ bridge hello_timer    1.99 x"),
    ("link", "2: b: <> \\ hold_timer 0.00 gc_timer 9.1 x", "2: b: <> \\ hold_timer 1.00 gc_timer  0.0 x"),
    ("addr", "2: a inet6 fd00::1/64 valid_lft 30sec", "2: a inet6 fd00::1/64 valid_lft 29sec"),
    ("addr", "2: a inet6 fd00::1/64 preferred_lft 30sec", "2: a inet6 fd00::1/64 preferred_lft 29sec"),
    (
        "route4",
        "unicast a dev x table main\nunicast b dev x table main",
        "unicast b dev x table main\nunicast a dev x table main",
    ),
    ("route6", "default via fe80::1 expires 30sec pref", "default via fe80::1 expires 9sec pref"),
    ("route6", "a\nb", "b\na"),
    ("neigh", "10.0.0.1 dev a lladdr 02:00:00:00:00:09 REACHABLE", ""),
    ("neigh", "fe80::1 dev a lladdr 02:00:00:00:00:09 router STALE", ""),
    ("neigh", "10.0.0.1 dev a FAILED", "10.0.0.2 dev a INCOMPLETE"),
    ("neigh", "ff02::16 dev a lladdr 33:33:00:00:00:16 NOARP", ""),
    ("neigh", "10.0.0.255 dev a lladdr ff:ff:ff:ff:ff:ff NOARP", ""),
    ("neigh", "127.0.0.1 dev lo lladdr 00:00:00:00:00:00 NOARP", ""),
    ("neigh", "a PERMANENT\nb PERMANENT", "b PERMANENT\na PERMANENT"),
    ("nft", "counter packets 1 bytes 2 drop", "counter packets 3 bytes 44 drop"),
    ("qdisc", "qdisc noqueue 0: dev a root refcnt 2", ""),
]


@pytest.mark.parametrize(("section", "before", "after"), NOISE)
def test_noise_is_ignored(section: str, before: str, after: str) -> None:
    """Each line of the list of ignored fields, by itself."""
    assert difference(Dump({section: before}), Dump({section: after})) == ""


NO_NOISE = [
    ("link", "2: a: <> qdisc noqueue x", "2: a: <> qdisc fq_codel x"),
    ("link", "2: a: <UP> x", "2: a: <> x"),
    ("link", "2: a: <> \\ bridge_slave state forwarding x", "2: a: <> \\ bridge_slave state disabled x"),
    ("link", "2: a: <> \\ hello_time 200 x", "2: a: <> \\ hello_time 100 x"),
    ("addr", "2: a inet6 fd00::1/64 valid_lft forever", "2: a inet6 fd00::1/64 valid_lft 29sec"),
    ("addr", "2: a inet6 fd00::1/64", "2: a inet6 fd00::1/64 tentative"),
    ("addr", "2: a inet6 fd00::1/64\n2: a inet6 fd00::2/64", "2: a inet6 fd00::2/64\n2: a inet6 fd00::1/64"),
    ("route4", "unicast a via x table main metric 5", "unicast a via x table main metric 6"),
    ("route4", "unicast a via x\nunicast a via y", "unicast a via y\nunicast a via x"),
    ("route6", "default via fe80::1 expires 30sec pref", "default via fe80::1 pref"),
    ("rule4", "0: from all lookup local\n5: a", "0: from all lookup local"),
    ("neigh", "10.0.0.1 dev a lladdr 02:00:00:00:00:09 PERMANENT", ""),
    ("neigh", "10.0.0.1 dev a lladdr 02:00:00:00:00:09 NOARP", ""),
    ("nft", "counter packets 1 bytes 2 drop", "counter packets 1 bytes 2 accept"),
    ("qdisc", "qdisc fq_codel 0: dev a root refcnt 2", ""),
    ("qdisc", "qdisc noqueue 8001: dev a parent 1:", ""),
    ("bridge", "2: a state forwarding", "2: a state disabled"),
    ("sysctl", "net/ipv6/conf/a/accept_dad = 1", "net/ipv6/conf/a/accept_dad = 0"),
]


@pytest.mark.parametrize(("section", "before", "after"), NO_NOISE)
def test_what_looks_like_noise_is_seen(section: str, before: str, after: str) -> None:
    """The neighbours of the ignored fields."""
    assert difference(Dump({section: before}), Dump({section: after})) != ""


# --- pods and plugins -------------------------------------------------------------------------------------------------


def test_a_pod_reaches_its_gateway_by_both_families(netns: MakeNamespace) -> None:
    """The compositions are networks that work, and nothing in them is tentative."""
    host, inside = netns("host"), netns("pod")
    pod = dual_stack(host, inside)
    assert "tentative" not in inside.ip("addr show")
    assert [entry["address"] for entry in pod.result["ips"]] == ["10.1.90.5/24", "fd00:1:90::5/64"]
    gateways = {"10.1.90.1", "fd00:1:90::1"}
    for gateway in gateways:
        inside.run("bash", "-c", f"echo hello >/dev/udp/{gateway}/9")
    eventually(lambda: gateways <= set(inside.ip("neigh show nud reachable").split()), "an answer from both")


def test_calico_answers_for_the_address_that_nobody_has(netns: MakeNamespace) -> None:
    """Proxy ARP on the host's end: it is what makes Calico's 169.254.1.1 work."""
    host, inside = netns("host"), netns("pod")
    pod = calico(host, inside)
    with Port.on_link(inside, "eth0") as port:
        port.send(arp_request(MAC, "10.1.90.5", LINK_LOCAL_GATEWAY))
        answer = port.receive(lambda frame: not frame.outgoing and frame.ethertype == 0x0806)
    mac = json.loads(host.ip(f"-j link show dev {pod.host_end()}"))[0]["address"]
    assert str(answer) == f"ARP {LINK_LOCAL_GATEWAY} is at {mac}"


def test_aws_has_nobody_to_answer_but_knows_the_neighbour(netns: MakeNamespace) -> None:
    """The permanent entry is what the guest has to be given."""
    host, inside = netns("host"), netns("pod")
    pod = aws(host, inside)
    mac = json.loads(host.ip(f"-j link show dev {pod.host_end()}"))[0]["address"]
    assert f"{LINK_LOCAL_GATEWAY} lladdr {mac} PERMANENT" in inside.ip("neigh show dev eth0 nud permanent")


def test_a_pod_can_have_several_interfaces(netns: MakeNamespace) -> None:
    """Each address of the result refers to the interface that carries it."""
    pod = Pod.between(netns("host"), netns("pod"))
    pod.add_veth("eth0")
    pod.add_veth("net1.with-a-dot", mac="0a:58:0a:01:5b:05", mtu=9000)
    pod.add_address("10.1.91.5/24", link="net1.with-a-dot")
    pod.add_address("10.1.90.5/24", gateway="10.1.90.1")
    assert [entry["interface"] for entry in pod.result["ips"]] == [1, 0]
    assert "mtu 9000" in pod.inside.ip("link show net1.with-a-dot")


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"])
def test_real_plugins_answer_in_every_version_they_know(netns: MakeNamespace, version: str) -> None:
    """The raw answer, and afterwards a namespace that is empty again."""
    network, inside = Network(netns("host"), bridge(version=version)), netns("pod")
    before = dump(inside)
    result = network.add(inside)
    assert result["cniVersion"] == version
    assert "10.1.90.2/24" in json.dumps(result)
    assert "10.1.90.2/24" in inside.ip("addr show dev eth0")
    network.delete(inside, result=result)
    assert difference(before, dump(inside)) == ""


def test_plugins_can_be_chained_and_give_both_families(netns: MakeNamespace) -> None:
    """Each gets the result of the one before, and DEL goes backwards."""
    mappings = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}, "runtimeConfig": {"portMappings": mappings}}
    ipam = host_local("10.1.90.0/24", "fd00:1:90::/64", routes=("0.0.0.0/0", "::/0"))
    host, inside = netns("host"), netns("pod")
    network = Network(host, chain(ptp(ipam), {"type": "tuning", "mtu": 1400, "mac": VM}, portmap))
    result = network.add(inside)
    assert [entry["address"] for entry in result["ips"]] == ["10.1.90.2/24", "fd00:1:90::2/64"]
    assert result["interfaces"][1]["mac"] == VM
    assert "mtu 1400" in inside.ip("link show eth0")
    assert "dport 8080" in host.run("iptables-save").out
    network.delete(inside, result=result)
    assert "dport 8080" not in host.run("iptables-save").out


# --- frames -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tapped(netns: MakeNamespace) -> Pod:
    """Make a pod whose interface is bridged with a tap by hand, as a wiring would do it."""
    pod = dual_stack(netns("host"), netns("pod"))
    for line in (
        "addr flush dev eth0",
        "link add br0 type bridge mcast_snooping 0",
        "tuntap add tap0 mode tap",
        "link set eth0 master br0 address 0a:00:00:00:00:77",
        "link set tap0 master br0",
        "link set br0 up",
        "link set tap0 up",
    ):
        pod.inside.ip(line)
    return pod


def test_frames_from_the_tap_reach_the_gateway_and_back(tapped: Pod) -> None:
    """ARP and ping, neighbour solicitation and ping: built by hand, answered by a real kernel."""
    with Port.on_tap(tapped.inside, "tap0") as vm, Port.on_link(tapped.host, tapped.host_end()) as wire:
        vm.send(arp_request(MAC, "10.1.90.5", "10.1.90.1"))
        gateway = vm.receive(lambda frame: str(frame).startswith("ARP 10.1.90.1 is at")).src
        vm.send(ping(MAC, gateway, "10.1.90.5", "10.1.90.1"))
        vm.receive(lambda frame: str(frame) == "ICMP 10.1.90.1 > 10.1.90.5 echo reply")
        vm.send(neighbour_solicitation(MAC, "fd00:1:90::5", "fd00:1:90::1"))
        vm.receive(lambda frame: str(frame) == "ICMPv6 fd00:1:90::1 > fd00:1:90::5 neighbour advertisement")
        vm.send(ping(MAC, gateway, "fd00:1:90::5", "fd00:1:90::1"))
        vm.receive(lambda frame: str(frame) == "ICMPv6 fd00:1:90::1 > fd00:1:90::5 echo reply")
        passed = wire.frames()
    assert [str(frame) for frame in passed if frame.src == MAC][:2] == [
        "ARP who has 10.1.90.1 tell 10.1.90.5",
        "ICMP 10.1.90.5 > 10.1.90.1 echo request",
    ]
    assert {frame.outgoing for frame in passed if frame.src == MAC} == {False}
    assert {frame.outgoing for frame in passed if frame.src == gateway} == {True}


def test_dhcp_requests_are_what_a_server_would_take_them_for(tapped: Pod) -> None:
    """The kernel passes them on as they are, and they are well formed."""
    with Port.on_tap(tapped.inside, "tap0") as vm, Port.on_link(tapped.host, tapped.host_end()) as wire:
        vm.send(dhcp_discover(MAC))
        vm.send(dhcpv6_solicit(MAC))
        v4 = wire.receive(lambda frame: str(frame) == "UDP 0.0.0.0:68 > 255.255.255.255:67")
        v6 = wire.receive(lambda frame: str(frame) == "UDP [fe80::1]:546 > [ff02::1:2]:547")
    assert v4.dst == BROADCAST
    assert v4.payload[28 + 28 :][:6].hex(":") == MAC
    assert v4.payload[28 + 236 :][:7] == b"\x63\x82\x53\x63\x35\x01\x01"
    assert v6.payload[48] == 1
    assert bytes.fromhex(MAC.replace(":", "")) in v6.payload[48:]


def test_a_frame_that_does_not_come_fails_the_test_and_says_what_came(tapped: Pod) -> None:
    """At the deadline, not before; and a frame that came earlier is not missed."""
    with Port.on_tap(tapped.inside, "tap0") as vm:
        vm.send(arp_request(MAC, "10.1.90.5", "10.1.90.1"))
        with pytest.raises(
            AssertionError, match=r"did not come within 0\.3 s; there came(.|\n)*\n  ARP 10\.1\.90\.1 is at"
        ):
            vm.receive(lambda frame: "10.1.90.200" in str(frame), seconds=0.3)
        assert vm.receive(lambda frame: "ARP 10.1.90.1 is at" in str(frame), seconds=0).dst == MAC


def test_a_capture_sees_only_its_own_link(tapped: Pod) -> None:
    """From the moment it is opened, nothing of other links."""
    tapped.inside.ip("link add other type veth peer name other2")
    tapped.inside.ip("link set other up")
    tapped.inside.ip("link set other2 up")
    with Port.on_link(tapped.inside, "other") as quiet, Port.on_link(tapped.inside, "other2") as there:
        there.send(arp_request(VM, "192.0.2.1", "192.0.2.2"))
        with Port.on_tap(tapped.inside, "tap0") as vm:
            vm.send(arp_request(MAC, "10.1.90.5", "10.1.90.1"))
            vm.receive(lambda frame: "is at" in str(frame))
        assert {str(frame) for frame in quiet.frames() if frame.ethertype == 0x0806} == {
            "ARP who has 192.0.2.2 tell 192.0.2.1"
        }


def test_a_frame_tells_what_it_is() -> None:
    """So that a list of frames in a failing test can be read."""
    assert str(Frame(arp_reply(MAC, "10.0.0.1", VM, "10.0.0.2"))) == f"ARP 10.0.0.1 is at {MAC}"
    assert str(Frame(bytes.fromhex("333300000001") + bytes(6) + b"\x88\xcc")) == (
        "ethertype 0x88cc 00:00:00:00:00:00 > 33:33:00:00:00:01"
    )
