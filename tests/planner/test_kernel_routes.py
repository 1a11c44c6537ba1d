"""Which routes come and go with an address, and which somebody added or took away."""

from __future__ import annotations

import pytest
from attrs import evolve

from planner.facts.kernel_routes import absent_prefixes, explicit_routes, prefix_routes
from planner.kinds.address import AddressState
from planner.text.values import Keyword
from tests.planner.answers_files import facts_of
from tests.planner.builders import address, namespace, route, veth


class TestPrefixRoutes:
    """What the kernel makes by itself when an address is added."""

    @pytest.mark.parametrize(
        ("text", "routes"),
        [
            pytest.param("10.1.90.5/24", ["10.1.90.0/24 dev eth0 proto kernel src 10.1.90.5"], id="v4"),
            pytest.param(
                "10.1.90.5/24 metric 50", ["10.1.90.0/24 dev eth0 proto kernel src 10.1.90.5 metric 50"], id="v4-metric"
            ),
            pytest.param("10.1.90.4/31", ["10.1.90.4/31 dev eth0 proto kernel src 10.1.90.4"], id="v4-31"),
            pytest.param("10.1.90.5/32", [], id="v4-32"),
            pytest.param("10.1.90.5/24 noprefixroute", [], id="v4-noprefixroute"),
            pytest.param(
                "10.1.90.5/32 peer 10.9.0.1", ["10.9.0.1/32 dev eth0 proto kernel src 10.1.90.5"], id="v4-peer-32"
            ),
            pytest.param(
                "10.1.90.5/24 peer 10.9.0.1", ["10.9.0.0/24 dev eth0 proto kernel src 10.1.90.5"], id="v4-peer-24"
            ),
            pytest.param("0.0.0.5/8", [], id="v4-zeronet"),
            pytest.param("fd00::5/64", ["fd00::/64 dev eth0 proto kernel metric 256"], id="v6"),
            pytest.param("fd00::5/64 metric 77", ["fd00::/64 dev eth0 proto kernel metric 77"], id="v6-metric"),
            pytest.param("fd00::5/128", ["fd00::5/128 dev eth0 proto kernel metric 256"], id="v6-128"),
            pytest.param("fd00::5/64 noprefixroute", [], id="v6-noprefixroute"),
            pytest.param(
                "fd00::5/128 peer fd00::9",
                ["fd00::5/128 dev eth0 proto kernel metric 256", "fd00::9/128 dev eth0 proto kernel metric 256"],
                id="v6-peer",
            ),
            pytest.param("fe80::5/64", ["fe80::/64 dev eth0 proto kernel metric 256"], id="v6-link-local"),
        ],
    )
    def test_are_those_of_the_kernel(self, text: str, routes: list[str]) -> None:
        """One per subnet of IPv4, none for a /32; one per prefix of IPv6, a /128 included."""
        fact = address(text)
        assert set(prefix_routes(fact.resource, fact.state)) == {route(expected).resource for expected in routes}

    def test_lo_has_its_own_in_the_local_table(self) -> None:
        """127.0.0.1/8 makes no route in the main table."""
        fact = address("127.0.0.1/8 scope host", "lo")
        assert prefix_routes(fact.resource, fact.state) == ()


