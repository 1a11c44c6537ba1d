"""Routes: which come with an address, which go with it, and what one needs to be added.

planner/facts/kernel_routes.py knows what the kernel makes; planner/wiring/strip.py orders the rest; templates/route.j2.
"""

from __future__ import annotations

import pytest

from tests.kernel.asking import ask, locals_of, routes, try_ip
from tests.support import Namespace, eventually
from tests.support.pods import Pod


def add(namespace: Namespace, *lines: str) -> None:
    """Add things in this order: `addr add …`, `route add …`."""
    for line in lines:
        namespace.ip(line)


# --- what the kernel makes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.5/24", ["192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.5"]),
        ("192.0.2.5/24 metric 50", ["192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.5 metric 50"]),
        ("192.0.2.5/32", []),
        ("192.0.2.5/24 noprefixroute", []),
        ("192.0.2.5 peer 198.51.100.1/32", ["198.51.100.1 dev eth0 proto kernel scope link src 192.0.2.5"]),
        ("192.0.2.5 peer 198.51.100.1/24", ["198.51.100.0/24 dev eth0 proto kernel scope link src 192.0.2.5"]),
        ("0.0.0.5/24", []),
        ("2001:db8::5/64", ["2001:db8::/64 dev eth0 proto kernel metric 256 pref medium"]),
        ("2001:db8::5/64 metric 50", ["2001:db8::/64 dev eth0 proto kernel metric 50 pref medium"]),
        ("2001:db8::5/128", ["2001:db8::5 dev eth0 proto kernel metric 256 pref medium"]),
        ("2001:db8::5/64 noprefixroute", []),
        (
            "2001:db8::5 peer 2001:db8::1/128",
            [f"2001:db8::{end} dev eth0 proto kernel metric 256 pref medium" for end in (1, 5)],
        ),
    ],
)
def test_connected_routes(inside: Namespace, address: str, expected: list[str]) -> None:
    """IPv4 none for a /32, with a peer to the peer's prefix; IPv6 always one, with a peer two."""
    family = 6 if "2001" in address else 4
    add(inside, f"addr add {address} dev eth0 {'nodad' if family == 6 else ''}")
    wanted = sorted(expected)
    eventually(lambda: sorted(routes(inside, family=family)) == wanted, f"{wanted}")  # IPv6 makes that to a peer later


def test_the_route_to_an_ipv6_peer_waits_until_the_address_is_not_tentative(inside: Namespace) -> None:
    """If it is missing beside a tentative one, nobody has removed it (kernel_routes.absent_prefixes)."""
    inside.sysctl("net/ipv6/neigh/eth0/retrans_time_ms", 1000)
    inside.ip("addr add 2001:db8::5 peer 2001:db8::1/128 dev eth0")
    assert routes(inside, family=6) == ["2001:db8::5 dev eth0 proto kernel metric 256 pref medium"]


def test_the_route_to_an_ipv6_peer_comes_in_spite_of_noprefixroute(inside: Namespace) -> None:
    """The one to the address's own prefix doesn't. It comes just behind the local entry (kernel_routes.comes_late)."""
    inside.ip("addr add 2001:db8::5 peer 2001:db8:7::1/64 dev eth0 nodad noprefixroute")
    there = eventually(lambda: routes(inside, family=6), "the route to the peer")
    assert there == ["2001:db8:7::1 dev eth0 proto kernel metric 256 pref medium"]
    assert "local 2001:db8::5" in inside.ip("-6 route show table local dev eth0 type local")


def test_a_secondary_has_no_connected_route_of_its_own(inside: Namespace) -> None:
    """One a subnet, with the primary as its source; another prefix length is another subnet."""
    add(inside, *(f"addr add {address} dev eth0" for address in ("192.0.2.5/24", "192.0.2.6/24", "192.0.2.7/25")))
    assert routes(inside) == [
        "192.0.2.0/25 dev eth0 proto kernel scope link src 192.0.2.7",
        "192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.5",
    ]


def test_ipv6_makes_one_a_prefix_for_all_its_addresses(inside: Namespace) -> None:
    """And the last of them takes it away."""
    add(inside, *(f"addr add 2001:db8::{end}/64 dev eth0 nodad" for end in (5, 6)))
    assert len(routes(inside, family=6)) == 1
    inside.ip("addr del 2001:db8::5/64 dev eth0")
    assert len(routes(inside, family=6)) == 1
    inside.ip("addr del 2001:db8::6/64 dev eth0")
    assert routes(inside, family=6) == []


