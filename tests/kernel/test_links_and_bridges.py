"""Links, bridges and taps: what they do of their own accord, and what they can't do.

planner/wiring/links.py and planner/wiring/bridge.py decide by it; templates/link.j2 writes it.
"""

from __future__ import annotations

import json
import socket
from functools import partial
from pathlib import Path

import pytest

from tests.kernel.asking import addresses, forwards, link, link_local, routes, sysctl_of, try_ip
from tests.support import MakeNamespace, Namespace, eventually
from tests.support.frames import BROADCAST, Frame, arp_request, ethernet, ping
from tests.support.pods import MAC, Pod
from tests.support.ports import Port

VM = "02:00:00:00:00:99"
OTHER = "02:00:00:00:00:42"
EXPERIMENT = 0x88B5  # an ethertype for local experiments (IEEE 802): nothing answers it


@pytest.fixture
def alone(netns: MakeNamespace) -> Namespace:
    """Make a namespace in which nothing is."""
    return netns("alone")


def add_veth(namespace: Namespace, name: str, *words: str) -> None:
    """Make a pair, `name` and far-`name`, both ends up, without IPv6 noise."""
    namespace.ip(f"link add {name} {' '.join(words)} type veth peer name far-{name}")
    for end in (name, f"far-{name}"):
        namespace.ip(f"link set {end} addrgenmode none")
        namespace.ip(f"link set {end} up")


def add_bridge(namespace: Namespace, name: str, *ports: str, words: str = "mcast_snooping 0") -> None:
    """Make a silent bridge with these ports, up, and wait until they forward."""
    namespace.ip(f"link add name {name} type bridge {words}")
    namespace.ip(f"link set {name} addrgenmode none")
    namespace.ip(f"link set {name} up")
    for port in ports:
        namespace.ip(f"link set {port} master {name}")
    for port in ports:
        eventually(partial(forwards, namespace, port), f"{port} forwarding")


def frame(src: str, dst: str, payload: bytes) -> bytes:
    """Return a frame that no kernel answers."""
    return ethernet(src, dst, EXPERIMENT, payload.ljust(46))


def with_payload(payload: bytes, received: tuple[Frame, ...]) -> list[Frame]:
    """Return the frames that carry `payload` and came from the wire."""
    return [each for each in received if each.payload.startswith(payload) and not each.outgoing]


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_name_has_fifteen_characters_at_most(alone: Namespace) -> None:
    """And may have dots; an altname may be longer (planner.text.values.InterfaceName)."""
    alone.ip("link add name a23456789012345 type bridge")
    assert "is wrong" in try_ip(alone, "link add name a234567890123456 type bridge").err
    alone.ip("link property add dev a23456789012345 altname the-name-of-a-link.that-is-long")
    assert link(alone, "a23456789012345")["altnames"] == ["the-name-of-a-link.that-is-long"]


def test_an_altname_takes_a_name(alone: Namespace) -> None:
    """As a link's own does: so names for new links are looked for there as well."""
    alone.ip("link property add dev lo altname br7")
    assert "File exists" in try_ip(alone, "link add name br7 type bridge").err


def test_sysctls_of_a_name_with_a_dot_are_written_with_slashes(alone: Namespace) -> None:
    """With dots the name would be two directories."""
    alone.ip("link add name eth0.100 type bridge")
    assert alone.run("sysctl", "-q", "-w", "net.ipv6.conf.eth0.100.accept_dad=0", check=False).rc != 0
    alone.run("sysctl", "-q", "-w", "net/ipv6/conf/eth0.100/accept_dad=0")
    assert sysctl_of(alone, "net/ipv6/conf/eth0.100/accept_dad") == "0"


def test_one_sysctl_sets_several(alone: Namespace) -> None:
    """And says nothing with -q; so neighbouring changes of sysctls are one command."""
    names = [f"net/ipv6/conf/{link_name}/accept_dad" for link_name in ("all", "lo")]
    assert alone.run("sysctl", "-q", "-w", *(f"{name}=2" for name in names)).out == ""
    assert [sysctl_of(alone, name) for name in names] == ["2", "2"]


def test_sysctl_reads_the_same_from_its_input(alone: Namespace) -> None:
    """Slashes too; one that is not there fails, and those behind it are set nevertheless."""
    alone.ip("link add name eth0.100 type bridge")
    lines = [f"net/ipv6/conf/{name}/accept_ra=0\n" for name in ("eth0.100", "nowhere", "lo")]
    done = alone.run("sysctl", "-q", "-p", "-", stdin="".join(lines), check=False)
    assert (done.rc, done.out) == (1, "")
    assert "cannot stat /proc/sys/net/ipv6/conf/nowhere/accept_ra" in done.err
    assert [sysctl_of(alone, f"net/ipv6/conf/{name}/accept_ra") for name in ("eth0.100", "lo")] == ["0", "0"]
    assert alone.run("sysctl", "-q", "-p", "-", stdin="").out == ""


