"""The clients that distributions have: each gets the pod's addresses, routes, MTU and DNS, one after the other."""

from __future__ import annotations

import re

from tests.guests.machines import Guest, Nic, uml
from tests.guests.serving import DHCPCD, served, udhcpc
from tests.support import MakeNamespace
from tests.support.cli import Cli
from tests.support.pods import MAC, dual_stack
from tests.support.ports import Port

ANOTHER = """\
lease {
  interface "eth0";
  fixed-address 10.1.90.99;
  option subnet-mask 255.255.255.0;
  option dhcp-server-identifier 10.1.90.66;
  renew 5 2037/12/31 00:00:00; rebind 5 2037/12/31 00:00:00; expire 5 2037/12/31 00:00:00;
}
"""
DHCLIENT = "dhclient -{0} -1 -lf /var/lib/dhcp/{0} -pf /run/dhclient{0} eth0 2>&1"
# What it prints when the address is there; it waits for udev only if /sys can be written to.
NETWORKD = "mount -o remount,ro /sys; systemd-networkd >/log 2>&1 & "
STATE = "/run/systemd/netif/links/2"
CONFIGURED = f"""\
until grep -q ADMIN_STATE=configured {STATE} && ip -6 addr | grep -q fd00:1:90::5 && ip -4 route | grep -q ^default
do sleep 0.1; done""".replace("\n", "; ")
NAK, REQUEST = 6, 3


def test_every_client_gets_what_the_pod_had(netns: MakeNamespace, cli: Cli) -> None:
    """Both families; the first asks for another address, and is told no."""
    pod = dual_stack(netns("host"), netns("pod"))
    pod.result["dns"] = {"nameservers": ["10.96.0.10", "fd00:10::a"], "search": ["svc.example"]}
    nic = Nic("tap0", MAC)
    with served(cli, pod), Port.on_link(pod.inside, "tap0") as tap, uml(pod.inside, nic, disk="clients.cpio") as guest:
        for line in ANOTHER.splitlines():
            guest.run(f"echo '{line}' >>/var/lib/dhcp/4")
        guest.run("ip link set eth0 up")
        guest.run(DHCLIENT.format(4))
        guest.run(f"until {DHCLIENT.format(6)}; do sleep 0.2; done")
        has_what_the_pod_had(guest)
        assert "search svc.example" in guest.run("cat /etc/resolv.conf")
        assert [kind for frame in tap.frames() if (kind := dhcp_type(frame.payload))][:2] == [REQUEST, NAK]

        guest.run("kill $(cat /run/dhclient4 /run/dhclient6)")
        start_afresh(guest)
        guest.run(udhcpc())
        guest.run(DHCPCD)
        has_what_the_pod_had(guest)

        start_afresh(guest)
        guest.run(NETWORKD)
        guest.run(CONFIGURED)
        has_what_the_pod_had(guest)
        state = guest.run(f"cat {STATE}")
        assert {"10.96.0.10", "fd00:10::a"} <= set(re.split("[ =\n]", state))
        assert "svc.example" in state


def start_afresh(guest: Guest) -> None:
    """Take away what a client left, as another one expects it."""
    guest.run("ip addr flush dev eth0; ip link set eth0 down; ip link set eth0 mtu 1400; ip link set eth0 up")


def has_what_the_pod_had(guest: Guest) -> None:
    """See addresses, routes and MTU, and that the gateway is reached."""
    assert "inet 10.1.90.5/24 " in guest.run("ip -4 addr show dev eth0")
    assert guest.run("cat /sys/class/net/eth0/mtu") == "1500\n"
    assert "inet6 fd00:1:90::5/" in guest.run("ip -6 addr show dev eth0 scope global")
    assert "default via 10.1.90.1 dev eth0" in guest.run("ip -4 route")
    assert "default via fe80::858:aff:fe01:5a01 dev eth0" in guest.run("ip -6 route")
    guest.run("ping -c 1 -W 10 10.1.90.1")
    guest.run("ping6 -c 1 -W 10 fd00:1:90::1")


def dhcp_type(packet: bytes) -> int | None:
    """Return the type of a DHCP message (option 53, RFC 2132) in an IPv4 packet; None if there is none."""
    cookie, first = packet[264:268], packet[268:271]
    return first[2] if cookie == b"\x63\x82\x53\x63" and first[:2] == b"\x35\x01" else None
