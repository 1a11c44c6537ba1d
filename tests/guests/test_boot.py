"""Guests boot behind what podwire wired, get their lease from a server in the namespace, and reach their gateway."""

from __future__ import annotations

from pathlib import Path

from planner.guest.formats import guest_nics, guest_text
from tests.guests.machines import Nic, ping, uml
from tests.guests.servers import dnsmasq
from tests.guests.serving import udhcpc
from tests.support import MakeNamespace
from tests.support.dumps import difference, dump
from tests.support.pods import MAC, plain
from tests.support.podwire import Podwire


def test_a_guest_gets_the_pods_address_and_reaches_its_gateway(
    netns: MakeNamespace, state_dir: Path, tmp_path: Path
) -> None:
    """What came by DHCP is what the pod had; afterwards the pod is as it was."""
    pod = plain(netns("host"), netns("pod"))
    pod.result["dns"] = {"nameservers": ["10.96.0.10"], "search": ["svc.example"]}
    before = dump(pod.inside)
    podwire = Podwire.on(pod, state_dir)
    plan = podwire.apply()
    server = guest_text(guest_nics(plan), "dnsmasq").text
    with dnsmasq(pod.inside, tmp_path, server), uml(pod.inside, Nic("tap0", MAC)) as guest:
        guest.run(udhcpc())
        assert "inet 10.1.90.5/24 " in guest.run("ip -4 addr show dev eth0")
        assert "default via 10.1.90.1 dev eth0" in guest.run("ip route")
        assert guest.run("cat /sys/class/net/eth0/mtu").strip() == "1500"
        assert guest.run("cat /etc/resolv.conf").splitlines() == ["search svc.example", "nameserver 10.96.0.10"]
        guest.run("ping -c 1 -W 10 10.1.90.1")
        ping(pod.host, "10.1.90.5")
    podwire.teardown()
    assert difference(before, dump(pod.inside)) == ""