@pytest.mark.parametrize(("address", "prefix"), [("192.0.2.5/24", "192.0.2.0/24"), ("2001:db8::5/64", "2001:db8::/64")])
def test_one_that_was_removed_comes_back_with_its_address(inside: Namespace, address: str, prefix: str) -> None:
    """The plugin ptp removes it; so after the address podwire removes it again (templates/address.j2)."""
    family = 6 if ":" in address else 4
    word = "nodad" if family == 6 else ""
    add(inside, f"addr add {address} dev eth0 {word}", f"route del {prefix} dev eth0 proto kernel")
    assert routes(inside, family=family) == []
    add(inside, f"addr del {address} dev eth0", f"addr add {address} dev eth0 {word}")
    assert [line.split()[0] for line in routes(inside, family=family)] == [prefix]


def test_on_a_link_that_is_down_there_are_none_until_it_is_up(inside: Namespace) -> None:
    """So of an address on such a link none counts as removed by somebody (kernel_routes.absent_prefixes)."""
    inside.ip("link set eth0 down")
    add(inside, "addr add 192.0.2.5/24 dev eth0", "addr add 2001:db8::5/64 dev eth0 nodad")
    assert routes(inside) == routes(inside, family=6) == []
    inside.ip("link set eth0 up")
    assert len(routes(inside)) == len(routes(inside, family=6)) == 1


# --- what goes with an address or a link ------------------------------------------------------------------------------


def test_removing_an_ipv4_address_removes_routes_that_have_it_as_source(joined: Pod) -> None:
    """On whatever link, unasked, but only in the main table: podwire removes and restores them itself in every one."""
    joined.add_veth("eth1", mac="0a:58:0a:01:5b:05")
    add(
        joined.inside,
        "addr add 192.0.2.5/24 dev eth0",
        "route add 198.51.100.0/24 dev eth1 src 192.0.2.5",
        "route add 203.0.113.0/24 dev eth1 src 192.0.2.5 table 100",
        "addr del 192.0.2.5/24 dev eth0",
    )
    assert routes(joined.inside) == []
    assert routes(joined.inside, "table 100") == ["203.0.113.0/24 dev eth1 scope link src 192.0.2.5"]


def test_removing_an_ipv6_address_removes_only_the_source(inside: Namespace) -> None:
    """The route stays without it; so it has to be removed and added again as well."""
    add(
        inside,
        "addr add 2001:db8::5/64 dev eth0 nodad",
        "route add 2001:db8:1::/64 dev eth0 src 2001:db8::5",
        "addr del 2001:db8::5/64 dev eth0",
    )
    assert routes(inside, family=6) == ["2001:db8:1::/64 dev eth0 metric 1024 pref medium"]


def test_taking_a_link_down_loses_its_ipv6_addresses_and_its_routes(inside: Namespace) -> None:
    """And up brings back connected IPv4 routes only: podwire never takes a link down that takes a new MAC while up."""
    add(
        inside,
        "addr add 192.0.2.5/24 dev eth0",
        "addr add 2001:db8::5/64 dev eth0 nodad",
        "route add default via 192.0.2.1",
        "route add ::/0 via 2001:db8::1",
        "link set eth0 down",
        "link set eth0 up",
    )
    assert locals_of(inside) == ["192.0.2.5/24"]
    assert locals_of(inside, family=6) == []
    assert routes(inside) == ["192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.5"]
    assert routes(inside, family=6) == []


def test_taking_lo_down_loses_ipv6_reject_routes(inside: Namespace) -> None:
    """They hang on lo, IPv4's on nothing: wiring brings lo up, and only who had it down before gets it down again."""
    add(inside, "route add blackhole 2001:db8::/32", "route add blackhole 192.0.2.0/24")
    assert routes(inside, family=6) == ["blackhole 2001:db8::/32 dev lo metric 1024 pref medium"]
    inside.ip("link set lo down")
    assert routes(inside, family=6) == []
    assert routes(inside) == ["blackhole 192.0.2.0/24"]


# --- what a route needs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "then", "reason"),
    [
        ("route add 192.0.2.1 dev eth0 scope link", "route add default via 192.0.2.1 dev eth0", "Nexthop has invalid"),
        ("addr add 192.0.2.5/24 dev eth0", "route add 198.51.100.0/24 dev eth0 src 192.0.2.5", "Invalid prefsrc"),
        ("route add 2001:db8::1 dev eth0", "route add ::/0 via 2001:db8::1 dev eth0", "No route to host"),
        ("addr add 2001:db8::5/64 dev eth0 nodad", "route add ::/0 dev eth0 src 2001:db8::5", "Invalid source"),
    ],
)
def test_gateway_and_source_must_be_there_first(inside: Namespace, first: str, then: str, reason: str) -> None:
    """When it is added, not later: addresses come back before routes, routes without a gateway before the others."""
    assert reason in try_ip(inside, then).err
    add(inside, first, then)