class TestExplicitRoutes:
    """What a restore must bring back: all routes that an address does not explain."""

    def test_connected_and_local_ones_are_left_out(self) -> None:
        """They come back with their addresses."""
        facts = namespace(
            veth(),
            address("10.1.90.5/24"),
            address("fd00::5/64"),
            route("local 10.1.90.5/32 dev eth0 table local proto kernel src 10.1.90.5"),
            route("multicast ff00::/8 dev eth0 table local proto kernel metric 256"),
            route("default via 10.1.90.1 dev eth0"),
        )
        assert [str(fact.resource) for fact in explicit_routes(facts)] == ["route default via 10.1.90.1 dev eth0"]

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("10.9.0.0/16 dev eth0 proto kernel", id="no-address-explains-it"),
            pytest.param("10.1.90.0/24 dev eth0 proto kernel", id="without-source"),
            pytest.param("10.1.90.0/24 dev eth0 proto kernel src 10.1.90.5 metric 7", id="other-metric"),
            pytest.param("10.1.90.0/24 dev eth0 proto kernel src 10.1.90.5 mtu 1400", id="with-metrics"),
            pytest.param("10.1.90.0/24 dev eth0 proto boot src 10.1.90.5", id="not-the-kernels"),
            pytest.param("local 10.7.0.0/16 dev eth0 table local", id="local-by-hand"),
            pytest.param("fd00::/64 dev eth0 proto ra", id="ra-without-expiry"),
        ],
    )
    def test_hand_made_ones_are_kept_whatever_they_claim(self, text: str) -> None:
        """`proto kernel` can be written by hand, and a local table can be added to."""
        facts = namespace(veth(), address("10.1.90.5/24 noprefixroute"), address("10.1.90.6/24"), route(text))
        assert route(text) in explicit_routes(facts)

    @pytest.mark.parametrize(
        ("own", "is_explicit"),
        [
            pytest.param("2001:db8::5/64", False, id="an-address-that-stays-explains-it"),
            pytest.param("2001:db8::5/64 valid_lft 900 preferred_lft 900", True, id="one-that-expires-does-not"),
            pytest.param("2001:db8:1::5/64", True, id="nor-does-another-prefix"),
        ],
    )
    def test_a_prefix_route_with_an_expiry_has_to_be_removed(self, own: str, *, is_explicit: bool) -> None:
        """IPv6 leaves it behind when it deletes an address that would expire (ipv6_del_addr)."""
        expiring = route("2001:db8::/64 dev eth0 proto kernel metric 256 expires 900", learnt=True)
        fact = address(own)
        facts = evolve(namespace(veth(), fact), routes=(expiring,))
        assert (expiring in explicit_routes(facts)) is is_explicit

    def test_of_a_real_namespace_only_what_was_added_is_left(self) -> None:
        """Of all routes of the real kernel those remain that `make.sh` added."""
        left = [str(fact.resource.dst) for fact in explicit_routes(facts_of("routes")) if fact.resource.dst.prefixlen]
        assert left == [
            "10.17.0.0/16",
            "10.18.0.0/16",
            *(f"10.{number}.0.0/16" for number in (10, 10, 11, 12, 13, 14, 15, 16, 20, 21, 22, 23, 30, 31, 33, 32)),
            *(f"fd{number}::/64" for number in (10, 11, 12, 13, 14)),
        ]
        with_expiry = [str(fact.resource.dst) for fact in explicit_routes(facts_of("links-and-addresses"))]
        assert with_expiry == ["fd00:5::/64"]


class TestAbsentPrefixes:
    """Prefix routes that somebody removed have to go again when their address is back."""

    def test_a_removed_one_is_noted(self) -> None:
        """Plugins (ptp) remove the subnet's route."""
        fact = address("10.1.90.5/24")
        (found,) = absent_prefixes((fact,), set(), set())
        assert [str(prefix) for prefix in found.state.absent_routes] == ["10.1.90.0/24"]

    def test_one_that_is_there_is_not(self) -> None:
        """Neither are others that happen to be there."""
        fact = address("10.1.90.5/24")
        there = {route("10.1.90.0/24 dev eth0 proto kernel src 10.1.90.5").resource}
        assert absent_prefixes((fact,), there, set()) == (fact,)

    def test_a_secondary_has_none_of_its_own(self) -> None:
        """The first listed of a subnet is the primary, whose route it is."""
        primary, secondary = address("10.1.90.5/24"), address("10.1.90.6/24")
        there = {route("10.1.90.0/24 dev eth0 proto kernel src 10.1.90.5").resource}
        assert absent_prefixes((primary, secondary), there, set()) == (primary, secondary)
        first, second = absent_prefixes((primary, secondary), set(), set())
        assert (len(first.state.absent_routes), len(second.state.absent_routes)) == (1, 0)

    def test_of_two_peers_each_has_its_own(self) -> None:
        """With peers the subnet is the peer's: one local address with two peers is primary twice."""
        one, other = address("10.1.90.5/32 peer 10.9.0.1"), address("10.1.90.5/32 peer 10.9.0.2")
        there = {route("10.9.0.1/32 dev eth0 proto kernel src 10.1.90.5").resource}
        first, second = absent_prefixes((one, other), there, set())
        assert first.state.absent_routes == ()
        assert [str(prefix) for prefix in second.state.absent_routes] == ["10.9.0.2/32"]

    def test_on_a_link_that_is_down_the_kernel_has_made_none_yet(self) -> None:
        """They come when the link goes up, so nobody removed them."""
        fact = address("10.1.90.5/24")
        assert absent_prefixes((fact,), set(), {fact.resource.link}) == (fact,)

    def test_of_two_in_one_prefix_of_ipv6_both_note_it(self) -> None:
        """Each of them would bring the route along."""
        facts = (address("fd00::5/64"), address("fd00::6/64"))
        found = absent_prefixes(facts, set(), set())
        assert [[str(p) for p in fact.state.absent_routes] for fact in found] == [["fd00::/64"], ["fd00::/64"]]

    def test_where_an_address_wants_none_nothing_is_absent(self) -> None:
        """`noprefixroute` and a /32 have none to miss."""
        facts = (address("10.1.90.5/24 noprefixroute"), address("10.2.0.5/32"))
        assert absent_prefixes(facts, set(), set()) == facts
        assert facts[0].state == AddressState(
            scope=Keyword("global"), label=facts[0].state.label, flags=(Keyword("noprefixroute"),)
        )
