"""Odd things of others never keep podwire from rolling a wiring back: each is added after wiring."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shlex
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.reliability.helpers_trial import Trial
from tests.support import Namespace, eventually
from tests.support.processes import started

ROOT = Path(__file__).resolve().parents[2]

ODD_NAMES = ("AWS(Test)", "ü", "a;b", "$(id)", "a\\b", "'", '"', "?", "*", "{}", "[x]", "<>", "&", "|", "!", "#x")

# By a shell inside the pod; the wired link is eth0.
COMMANDS = [
    # links of odd names
    *(f"ip link add {shlex.quote(name)} type bridge" for name in ODD_NAMES),
    "ip link add '(' type bridge; ip link add v0 type veth peer name v1; ip link set v0 master '('",
    "ip link add 'b(' type bridge; ip link set eth0 nomaster; ip link set eth0 master 'b('",
    "ip link add 'x(' type bridge; ip addr add 10.77.0.1/24 dev 'x('; ip link set 'x(' up",
    "ip link add 'x(' type bridge; ip link set 'x(' up; ip route add 10.78.0.0/24 dev 'x('",
    "ip link add 'n(' type bridge; ip neigh add 10.77.0.9 lladdr 02:01:01:01:01:01 dev 'n(' nud permanent",
    "ip link add 'h(' type bridge; ip link set 'h(' up; ip route add 10.79.0.0/16 nexthop dev 'h(' nexthop dev br0",
    # links of odd kinds
    "ip link add vx0 type vxlan id 7 group 239.1.1.1 dev eth0 dstport 4789",
    "ip link add vx1 type vxlan id 8 local 127.0.0.1 dstport 4790",
    "ip link add d9 type bridge; ip link set d9 alias $'a\\nCommand failed -:2\\nb'",
    "ip link add d8 type bridge; ip link set d8 alias 'podwire:'",
    "ip link add d7 type bridge; ip link set d7 alias 'podwire:other'",
    "ip link property add dev eth0 altname 'eth0(other)'",
    'ip link set eth0 alias "it\'s mine; \\$(id)"',
    "ip tuntap add dev tun9 mode tun",
    "ip tuntap add dev tap9 mode tap user 54321 group 54322",
    "ip tuntap add dev tap8 mode tap multi_queue vnet_hdr",
    "ip link set eth0 group 77",
    "ip link set eth0 txqueuelen 7",
    "ip link add br9 type bridge stp_state 1",
    # addresses
    "ip addr add 10.99.0.1/24 dev eth0",
    "ip addr add 10.99.0.2/24 dev br0 label 'br0:a b'",
    "ip addr add 10.99.0.3/32 dev tap0",
    "ip addr add 10.99.0.4/24 dev lo label 'lo:(x)'",
    "ip addr add 10.1.90.5/24 dev lo",
    "ip -6 addr add 2001:db8:9::1/64 dev eth0 nodad",
    "ip addr add 10.99.1.1 peer 10.99.1.2/32 dev eth0",
    # routes
    "ip route add blackhole 10.66.0.0/16",
    "ip route add unreachable 10.67.0.0/16 metric 5",
    "ip route add prohibit 10.68.0.0/16 table 4000",
    "ip route add 10.69.0.0/16 dev br0 mtu lock 1200",
    "ip route add 10.70.0.0/16 dev br0 table 300 proto 77",
    "ip route add 10.71.0.0/16 nexthop dev br0 weight 3 nexthop dev tap0 weight 9",
    "ip nexthop add id 9 dev br0; ip route add 10.72.0.0/16 nhid 9",
    "ip route add 10.73.0.0/16 encap ip id 9 dst 10.0.0.1 dev br0",
    "ip -6 route add 2001:db8:77::/64 dev br0 expires 300",
    "ip -6 route add unreachable 2001:db8:78::/64",
    "ip route add throw 10.74.0.0/16 table 301",
    "ip rule add from 10.9.9.9 lookup 300",
    # neighbours
    "ip neigh add 10.99.0.9 lladdr 02:01:01:01:01:01 dev br0 nud permanent",
    "ip neigh add 10.99.0.8 lladdr 02:01:01:01:01:09 dev br0 nud noarp",
    "ip neigh add proxy 10.99.0.7 dev eth0",
    "ip neigh add proxy 10.99.0.6 dev br0",
    "ip -6 neigh add proxy 2001:db8::9 dev br0",
    "ip neigh add 10.99.0.5 lladdr 02:01:01:01:01:02 dev br0 nud permanent extern_learn",
    # rules
    "ebtables -N ä; ebtables -A ä -j ACCEPT",
    "ebtables -N 'x(y)'; ebtables -A FORWARD -j 'x(y)'",
    "ebtables -A FORWARD -p ARP --arp-op Request -j ACCEPT",
    "ebtables -P FORWARD DROP",
    "ebtables -t nat -A PREROUTING -j ACCEPT",
    "ebtables -A FORWARD -p IPv4 --ip-src 10.0.0.0/8 --log --log-prefix 'a; $(b) c' -j CONTINUE",
    "nft add table bridge other; nft 'add chain bridge other in { type filter hook input priority 7; }'",
    "nft add table netdev x; nft 'add chain netdev x y { type filter hook ingress device eth0 priority 0; }'",
    "nft add table inet z",
    # queueing disciplines and hooks
    "tc qdisc add dev tap0 root handle 1: htb",
    "tc qdisc add dev br0 clsact",
    # settings
    "sysctl -qw net.ipv6.conf.br0.accept_ra=2",
    "sysctl -qw net.ipv4.conf.all.forwarding=1",
]


def proxy_without_device(pod: Namespace) -> Callable[[], None]:
    """Add a proxy neighbour without a device (rtnetlink(7), NTF_PROXY), which ip(8) can't; return what removes it.

    The kernel would keep it when the namespace has gone, and show it in others.
    """

    def ask(kind: int, flags: int) -> None:
        message = struct.pack("=BBHiHBB", socket.AF_INET, 0, 0, 0, 0, 8, 0)
        message += struct.pack("=HH4s", 8, 1, socket.inet_aton("10.99.77.1"))
        head = struct.pack("=IHHII", 16 + len(message), kind, flags, 1, 0)

        def send() -> None:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
                netlink.send(head + message)
                answer = netlink.recv(4096)
            assert struct.unpack_from("=i", answer, 16)[0] == 0, os.strerror(-struct.unpack_from("=i", answer, 16)[0])

        pod.inside(send)

    ask(28, 0x1 | 0x4 | 0x400)  # RTM_NEWNEIGH, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE
    return lambda: ask(29, 0x1 | 0x4)


@pytest.mark.parametrize("command", COMMANDS)
def test_whatever_others_add_is_left_alone_and_keeps_nobody_from_teardown(trial: Trial, command: str) -> None:
    """All of podwire's goes, eth0 has its address back, and what others added on links of their own is there still."""
    assert trial.apply().rc == 0
    trial.pod.inside.run("bash", "-c", command)
    checked = trial.podwire("check", trial.id)
    assert checked.rc in (0, 2), checked
    outcome = trial.teardown()
    assert (outcome.rc, outcome.err) == (0, ""), outcome
    assert trial.state() is None
    shown = trial.pod.inside.ip("-br addr show dev eth0")
    assert "10.1.90.5/24" in shown
    links = {link["ifname"] for link in json.loads(trial.pod.inside.ip("-j link show"))}
    assert {"tap0", "br0"}.isdisjoint(links)
    assert "default via 10.1.90.1" in trial.pod.inside.ip("route show")
    assert "-i eth0 -j DROP" not in trial.pod.inside.run("ebtables-save").out


