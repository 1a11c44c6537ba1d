"""Situations 9, 10 and 19: addresses and routes that are more than a /24 and a default route."""

from __future__ import annotations

import pytest

from tests.support import MakeNamespace, eventually
from tests.support.advertisements import FOR_EVER, router_advertisement
from tests.support.cli import Cli
from tests.support.dumps import difference, dump, unchanged
from tests.support.pods import Build, Pod, also, dual_stack, plain
from tests.support.ports import Port

# --- 9 ----------------------------------------------------------------------------------------------------------------

ROUTES: dict[str, Build] = {
    "metric, src and onlink": also(
        dual_stack,
        "ip addr add 10.1.90.6/24 dev eth0",
        "ip route add 192.0.2.0/24 via 10.1.90.1 metric 7 src 10.1.90.6",
        "ip route add 198.51.100.0/24 via 203.0.113.1 dev eth0 onlink",
        "ip route add 2001:db8:1::/48 via 2001:db8:2::1 dev eth0 onlink metric 7",
        "ip route add 2001:db8:3::/48 via fd00:1:90::1 src fd00:1:90::5",
    ),
    "scope link, and a gateway that it makes reachable": also(
        dual_stack,
        "ip route add 203.0.113.1 dev eth0 scope link",
        "ip route add 192.0.2.0/24 via 203.0.113.1 dev eth0",
        "ip route add 2001:db8::1 dev eth0",
        "ip route add 2001:db8:1::/48 via 2001:db8::1 dev eth0",
    ),
    "another table, with its rule": also(
        dual_stack,
        "ip route add default via 10.1.90.1 table 100",
        "ip rule add from 10.1.90.5 lookup 100 pref 1000",
        "ip route add ::/0 via fd00:1:90::1 table 100",
    ),
    "blackhole and its kin": also(
        dual_stack,
        "ip route add blackhole 192.0.2.0/24",
        "ip route add prohibit 198.51.100.0/24",
        "ip route add unreachable 2001:db8:1::/48",
    ),
}


@pytest.mark.parametrize("build", ROUTES.values(), ids=ROUTES)
def test_09_routes(netns: MakeNamespace, cli: Cli, build: Build) -> None:
    """While wired none leaves by the interface; afterwards each is there with all that belongs to it."""
    pod = build(netns("host"), netns("pod"))
    with cli.wired(pod):
        assert "dev eth0" not in pod.inside.ip("-4 route show table all")


def test_09_a_gateway_outside_the_subnet(netns: MakeNamespace, cli: Cli) -> None:
    """The only default route is onlink: it comes back, and is the guest's in the result."""
    pod = also(plain, "ip route del default", "ip route add default via 203.0.113.1 dev eth0 onlink")(
        netns("host"), netns("pod")
    )
    with cli.wired(pod):
        assert pod.inside.ip("route show") == "169.254.254.0/24 dev br0 proto kernel scope link src 169.254.254.2 \n"


def test_09_a_route_that_could_not_come_back(netns: MakeNamespace, cli: Cli) -> None:
    """Named before anything is changed, and with what to do."""
    pod = also(plain, "ip route add 192.0.2.0/24 encap ip id 5 dst 10.1.90.2 via 10.1.90.3 dev eth0")(
        netns("host"), netns("pod")
    )
    with unchanged(pod.inside):
        sentence = cli.refused("apply", *cli.wiring(pod), "--yes")
    assert "192.0.2.0/24" in sentence
    assert sentence.endswith("has an encapsulation, which podwire could not restore: remove it first")


# --- 10 ---------------------------------------------------------------------------------------------------------------

