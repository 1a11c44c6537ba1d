"""The parts of a wiring by themselves: stripping a link, a MAC, a tap, a bridge and its end."""

from __future__ import annotations

import pytest
from attrs import evolve

from planner.changes.change import Change
from planner.errors import InvalidInput, Refused
from planner.kinds.link import LinkState
from planner.options import PlanOptions
from planner.plan.render import Templates
from planner.text.values import InterfaceName, MacAddress
from planner.wiring.links import WiringTag, create_tap, set_hardware_addr, setup_bridge, teardown_bridge
from planner.wiring.strip import strip_link
from tests.planner.builders import ID, NETNS, POD_MAC, address, namespace, neighbour, of_type, route, veth
from tests.planner.kernel_model import carry_out

OWNER = WiringTag(ID, 2**24)
MAC = MacAddress("02:00:00:00:00:09")
BR0 = InterfaceName("br0")


def resources(changes: tuple[Change, ...]) -> list[str]:
    """Return what ``changes`` are about, in their order."""
    return [f"{change.sign} {change.resource}" for change in changes]


class TestStripLink:
    """Every address and every non-kernel route of a link goes, of both families, recorded for the rollback."""

    def test_takes_everything_in_the_order_that_comes_back_right(self) -> None:
        """Gateways before what makes them reachable; IPv4 addresses last first, IPv6 ones as listed."""
        facts = namespace(
            veth(),
            address("10.1.90.5/24"),
            address("10.1.90.6/24"),
            address("fd00::6/64"),
            address("fd00::5/64"),
            route("169.254.1.1 dev eth0 scope link"),
            route("default via 10.1.90.1 dev eth0"),
            neighbour("10.1.90.1"),
        )
        assert resources(strip_link(facts.links[1], facts, NETNS)) == [
            "- route default via 10.1.90.1 dev eth0",
            "- route 169.254.1.1/32 dev eth0",
            "- neighbour 10.1.90.1 on eth0",
            "~ address generation of eth0",
            "- address 10.1.90.6/24 on eth0",
            "- address 10.1.90.5/24 on eth0",
            "- address fd00::6/64 on eth0",
            "- address fd00::5/64 on eth0",
        ]

    def test_a_bare_link_has_nothing_to_strip_but_its_address_generation(self) -> None:
        """And not even that if it is none already."""
        facts = namespace(veth(), veth("net1", addrgenmode="none"))
        assert resources(strip_link(facts.links[1], facts, NETNS)) == ["~ address generation of eth0"]
        assert strip_link(facts.links[2], facts, NETNS) == ()

    def test_other_links_routes_with_our_source_go_too(self) -> None:
        """The kernel would take them with the address, unasked; the preview does not call them the VM's."""
        facts = namespace(
            veth(),
            veth("net1"),
            address("10.1.90.5/24"),
            address("10.9.0.5/24", "net1"),
            route("10.8.0.0/16 via 10.9.0.1 dev net1 src 10.1.90.5"),
        )
        first = strip_link(facts.links[1], facts, NETNS)[0]
        assert (str(first.resource), first.reason) == (
            "route 10.8.0.0/16 via 10.9.0.1 dev net1",
            "would go with its source address",
        )

    def test_proxy_entries_are_recorded_too(self) -> None:
        """They go when the last IPv4 address of their link does (arp_ifdown)."""
        facts = namespace(veth(), address("10.1.90.5/24"), neighbour("10.1.90.9", proxy=True))
        assert "- proxy neighbour 10.1.90.9 on eth0" in resources(strip_link(facts.links[1], facts, NETNS))

    def test_equal_routes_come_back_in_their_order(self) -> None:
        """Of two default routes the first listed is the one that is used."""
        routes = (route("default via 10.1.90.1 dev eth0"), route("default via 10.1.90.2 dev eth0"))
        facts = namespace(veth(), address("10.1.90.5/24"), *routes)
        changes = strip_link(facts.links[1], facts, NETNS)
        back = carry_out([change.inverse() for change in reversed(changes)], carry_out(changes, facts))
        assert [fact for fact in back.routes if fact in routes] == list(routes)

    def test_equal_routes_of_a_link_that_stays_keep_their_place(self) -> None:
        """A route that was behind another link's comes back behind it."""
        routes = (route("10.9.0.0/16 dev net1 scope link"), route("10.9.0.0/16 dev eth0 scope link"))
        facts = namespace(veth(), veth("net1"), address("10.1.90.5/24"), address("10.2.0.5/24", "net1"), *routes)
        changes = strip_link(facts.links[1], facts, NETNS)
        back = carry_out([change.inverse() for change in reversed(changes)], carry_out(changes, facts))
        assert [fact for fact in back.routes if fact in routes] == list(routes)

    def test_a_prefix_shared_with_an_address_that_would_expire_leaves_no_route(self) -> None:
        """Of a permanent and an expiring IPv6 address in one prefix, none leaves the prefix's route on the port."""
        facts = namespace(veth(), address("fd00::6/64"), address("fd00::5/64 valid_lft 900 preferred_lft 900"))
        stripped = carry_out(strip_link(facts.links[1], facts, NETNS), facts)
        assert stripped.routes_of("eth0") == ()


