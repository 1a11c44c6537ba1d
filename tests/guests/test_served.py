"""podwire dhcp: real guests get what the pod had."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.guests.machines import Guest, Nic, ping, qemu, uml
from tests.support import MakeNamespace
from tests.support.cli import Cli
from tests.support.dumps import difference, dump
from tests.support.pods import MAC, Pod, dual_stack

UDHCPC = "udhcpc -i eth0 -n -q -t 20 -T 1 -O mtu -O staticroutes -O search -s /udhcpc.sh"
DHCPCD = "dhcpcd -1 -w -6 -t 60 eth0 2>&1"
HOST_LINK_LOCAL = "fe80::858:aff:fe01:5a01"

Boot = Callable[..., AbstractContextManager[Guest]]


@contextmanager
def served(cli: Cli, pod: Pod, *options: str) -> Iterator[None]:
    """Wire a pod and serve its guest by a daemon, and take both back: the pod is then what it was."""
    before = dump(pod.inside)
    cli.ok("apply", *cli.wiring(pod), "--serve-dhcp", *options, "--yes")
    cli.ok("dhcp", pod.inside.name, "--daemon")
    yield
    cli.ok("teardown", pod.inside.name, "--yes")
    assert difference(before, dump(pod.inside)) == ""


@pytest.mark.parametrize("boot", [uml, qemu])
def test_dual_stack(netns: MakeNamespace, cli: Cli, boot: Boot) -> None:
    """IPv4 by DHCP; IPv6 by DHCPv6, with the route by an advertisement in the name of the gateway."""
    pod = dual_stack(netns("host"), netns("pod"))
    pod.result["dns"] = {"nameservers": ["10.96.0.10", "fd00:10::a"], "search": ["svc.example"]}
    with served(cli, pod), boot(pod.inside, Nic("tap0", MAC)) as guest:
        guest.run("ip link set eth0 up")
        guest.run(UDHCPC)
        guest.run(DHCPCD)
        assert "inet 10.1.90.5/24 " in guest.run("ip -4 addr show dev eth0")
        assert "inet6 fd00:1:90::5/" in guest.run("ip -6 addr show dev eth0 scope global")
        assert "default via 10.1.90.1 dev eth0" in guest.run("ip route")
        assert f"default via {HOST_LINK_LOCAL} dev eth0" in guest.run("ip -6 route")
        assert "fd00:1:90::/64 dev eth0" in guest.run("ip -6 route")
        guest.run("ping -c 1 -W 10 10.1.90.1")
        guest.run("ping6 -c 1 -W 10 fd00:1:90::1")
        for address in ("10.1.90.5", "fd00:1:90::5"):
            ping(pod.host, address)
