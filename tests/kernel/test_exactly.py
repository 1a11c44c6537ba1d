"""What a namespace can hold that nobody could add like that again, and what helps.

planner/wiring/temporaries.py, planner/facts/makers.py and planner/facts/kept.py are there for these.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from tests.kernel.asking import batch, link_local, routes, try_ip
from tests.support import MakeNamespace, Namespace, by_netlink, eventually
from tests.support.netlink import raw_dump
from tests.support.pods import Pod

_ADDRCONF = 0x40000  # <linux/ipv6_route.h>
_BY_LINK, _BY_HAND = " 11:03", " 11:"  # IFA_PROTO in <linux/if_addr.h>


def add(namespace: Namespace, *lines: str) -> None:
    """Run `ip` for each line."""
    for line in lines:
        namespace.ip(line)


def local_entries(inside: Namespace) -> list[str]:
    """Return the IPv6 addresses of eth0 that have a local entry."""
    lines = inside.ip("-6 route show table local type local dev eth0").splitlines()
    return [line.split()[1 if line.startswith("local") else 0] for line in lines]


def test_a_route_outlives_what_made_its_gateway_reachable(inside: Namespace) -> None:
    """To add it again takes a host route to the gateway, in front of others, that may go at once."""
    add(inside, "addr add 192.0.2.5/24 dev eth0", "route add default via 192.0.2.1", "route del 192.0.2.0/24 dev eth0")
    assert routes(inside) == ["default via 192.0.2.1 dev eth0"]
    again = "route prepend default via 192.0.2.1 dev eth0"
    assert "invalid gateway" in try_ip(inside, again).err
    add(inside, "route del default", "route add blackhole 192.0.2.1", "route prepend 192.0.2.1 dev eth0 scope link")
    add(inside, again, "route del 192.0.2.1 dev eth0 scope link")
    assert routes(inside) == ["default via 192.0.2.1 dev eth0", "blackhole 192.0.2.1"]


def test_an_ipv6_route_too(inside: Namespace) -> None:
    """IPv6 takes the host route with the least metric."""
    add(inside, "-6 route add 2001:db8::1 dev eth0 metric 1", "-6 route add default via 2001:db8::1 dev eth0")
    add(inside, "-6 route del 2001:db8::1 dev eth0 metric 1")
    assert [line.split()[:3] for line in routes(inside, family=6)] == [["default", "via", "2001:db8::1"]]
    assert try_ip(inside, "-6 route append default via 2001:db8::1 dev eth0").rc == 2


def test_rules_decide_where_the_gateway_of_a_main_route_is_looked_for(inside: Namespace) -> None:
    """As root's own packet without a source, a mark or a protocol. A route outlives that as well."""
    add(inside, "addr add 192.0.2.5/24 dev eth0", "route add default via 192.0.2.1")
    add(inside, "rule add pref 9 from 192.0.2.5 blackhole", "rule add pref 9 fwmark 1 blackhole")
    add(inside, "rule add pref 9 ipproto tcp blackhole", "rule add pref 9 iif eth0 blackhole")
    add(inside, "route append default via 192.0.2.1 dev eth0 metric 5", "rule add pref 10 to 192.0.2.1 blackhole")
    again = "route append default via 192.0.2.1 dev eth0 metric"
    assert "invalid gateway" in try_ip(inside, f"{again} 6").err
    add(inside, "rule add pref 8 goto 11", "rule add pref 11 lookup main", f"{again} 6", "rule del pref 8")
    add(inside, "rule add pref 8 lookup main suppress_prefixlength 24")
    assert "invalid gateway" in try_ip(inside, f"{again} 7").err
    add(inside, "route add 192.0.2.1 dev eth0", f"{again} 7")
    assert len(routes(inside, "default")) == 4


def test_a_table_but_main_is_asked_for_the_gateway_before_any_rule(inside: Namespace) -> None:
    """And IPv6 asks every table first for the gateways of its own routes."""
    add(inside, "addr add 192.0.2.5/24 dev eth0", "addr add 2001:db8::5/64 dev eth0 nodad")
    add(inside, "rule add pref 10 to 192.0.2.1 blackhole", "-6 rule add pref 10 to 2001:db8::1 blackhole")
    again = "route add default via 192.0.2.1 dev eth0 table 100"
    assert "invalid gateway" in try_ip(inside, again).err
    add(inside, "route add 192.0.2.1 dev eth0 table 100", again)
    add(inside, "-6 route add default via 2001:db8::1 dev eth0")