class TestHardwareAddress:
    """A new MAC; the link goes down for it only if its driver needs that."""

    @pytest.mark.parametrize("kind", ["veth", "bridge", "tun", "dummy", "vlan", "macvlan", "bond", "team"])
    def test_software_links_stay_up(self, kind: str, templates: Templates) -> None:
        """Going down would lose IPv6 addresses and many routes."""
        changes = set_hardware_addr(of_type(kind), MAC, NETNS)
        assert [command.line for command in templates.commands(changes)] == [f"ip link set dev eth0 address {MAC}"]

    def test_a_nic_goes_down_for_it_both_ways(self, templates: Templates) -> None:
        """And up again, in the rollback too."""
        (change,) = set_hardware_addr(of_type("ether"), MAC, NETNS)
        for either, mac in ((change, MAC), (change.inverse(), POD_MAC)):
            assert [command.line for command in templates.commands((either,))] == [
                "ip link set dev eth0 down",
                f"ip link set dev eth0 address {mac}",
                "ip link set dev eth0 up",
            ]

    def test_a_nic_that_is_down_stays_down(self, templates: Templates) -> None:
        """Nobody asked for it to come up."""
        down = evolve(of_type("ether"), flags=())
        assert len(templates.commands(set_hardware_addr(down, MAC, NETNS))) == 1

    def test_the_same_mac_is_no_change(self) -> None:
        """What is as wanted is left alone."""
        assert set_hardware_addr(veth(), POD_MAC, NETNS) == ()

    def test_a_link_without_one_is_refused(self) -> None:
        """A tun has no MAC."""
        with pytest.raises(Refused, match=r"^eth0 has no MAC address: it is no Ethernet link$"):
            set_hardware_addr(evolve(veth(), mac=None), MAC, NETNS)


class TestTap:
    """A persistent tap, up, with its MTU set after creation."""

    def test_gets_its_mtu_after_it_is_made(self, templates: Templates) -> None:
        """Before that the kernel ignores it."""
        options = PlanOptions(tap_owner=1000, tap_owner_group=36, tap_queues=2, tap_vnet_hdr=True)
        tap = InterfaceName("tap7")
        change = create_tap(tap, mac=MAC, mtu=9000, owner=OWNER, options=options, netns=NETNS, reason="for the VM")
        assert [command.line for command in templates.commands((change,))] == [
            "ip tuntap add dev tap7 mode tap user 1000 group 36 multi_queue vnet_hdr",
            f"ip link set dev tap7 address {MAC} mtu 9000 alias podwire:pod1 group 16777216 addrgenmode none",
            "ip link set dev tap7 up",
        ]
        assert [command.line for command in templates.commands((change.inverse(),))] == ["ip link del dev tap7"]


class TestBridge:
    """A bridge with the MTU of its first link, links enslaved, up; and its end."""

    def test_takes_the_mtu_of_its_first_link_and_brings_all_up(self) -> None:
        """Links that are ports already, or up, are left as they are."""
        links = [veth("a", mtu=1400), veth("b", up=False), evolve(veth("c"), master=BR0)]
        changes = setup_bridge(BR0, links, mac=MAC, owner=OWNER, netns=NETNS, reason="joins them")
        assert resources(changes) == [
            "+ link br0",
            "~ master of a",
            "~ master of b",
            "~ up or down of b",
        ]
        assert isinstance(changes[0].after, LinkState)
        assert changes[0].after.mtu == 1400

    def test_without_links_is_refused(self) -> None:
        """A bridge of nothing has no MTU."""
        with pytest.raises(InvalidInput, match=r"^bridge br0: there are no links to join$"):
            setup_bridge(BR0, [], mac=MAC, owner=OWNER, netns=NETNS, reason="")

    def test_teardown_releases_the_links_and_takes_it_down(self) -> None:
        """Links of other bridges are not its business."""
        ports = [evolve(veth("a"), master=BR0), evolve(veth("b"), master=InterfaceName("br1"))]
        facts = namespace(of_type("bridge", "br0"), *ports)
        assert resources(teardown_bridge(BR0, ports, facts, NETNS)) == ["~ master of a", "~ up or down of br0"]

    def test_teardown_of_one_that_is_down_only_releases(self) -> None:
        """Already down is done."""
        facts = namespace(evolve(of_type("bridge", "br0"), flags=()))
        assert teardown_bridge(BR0, [], facts, NETNS) == ()

    def test_teardown_of_one_that_is_not_there_is_refused(self) -> None:
        """A name that nobody has is a mistake."""
        with pytest.raises(InvalidInput, match=r"^bridge br0: there is no such link$"):
            teardown_bridge(BR0, [], namespace(), NETNS)

    def test_setup_then_teardown_is_as_the_kernel_wants_it(self) -> None:
        """Both are in an order that loses nothing."""
        facts = namespace(veth(), veth("net1", up=False))
        made = setup_bridge(BR0, facts.links[1:], mac=MAC, owner=OWNER, netns=NETNS, reason="joins them")
        there = carry_out(made, facts)
        gone = carry_out(teardown_bridge(BR0, there.links[1:], there, NETNS), there)
        assert [link.master for link in gone.links] == [None] * 4