def test_onlink_needs_no_reachable_gateway(inside: Namespace) -> None:
    """Only a link that is up; so it is part of what is read and written (planner.kinds.route.NextHop)."""
    add(inside, "route add default via 203.0.113.1 dev eth0 onlink")
    assert routes(inside) == ["default via 203.0.113.1 dev eth0 onlink"]


# --- equal routes -----------------------------------------------------------------------------------------------------


def test_equal_ipv4_routes_are_refused_by_add_and_taken_by_append(inside: Namespace) -> None:
    """Behind the others; `prepend` puts one in front. Which is first matters: the kernel takes it."""
    add(inside, "addr add 192.0.2.5/24 dev eth0", "route add 198.51.100.0/24 via 192.0.2.1")
    assert "File exists" in try_ip(inside, "route add 198.51.100.0/24 via 192.0.2.2").err
    add(inside, "route append 198.51.100.0/24 via 192.0.2.2", "route prepend 198.51.100.0/24 via 192.0.2.3")
    found = [line.split()[2] for line in routes(inside, "198.51.100.0/24")]
    assert found == ["192.0.2.3", "192.0.2.1", "192.0.2.2"]


def test_of_equal_ipv4_routes_the_first_that_fits_is_deleted(inside: Namespace) -> None:
    """What isn't said fits anything: a `del` must say all that tells it from those before it."""
    add(
        inside,
        "addr add 192.0.2.5/24 dev eth0",
        "route add 198.51.100.0/24 via 192.0.2.1",
        "route append 198.51.100.0/24 via 192.0.2.2",
        "route del 198.51.100.0/24",
    )
    assert [line.split()[2] for line in routes(inside, "198.51.100.0/24")] == ["192.0.2.2"]


def test_equal_ipv6_routes_become_one_with_several_ways(inside: Namespace) -> None:
    """If they have gateways: `append` merges them, so it is read and restored as one multipath route."""
    add(
        inside,
        "addr add 2001:db8::5/64 dev eth0 nodad",
        "route add 2001:db8:1::/64 via 2001:db8::1",
        "route append 2001:db8:1::/64 via 2001:db8::2",
    )
    (route,) = ask(inside, "-6 route show 2001:db8:1::/64")
    assert [hop["gateway"] for hop in route["nexthops"]] == ["2001:db8::1", "2001:db8::2"]


def test_equal_ipv6_routes_without_a_gateway_stay_apart(joined: Pod) -> None:
    """In the order in which they came: `prepend` puts none in front, so the last one is removed first."""
    joined.add_veth("eth1", mac="0a:58:0a:01:5b:05")
    for word, name in (("add", "eth0"), ("prepend", "eth1")):
        joined.inside.ip(f"route {word} 2001:db8:1::/64 dev {name}")
    assert [line.split()[2] for line in routes(joined.inside, "2001:db8:1::/64", family=6)] == ["eth0", "eth1"]


def test_of_two_links_in_one_subnet_the_first_has_the_route_that_counts(joined: Pod) -> None:
    """The first to get an address: so addresses are removed from the last link first, and come back the other way."""
    joined.add_veth("eth1", mac="0a:58:0a:01:5b:05")
    add(joined.inside, "addr add 192.0.2.6/24 dev eth1", "addr add 192.0.2.5/24 dev eth0")
    assert [line.split()[2] for line in routes(joined.inside, "192.0.2.0/24")] == ["eth1", "eth0"]


def test_connected_routes_of_lo_are_local_ones(inside: Namespace) -> None:
    """All of the prefix is local there; IPv4 has no connected route in the main table."""
    inside.ip("addr add 192.0.2.5/24 dev lo")
    assert routes(inside) == []
    assert "local 192.0.2.0/24 dev lo proto kernel scope host src 192.0.2.5" in routes(inside, "table local")


def test_a_default_scope_is_chosen_by_what_the_route_is(inside: Namespace) -> None:
    """Link without a gateway, global with one, host for local ones: route_identity.j2 leaves them out."""
    add(
        inside,
        "addr add 192.0.2.5/24 dev eth0",
        "route add 198.51.100.0/24 dev eth0",
        "route add 203.0.113.0/24 via 192.0.2.1",
        "route add local 198.51.100.9 dev eth0",
        "route add blackhole 203.0.113.9",
    )
    found = {route["dst"]: route["scope"] for route in ask(inside, "route show table all") if "scope" in route}
    assert found["198.51.100.0/24"] == "link"
    assert found["203.0.113.0/24"] == found["203.0.113.9"] == "global"
    assert found["198.51.100.9"] == "host"
