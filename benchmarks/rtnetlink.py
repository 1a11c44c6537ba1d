"""pyroute2 doing what podwire does to a plain pod: links, addresses and routes over netlink, in one process.

It is given its best: one socket for the whole operation, sysctls written as files, the rules by one
``ebtables-restore``, and it notes nothing. With ``looks`` it reads the namespace before and after, as podwire does.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from attrs import frozen
from pyroute2 import IPRoute

from tests.support.pods import MAC, Pod

_RULES = ("INPUT -i eth0", "OUTPUT -o eth0", "FORWARD -p IPv4 -o eth0 --ip-proto udp --ip-dport 67")
_CHAINS = ("INPUT", "OUTPUT", "FORWARD")
_ALIAS = "podwire:bench"
_GROUP = 1_234_567
_LINK_LOCAL = "fe80::858:aff:fe01:5a05"  # what the kernel makes of the pod's MAC
_NO_GENERATION = {"IFLA_AF_SPEC": {"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", 1)]})]}}


@frozen
class Rtnetlink:
    """The wiring of one plain pod over netlink."""

    pod: Pod
    looks: bool

    def up(self) -> None:
        """Set it up."""
        with self._open() as ip:
            self._look(ip)
            link = ip.link_lookup(ifname="eth0")[0]
            self._sysctl("eth0/accept_dad", 0)
            ip.route("del", dst="default", gateway="10.1.90.1", oif=link)
            ip.link("set", index=link, **_NO_GENERATION)
            ip.addr("del", index=link, address=_LINK_LOCAL, prefixlen=64)
            ip.addr("del", index=link, address="10.1.90.5", prefixlen=24)
            self._restore("".join(f"-I {rule} -j DROP\n" for rule in _RULES))
            ip.link("set", index=link, address="02:00:00:00:00:01")
            bridge = self._bridge(ip)
            self._tap(ip, bridge)
            ip.link("set", index=link, master=bridge)
            self._look(ip)

    def down(self) -> None:
        """Take it down."""
        with self._open() as ip:
            self._look(ip)
            link = ip.link_lookup(ifname="eth0")[0]
            ip.link("set", index=link, master=0)
            ip.link("del", group=_GROUP)
            ip.link("set", index=link, address=MAC)
            rules = "".join(f"-D {rule} -j DROP\n" for rule in _RULES)
            self._restore(rules + "".join(f"-X {chain}\n" for chain in _CHAINS))
            self._inside("ebtables", "--init-table")
            ip.addr("add", index=link, address="10.1.90.5", prefixlen=24)
            ip.addr("add", index=link, address=_LINK_LOCAL, prefixlen=64)
            ip.route("add", dst="default", gateway="10.1.90.1", oif=link)
            self._sysctl("eth0/accept_dad", 1)
            self._look(ip)

    def _open(self) -> IPRoute:
        return IPRoute(netns=str(self.pod.inside.path))

    def _look(self, ip: IPRoute) -> None:
        if self.looks:
            answers = (ip.get_links(), ip.get_addr(), ip.get_routes(), ip.get_neighbours())
            for answer in answers:
                list(answer)
            self._inside("ebtables-save")

    def _bridge(self, ip: IPRoute) -> int:
        ip.link("add", ifname="br0", kind="bridge", br_ageing_time=0, br_mcast_snooping=0)
        bridge: int = ip.link_lookup(ifname="br0")[0]
        ip.link(
            "set", index=bridge, address="02:00:00:00:00:02", mtu=1500, ifalias=_ALIAS, group=_GROUP, **_NO_GENERATION
        )
        self._sysctl("br0/accept_ra", 0)
        ip.addr("add", index=bridge, address="169.254.254.2", prefixlen=24)
        ip.link("set", index=bridge, state="up")
        return bridge

    def _tap(self, ip: IPRoute, bridge: int) -> None:
        ip.link("add", ifname="tap0", kind="tuntap", mode="tap")
        tap = ip.link_lookup(ifname="tap0")[0]
        ip.link("set", index=tap, address="02:00:00:00:00:03", mtu=1500, ifalias=_ALIAS, group=_GROUP, **_NO_GENERATION)
        ip.link("set", index=tap, master=bridge, state="up")

    def _sysctl(self, key: str, value: int) -> None:
        self.pod.inside.inside(lambda: Path("/proc/sys/net/ipv6/conf", key).write_text(str(value)))

    def _restore(self, rules: str) -> None:
        self._inside("ebtables-restore", "--noflush", text=f"*filter\n{rules}")

    def _inside(self, *argv: str, text: str = "") -> None:
        inside = ["nsenter", f"--net={self.pod.inside.path}", *argv]
        subprocess.run(inside, input=text, text=True, check=True, capture_output=True)
