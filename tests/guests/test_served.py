"""podwire dhcp: real guests get what the pod had."""

from __future__ import annotations

import pytest

from tests.guests.machines import Nic, ping, qemu, uml
from tests.guests.serving import DHCPCD, Boot, served, udhcpc
from tests.support import MakeNamespace
from tests.support.cli import Cli
from tests.support.pods import MAC, dual_stack

HOST_LINK_LOCAL = "fe80::858:aff:fe01:5a01"


@pytest.mark.parametrize("boot", [uml, qemu])
def test_dual_stack(netns: MakeNamespace, cli: Cli, boot: Boot) -> None:
    """IPv4 by DHCP; IPv6 by DHCPv6, with the route by an advertisement in the name of the gateway."""
    pod = dual_stack(netns("host"), netns("pod"))
    pod.result["dns"] = {"nameservers": ["10.96.0.10", "fd00:10::a"], "search": ["svc.example"]}
    with served(cli, pod), boot(pod.inside, Nic("tap0", MAC)) as guest:
        guest.run("ip link set eth0 up")
        guest.run(udhcpc())
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
