"""Veth pairs across two namespaces, and giving a link what a CNI result says."""

from __future__ import annotations

import pytest
from attrs import evolve

from planner.changes.change import pending
from planner.errors import InvalidInput, Refused
from planner.kinds.link import Link, VethDevice
from planner.plan.render import Templates
from planner.text.values import InterfaceName, MacAddress, NetnsPath
from planner.wiring.veth import configure_link, create_escape_veth_pair, setup_veth
from tests.planner.builders import NETNS, POD_MAC, FixedBits, address, namespace, result, route, veth
from tests.planner.kernel_model import carry_out

HOST = NetnsPath("/proc/1/ns/net")


def lines(templates: Templates, *changes: object) -> list[str]:
    """Return the commands of ``changes`` as text."""
    return [command.line for command in templates.commands(changes)]  # type: ignore[arg-type]


class TestPair:
    """A pair across two namespaces, both ends up, MTU on both."""

    def test_is_made_from_inside_and_goes_from_inside(self, templates: Templates) -> None:
        """The outer end comes with the inner one and dies with it."""
        outer, (change, _) = setup_veth(
            InterfaceName("eth0"), 9000, inside=(), outside=(), random=FixedBits(7), netns=NETNS, outer_netns=HOST
        )
        assert outer == "veth00000007"
        assert change.resource == Link(InterfaceName("eth0"))
        assert lines(templates, change) == [
            f"ip link add name eth0 type veth peer name {outer} address 02:00:00:00:00:08 mtu 9000 netns {HOST}",
            "ip link set dev eth0 address 02:00:00:00:00:09 mtu 9000",
            "ip link set dev eth0 up",
        ]
        assert lines(templates, change.inverse()) == ["ip link del dev eth0"]

    def test_both_ends_are_brought_up(self, templates: Templates) -> None:
        """The outer end is in another namespace, and is brought up there."""
        outer, changes = setup_veth(
            InterfaceName("eth0"), 1500, inside=(), outside=(), random=FixedBits(7), netns=NETNS, outer_netns=HOST
        )
        ups = [(c.netns, c.argv[-2:]) for c in templates.commands(changes) if c.argv[-1] == "up"]
        assert sorted(ups) == sorted([(NETNS, ("eth0", "up")), (HOST, (outer, "up"))])

    def test_a_taken_random_name_is_rolled_again(self) -> None:
        """The outer namespace is crowded; the roll that follows is free."""
        taken = [veth("veth00000001"), veth("veth00000002")]
        outer, _ = setup_veth(
            InterfaceName("eth0"), 1500, inside=(), outside=taken, random=FixedBits(1), netns=NETNS, outer_netns=HOST
        )
        assert outer == "veth00000003"

    def test_gives_up_after_ten_tries(self) -> None:
        """A generator that always says the same does not hang podwire."""
        taken = [veth(f"veth{number:08x}") for number in range(20)]
        with pytest.raises(Refused, match="no free name for the outer end of eth0 was found in 10 tries"):
            setup_veth(
                InterfaceName("eth0"), 1, inside=(), outside=taken, random=FixedBits(1), netns=NETNS, outer_netns=HOST
            )

    def test_a_taken_inner_name_is_refused_by_name(self) -> None:
        """That name was asked for, so no other will do."""
        with pytest.raises(Refused, match=r"^eth0 is already in the container's namespace$"):
            setup_veth(
                InterfaceName("eth0"), 1, inside=[veth()], outside=(), random=FixedBits(), netns=NETNS, outer_netns=HOST
            )

    def test_an_escape_pair_is_such_a_pair(self) -> None:
        """It is the same, seen from the outer namespace."""
        arguments = {"inside": (), "outside": (), "netns": NETNS, "outer_netns": HOST}
        outer, changes = create_escape_veth_pair(InterfaceName("eth0"), 1500, random=FixedBits(), **arguments)  # type: ignore[arg-type]
        assert (outer, changes) == setup_veth(InterfaceName("eth0"), 1500, random=FixedBits(), **arguments)  # type: ignore[arg-type]
        assert isinstance(changes[0].known_state.device, VethDevice)


class TestConfigureLink:
    """What a plugin does: the link's addresses of the result, and the routes whose gateway lies in one of them."""

    GIVEN = result(
        {"net1": ["10.9.0.5/24"], "eth0": ["10.1.90.5/24", "fd00:1:90::5/64"]},
        routes=["0.0.0.0/0 via 10.1.90.1", "10.8.0.0/16 via 10.9.0.1", "::/0 via fd00:1:90::1", "10.7.0.0/16"],
    )
    WITH_MACS = evolve(
        GIVEN,
        interfaces=tuple(
            evolve(interface, mac=MacAddress(mac))
            for interface, mac in zip(GIVEN.interfaces, ("02:42:0a:09:00:05", POD_MAC), strict=True)
        ),
    )

    def test_finds_the_interface_by_its_mac(self, templates: Templates) -> None:
        """The name may be another by now; routes of other links and routes without a gateway are left aside."""
        assert lines(templates, *configure_link(veth("ens3"), self.WITH_MACS, NETNS)) == [
            "ip addr add 10.1.90.5/24 dev ens3",
            "ip addr add fd00:1:90::5/64 dev ens3",
            "ip route prepend 0.0.0.0/0 via 10.1.90.1 dev ens3",
            "ip route append ::/0 metric 1024 via fd00:1:90::1 dev ens3",
        ]

    def test_what_was_configured_is_no_longer_pending(self) -> None:
        """Each `after` is what the kernel shows: with the label of IPv4, the protocol, and the metric of IPv6."""
        bare = namespace(veth())
        changes = configure_link(bare.links[1], self.WITH_MACS, NETNS)
        configured = namespace(
            veth(),
            address("10.1.90.5/24"),
            address("fd00:1:90::5/64"),
            route("default via 10.1.90.1 dev eth0"),
            route("default via fd00:1:90::1 dev eth0"),
        )
        assert pending(changes, bare) == changes
        assert pending(changes, configured) == ()

    def test_is_in_an_order_that_the_kernel_takes(self) -> None:
        """A gateway is reachable by the time its route is added."""
        bare = namespace(veth())
        changes = configure_link(bare.links[1], self.WITH_MACS, NETNS)
        assert len(carry_out(changes, bare).addresses_of("eth0")) == 2

    def test_a_mac_that_the_result_does_not_know_is_refused(self) -> None:
        """The sentence names link and MAC."""
        with pytest.raises(InvalidInput, match=rf"^result\.interfaces: none has the MAC of eth0 \({POD_MAC}\)$"):
            configure_link(veth(), self.GIVEN, NETNS)
