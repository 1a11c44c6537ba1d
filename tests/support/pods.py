"""Pods as CNI plugins leave them, built by hand: a host's namespace and a pod's, joined by veth pairs.

A `Pod` grows by small steps, and each step keeps its CNI result true:

    pod = Pod.between(host, inside)
    pod.add_veth("eth0")
    pod.add_address("10.1.90.5/24", gateway="10.1.90.1")
    pod.result                      # what a plugin would have answered

`plain`, `dual_stack`, `ptp_style`, `calico` and `aws` are the common compositions; they return when no address is
tentative. `also` and `on_host` add any command to one:

    also(dual_stack, "ip route add 192.0.2.0/24 via 10.1.90.1 metric 7")
"""

from __future__ import annotations

import ipaddress
import json
import shlex
from collections.abc import Callable
from typing import Any

from attrs import field, frozen

from tests.support.namespaces import Namespace
from tests.support.running import eventually

MAC = "0a:58:0a:01:5a:05"
HOST_MAC = "0a:58:0a:01:5a:01"
LINK_LOCAL_GATEWAY = "169.254.1.1"
IPV6_MIN_MTU = 1280  # below it a link has no IPv6, and no sysctls of it


def _empty_result() -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "interfaces": [], "ips": [], "routes": [], "dns": {}}


@frozen
class Pod:
    """A pod's namespace, the host's namespace that it is joined to, and the CNI result that describes it."""

    host: Namespace
    inside: Namespace
    result: dict[str, Any] = field(factory=_empty_result)

    @classmethod
    def between(cls, host: Namespace, inside: Namespace) -> Pod:
        """Take two empty namespaces, and set lo up in both."""
        for namespace in (host, inside):
            namespace.ip("link set lo up")
        return cls(host, inside)

    def add_veth(self, name: str = "eth0", *, mac: str = MAC, host_mac: str = HOST_MAC, mtu: int = 1500) -> str:
        """Join pod and host by a veth pair, both ends up; return the name of the host's end.

        Duplicate address detection is on, as it is in a real pod, but takes milliseconds.
        """
        outer = self.host_end(name)
        peer = f"name {outer} address {host_mac} mtu {mtu} netns {self.host.name}"
        self.inside.ip(f"link add {name} address {mac} mtu {mtu} type veth peer {peer}")
        for namespace, link in ((self.host, outer), (self.inside, name)):
            if mtu >= IPV6_MIN_MTU:
                namespace.sysctl(f"net/ipv6/conf/{link}/router_solicitation_delay", 0)  # the random wait for a probe
                namespace.sysctl(f"net/ipv6/neigh/{link}/retrans_time_ms", 20)  # how long a probe waits for an answer
            namespace.ip(f"link set {link} up")
        if mtu >= IPV6_MIN_MTU:
            # Asked for one link, the kernel notices its carrier; by itself it may do so a second later (linkwatch).
            eventually(lambda: "fe80:" in self.inside.ip(f"addr show dev {name}"), f"the address that {name} makes")
        self.result["interfaces"].append({"name": name, "mac": mac, "sandbox": str(self.inside.path)})
        return outer

    def add_address(self, address: str, *, gateway: str | None = None, link: str = "eth0", extra: str = "") -> None:
        """Give the pod `address`, with its prefix length; a `gateway` becomes the host's address and the default route.

        `extra` is appended to `ip addr add`, e.g. "scope link" or "nodad".
        """
        lines = [f"addr add {address} dev {link} {extra}"]
        entry = {"interface": self._index(link), "address": address}
        if gateway is not None:
            length = ipaddress.ip_interface(address).network.prefixlen
            default = _default(address)
            lines.append(f"route add {default} via {gateway} dev {link}")
            entry["gateway"] = gateway
            self.result["routes"].append({"dst": default, "gw": gateway})
            self.host.ip(f"addr add {gateway}/{length} dev {self.host_end(link)}")
        self.inside.batch(*lines)
        self.result["ips"].append(entry)

    def settle(self) -> None:
        """Wait until carriers were noticed and no address is tentative, on either side."""
        self.inside.settle()
        self.host.settle()

    def host_end(self, link: str = "eth0") -> str:
        """Tell the name of the other end of the pod's `link`, in the host's namespace."""
        return f"h-{link[-13:]}"

    def _index(self, link: str) -> int:
        return next(number for number, interface in enumerate(self.result["interfaces"]) if interface["name"] == link)