def test_an_alias_may_hold_anything(alone: Namespace) -> None:
    """What controls a terminal is printed raw, even by -j: such JSON takes a reader that isn't strict."""
    alone.run("ip", "link", "set", "lo", "alias", "one\ntwo\x1b[31m")
    text = alone.ip("-j link show dev lo")
    with pytest.raises(json.JSONDecodeError, match="Invalid control character"):
        json.loads(text)
    assert json.loads(text, strict=False)[0]["ifalias"] == "one\ntwo\x1b[31m"


# --- MAC and MTU ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["veth", "bridge", "tap", "macvlan"])
def test_these_take_a_new_mac_while_they_are_up(alone: Namespace, kind: str) -> None:
    """Without a down, so nothing else is lost (planner/wiring/links.py)."""
    add_veth(alone, "x-veth")
    add_bridge(alone, "x-bridge")
    alone.ip("tuntap add dev x-tap mode tap")
    alone.ip("link add name x-macvlan link far-x-veth type macvlan mode bridge")
    alone.ip(f"link set x-{kind} up")
    alone.ip(f"link set dev x-{kind} address {OTHER}")
    found = link(alone, f"x-{kind}")
    assert (found["address"], "UP" in found["flags"]) == (OTHER, True)


def test_a_veth_keeps_addresses_and_routes_with_a_new_mac(inside: Namespace) -> None:
    """All of them, the link-local one made from the old MAC too."""
    for line in (
        "addr add 192.0.2.5/24 dev eth0",
        "addr add 2001:db8::5/64 dev eth0 nodad",
        "route add default via 192.0.2.1",
        "route add ::/0 via 2001:db8::1",
    ):
        inside.ip(line)
    before = addresses(inside), routes(inside), routes(inside, family=6)
    inside.ip(f"link set dev eth0 address {OTHER}")
    assert (addresses(inside), routes(inside), routes(inside, family=6)) == before


def test_a_bridge_without_a_mac_of_its_own_takes_its_ports(alone: Namespace) -> None:
    """The lowest of them, and changes with them; once set, it stays: podwire sets it."""
    add_veth(alone, "low", "address", "02:00:00:00:00:01")
    add_bridge(alone, "br7", "low")
    assert link(alone, "br7")["address"] == "02:00:00:00:00:01"
    alone.ip(f"link set br7 address {OTHER}")
    alone.ip("link set low nomaster")
    alone.ip("link set low master br7")
    assert link(alone, "br7")["address"] == OTHER


@pytest.mark.parametrize(
    ("then", "mtu"),
    [
        pytest.param(None, 1400, id="created"),
        pytest.param(1460, 1460, id="set to another"),
        pytest.param(1450, 1400, id="set to what it is"),
    ],
)
def test_the_mtu_of_a_bridge_follows_its_ports_until_it_is_changed(
    alone: Namespace, then: int | None, mtu: int
) -> None:
    """What it was created with doesn't count, nor does setting what it has: with equal MTUs it follows all the same."""
    add_veth(alone, "port", "mtu", "1400")
    alone.ip("link add name br7 mtu 1450 type bridge")
    if then is not None:
        alone.ip(f"link set dev br7 mtu {then}")
    alone.ip("link set port master br7")
    assert link(alone, "br7")["mtu"] == mtu


def test_a_tap_is_made_without_an_mtu(alone: Namespace) -> None:
    """`ip tuntap` has no word for it; it is set afterwards, before or after the tap joins a bridge."""
    assert try_ip(alone, "tuntap add dev tap7 mode tap mtu 9000").rc == 255
    alone.ip("tuntap add dev tap7 mode tap")
    assert link(alone, "tap7")["mtu"] == 1500
    alone.ip("link set dev tap7 mtu 9000")
    assert link(alone, "tap7")["mtu"] == 9000


def test_no_peer_is_made_that_is_up(alone: Namespace) -> None:
    """The pair comes down, and each end is set up by itself (planner/wiring/veth.py)."""
    refused = try_ip(alone, "link add veth1 type veth peer name veth2 up")
    assert "Transport endpoint is not connected" in refused.err
    alone.ip("link add veth1 up type veth peer name veth2")


