"""Addresses: their order, what comes and goes with them, and what makes them tentative.

planner/wiring/strip.py takes them off in the order whose inverse puts them back; planner/facts/parse.py reads them.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.kernel.asking import addresses, ask, batch, link, link_local, locals_of, routes, sysctl_of, try_ip
from tests.support import Namespace, Outcome, eventually
from tests.support.advertisements import ROUTER, router_advertisement
from tests.support.pods import MAC, Pod
from tests.support.ports import Port

EUI64 = "fe80::858:aff:fe01:5a05"  # the link-local address that is made from pods.MAC
IN_ONE_SUBNET = ("192.0.2.5/24", "192.0.2.6/24", "192.0.2.7/24")


def add(namespace: Namespace, *texts: str, link_name: str = "eth0") -> None:
    """Add addresses in this order."""
    for text in texts:
        namespace.ip(f"addr add {text} dev {link_name}")


# --- IPv4: primaries and secondaries ----------------------------------------------------------------------------------


def test_a_primary_takes_its_secondaries_along(inside: Namespace) -> None:
    """So planner.wiring.strip.remove_addresses begins with the last listed; else the other commands would fail."""
    add(inside, *IN_ONE_SUBNET, "198.51.100.5/24")
    inside.ip("addr del 192.0.2.5/24 dev eth0")
    assert locals_of(inside) == ["198.51.100.5/24"]


def test_promote_secondaries_changes_that(inside: Namespace) -> None:
    """If it is set, a secondary becomes the primary: removing the last listed first is right for both."""
    inside.sysctl("net/ipv4/conf/eth0/promote_secondaries", 1)
    add(inside, *IN_ONE_SUBNET)
    inside.ip("addr del 192.0.2.5/24 dev eth0")
    assert locals_of(inside) == ["192.0.2.6/24", "192.0.2.7/24"]
    assert "secondary" not in addresses(inside)[0]


def test_primaries_are_listed_before_secondaries(inside: Namespace) -> None:
    """Whenever they were added, so adding in the listed order makes the same ones primary again."""
    add(inside, *IN_ONE_SUBNET, "198.51.100.5/24")
    assert locals_of(inside) == ["192.0.2.5/24", "198.51.100.5/24", "192.0.2.6/24", "192.0.2.7/24"]


@pytest.mark.parametrize("promote", [0, 1])
def test_last_listed_first_and_back_restores_the_order(inside: Namespace, promote: int) -> None:
    """IPv4's rule of planner.wiring.strip.remove_addresses."""
    inside.sysctl("net/ipv4/conf/eth0/promote_secondaries", promote)
    add(inside, *IN_ONE_SUBNET, "198.51.100.5/24", "198.51.100.6/24")
    before = inside.ip("-4 -d addr show dev eth0")
    listed = locals_of(inside)
    for address in reversed(listed):
        inside.ip(f"addr del {address} dev eth0")
    add(inside, *listed)
    assert inside.ip("-4 -d addr show dev eth0") == before


# --- IPv6: order ------------------------------------------------------------------------------------------------------


def test_ipv6_lists_the_newest_first_within_its_scope(inside: Namespace) -> None:
    """Global ones before link-local ones, whenever they were added."""
    add(inside, "2001:db8::5/64 nodad", "2001:db8::6/64 nodad", "fe80::99/64 nodad")
    assert [entry["local"] for entry in addresses(inside)] == ["2001:db8::6", "2001:db8::5", "fe80::99", EUI64]


def test_as_listed_and_back_last_listed_first_restores_the_order(inside: Namespace) -> None:
    """IPv6's rule of planner.wiring.strip.remove_addresses, the opposite of IPv4's."""
    add(inside, "2001:db8::5/64 nodad", "2001:db8:1::5/64 nodad", "2001:db8::6/64 nodad")
    listed = locals_of(inside, family=6)
    for address in listed:
        inside.ip(f"addr del {address} dev eth0")
    add(inside, *(f"{address} nodad" for address in reversed(listed)))
    assert locals_of(inside, family=6) == listed == ["2001:db8::6/64", "2001:db8:1::5/64", "2001:db8::5/64"]