def test_of_several_ipv6_ways_the_preference_of_the_first_is_shown(inside: Namespace) -> None:
    """Of all of them it is in `/proc/net/ipv6_route`."""
    add(inside, "-6 route add 2001:db8::/64 via fe80::1 dev eth0 pref high")
    add(inside, "-6 route append 2001:db8::/64 via fe80::2 dev eth0 pref low")
    assert [inside.ip("-6 route show 2001:db8::/64").count(word) for word in ("nexthop", "pref", "pref high")] == [
        2,
        1,
        1,
    ]
    table = inside.inside(Path("/proc/thread-self/net/ipv6_route").read_text)
    flags = [int(line.split()[8], 16) for line in table.splitlines() if line.startswith("20010db8")]
    assert [each & 0x18000000 for each in flags] == [0x08000000, 0x18000000]


def test_a_route_in_another_table_outlives_its_source(inside: Namespace) -> None:
    """A local entry is as good as an address, and when it goes it takes no route along, of any table."""
    route = "route add 198.51.100.0/24 dev eth0 src 192.0.2.6"
    add(inside, "addr add 192.0.2.5/24 dev eth0", "addr add 192.0.2.6/24 dev eth0", f"{route} table 100")
    add(inside, "addr del 192.0.2.6/24 dev eth0")
    assert routes(inside, "table 100") == ["198.51.100.0/24 dev eth0 scope link src 192.0.2.6"]
    assert "Invalid prefsrc" in try_ip(inside, f"{route} table 101").err
    entry = "local 192.0.2.6 dev eth0 table local scope host"
    add(inside, f"route add {entry}", f"{route} table 101", route, f"route del {entry}")
    assert len(routes(inside, "table 101")) == len(routes(inside, "198.51.100.0/24")) == 1


def test_an_own_address_is_a_gateway_for_ipv4_alone(inside: Namespace) -> None:
    """Unless the route says `onlink`."""
    add(inside, "addr add 192.0.2.5/24 dev eth0", "addr add 2001:db8::5/64 dev eth0 nodad")
    add(inside, "route add default via 192.0.2.5 dev eth0")
    assert "invalid gateway" in try_ip(inside, "route append default via 192.0.2.5 dev eth0 onlink").err
    assert "local address" in try_ip(inside, "-6 route add default via 2001:db8::5 dev eth0").err


def test_nobody_can_add_a_local_ipv6_entry_as_the_kernel_does(inside: Namespace) -> None:
    """It has metric 0, which for others means 1024."""
    add(inside, "-6 route add local 2001:db8::7 dev eth0 table local metric 0 proto kernel")
    assert "metric 1024" in inside.ip("-6 route show table local 2001:db8::7")


def test_no_gateway_tells_equal_ipv6_routes_apart(inside: Namespace) -> None:
    """`via ::` names the one without a gateway; without it the first by that link goes, with all its ways."""
    add(inside, "addr add 2001:db8::5/64 dev eth0 nodad")
    for way in ("via 2001:db8::1 dev eth0", "via 2001:db8::2 dev eth0", "dev eth0"):
        inside.ip(f"-6 route append 2001:db8:1::/64 {way}")
    inside.ip("-6 route del 2001:db8:1::/64 via :: dev eth0")
    assert len(inside.ip("-6 route show 2001:db8:1::/64").splitlines()) == 3
    add(inside, "-6 route append 2001:db8:1::/64 dev eth0", "-6 route del 2001:db8:1::/64 dev eth0")
    assert routes(inside, "2001:db8:1::/64", family=6) == ["2001:db8:1::/64 dev eth0 metric 1024 pref medium"]


def test_others_mark_their_addresses_as_well_and_a_change_takes_the_mark_away(inside: Namespace) -> None:
    """`ip` 6.1 neither shows such a mark nor sets it."""
    program = str(Path(by_netlink.__file__))
    for address in ("192.0.2.5/24", "2001:db8::5/64"):
        inside.run("python3", program, "address", address, "eth0", "77")
        assert [line for line in raw_dump(inside)["address"] if " 11:4d" in line]
        inside.ip(f"addr change {address} dev eth0 metric 5")
        assert not [line for line in raw_dump(inside)["address"] if " 11:4d" in line]
    assert "proto" not in inside.ip("-d addr show dev eth0")