def test_a_proxy_neighbour_without_a_device_blocks_nothing(trial: Trial) -> None:
    """The kernel lets such entries leak from one namespace into another."""
    remove = proxy_without_device(trial.pod.inside)
    try:
        assert trial.apply().rc == 0
        assert "no drift" in trial.ok("check", trial.id)
        assert trial.teardown().rc == 0
    finally:
        remove()
    assert trial.changed() == ""


# --- taps that are open -----------------------------------------------------------------------------------------------

OPEN_WITH_HEADER = """
import fcntl, struct, sys
from executor.netns.namespace import Namespace
def opened():
    tap = open("/dev/net/tun", "r+b", buffering=0)
    fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", sys.argv[2].encode(), 0x0002 | 0x1000 | 0x4000))
    return tap
with Namespace.open(sys.argv[1]) as namespace:
    tap = namespace.call(opened)
print("open", flush=True)
sys.stdin.read()
"""


def vmm(trial: Trial, tap: str = "tap0") -> AbstractContextManager[subprocess.Popen[str]]:
    """Open a tap as QEMU does, with the virtio-net header (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)."""
    argv = [sys.executable, "-c", OPEN_WITH_HEADER, str(trial.pod.inside.path), tap]
    return started(argv, says="open", env=os.environ | {"PYTHONPATH": str(ROOT)})


def test_a_tap_that_was_opened_has_not_drifted(trial: Trial) -> None:
    """QEMU sets the header when it opens the tap; a second apply has nothing to do, during that and after it."""
    assert trial.apply().rc == 0
    again = ("apply", "--result", trial.result, "--netns", trial.id, "--yes")
    with vmm(trial):
        assert "vnet_hdr" in trial.pod.inside.ip("-d link show dev tap0")
        assert trial.podwire("check", trial.id).rc == 0
        assert "nothing to do" in trial.ok(*again)
        assert trial.podwire("check", trial.id, "--fix", "--yes").rc == 0
        assert "tap0" in trial.pod.inside.ip("link show dev tap0")
    eventually(lambda: "LOWER_UP" not in trial.pod.inside.ip("link show dev tap0"), "that the tap is closed")
    assert trial.podwire("check", trial.id).rc == 0
    assert trial.teardown().rc == 0
    assert trial.changed() == ""


def test_a_tap_that_somebody_holds_is_never_deleted_by_a_repair(trial: Trial) -> None:
    """Its owner was changed, which no command changes back: the repair is refused, and names who has it open."""
    assert trial.apply().rc == 0
    with vmm(trial) as process:
        index = trial.pod.inside.ip("-o link show dev tap0").split(":")[0]
        set_owner(process)
        refused = trial.cli.refused("check", trial.id, "--fix", "--yes")
        assert f"tap0 is open in process {process.pid}" in refused
        assert trial.pod.inside.ip("-o link show dev tap0").split(":")[0] == index
    assert trial.teardown().rc == 0


def set_owner(process: subprocess.Popen[str]) -> None:
    """Change the owner of the tap that ``process`` has open (TUNSETOWNER), through a copy of its descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(process.pid)
    for fd in Path(f"/proc/{process.pid}/fd").iterdir():
        if str(fd.readlink()) == "/dev/net/tun":
            copy = libc.syscall(438, pidfd, int(fd.name), 0)
            fcntl.ioctl(copy, 0x400454CC, 12345)
            os.close(copy)
    os.close(pidfd)