ADDRESSES: dict[str, Build] = {
    "secondaries and labels": also(
        plain,
        "ip addr add 10.1.90.6/24 dev eth0 label eth0:six",
        "ip addr add 10.1.90.7/24 dev eth0",
        "ip addr add 192.0.2.5/24 broadcast + dev eth0",
    ),
    "a peer": also(
        plain,
        "ip addr add 192.0.2.5 peer 198.51.100.1/24 dev eth0",
        "ip addr add 2001:db8::5 peer 2001:db8::1 dev eth0 nodad",
    ),
    "lifetimes, deprecated": also(
        plain,
        "ip addr add 192.0.2.5/24 dev eth0 valid_lft 500 preferred_lft 300",
        "ip addr add 198.51.100.5/24 dev eth0 preferred_lft 0",
        "ip addr add 2001:db8::5/64 dev eth0 nodad valid_lft 500 preferred_lft 0",
    ),
    "nodad and not": also(
        plain,
        "ip addr add 2001:db8::5/64 dev eth0 nodad",
        "ip addr add 2001:db8::6/64 dev eth0",
    ),
    "link-local by hand": also(plain, "ip addr flush dev eth0 scope link", "ip addr add fe80::77/64 dev eth0"),
    "link-local beside the kernel's": also(plain, "ip addr add fe80::77/64 dev eth0"),
}


@pytest.mark.parametrize("build", ADDRESSES.values(), ids=ADDRESSES)
def test_10_addresses(netns: MakeNamespace, cli: Cli, build: Build) -> None:
    """While wired the interface has none, not even a link-local one; afterwards each is there, in its place."""
    pod = build(netns("host"), netns("pod"))
    with cli.wired(pod):
        assert pod.inside.ip("-o addr show dev eth0") == ""


def test_10_an_address_that_expires_meanwhile(netns: MakeNamespace, cli: Cli) -> None:
    """It stays away: the network would have restored it by then."""
    pod = plain(netns("host"), netns("pod"))
    pod.settle()
    before = dump(pod.inside)
    pod.inside.ip("addr add 192.0.2.5/24 dev eth0 valid_lft 2 preferred_lft 2")
    pod.inside.ip("addr add 198.51.100.5/24 dev eth0 valid_lft 500 preferred_lft 500")
    cli.apply(pod)
    eventually(
        lambda: "192.0.2.5/24" not in cli.ok("teardown", pod.inside.name, "--dry-run", "--format", "commands"),
        "the end of the address's life",
    )
    cli.teardown(pod)
    assert "198.51.100.5/24" in pod.inside.ip("addr show dev eth0")
    pod.inside.ip("addr del 198.51.100.5/24 dev eth0")
    assert difference(before, dump(pod.inside)) == ""


# --- 19 ---------------------------------------------------------------------------------------------------------------

PREFIX = "2001:db8:5:"


def advertise(pod: Pod, prefix_seconds: int | None = None) -> None:
    """Send an advertisement from the host's side."""
    with Port.on_link(pod.host, pod.host_end()) as wire:
        wire.send(router_advertisement(f"{PREFIX}:/64", prefix_seconds=prefix_seconds))


@pytest.fixture
def advertised(netns: MakeNamespace) -> Pod:
    """Make a pod that has learnt a prefix and a default route."""
    pod = plain(netns("host"), netns("pod"))
    pod.settle()
    advertise(pod)
    eventually(lambda: PREFIX in pod.inside.ip("-6 addr show dev eth0"), "an address from the advertisement")
    pod.settle()
    return pod


def test_19_what_was_learnt_comes_back_with_the_next_advertisement(advertised: Pod, cli: Cli) -> None:
    """Address, prefix route and default route go with the wiring, and come back by the network, not by podwire."""
    inside = advertised.inside
    before = dump(inside)
    cli.apply(advertised)
    assert PREFIX not in inside.ip("-6 addr show") + inside.ip("-6 route show")
    assert "proto ra" not in inside.ip("-6 route show")
    cli.teardown(advertised)
    assert PREFIX not in inside.ip("-6 addr show dev eth0")
    advertise(advertised)
    eventually(lambda: PREFIX in inside.ip("-6 addr show dev eth0"), "an address from the next advertisement")
    advertised.settle()
    assert difference(before, dump(inside)) == ""