def test_a_temporary_address_is_made_of_another_one_and_never_twice(inside: Namespace) -> None:
    """By `use_tempaddr`, of each with `mngtmpaddr`, whoever added that; nobody else can."""
    inside.sysctl("net/ipv6/conf/eth0/use_tempaddr", 2)

    def temporary() -> list[str]:
        shown = inside.ip("-6 -o addr show dev eth0 temporary").splitlines()
        return [line.split()[3] for line in shown]

    found = []
    for _ in range(2):
        inside.ip("addr add 2001:db8::5/64 dev eth0 mngtmpaddr nodad")
        eventually(temporary, "a temporary address")
        found += temporary()
        inside.ip("-6 addr flush dev eth0 scope global")
    assert len({*found}) == 2
    inside.ip(f"addr add {found[0]} dev eth0 temporary")  # which warns
    assert temporary() == []


def test_the_kernel_marks_the_link_local_address_that_it_made(inside: Namespace) -> None:
    """`ip` 6.1 doesn't show it. One of somebody's has no mark; the mode's sysctl makes a marked one."""
    (own,) = link_local(inside)

    def line() -> str:
        return next(line for line in raw_dump(inside)["address"] if "scope 253" in line and "link 1 " not in line)

    assert line().endswith(_BY_LINK)
    add(inside, f"addr del {own['local']}/64 dev eth0", f"addr add {own['local']}/64 dev eth0 nodad")
    assert _BY_HAND not in line()
    inside.ip(f"addr del {own['local']}/64 dev eth0")
    for mode in (1, 0):
        inside.sysctl("net/ipv6/conf/eth0/addr_gen_mode", mode)
    assert line().endswith(_BY_LINK)


def test_a_mode_that_lasts_a_moment_makes_a_marked_one(inside: Namespace) -> None:
    """Whatever mode comes behind: `none` leaves it there, and what `ip` sets makes nothing (templates/address.j2)."""
    (own,) = link_local(inside)
    add(inside, "link set eth0 addrgenmode none", f"addr del {own['local']}/64 dev eth0")
    for mode in (0, 1):
        inside.sysctl("net/ipv6/conf/eth0/addr_gen_mode", mode)
    inside.ip("link set eth0 addrgenmode random")
    (line,) = (line for line in raw_dump(inside)["address"] if "scope 253" in line and "link 1 " not in line)
    assert line.endswith(_BY_LINK)


def test_what_only_looks_advertised_has_no_mark(inside: Namespace) -> None:
    """`/proc/net/ipv6_route` tells by a flag whether an advertisement made a route (planner/facts/makers.py)."""
    inside.ip("-6 route add default via fe80::9 dev eth0 proto ra expires 500")
    table = inside.inside(lambda: Path("/proc/thread-self/net/ipv6_route").read_text())
    (line,) = (line.split() for line in table.splitlines() if line.endswith("eth0") and line.startswith("0" * 32))
    assert int(line[8], 16) & _ADDRCONF == 0


def test_an_address_that_outlives_its_link_going_down_has_no_local_entry(inside: Namespace) -> None:
    """With `keep_addr_on_down`. Nobody listens to its group; one that is added then has both."""
    inside.sysctl("net/ipv6/conf/eth0/keep_addr_on_down", 1)
    inside.ip("addr add 2001:db8::5/64 dev eth0 nodad")
    eventually(lambda: "2001:db8::5" in local_entries(inside), "the local entry")
    add(inside, "link set eth0 down", "addr add 2001:db8::6/64 dev eth0 nodad")
    assert "2001:db8::5" in inside.ip("addr show dev eth0")
    eventually(lambda: local_entries(inside) == ["2001:db8::6"], "the local entry of the other one")
    groups = inside.ip("maddr show dev eth0")
    assert ("ff02::1:ff00:5" in groups, "ff02::1:ff00:6" in groups) == (False, True)


def test_a_group_is_entered_late_and_then_not_left(inside: Namespace) -> None:
    """Sometimes: the kernel's worker waits for the lock that the two commands take (executor/observe/late.py)."""
    inside.sysctl("net/ipv6/conf/eth0/keep_addr_on_down", 1)
    last = itertools.count(1)

    def was_late() -> bool:
        if "ff02::1:ff00:" in inside.ip("maddr show dev eth0"):
            return True
        batch(inside, "link set eth0 up", f"addr add 2001:db8::{next(last):x}/64 dev eth0 nodad", "link set eth0 down")
        return False

    eventually(was_late, "a group of an address on a link that is down", seconds=30)


def test_an_address_that_came_while_its_link_had_no_arp_is_in_no_group(inside: Namespace) -> None:
    """Nor is it later; that is how it is told from one that was there before (planner/facts/kept.py)."""
    add(inside, "link set eth0 down", "addr add 2001:db8::5/64 dev eth0 nodad")
    eventually(lambda: "2001:db8::5" in local_entries(inside), "the local entry")
    add(inside, "link set eth0 arp off", "addr add 2001:db8::6/64 dev eth0 nodad")
    eventually(lambda: "2001:db8::6" in local_entries(inside), "the local entry of the other one")
    add(inside, "link set eth0 arp on")
    groups = inside.ip("maddr show dev eth0").split()
    assert ("ff02::1:ff00:5" in groups, "ff02::1:ff00:6" in groups) == (True, False)


