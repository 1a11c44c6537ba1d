"""Situations 26 and 27: what takes frames away before the VM sees them, and links behind which there is nothing."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct

import pytest

from tests.support import MakeNamespace, Namespace, run
from tests.support.cli import Cli
from tests.support.dumps import unchanged
from tests.support.pods import Pod, also, plain

REDIRECT = (
    "filter add dev eth0 parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev tap0_urunc"
)

# --- 26 ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def left(netns: MakeNamespace) -> Pod:
    """Return a pod in which a runtime that crashed left a tap and a redirect to it."""
    pod = plain(netns("host"), netns("pod"))
    pod.inside.ip("tuntap add tap0_urunc mode tap")
    pod.inside.run("tc", "qdisc", "add", "dev", "eth0", "ingress")
    pod.inside.run("tc", *REDIRECT.split())
    return pod


@pytest.mark.parametrize("wiring", ["bridge", "tc"])
def test_26_a_redirect_that_was_left(left: Pod, cli: Cli, wiring: str) -> None:
    """Refused by name, whichever wiring, and what the sentence says to do is all that has to be done."""
    words = ("apply", *cli.wiring(left), "--wiring", wiring, "--yes")
    with unchanged(left.inside):
        sentence = cli.refused(*words)
    assert sentence.startswith("a tc filter at the ingress of eth0 (pref 49152) redirects every frame away")
    run(["sh", "-c", sentence.rsplit("(", 1)[1].removesuffix(")")])
    cli.ok(*words)
    cli.teardown(left)


@pytest.mark.parametrize(
    ("lines", "note"),
    [
        (
            (
                "add table netdev f",
                "add chain netdev f in { type filter hook ingress device eth0 priority 0; }",
                "add rule netdev f in ether type arp drop",
            ),
            "the nftables chain 'netdev f in' (hook ingress, 1 rule, policy accept) sees the VM's frames",
        ),
        (
            (
                "add table bridge fw",
                "add chain bridge fw c { type filter hook forward priority 0; policy drop; }",
            ),
            "the nftables chain 'bridge fw c' (hook forward, 0 rules, policy drop) sees the VM's frames",
        ),
    ],
    ids=["netdev", "bridge"],
)
def test_26_a_chain_that_sees_the_frames(pod: Pod, cli: Cli, lines: tuple[str, ...], note: str) -> None:
    """Said by the plan, in every way that it is read, and by check, also if it came while wired."""
    for line in lines:
        pod.inside.run("nft", line)
    for form in ("text", "markdown"):
        shown = cli.ok("plan", *cli.wiring(pod), "--format", form)
        assert note.split("'", maxsplit=1)[0] in shown
    cli.apply(pod)
    assert note in cli.json("check", pod.inside.name)["notes"]
    for table in ("netdev f", "bridge fw"):
        pod.inside.run("nft", "delete", "table", *table.split(), check=False)
    assert note not in cli.json("check", pod.inside.name)["notes"]
    cli.teardown(pod)


def test_26_a_filter_of_somebody_else(netns: MakeNamespace, cli: Cli) -> None:
    """Is said, stays, and is no drift."""
    line = "tc filter add dev eth0 ingress protocol ip pref 7 u32 match ip protocol 17 0xff flowid 1:1"
    pod = also(plain, "tc qdisc add dev eth0 clsact", line)(netns("host"), netns("pod"))
    assert "a tc filter at the ingress of eth0 (pref 7) sees the VM's frames" in cli.ok("plan", *cli.wiring(pod))
    with cli.wired(pod):
        document = cli.json("check", pod.inside.name)
        assert document["drift"] == []
        assert len([note for note in document["notes"] if "tc filter" in note]) == 1


# --- 27 ---------------------------------------------------------------------------------------------------------------


def test_27_a_plugin_s_tap(netns: MakeNamespace, cli: Cli) -> None:
    """What the plugin `tap` makes is opened by the VMM itself."""
    inside = netns("pod")
    inside.ip("tuntap add net1 mode tap user 107")
    for line in ("link set net1 address 02:00:00:00:37:05 up", "addr add 10.77.0.5/24 dev net1"):
        inside.ip(line)
    result = {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "net1", "sandbox": str(inside.path)}],
        "ips": [{"interface": 0, "address": "10.77.0.5/24", "gateway": "10.77.0.1"}],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    with unchanged(inside):
        said = cli.refused("apply", *cli.wiring(Pod(netns("host"), inside, result)), "--yes")
    assert (
        said == "net1 can't be wired: it is already a tap, created for another program: attach the VMM to it directly"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"type": "dummy"}, "traffic sent to a dummy interface goes nowhere"),
        ({"type": "netkit", "flags": ["NOARP", "UP"]}, "it is a netkit in L3 mode"),
        ({"mac": "00:00:00:00:00:00"}, "its MAC is 00:00:00:00:00:00"),
    ],
    ids=["dummy", "netkit", "zero MAC"],
)
def test_27_links_that_this_kernel_may_lack(pod: Pod, cli: Cli, changes: dict[str, object], words: str) -> None:
    """By captured facts: there are kernels without dummy and netkit, and none gives a veth a zero MAC."""
    facts = cli.json("facts", "--netns", pod.inside.name)
    next(link for link in facts["links"] if link["name"] == "eth0").update(changes)
    said = cli.refused("plan", *cli.wiring(pod), "--facts", cli.file("facts.json", facts))
    assert said.startswith("eth0 can't be wired: ")
    assert words in said


def test_27_an_xdp_program(pod: Pod, cli: Cli) -> None:
    """A real one, that lets everything pass; nobody can tell that from outside."""
    pod.inside.inside(lambda: attach_xdp("eth0"))
    before = pod.inside.ip("-d link show dev eth0")
    said = cli.refused("apply", *cli.wiring(pod), "--yes")
    detach = f"nsenter --net={pod.inside.path} ip link set dev eth0 xdpgeneric off"
    assert said == f"eth0 has an XDP program, and podwire cannot tell what it lets through: detach it first ({detach})"
    assert pod.inside.ip("-d link show dev eth0") == before
    run(["sh", "-c", detach])
    with cli.wired(pod):
        pass


def attach_xdp(link: str) -> None:
    """Attach the program "return XDP_PASS" by bpf(2) and rtnetlink(7), in generic mode."""
    libc = ctypes.CDLL(None, use_errno=True)
    program = ctypes.create_string_buffer(struct.pack("=BBhi", 0xB7, 0, 0, 2) + struct.pack("=BBhi", 0x95, 0, 0, 0))
    licence = ctypes.create_string_buffer(b"GPL")
    where = ctypes.addressof(program), ctypes.addressof(licence)
    attributes = ctypes.create_string_buffer(struct.pack("=IIQQ", 6, 2, *where) + bytes(96))  # BPF_PROG_TYPE_XDP
    number = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
    fd = libc.syscall(number, 5, attributes, len(attributes.raw) - 1)  # BPF_PROG_LOAD
    assert fd >= 0, os.strerror(ctypes.get_errno())
    nested = struct.pack("=HHi", 8, 1, fd) + struct.pack(
        "=HHI", 8, 3, 2
    )  # IFLA_XDP_FD, IFLA_XDP_FLAGS: XDP_FLAGS_SKB_MODE
    body = struct.pack("=BxHiII", 0, 0, socket.if_nametoindex(link), 0, 0)
    body += struct.pack("=HH", 4 + len(nested), 43 | 0x8000) + nested  # IFLA_XDP
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.send(struct.pack("=IHHII", 16 + len(body), 19, 5, 1, 0) + body)  # RTM_SETLINK
        (code,) = struct.unpack_from("=i", netlink.recv(4096), 16)
    os.close(fd)
    assert code == 0, os.strerror(-code)


def test_27_a_port_of_a_runtime_s_bridge(pod: Pod, cli: Cli) -> None:
    """The plan says that the interface leaves it, and it is one again afterwards."""
    pod.inside.ip("link add k6t-eth0 type bridge")
    pod.inside.ip("link set eth0 master k6t-eth0")
    assert "eth0 is a port of k6t-eth0, and leaves it" in cli.ok("plan", *cli.wiring(pod))
    with cli.wired(pod):
        assert master(pod.inside) == "br0"
        assert not [note for note in cli.json("check", pod.inside.name)["notes"] if "is a port of" in note]
    assert master(pod.inside) == "k6t-eth0"


def master(inside: Namespace) -> str:
    """Return the bridge that eth0 is a port of."""
    return str(json.loads(inside.ip("-j link show dev eth0"))[0]["master"])