def test_one_command_sets_all_of_a_new_link(alone: Namespace) -> None:
    """MAC, MTU, alias, group, address generation and master (templates/link.j2)."""
    add_bridge(alone, "br7")
    alone.ip("tuntap add dev tap7 mode tap")
    alone.ip(f"link set dev tap7 address {OTHER} mtu 1400 alias podwire:x group 77 addrgenmode none master br7")
    found = link(alone, "tap7")
    assert (found["address"], found["mtu"], found["ifalias"]) == (OTHER, 1400, "podwire:x")
    assert (found["group"], found["inet6_addr_gen_mode"], found["master"]) == ("77", "none", "br7")


def test_a_link_is_noop_until_its_first_up(alone: Namespace) -> None:
    """And noqueue for good: its qdisc is no part of a digest, and podwire doesn't set it back."""
    alone.ip("link add veth1 type veth peer name veth2")
    assert link(alone, "veth1")["qdisc"] == "noop"
    alone.ip("link set veth1 up")
    alone.ip("link set veth1 down")
    assert link(alone, "veth1")["qdisc"] == "noqueue"


def test_a_group_is_deleted_at_once_and_only_it(alone: Namespace) -> None:
    """One command for bridge and tap, and one wait of the kernel's (planner/plan/render.py)."""
    for name, group in (("br7", 77), ("br8", 77), ("br9", 78)):
        alone.ip(f"link add name {name} type bridge")
        alone.ip(f"link set dev {name} group {group}")
    alone.ip("link del group 77")
    assert [name for name in ("br7", "br8", "br9") if name in alone.ip("link show")] == ["br9"]


# --- what can be a port -----------------------------------------------------------------------------------------------


def test_neither_lo_nor_a_bridge_nor_what_is_no_ethernet_can_be_a_port(alone: Namespace) -> None:
    """The kernel refuses; podwire does so before it has changed anything, with the reason."""
    add_bridge(alone, "br7")
    alone.ip("link add name br8 type bridge")
    alone.ip("tuntap add dev tun7 mode tun")
    for name in ("lo", "br8", "tun7"):
        assert try_ip(alone, f"link set dev {name} master br7").rc == 2


@pytest.fixture
def nic(alone: Namespace) -> Namespace:
    """Add what takes the place of a host's NIC, `nic`, whose other end is far-nic; and a macvlan of it can be made."""
    add_veth(alone, "nic", "address", "02:00:00:00:00:10")
    return alone


def test_a_macvlan_becomes_a_port_and_the_vm_s_frames_never_arrive(nic: Namespace) -> None:
    """It takes those for its own MAC and for groups only: so it is refused before anything else would seem right."""
    nic.ip("link add name mv7 link nic type macvlan mode bridge")
    nic.ip("link set mv7 addrgenmode none")
    nic.ip("link set mv7 up")
    nic.ip("tuntap add dev tap7 mode tap")
    nic.ip("link set tap7 addrgenmode none")
    nic.ip("link set tap7 up")
    add_bridge(nic, "br7", "mv7")
    nic.ip("link set tap7 master br7")
    with Port.on_tap(nic, "tap7") as vm, Port.on_link(nic, "far-nic") as far:
        far.send(frame(OTHER, VM, b"for the VM"))
        far.send(frame(OTHER, BROADCAST, b"for all"))
        vm.receive(lambda each: each.payload.startswith(b"for all"))
        assert with_payload(b"for the VM", vm.frames()) == []


def test_a_passthru_macvlan_s_new_mac_becomes_its_parent_s(nic: Namespace) -> None:
    """Which is the host's NIC: refused as well."""
    nic.ip("link add name mv7 link nic type macvlan mode passthru")
    nic.ip(f"link set dev mv7 address {OTHER}")
    assert link(nic, "nic")["address"] == OTHER


# --- what a bridge does -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ageing", "learns"), [(0, False), (30000, True)])
def test_without_ageing_a_bridge_learns_nothing(alone: Namespace, ageing: int, *, learns: bool) -> None:
    """Every frame goes to every port, so a VM may change its MAC and a migrated one is found at once."""
    names = ("one", "two", "three")
    for name in names:
        add_veth(alone, name)
    add_bridge(alone, "br7", *names, words=f"mcast_snooping 0 ageing_time {ageing}")
    with (
        Port.on_link(alone, "far-one") as one,
        Port.on_link(alone, "far-two") as two,
        Port.on_link(alone, "far-three") as three,
    ):
        one.send(frame(VM, BROADCAST, b"hello"))
        two.receive(lambda each: each.payload.startswith(b"hello"))
        two.send(frame(OTHER, VM, b"answer"))
        two.send(frame(OTHER, BROADCAST, b"end"))
        three.receive(lambda each: each.payload.startswith(b"end"))
        assert (with_payload(b"answer", three.frames()) == []) is learns
    assert (VM in alone.run("bridge", "fdb", "show", "br", "br7").out) is learns