def test_on_a_link_that_is_down_an_ipv4_address_has_its_local_entry(inside: Namespace) -> None:
    """And no other one, so that somebody can have removed it there as well."""
    add(inside, "link set eth0 down", "addr add 192.0.2.5/24 brd + dev eth0")
    entries = inside.ip("route show table local dev eth0").split("\n")
    assert entries[0].split()[:2] == ["local", "192.0.2.5"]
    assert entries[1:] == [""]


def test_a_link_that_was_never_up_is_in_groups_that_one_that_went_down_left(netns: MakeNamespace) -> None:
    """All nodes, and all routers if the namespace forwards: the next up enters them (tests/property/scripts.py)."""
    inside = netns("never")
    inside.sysctl("net/ipv6/conf/all/forwarding", 1)
    inside.ip("link add v0 type veth peer name v1")
    groups = {"33:33:00:00:00:01", "33:33:00:00:00:02"}
    assert groups <= set(inside.ip("maddr show dev v0").split())
    add(inside, "link set v1 up", "link set v0 up", "link set v0 down")
    assert groups.isdisjoint(inside.ip("maddr show dev v0").split())


def test_the_last_address_of_a_prefix_takes_one_route_along(inside: Namespace) -> None:
    """Two with other metrics make two routes: one is left behind."""
    add(inside, "addr add 2001:db8::5/64 dev eth0 nodad", "addr add 2001:db8::6/64 dev eth0 nodad metric 77")
    assert len(routes(inside, family=6)) == 2
    add(inside, "addr del 2001:db8::6/64 dev eth0", "addr del 2001:db8::5/64 dev eth0")
    assert len(routes(inside, family=6)) == 1


def test_lo_makes_local_routes_by_going_up_that_stay(joined: Pod) -> None:
    """Of addresses that it has already; down again it keeps them."""
    inside = joined.inside
    add(inside, "link set lo down", "addr add 203.0.113.5/24 dev lo")
    assert "203.0.113.0/24" not in inside.ip("route show table local")
    add(inside, "link set lo up", "link set lo down")
    assert "local 203.0.113.0/24 dev lo" in inside.ip("route show table local")


def test_going_up_takes_the_mtu_away_that_ipv6_has_of_its_own(inside: Namespace) -> None:
    """What is set of it while the link is down stays until it has a carrier."""
    key = Path("/proc/sys/net/ipv6/conf/eth0/mtu")

    def mtu() -> str:
        return inside.inside(key.read_text).strip()

    add(inside, "link set eth0 down")
    inside.sysctl("net/ipv6/conf/eth0/mtu", 1300)
    assert mtu() == "1300"
    add(inside, "link set eth0 up")
    eventually(lambda: mtu() == "1500", "the link's MTU")


def test_a_group_that_an_address_joins_is_not_asked_of_a_device_that_went_down(inside: Namespace) -> None:
    """IPv4's `autojoin`: until it is up again; the kernel's own list of groups shows it all the time."""
    address = "239.1.2.3/32 dev eth0 autojoin"
    add(inside, f"addr add {address}")

    def asked() -> bool:
        return "01:00:5e:01:02:03" in inside.ip("maddr show dev eth0")

    assert asked()
    add(inside, "link set eth0 down")
    assert (asked(), "239.1.2.3" in inside.ip("maddr show dev eth0")) == (False, True)
    add(inside, f"addr del {address}", f"addr add {address}")
    assert asked()


def test_lo_is_given_its_own_addresses_by_going_up_but_those_that_it_has(inside: Namespace) -> None:
    """Then it has no mark of the kernel's; and what came with the first time up stays."""
    add(inside, "link set lo down", "addr flush dev lo", "addr add ::1/128 dev lo", "addr add 127.0.0.1/8 dev lo")
    entry = "local 127.0.0.0/8 dev lo"
    assert entry not in inside.ip("route show table local")
    add(inside, "link set lo up")
    own = [line for line in raw_dump(inside)["address"] if line.startswith("link 1 /128 ")]
    assert len(own) == 1
    assert " 11:" not in own[0]
    add(inside, "link set lo down")
    assert entry in inside.ip("route show table local")
    assert "::1" not in inside.ip("addr show dev lo")