# --- what an address has and has not ----------------------------------------------------------------------------------


def test_ipv4_gets_a_broadcast_address_only_if_told_so(inside: Namespace) -> None:
    """So templates/parts/address_words.j2 writes `broadcast` only if there was one."""
    add(inside, "192.0.2.5/24", "198.51.100.5/24 broadcast +")
    assert [entry.get("broadcast") for entry in addresses(inside)[:2]] == [None, "198.51.100.255"]


def test_loopback_addresses_get_scope_host_unless_told_otherwise(inside: Namespace) -> None:
    """On any link (127/8 in `ip` itself): so templates/parts/address_words.j2 always writes the scope of those."""
    add(inside, "127.9.0.1/24", "127.9.1.1/24 scope global", "192.0.2.5/24")
    assert [entry["scope"] for entry in addresses(inside)[:3]] == ["host", "global", "global"]


def test_an_address_with_a_peer_is_deleted_by_the_whole_peer(inside: Namespace) -> None:
    """The peer's prefix length is the address's: without it `ip` takes 32, and the kernel finds no such address."""
    add(inside, "192.0.2.5 peer 198.51.100.1/24")
    assert try_ip(inside, "addr del 192.0.2.5/24 dev eth0").rc != 0
    inside.ip("addr del 192.0.2.5/24 peer 198.51.100.1/24 dev eth0")
    assert locals_of(inside) == []


def test_lifetimes_tick(inside: Namespace) -> None:
    """They are never equal twice, no digest has them, and the rollback counts them down (planner/kinds/address.py)."""
    add(inside, "192.0.2.5/24 valid_lft 500 preferred_lft 300")
    eventually(lambda: addresses(inside)[0]["valid_life_time"] < 500, "a lifetime of less than 500 s")
    assert addresses(inside)[0]["dynamic"] is True


@pytest.mark.parametrize(("address", "left"), [("192.0.2.5/24", 2**32 - 1), ("2001:db8::5/64 nodad", 0)])
def test_deprecated_is_a_preferred_lifetime_of_none(inside: Namespace, address: str, left: int) -> None:
    """Of IPv4 only the flag says so, the lifetime printed is forever: capture goes by the flag."""
    add(inside, f"{address} preferred_lft 0")
    found = addresses(inside)[0]
    assert (found["deprecated"], found["valid_life_time"], found["preferred_life_time"]) == (True, 2**32 - 1, left)


# --- duplicate address detection --------------------------------------------------------------------------------------


def slow_detection(namespace: Namespace) -> None:
    """Let a probe wait as long as it does anywhere: a second."""
    namespace.sysctl("net/ipv6/neigh/eth0/retrans_time_ms", 1000)


def local_routes(namespace: Namespace) -> list[str]:
    """Return the local routes to documentation addresses."""
    return [line for line in routes(namespace, "table local", family=6) if "2001:db8" in line]


def test_an_added_address_is_tentative_and_not_yet_local(inside: Namespace) -> None:
    """For about a second: nobody can use it and its local route isn't there, so a restore would not be exact."""
    slow_detection(inside)
    add(inside, "2001:db8::5/64")
    assert addresses(inside)[0]["tentative"] is True
    assert local_routes(inside) == []


def test_nodad_stays_visible(inside: Namespace) -> None:
    """So it is no way to avoid the delay for an address that did not have it."""
    slow_detection(inside)
    add(inside, "2001:db8::5/64 nodad")
    found = addresses(inside)[0]
    assert (found["nodad"], found.get("tentative")) == (True, None)
    eventually(lambda: local_routes(inside), "its local route")