def test_a_bridge_that_snoops_sends_igmp_and_mld_itself(alone: Namespace) -> None:
    """Into its ports, without an address of its own; one that doesn't is silent. Both are watched for as long."""
    ports = {}
    for name, snooping in (("loud", 1), ("quiet", 0)):
        add_veth(alone, name)
        ports[name] = Port.on_link(alone, f"far-{name}")
        add_bridge(alone, f"br-{name}", name, words=f"mcast_snooping {snooping}")
    with ports["loud"] as loud, ports["quiet"] as quiet:
        loud.receive(lambda each: each.ethertype == 0x0800 and each.payload[9] == socket.IPPROTO_IGMP)
        assert quiet.frames() == ()


def test_a_link_whose_ipv6_addresses_go_reports_it(joined: Pod) -> None:
    """An MLDv2 report within a second, from :: and with the new MAC: the one frame that wiring can't help sending."""
    joined.inside.ip("link set dev eth0 addrgenmode none")
    with Port.on_link(joined.host, "h-eth0") as wire:
        joined.inside.ip(f"addr del {link_local(joined.inside)[0]['local']}/64 dev eth0")
        joined.inside.ip(f"link set dev eth0 address {OTHER}")
        wire.receive(lambda each: each.src == OTHER and str(each) == "ICMPv6 :: > ff02::16 MLDv2 report")


def test_a_port_that_keeps_its_address_doesn_t_answer_for_it(joined: Pod) -> None:
    """Frames go to the bridge before they reach the port's own stack: what is left on a port is out of reach."""
    joined.inside.ip("addr add 192.0.2.5/24 dev eth0")
    add_bridge(joined.inside, "br7", "eth0")
    joined.inside.ip("addr add 192.0.2.6/24 dev br7")
    with Port.on_link(joined.host, "h-eth0") as wire:
        wire.send(ping(OTHER, MAC, "192.0.2.9", "192.0.2.5"))
        wire.send(arp_request(OTHER, "192.0.2.9", "192.0.2.6"))
        wire.receive(lambda each: str(each).startswith("ARP 192.0.2.6 is at"))
        assert [str(each) for each in wire.frames() if "192.0.2.5 > 192.0.2.9" in str(each)] == []


# --- taps -------------------------------------------------------------------------------------------------------------


def test_a_tap_has_a_carrier_while_somebody_holds_it(alone: Namespace) -> None:
    """It comes and goes with the VMM: no part of a digest."""
    alone.ip("tuntap add dev tap7 mode tap")
    alone.ip("link set tap7 up")
    assert "NO-CARRIER" in link(alone, "tap7")["flags"]
    with Port.on_tap(alone, "tap7"):
        assert "LOWER_UP" in link(alone, "tap7")["flags"]
    eventually(lambda: "NO-CARRIER" in link(alone, "tap7")["flags"], "no carrier")


# --- br_netfilter -----------------------------------------------------------------------------------------------------

netfilter = pytest.mark.skipif(
    not Path("/proc/sys/net/bridge").exists(), reason="br_netfilter is not loaded: modprobe br_netfilter"
)


@netfilter
def test_bridge_nf_call_is_on_in_every_new_namespace(alone: Namespace) -> None:
    """For all three families: wiring sets those to 0 that are 1."""
    for family in ("iptables", "ip6tables", "arptables"):
        assert sysctl_of(alone, f"net/bridge/bridge-nf-call-{family}") == "1"


@netfilter
@pytest.mark.parametrize("called", [1, 0])
def test_bridged_frames_pass_through_iptables_where_it_is_on(alone: Namespace, called: int) -> None:
    """A pod's own rules would then eat the frames of the VM."""
    for name in ("left", "right"):
        add_veth(alone, name)
    add_bridge(alone, "br7", "left", "right")
    alone.sysctl("net/bridge/bridge-nf-call-iptables", called)
    alone.run("nft", "add table ip filter")
    alone.run("nft", "add chain ip filter forward { type filter hook forward priority 0; policy drop; }")
    with Port.on_link(alone, "far-left") as left, Port.on_link(alone, "far-right") as right:
        left.send(ping(VM, OTHER, "192.0.2.5", "192.0.2.9"))
        left.send(frame(VM, BROADCAST, b"end"))
        right.receive(lambda each: each.payload.startswith(b"end"))
        passed = [str(each) for each in right.frames() if "echo request" in str(each)]
        assert (passed == []) is bool(called)