Build = Callable[[Namespace, Namespace], Pod]


def also(base: Build, *lines: str) -> Build:
    """Make what `base` makes, and run each line as a command in the pod."""

    def build(host: Namespace, inside: Namespace) -> Pod:
        pod = base(host, inside)
        _run(inside, lines)
        pod.settle()
        return pod

    return build


def on_host(base: Build, *lines: str) -> Build:
    """Make what `base` makes, and run each line as a command in the host's namespace."""

    def build(host: Namespace, inside: Namespace) -> Pod:
        pod = base(host, inside)
        _run(host, lines)
        pod.settle()
        return pod

    return build


def carrier_lost(host: Namespace, inside: Namespace) -> Pod:
    """Make what `dual_stack` is, and set the host's end of it down."""
    pod = dual_stack(host, inside)
    _lose_carrier(pod)
    return pod


def carrier_never_there(host: Namespace, inside: Namespace) -> Pod:
    """Make one veth whose host's end is down, so that the pod's end is not ready for IPv6, and 10.1.90.5/24 on it."""
    pod = Pod.between(host, inside)
    pod.add_veth()
    _lose_carrier(pod)
    inside.ip("link set eth0 down")  # which only this makes it forget
    inside.ip("link set eth0 up")
    pod.add_address("10.1.90.5/24", gateway="10.1.90.1")
    return pod


def _lose_carrier(pod: Pod) -> None:
    pod.host.ip(f"link set {pod.host_end()} down")
    eventually(lambda: "NO-CARRIER" in pod.inside.ip("link show dev eth0"), "the loss of the carrier")


def only(base: Build, *links: str) -> Build:
    """Make what `base` makes, with a result that knows of these links only, as of one plugin among several."""

    def build(host: Namespace, inside: Namespace) -> Pod:
        pod = base(host, inside)
        known = [number for number, entry in enumerate(pod.result["interfaces"]) if entry["name"] in links]
        ips = [ip | {"interface": known.index(ip["interface"])} for ip in pod.result["ips"] if ip["interface"] in known]
        interfaces = [pod.result["interfaces"][number] for number in known]
        return Pod(host, inside, pod.result | {"interfaces": interfaces, "ips": ips, "routes": []})

    return build


def _run(namespace: Namespace, lines: tuple[str, ...]) -> None:
    for line in lines:
        namespace.run(*shlex.split(line))


def one_link(name: str = "eth0", *, mtu: int = 1500) -> Build:
    """Make what `plain` is, on a link of another name or MTU."""

    def build(host: Namespace, inside: Namespace) -> Pod:
        pod = Pod.between(host, inside)
        pod.add_veth(name, mtu=mtu)
        pod.add_address("10.1.90.5/24", gateway="10.1.90.1", link=name)
        pod.settle()
        return pod

    return build


def lo_never_up(host: Namespace, inside: Namespace) -> Pod:
    """Make what `plain` is in a namespace whose lo nobody has ever set up, so that it has no address either."""
    pod = Pod(host, inside)
    pod.add_veth()
    pod.add_address("10.1.90.5/24", gateway="10.1.90.1")
    pod.settle()
    return pod


def plain(host: Namespace, inside: Namespace) -> Pod:
    """Make one veth, 10.1.90.5/24, default route via 10.1.90.1: what flannel, bridge and ptp come down to."""
    pod = Pod.between(host, inside)
    pod.add_veth()
    pod.add_address("10.1.90.5/24", gateway="10.1.90.1")
    pod.settle()
    return pod


def dual_stack(host: Namespace, inside: Namespace) -> Pod:
    """Add to `plain` fd00:1:90::5/64 with a default route via fd00:1:90::1."""
    pod = plain(host, inside)
    pod.add_address("fd00:1:90::5/64", gateway="fd00:1:90::1")
    pod.settle()
    return pod


