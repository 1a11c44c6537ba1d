"""Which links a CNI result means, and what a link really has."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest
from attrs import evolve

from planner.cni.links import container_interfaces, extract_link_info, find_veth, get_container_links
from planner.cni.result import CniResult, CniRoute
from planner.errors import InvalidInput, Refused
from planner.facts.model import NamespaceFacts
from tests.planner.answers_files import facts_of
from tests.planner.builders import NETNS, address, namespace, of_type, result, route, veth


def named(given: CniResult, facts: NamespaceFacts) -> list[Any]:
    """Return the names of the container links, None for a gap."""
    return [link and link.name for link in get_container_links(given, facts)]


class TestContainerLinks:
    """Links of the result in the sandbox, ordered as its addresses refer to them."""

    FACTS = namespace(veth("eth0"), veth("net1"), veth("net2"), veth("net3"))

    def test_follow_the_addresses_and_those_without_come_first_stably(self) -> None:
        """The order of a result's interfaces says nothing, that of its IPs does."""
        given = result({"eth0": ["10.0.0.5/24"], "net3": [], "net1": ["10.1.0.5/24"], "net2": []})
        reordered = evolve(given, ips=given.ips[::-1])
        assert named(given, self.FACTS) == ["net3", "net2", "eth0", "net1"]
        assert named(reordered, self.FACTS) == ["net3", "net2", "net1", "eth0"]

    def test_the_first_address_of_a_link_counts(self) -> None:
        """A link with several addresses is where its first one does."""
        given = result({"eth0": ["10.0.0.5/24", "10.0.0.6/24"], "net1": ["10.1.0.5/24"]})
        mixed = evolve(given, ips=(given.ips[2], given.ips[0], given.ips[1]))
        assert named(mixed, self.FACTS) == ["net1", "eth0"]

    def test_host_side_interfaces_are_skipped(self) -> None:
        """`[cni0, vethabcd, eth0]` of the bridge plugin gives eth0, position 0."""
        given = result({"eth0": ["10.0.0.5/24"]}, host=["cni0", "vethabcd"])
        assert named(given, self.FACTS) == ["eth0"]

    def test_one_that_does_not_exist_yields_a_gap(self) -> None:
        """A gap, not an error: who needs the link says so."""
        given = result({"gone0": ["10.0.0.5/24"], "eth0": ["10.1.0.5/24"]})
        assert named(given, self.FACTS) == [None, "eth0"]

    def test_a_host_only_result_has_none(self) -> None:
        """Nothing in the sandbox, nothing to wire."""
        assert named(result({}, host=["cni0"]), self.FACTS) == []

    def test_one_name_twice_in_the_sandbox_is_refused(self) -> None:
        """Two interfaces of one name cannot be in one namespace."""
        given = result({"eth0": []})
        with pytest.raises(InvalidInput, match=r"^result\.interfaces: eth0 appears twice with a sandbox$"):
            container_interfaces(evolve(given, interfaces=given.interfaces * 2))

    def test_one_name_on_both_sides_is_fine(self) -> None:
        """A host-side interface may have the name of one in the sandbox."""
        given = result({"eth0": ["10.0.0.5/24"]})
        on_host = evolve(given.interfaces[0], sandbox=None)
        assert named(evolve(given, interfaces=(*given.interfaces, on_host)), self.FACTS) == ["eth0"]


class TestFindVeth:
    """Exactly one veth, else an error that says none or lists them."""

    def test_finds_the_one_among_others(self) -> None:
        """Bridges, taps and lo do not count."""
        assert find_veth(namespace(of_type("bridge", "cni0"), veth("eth0")).links).name == "eth0"

    def test_none_is_said(self) -> None:
        """No veth at all."""
        with pytest.raises(Refused, match=r"^there is no veth in the namespace$"):
            find_veth(namespace(of_type("macvlan")).links)

    def test_several_are_listed(self) -> None:
        """Each of them by name, in the kernel's order."""
        with pytest.raises(Refused, match=r"^there is more than one veth in the namespace: eth0, net1$"):
            find_veth(namespace(veth("eth0"), veth("net1")).links)


class TestExtractLinkInfo:
    """What a link really has, as a CNI result."""

    def test_all_addresses_with_their_gateways_and_all_routes(self) -> None:
        """Both families, second addresses, and scope-link routes with what 1.1.0 can say of them."""
        facts = namespace(
            veth(),
            address("10.1.90.5/24"),
            address("10.2.0.5/24"),
            address("fd00:1:90::5/64"),
            address("fe80::5/64"),
            route("default via 10.1.90.1 dev eth0 mtu 1400 advmss 1360"),
            route("10.9.0.0/16 via 10.2.0.1 dev eth0 metric 100"),
            route("169.254.1.1 dev eth0 scope link"),
            route("10.8.0.0/16 via 10.1.90.1 dev eth0 table 100"),
            route("fd99::/64 via fd00:1:90::1 dev eth0"),
        )
        found = extract_link_info(facts.links[1], facts, NETNS)
        assert found.version == "1.1.0"
        assert [(i.name, i.mac, i.sandbox) for i in found.interfaces] == [("eth0", "0a:58:0a:01:5a:05", NETNS)]
        assert [(ip.address, ip.gateway, ip.interface) for ip in found.ips] == [
            (ip_interface("10.1.90.5/24"), ip_address("10.1.90.1"), 0),
            (ip_interface("10.2.0.5/24"), ip_address("10.1.90.1"), 0),
            (ip_interface("fd00:1:90::5/64"), ip_address("fd00:1:90::1"), 0),
        ]
        assert found.routes == (
            CniRoute(ip_network("0.0.0.0/0"), ip_address("10.1.90.1"), mtu=1400, advmss=1360),
            CniRoute(ip_network("10.9.0.0/16"), ip_address("10.2.0.1"), priority=100),
            CniRoute(ip_network("169.254.1.1/32"), scope=253),
            CniRoute(ip_network("10.8.0.0/16"), ip_address("10.1.90.1"), table=100),
            CniRoute(ip_network("fd99::/64"), ip_address("fd00:1:90::1"), priority=1024),
        )

    def test_routes_of_other_links_and_the_kernels_are_left_out(self) -> None:
        """As are those that lead nowhere, and those over several links."""
        facts = namespace(
            veth(),
            veth("net1"),
            address("10.1.90.5/24"),
            address("10.2.0.5/24", "net1"),
            route("default via 10.2.0.1 dev net1"),
            route("blackhole 10.7.0.0/16"),
            route("10.6.0.0/16 nexthop via 10.1.90.1 dev eth0 nexthop via 10.2.0.1 dev net1"),
        )
        found = extract_link_info(facts.links[1], facts, NETNS)
        assert found.routes == ()
        assert [ip.gateway for ip in found.ips] == [None]

    def test_can_be_written_and_read_again(self) -> None:
        """What is extracted of a real link is a CNI result like any other."""
        facts = facts_of("neighbours")
        found = extract_link_info(next(link for link in facts.links if link.name == "eth0"), facts, NETNS)
        assert [str(ip.address) for ip in found.ips] == ["10.0.0.5/24"]
        assert found.to_json("0.4.0")["ips"] == [{"version": "4", "address": "10.0.0.5/24", "interface": 0}]