@pytest.mark.parametrize(("everywhere", "here"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_accept_dad_counts_together_with_that_of_all(inside: Namespace, everywhere: int, here: int) -> None:
    """The larger one wins: if somebody turned it off for a link, that of `all` may still probe."""
    slow_detection(inside)
    inside.sysctl("net/ipv6/conf/all/accept_dad", everywhere)
    inside.sysctl("net/ipv6/conf/eth0/accept_dad", here)
    add(inside, "2001:db8::5/64")
    if max(everywhere, here) == 1:
        assert addresses(inside)[0]["tentative"] is True
        assert local_routes(inside) == []
    else:
        eventually(lambda: local_routes(inside), "its local route")
        assert "tentative" not in addresses(inside)[0]


def test_accept_dad_is_looked_at_a_moment_later(inside: Namespace) -> None:
    """By a worker of the kernel's: set back right after the address was added, some addresses are tentative after all.

    So 0 must stay until the addresses are no longer tentative. A hundred at once make the moment long enough to see.
    """
    slow_detection(inside)
    path, numbers = Path("/proc/sys/net/ipv6/conf/eth0/accept_dad"), itertools.count(1)

    def add_a_hundred_and_set_it_back() -> str:
        lines = [f"addr add 2001:db8:{next(numbers):x}::5/64 dev eth0" for _ in range(100)]
        script = f"echo 0 >{path}; ip -batch -; echo 1 >{path}"
        inside.run("sh", "-c", script, stdin="\n".join(lines))
        return inside.ip("-6 -o addr show dev eth0 tentative")

    assert eventually(add_a_hundred_and_set_it_back, "an address that is tentative")


def test_a_tentative_address_is_no_source(inside: Namespace) -> None:
    """A route that has it as its source is refused until then."""
    slow_detection(inside)
    add(inside, "2001:db8::5/64")
    assert "Invalid source address" in try_ip(inside, "route add 2001:db8:1::/64 dev eth0 src 2001:db8::5").err


@pytest.mark.parametrize("words", ["", "noprefixroute", "valid_lft 500 preferred_lft 400", "metric 77"])
def test_nodad_can_be_taken_off_again(inside: Namespace, words: str) -> None:
    """`add … nodad`, then `change …` without: never tentative, no probe is sent, a source at once, and no flag left."""
    slow_detection(inside)
    answer = batch(
        inside,
        f"addr add 2001:db8::5/64 dev eth0 {words} nodad",
        "route add 2001:db8:1::/64 dev eth0 src 2001:db8::5",
        f"addr change 2001:db8::5/64 dev eth0 {words}",
    )
    assert answer == Outcome(0, "", "")
    found = addresses(inside)[0]
    assert (found["local"], found.get("nodad"), found.get("tentative")) == ("2001:db8::5", None, None)
    eventually(lambda: local_routes(inside), "its local route")


def test_the_default_is_that_a_link_detects_and_all_does_not(inside: Namespace) -> None:
    """So a pod's addresses are probed unless its plugin sees to it."""
    assert sysctl_of(inside, "net/ipv6/conf/all/accept_dad") == "0"
    assert sysctl_of(inside, "net/ipv6/conf/eth0/accept_dad") == "1"


def is_tentative(namespace: Namespace, name: str) -> bool:
    """Say whether the first address of a link is tentative."""
    return bool(addresses(namespace, name)[0].get("tentative"))


@pytest.mark.parametrize("lines", [(), ("link set veth1 up",)], ids=["down", "never had a carrier"])
def test_on_a_link_that_never_worked_an_address_stays_tentative(inside: Namespace, lines: tuple[str, ...]) -> None:
    """Another link's, added later, no longer is: what is read as tentative is brought back so, without `nodad`."""
    inside.ip("link add veth1 type veth peer name veth2")
    for line in lines:
        inside.ip(line)
    add(inside, "2001:db8:1::5/64", link_name="veth1")
    add(inside, "2001:db8::5/64")
    eventually(lambda: not is_tentative(inside, "eth0"), "the end of the probe on a link that works")
    assert is_tentative(inside, "veth1")


def test_one_that_is_tentative_for_want_of_a_carrier_stays_so_without_detection(inside: Namespace) -> None:
    """A new one is known at once there: the old one could not be brought back."""
    inside.ip("link add veth1 type veth peer name veth2")
    inside.ip("link set veth1 up")
    add(inside, "2001:db8:1::5/64", link_name="veth1")
    add(inside, "2001:db8::5/64")
    eventually(lambda: not is_tentative(inside, "eth0"), "the end of the probe on a link that works")
    inside.sysctl("net/ipv6/conf/veth1/accept_dad", 0)
    add(inside, "2001:db8:1::6/64", link_name="veth1")
    waiting = ["2001:db8:1::5"]
    eventually(lambda: [one["local"] for one in addresses(inside, "veth1") if "tentative" in one] == waiting, "the new")


@pytest.mark.parametrize(("lines", "made"), [((), False), (("link set veth1 up",), True)], ids=["down", "no carrier"])
def test_the_multicast_prefix_is_made_with_the_first_address(
    inside: Namespace, lines: tuple[str, ...], *, made: bool
) -> None:
    """On a link that is up, though the address stays tentative; removed it comes with the next one."""
    inside.ip("link add veth1 type veth peer name veth2")
    for line in lines:
        inside.ip(line)
    for address in ("2001:db8:1::5/64", "2001:db8:1::6/64"):
        add(inside, address, link_name="veth1")
        assert ("ff00::/8 dev veth1" in inside.ip("-6 route show table local type multicast")) == made
        if made:
            inside.ip("-6 route del table local multicast ff00::/8 dev veth1")


def test_an_address_that_somebody_else_has_stays_tentative(joined: Pod) -> None:
    """With `dadfailed`; brought back it is probed again, and fails again."""
    joined.host.ip("addr add 2001:db8::5/64 dev h-eth0 nodad")
    add(joined.inside, "2001:db8::5/64")
    eventually(lambda: addresses(joined.inside)[0].get("dadfailed"), "an answer to the probe")
    assert is_tentative(joined.inside, "eth0")


def test_on_a_link_that_lost_its_carrier_probing_goes_on(joined: Pod) -> None:
    """And ends, since nobody can answer: so the carrier says nothing of an address, only its own flag does."""
    joined.host.ip("link set h-eth0 down")
    eventually(lambda: "NO-CARRIER" in link(joined.inside, "eth0")["flags"], "the end of the carrier")
    add(joined.inside, "2001:db8::5/64")
    eventually(lambda: not is_tentative(joined.inside, "eth0"), "the end of the probe")


# --- the link-local address -------------------------------------------------------------------------------------------


def down_and_up(namespace: Namespace, name: str) -> None:
    """Set a link down and up again, and wait until it works."""
    namespace.ip(f"link set {name} down")
    namespace.ip(f"link set {name} up")
    eventually(lambda: link(namespace, name)["operstate"] == "UP", f"{name} up")


def test_a_deleted_link_local_address_comes_back_when_the_link_does(inside: Namespace) -> None:
    """Whoever sets it down and up: planner.wiring.strip.stop_address_generation is there for that."""
    inside.ip(f"addr del {EUI64}/64 dev eth0")
    down_and_up(inside, "eth0")
    assert [entry["local"] for entry in link_local(inside)] == [EUI64]


def test_a_link_that_never_had_a_carrier_makes_one_with_the_first(joined: Pod) -> None:
    """An address that wasn't there to be removed comes while the link is wired, if nothing stops it."""
    joined.inside.ip("link add veth1 type veth peer name veth2")
    joined.inside.ip("link set veth1 up")
    assert link_local(joined.inside, "veth1") == []
    joined.inside.ip("link set veth2 up")
    eventually(lambda: link_local(joined.inside, "veth1"), "the link-local address")


def test_a_carrier_that_goes_and_comes_makes_none(joined: Pod) -> None:
    """A link that is up and has once worked is configured for good: what was deleted stays so."""
    joined.inside.ip(f"addr del {EUI64}/64 dev eth0")
    down_and_up(joined.host, "h-eth0")
    eventually(lambda: link(joined.inside, "eth0")["operstate"] == "UP", "eth0 up")
    eventually(lambda: link_local(joined.host, "h-eth0"), "the address of the other end")
    assert link_local(joined.inside) == []


def test_without_address_generation_none_comes(inside: Namespace) -> None:
    """`addrgenmode none`, then the address is deleted: nothing brings it back."""
    inside.ip("link set dev eth0 addrgenmode none")
    inside.ip(f"addr del {EUI64}/64 dev eth0")
    down_and_up(inside, "eth0")
    assert link_local(inside) == []


def test_with_addrgenmode_none_an_address_stays(inside: Namespace) -> None:
    """It stops what comes, and takes nothing away: the address has to be removed by itself."""
    inside.ip("link set dev eth0 addrgenmode none")
    assert [entry["local"] for entry in link_local(inside)] == [EUI64]


def test_address_first_then_generation_gives_one_address(inside: Namespace) -> None:
    """MAC, address, mode is the order of the rollback: the kernel finds its address there and leaves it as it is."""
    before = link_local(inside)
    inside.ip("link set dev eth0 addrgenmode none")
    inside.ip(f"addr del {EUI64}/64 dev eth0")
    inside.ip("link set dev eth0 address 02:00:00:00:00:42")
    inside.ip(f"link set dev eth0 address {MAC}")
    inside.ip(f"addr add {EUI64}/64 dev eth0 nodad")
    inside.ip(f"addr change {EUI64}/64 dev eth0")
    inside.ip("link set dev eth0 addrgenmode eui64")
    assert link_local(inside) == before


def test_the_mode_alone_makes_no_address(inside: Namespace) -> None:
    """Set by `ip`, that is; so the rollback has to add the address itself. By sysctl it makes one at once."""
    inside.ip("link set dev eth0 addrgenmode none")
    inside.ip(f"addr del {EUI64}/64 dev eth0")
    inside.ip("link set dev eth0 addrgenmode eui64")
    assert link_local(inside) == []
    inside.sysctl("net/ipv6/conf/eth0/addr_gen_mode", 1)
    inside.sysctl("net/ipv6/conf/eth0/addr_gen_mode", 0)
    assert [entry["local"] for entry in link_local(inside)] == [EUI64]


def test_up_in_the_same_command_comes_first(inside: Namespace) -> None:
    """`ip link set X addrgenmode none up` makes an address after all: templates/link.j2 sets them up by itself."""
    for name, lines in {
        "br7": ("link set dev br7 addrgenmode none up",),
        "br8": ("link set dev br8 addrgenmode none", "link set dev br8 up"),
    }.items():
        inside.ip(f"link add name {name} type bridge")
        for line in lines:
            inside.ip(line)
    assert len(link_local(inside, "br7")) == 1
    assert link_local(inside, "br8") == []


# --- links without IPv6 -----------------------------------------------------------------------------------------------


def test_below_1280_a_link_has_no_ipv6(inside: Namespace) -> None:
    """No sysctls, and no mode to show or to set: planner.facts.model.NamespaceFacts looks for the sysctl."""
    inside.ip("link set dev eth0 mtu 1279")
    assert sysctl_of(inside, "net/ipv6/conf/eth0/accept_dad") is None
    assert try_ip(inside, "link set dev eth0 addrgenmode none").rc == 2
    assert "inet6_addr_gen_mode" not in link(inside, "eth0")
    assert addresses(inside) == []


def test_at_1280_a_link_gets_it_again(inside: Namespace) -> None:
    """With every sysctl at its default: the MTU of a link that was there is never changed by podwire."""
    inside.sysctl("net/ipv6/conf/eth0/accept_dad", 0)
    inside.ip("link set dev eth0 mtu 1279")
    inside.ip("link set dev eth0 mtu 1280")
    assert sysctl_of(inside, "net/ipv6/conf/eth0/accept_dad") == "1"


def test_disable_ipv6_leaves_the_sysctls_and_the_mode(inside: Namespace) -> None:
    """Only addresses are gone and refused; what podwire sets on such a link can be set, and a new one is born so."""
    inside.sysctl("net/ipv6/conf/eth0/disable_ipv6", 1)
    assert addresses(inside) == []
    assert sysctl_of(inside, "net/ipv6/conf/eth0/accept_dad") == "1"
    assert try_ip(inside, "link set dev eth0 addrgenmode none").rc == 0
    assert "IPv6 is disabled on this device" in try_ip(inside, "addr add 2001:db8::5/64 dev eth0").err
    inside.sysctl("net/ipv6/conf/default/disable_ipv6", 1)
    inside.ip("link add name br7 type bridge")
    assert sysctl_of(inside, "net/ipv6/conf/br7/accept_ra") == "1"


# --- router advertisements --------------------------------------------------------------------------------------------


def advertise(joined: Pod) -> None:
    """Send an advertisement, and wait for what the pod makes of it."""
    with Port.on_link(joined.host, "h-eth0") as wire:
        wire.send(router_advertisement())
        eventually(lambda: locals_of(joined.inside, family=6), "an address from the advertisement")
    joined.settle()


def test_an_advertisement_makes_an_address_and_two_routes(joined: Pod) -> None:
    """Known by `dynamic` with `mngtmpaddr`, and by `proto ra` or `kernel` with `expires` (planner/facts/parse.py)."""
    advertise(joined)
    address = addresses(joined.inside)[0]
    assert (address["dynamic"], address["mngtmpaddr"]) == (True, True)
    found = {route["dst"]: route for route in ask(joined.inside, "-6 route show")}
    assert (found["default"]["protocol"], found["default"]["gateway"]) == ("ra", ROUTER)
    assert found["2001:db8:5::/64"]["protocol"] == "kernel"
    assert all(found[dst]["expires"] > 0 for dst in ("default", "2001:db8:5::/64"))


def test_the_next_advertisement_brings_them_back(joined: Pod) -> None:
    """So podwire removes them and doesn't restore them."""
    advertise(joined)
    before = locals_of(joined.inside, family=6)
    joined.inside.ip(f"addr del {before[0]} dev eth0")
    joined.inside.ip("route del 2001:db8:5::/64 dev eth0")
    joined.inside.ip("route del ::/0 via fe80::1 dev eth0 proto ra")
    assert routes(joined.inside, family=6) == []
    advertise(joined)
    assert locals_of(joined.inside, family=6) == before
    assert len([line for line in routes(joined.inside, family=6) if "expires" in line]) == 2


def test_an_address_with_a_lifetime_leaves_its_prefix_route_behind(joined: Pod) -> None:
    """IPv6 removes it only with an address that is forever: learnt or set by hand, the route has to go by itself."""
    advertise(joined)
    joined.inside.ip(f"addr del {locals_of(joined.inside, family=6)[0]} dev eth0")
    add(joined.inside, "2001:db8:6::5/64 nodad valid_lft 500 preferred_lft 500", "2001:db8:7::5/64 nodad")
    for address in locals_of(joined.inside, family=6):
        joined.inside.ip(f"addr del {address} dev eth0")
    left = [route for route in ask(joined.inside, "-6 route show") if route["dst"].startswith("2001:db8:")]
    assert [(route["dst"], route["protocol"]) for route in left] == [
        ("2001:db8:5::/64", "kernel"),
        ("2001:db8:6::/64", "kernel"),
    ]
    assert all(route["expires"] > 0 for route in left)


# --- lo ---------------------------------------------------------------------------------------------------------------


def test_lo_gets_its_address_by_going_up_and_keeps_it_down(inside: Namespace) -> None:
    """So who had lo down before wants 127.0.0.1/8 deleted as well (planner/wiring/bridge.py), after it is down."""
    inside.ip("link set lo down")
    assert [entry["local"] for entry in addresses(inside, "lo")] == ["127.0.0.1"]
    inside.ip("addr del 127.0.0.1/8 dev lo")
    inside.ip("link set lo up")
    assert [entry["local"] for entry in addresses(inside, "lo")] == ["127.0.0.1", "::1"]


def test_an_address_that_lo_has_already_is_left_alone(inside: Namespace) -> None:
    """Added before lo goes up, it is the one that the kernel would have made: same scope, no second one."""
    by_kernel = inside.ip("-4 -d addr show dev lo")
    inside.ip("link set lo down")
    inside.ip("addr del 127.0.0.1/8 dev lo")
    inside.ip("addr add 127.0.0.1/8 dev lo scope host")
    inside.ip("link set lo up")
    assert inside.ip("-4 -d addr show dev lo") == by_kernel