def test_19_what_was_advertised_for_ever_goes_with_its_route(netns: MakeNamespace, cli: Cli) -> None:
    """Neither has a lifetime to tell it by; the kernel leaves the route behind when the address goes."""
    pod = plain(netns("host"), netns("pod"))
    pod.settle()
    advertise(pod, FOR_EVER)
    eventually(lambda: PREFIX in pod.inside.ip("-6 addr show dev eth0"), "an address from the advertisement")
    pod.settle()
    before = dump(pod.inside)
    cli.apply(pod)
    assert PREFIX not in pod.inside.ip("-6 addr show") + pod.inside.ip("-6 route show")
    cli.ok("check", pod.inside.name)
    cli.teardown(pod)
    advertise(pod, FOR_EVER)
    eventually(lambda: PREFIX in pod.inside.ip("-6 addr show dev eth0"), "an address from the next advertisement")
    pod.settle()
    assert difference(before, dump(pod.inside)) == ""


def test_19_of_a_temporary_address_another_one_comes(advertised: Pod, cli: Cli) -> None:
    """Nobody but the kernel can make one, and it says not which; plan and teardown say so."""
    inside = advertised.inside

    def temporary() -> set[str]:
        lines = inside.ip("-6 -o addr show dev eth0 temporary").splitlines()
        return {line.split()[3] for line in lines}

    inside.sysctl("net/ipv6/conf/eth0/use_tempaddr", 2)
    inside.ip("-6 addr flush dev eth0 scope global")
    advertise(advertised)
    eventually(temporary, "a temporary address")
    advertised.settle()
    before, (address,) = dump(inside), temporary()
    reasons = {change["resource"].get("address"): change["reason"] for change in cli.plan(advertised)["changes"]}
    assert reasons[address] == "another one comes with the next router advertisement"
    cli.apply(advertised)
    note = f"address {address} on eth0 was not restored: it comes with the next router advertisement, as another one"
    assert note in cli.teardown(advertised)["notes"]
    advertise(advertised)
    (another,) = eventually(temporary, "another temporary address")
    advertised.settle()
    changed = difference(before, dump(inside)).replace(another.partition("/")[0], address.partition("/")[0])
    lines = [line for line in changed.splitlines() if line[0] in "+-" and line[:3] not in ("+++", "---")]
    assert another != address
    assert sorted(line[1:] for line in lines if line[0] == "+") == sorted(line[1:] for line in lines if line[0] == "-")


def test_19_the_plan_says_so(advertised: Pod, cli: Cli) -> None:
    """Forward and back, if no command is needed for it."""
    plan = cli.plan(advertised)
    reasons = {change["resource"].get("dst"): change["reason"] for change in plan["changes"]}
    assert reasons["::/0"] == "comes back with the next router advertisement"
    assert reasons[f"{PREFIX}:/64"] == "comes back with its address"
    (learnt,) = (change for change in plan["changes"] if PREFIX in change["resource"].get("address", ""))
    assert learnt["reason"] == "comes back with the next router advertisement"
    back = cli.ok("show", cli.file("plan.json", plan), "--reverse")
    assert back.count("comes with the next router advertisement") == 2
    assert back.count("comes with its address") == 1
    assert not any(PREFIX in line for command in plan["reverse_commands"] for line in command["argv"])


def test_19_an_advertisement_while_wired(advertised: Pod, cli: Cli) -> None:
    """It is the VM's: neither the interface nor the bridge takes an address from it."""
    cli.apply(advertised)
    with Port.on_tap(advertised.inside, "tap0") as vm:
        advertise(advertised)
        vm.receive(lambda frame: "router advertisement" in str(frame))
        assert PREFIX not in advertised.inside.ip("-6 addr show") + advertised.inside.ip("-6 route show")