def two_links(host: Namespace, inside: Namespace) -> Pod:
    """Add to `dual_stack` a second interface, net1, with an address of each family and no routes."""
    pod = dual_stack(host, inside)
    pod.add_veth("net1", mac="0a:58:0a:01:5b:05", host_mac="0a:58:0a:01:5b:01")
    pod.add_address("10.1.91.5/24", link="net1")
    pod.add_address("fd00:1:91::5/64", link="net1")
    pod.settle()
    return pod


def ptp_style(host: Namespace, inside: Namespace) -> Pod:
    """Make of `dual_stack` what the ptp plugin leaves: the connected routes are gone, all goes through the gateway."""
    pod = dual_stack(host, inside)
    for address, subnet, gateway, default in (
        ("10.1.90.5", "10.1.90.0/24", "10.1.90.1", "0.0.0.0/0"),
        ("fd00:1:90::5", "fd00:1:90::/64", "fd00:1:90::1", "::/0"),
    ):
        source = "" if ":" in address else f"src {address}"
        inside.ip(f"route del {default}")
        inside.ip(f"route del {subnet} dev eth0")
        inside.ip(f"route add {gateway} dev eth0 scope link {source}")
        inside.ip(f"route add {subnet} via {gateway} dev eth0 {source}")
        inside.ip(f"route add {default} via {gateway} dev eth0")
    return pod


def calico(host: Namespace, inside: Namespace) -> Pod:
    """Make a /32 with a default route via 169.254.1.1, which is nobody's: the host's end of the veth does proxy ARP."""
    pod = Pod.between(host, inside)
    outer = pod.add_veth()
    host.sysctl(f"net/ipv4/conf/{outer}/proxy_arp", 1)
    host.sysctl(f"net/ipv4/neigh/{outer}/proxy_delay", 0)
    host.sysctl("net/ipv4/ip_forward", 1)  # the kernel answers for others only if it would forward to them
    host.ip("link add uplink type bridge")  # proxy ARP answers only for what lies elsewhere
    host.ip("link set uplink addrgenmode none")  # by itself: together with `up`, up comes first
    host.ip("link set uplink up")
    host.ip("addr add 192.168.77.1/24 dev uplink")
    host.ip("route add default via 192.168.77.254")
    pod.add_address("10.1.90.5/32")
    host.ip(f"route add 10.1.90.5/32 dev {outer} scope link")
    _route_by_link_local_gateway(pod)
    pod.settle()
    return pod


def aws(host: Namespace, inside: Namespace) -> Pod:
    """Make a /32 as AWS's plugin does, whose gateway only a permanent neighbour entry knows, and add a rule."""
    pod = Pod.between(host, inside)
    outer = pod.add_veth()
    pod.add_address("10.1.90.5/32")
    host.ip(f"route add 10.1.90.5/32 dev {outer} scope link")
    _route_by_link_local_gateway(pod)
    gateway_mac = json.loads(host.ip(f"-j link show dev {outer}"))[0]["address"]
    inside.ip(f"neigh add {LINK_LOCAL_GATEWAY} lladdr {gateway_mac} nud permanent dev eth0")
    inside.ip(f"route add default via {LINK_LOCAL_GATEWAY} dev eth0 table 100")
    inside.ip("rule add from 10.1.90.5 lookup 100 pref 1000")
    pod.settle()
    return pod


def _route_by_link_local_gateway(pod: Pod, link: str = "eth0") -> None:
    pod.inside.ip(f"route add {LINK_LOCAL_GATEWAY} dev {link} scope link")
    pod.inside.ip(f"route add default via {LINK_LOCAL_GATEWAY} dev {link}")
    pod.result["routes"] += [{"dst": f"{LINK_LOCAL_GATEWAY}/32"}, {"dst": "0.0.0.0/0", "gw": LINK_LOCAL_GATEWAY}]


def _default(address: str) -> str:
    return "::/0" if ":" in address else "0.0.0.0/0"
