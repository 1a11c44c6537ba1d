"""The situations that the golden plans show: what was found in the namespace, and what the plugin answered."""

from __future__ import annotations

from ipaddress import ip_interface

from attrs import frozen

from planner.cni.result import CniResult
from planner.facts.model import NamespaceFacts
from planner.options import PlanOptions
from planner.plan.plan import Plan
from tests.planner.builders import (
    address,
    ebtables,
    loopback,
    namespace,
    neighbour,
    of_type,
    plan_of,
    result,
    result_of,
    route,
    veth,
)
from tests.planner.kernel_model import carry_out

NO_OPTIONS = PlanOptions()


@frozen
class Situation:
    """One namespace, in a sentence; ``result`` None is that of a plugin that says what is there."""

    story: str
    facts: NamespaceFacts
    result: CniResult | None = None
    options: PlanOptions = NO_OPTIONS

    def plan(self) -> Plan:
        """Return the plan that wires it."""
        return plan_of(self.facts, self.result, self.options)


LINK_LOCAL = "fe80::858:aff:fe01:5a05/64"
AWS_MAC = "4e:1f:a5:2c:70:01"

SITUATIONS = {
    "plain": Situation(
        "One veth, one address, one default route: flannel, bridge.",
        namespace(
            veth(),
            address("10.1.90.5/24 brd 10.1.90.255"),
            address(LINK_LOCAL),
            route("default via 10.1.90.1 dev eth0"),
        ),
    ),
    "dual-stack": Situation(
        "IPv4 and IPv6, each with its default route.",
        namespace(
            veth(),
            address("10.1.90.5/24 brd 10.1.90.255"),
            address("fd00:1:90::5/64"),
            address(LINK_LOCAL),
            route("default via 10.1.90.1 dev eth0"),
            route("default via fd00:1:90::1 dev eth0"),
        ),
    ),
    "aws": Situation(
        "AWS VPC CNI: a /32, its gateway a permanent neighbour, a route in another table.",
        namespace(
            veth(mac="0a:58:0a:18:88:c2"),
            address("10.24.136.194/32"),
            route("default via 169.254.1.1 dev eth0 table 100"),
            route("default via 169.254.1.1 dev eth0"),
            route("169.254.1.1 dev eth0 scope link"),
            neighbour("169.254.1.1", lladdr=AWS_MAC),
        ),
        result({"eth0": ["10.24.136.194/32"]}, host=["eni7240c55beb0"]),
    ),
    "ptp": Situation(
        "ptp takes the connected route away and goes to everything by the gateway.",
        namespace(
            veth(),
            address("10.1.90.5/24 brd 10.1.90.255", absent=["10.1.90.0/24"]),
            address("fd00:1:90::5/64", absent=["fd00:1:90::/64"]),
            address(LINK_LOCAL),
            route("default via 10.1.90.1 dev eth0"),
            route("10.1.90.0/24 via 10.1.90.1 dev eth0 src 10.1.90.5"),
            route("10.1.90.1 dev eth0 scope link src 10.1.90.5"),
            route("fd00:1:90::1 dev eth0"),
            route("fd00:1:90::/64 via fd00:1:90::1 dev eth0 src fd00:1:90::5"),
            route("default via fd00:1:90::1 dev eth0"),
        ),
    ),
    "calico": Situation(
        "Calico: a /32 and a /128, gateways that no interface has.",
        namespace(
            veth(),
            address("10.244.196.152/32"),
            address("fd10:244::c497/128"),
            address(LINK_LOCAL),
            route("default via 169.254.1.1 dev eth0"),
            route("169.254.1.1 dev eth0 scope link"),
            route("default via fe80::ecee:eeff:feee:eeee dev eth0"),
        ),
        result({"eth0": ["10.244.196.152/32", "fd10:244::c497/128"]}, host=["cali05f4a1849c5"]),
    ),
    "several-interfaces": Situation(
        "Three plugins in any order, one interface without an address, one on the host; eth0 has a route from net1.",
        namespace(
            veth("eth0"),
            veth("net1", mac="02:42:0a:09:00:05", mtu=9000),
            veth("net2.100", mac="02:42:0a:09:00:06", mtu=1400),
            address("10.1.90.5/24", "eth0"),
            address("10.9.0.5/24", "net1"),
            address("fd00:9::5/64", "net1"),
            route("default via 10.1.90.1 dev eth0"),
            route("10.10.0.0/16 via 10.1.90.1 dev eth0 src 10.9.0.5"),
        ),
        result({"net1": ["10.9.0.5/24", "fd00:9::5/64"], "eth0": ["10.1.90.5/24"], "net2.100": []}, host=["cni0"]),
    ),
    "tap-options": Situation(
        "A tap for an unprivileged VMM, with queues and a vnet header, and a DHCP address of the user's choice.",
        namespace(veth(), address("10.1.90.5/24"), route("default via 10.1.90.1 dev eth0")),
        options=PlanOptions(
            tap_owner=1000,
            tap_owner_group=36,
            tap_queues=4,
            tap_vnet_hdr=True,
            dhcp_addresses=(ip_interface("169.254.99.1/30"),),
        ),
    ),
    "mtu-1200": Situation(
        "Below 1280 the link has no IPv6: nothing of it is touched, and bridge and tap get none.",
        namespace(veth(mtu=1200), address("10.1.90.5/24"), route("default via 10.1.90.1 dev eth0")),
    ),
    "down": Situation(
        "The link is down, and so is lo; no br_netfilter.",
        namespace(
            veth(up=False),
            address("10.1.90.5/24"),
            address("fd00:1:90::5/64 tentative"),
            lo=loopback(up=False),
            bridge_netfilter=False,
        ),
    ),
    "foreign-rules": Situation(
        "Somebody has ebtables rules and a policy: kept, and ours come before them.",
        namespace(
            veth(),
            address("10.1.90.5/24"),
            route("default via 10.1.90.1 dev eth0"),
            ebtables("-A FORWARD -p IPv4 -j ACCEPT", chains={"FORWARD": "DROP"}),
        ),
    ),
    "addresses": Situation(
        "Secondary, label, peer, lifetimes, deprecated, nodad, a second link-local one set by hand.",
        namespace(
            veth(),
            address("10.1.0.5/32 scope link"),
            address("10.1.90.5/24 brd 10.1.90.255 label eth0:main"),
            address("10.2.0.5/24 peer 10.2.0.1 metric 50"),
            address("10.3.0.5/24 valid_lft 3600 preferred_lft 1800 noprefixroute"),
            address("10.1.90.6/24 label eth0:two"),
            address("fd00:4::5/64 preferred_lft 0 nodad"),
            address("fd00:1:90::5/64 valid_lft 7200 preferred_lft 7200"),
            address("fe80::5/64", absent=["fe80::/64"]),
            address(LINK_LOCAL, absent=["fe80::/64"]),
        ),
        result({"eth0": ["10.1.90.5/24", "10.1.90.6/24", "fd00:1:90::5/64"]}),
    ),
    "routes": Situation(
        "Metrics, several ways, sources, tables, onlink, a gateway of the other family.",
        namespace(
            veth(),
            veth("net1", mac="02:42:0a:09:00:05"),
            address("10.1.90.5/24"),
            address("10.9.0.5/24", "net1"),
            address("fd00:1:90::5/64"),
            route("default via 10.1.90.1 dev eth0 mtu lock 1280 advmss 1240"),
            route("default via 10.1.90.2 dev eth0 metric 100 proto static"),
            route("10.10.0.0/16 dev eth0 scope link"),
            route("10.10.0.0/16 dev net1 scope link"),
            route("10.11.0.0/16 via fe80::1 dev eth0"),
            route("10.12.0.0/16 via 10.77.0.1 dev eth0 onlink table 100"),
            route("10.13.0.0/16 nexthop via 10.1.90.1 dev eth0 weight 2 nexthop via 10.9.0.1 dev net1"),
            route("10.14.0.0/16 tos 0x10 via 10.9.0.1 dev net1 src 10.1.90.5"),
            route("blackhole 10.15.0.0/16"),
            route("fd10::/64 via fe80::1 dev eth0 metric 7 pref high hoplimit 32"),
            route("fd11::/64 via fd00:1:90::1 dev eth0 expires 500"),
        ),
        result({"eth0": ["10.1.90.5/24", "fd00:1:90::5/64"]}),
    ),
    "advertised": Situation(
        "What a router advertised comes back with the next advertisement.",
        namespace(
            veth(),
            address("10.1.90.5/24"),
            address("2001:db8::858:aff:fe01:5a05/64 valid_lft 86400 preferred_lft 14400 mngtmpaddr", learnt=True),
            address(LINK_LOCAL),
            route("default via 10.1.90.1 dev eth0"),
            route("default via fe80::1 dev eth0 proto ra expires 1800", learnt=True),
        ),
        result({"eth0": ["10.1.90.5/24"]}),
    ),
    "neighbours": Situation(
        "Neighbours set by hand: permanent, noarp, proxy.",
        namespace(
            veth(addrgenmode="none"),
            address("10.1.90.5/24"),
            route("default via 10.1.90.1 dev eth0"),
            neighbour("10.1.90.1", lladdr=AWS_MAC),
            neighbour("10.1.90.7", lladdr="02:00:00:00:00:77", state="noarp"),
            neighbour("fe80::1", lladdr=AWS_MAC, flags=["router"]),
            neighbour("10.1.90.9", proxy=True),
        ),
    ),
    "nic": Situation(
        "A NIC that host-device moved in: its driver takes a new MAC only while it is down.",
        namespace(
            of_type("ether"),
            address("192.168.7.5/24"),
            address("fd00:7::5/64"),
            route("default via 192.168.7.1 dev eth0"),
        ),
    ),
    "taken-subnets": Situation(
        "169.254.254.0/24 is used already, so the bridge's address comes from the next.",
        namespace(
            veth(),
            address("10.1.90.5/24"),
            route("default via 10.1.90.1 dev eth0"),
            route("169.254.254.128/25 dev eth0 scope link"),
            route("169.254.0.0/16 dev eth0 scope link metric 1000"),
        ),
    ),
}


def recorded_again(situation: Situation) -> Plan:
    """Return the plan of a namespace that is already wired as requested."""
    first = situation.plan()
    wired = carry_out(first.changes, first.facts)
    return plan_of(wired, situation.result or result_of(first.facts), situation.options, recorded=first)
