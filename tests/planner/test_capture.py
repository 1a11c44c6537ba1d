"""What real programs answered (`answers/`), read as facts: all that podwire must give back, nothing that moves."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest

from planner.errors import InvalidInput, Refused
from planner.facts.model import AddressFact, LinkFact, NamespaceFacts, NeighbourFact, RouteFact
from planner.facts.parse import ProbeOutput, read_probes
from planner.kinds.link import BridgeDevice, TapDevice
from planner.kinds.route import RouteMetric
from planner.text.codec import from_json, to_json
from planner.text.document import Node
from planner.text.values import Keyword
from tests.planner.answers_files import answers, facts_of
from tests.planner.builders import NETNS, neighbour, plan_of, result, route

ANY = str(ip_network("0.0.0.0/0").network_address)
ETH0_ONLY = result({"eth0": ["10.0.0.5/24"]}, routes=["0.0.0.0/0"])


@pytest.fixture(scope="module")
def addressed() -> NamespaceFacts:
    """Return the facts of `links-and-addresses.txt`."""
    return facts_of("links-and-addresses")


@pytest.fixture(scope="module")
def routed() -> NamespaceFacts:
    """Return the facts of `routes.txt`."""
    return facts_of("routes")


def link(facts: NamespaceFacts, name: str) -> LinkFact:
    """Return a link that is there."""
    found = facts.link(name)
    assert found is not None
    return found


def own(facts: NamespaceFacts, text: str) -> AddressFact:
    """Return the address ``text``."""
    return next(fact for fact in facts.addresses if fact.resource.address == ip_interface(text))


def to(facts: NamespaceFacts, text: str, **identity: Any) -> RouteFact:
    """Return the route to ``text`` whose identity has these values as well."""
    return next(
        fact
        for fact in facts.routes
        if fact.resource.dst == ip_network(text)
        and all(getattr(fact.resource, key) == value for key, value in identity.items())
    )


class TestLinks:
    """Links with what podwire changes or depends on, without what follows the other end."""

    def test_a_veth_has_its_alias_group_and_altname(self, addressed: NamespaceFacts) -> None:
        """What an administrator set on a link is kept, quotes and all."""
        eth0 = link(addressed, "eth0")
        assert (eth0.type, eth0.mac, eth0.mtu, eth0.group) == ("veth", "02:00:00:00:00:01", 1500, "77")
        assert eth0.alias == 'the pod\'s "first" link'
        assert eth0.altnames == ("the-pods-own-interface",)
        assert (eth0.up, eth0.carrier, eth0.addrgenmode) == (True, True, "eui64")

    def test_flags_are_those_that_somebody_set(self, addressed: NamespaceFacts) -> None:
        """LOWER_UP, NO-CARRIER and M-DOWN follow the other end, ALLMULTI and PROMISC do not."""
        assert link(addressed, "a23456789012345").flags == (
            "BROADCAST",
            "MULTICAST",
            "NOARP",
            "ALLMULTI",
            "PROMISC",
            "UP",
        )
        assert link(addressed, "down1").flags == ("BROADCAST", "MULTICAST", "UP")
        assert (link(addressed, "down1").carrier, link(addressed, "down1").master) == (False, "switch0")
        assert link(addressed, "down0").up is False

    def test_a_link_below_1280_has_no_ipv6(self, addressed: NamespaceFacts) -> None:
        """The dotted name is a name like others, and at MTU 1200 there is no address generation."""
        assert link(addressed, "eth0.100").mtu == 1200
        assert addressed.has_ipv6("eth0.100") is False
        assert addressed.has_ipv6("eth0") is True

    def test_bridges_and_persistent_taps_are_known_as_devices(self, addressed: NamespaceFacts) -> None:
        """What podwire creates it can recognise; a tun and a vxlan it never creates."""
        assert link(addressed, "switch0").device == BridgeDevice(ageing_time=0, mcast_snooping=False)
        assert link(addressed, "tap7").device == TapDevice(
            owner=4711, owner_group=4712, multi_queue=True, vnet_hdr=True
        )
        assert link(addressed, "tun7").device is None
        assert link(addressed, "vx0").device is None

    def test_only_ethernet_links_have_a_mac(self, addressed: NamespaceFacts) -> None:
        """Neither `lo` nor a tun has one that podwire could change."""
        assert [name for name in ("lo", "tun7") if link(addressed, name).mac] == []

    def test_a_pci_parent_is_kept(self) -> None:
        """A NIC is known by its PCI address."""
        nic = json.loads(answers("routes").links)
        nic[1] |= {"parentbus": "pci", "parentdev": "0000:3b:02.5"}
        assert link(facts_of("routes", links=json.dumps(nic)), "eth0").parent_device == "0000:3b:02.5"

    def test_a_parent_on_another_bus_may_have_a_long_name(self) -> None:
        """On Hyper-V a NIC's parent is called by a GUID of 36 characters."""
        nic = json.loads(answers("routes").links)
        nic[1] |= {"parentbus": "vmbus", "parentdev": "000d3a6e-1d2f-000d-3a6e-1d2f000d3a6e"}
        assert link(facts_of("routes", links=json.dumps(nic)), "eth0").parent_bus == "vmbus"


class TestAddresses:
    """Every address with what tells it apart and what a restore must bring back."""

    def test_stand_in_the_kernels_order(self, addressed: NamespaceFacts) -> None:
        """Scope link before global, secondaries last; IPv6 newest first."""
        assert [str(fact.resource.address) for fact in addressed.addresses_of("eth0")] == [
            "10.1.0.5/32",
            "10.0.0.5/24",
            "10.2.0.5/24",
            "10.3.0.5/24",
            "10.4.0.5/24",
            "10.0.0.6/24",
            "fd00:5::5/64",
            "fd00:4::5/64",
            "fd00:3::5/128",
            "fd00:2::5/128",
            "fd00:1::5/64",
            "fe80::ff:fe00:1/64",
        ]

    def test_a_broadcast_address_is_there_only_where_it_was_set(self, addressed: NamespaceFacts) -> None:
        """IPv4 gets a broadcast address only if told so: absent before means absent after."""
        assert own(addressed, "10.0.0.5/24").state.broadcast is None
        assert own(addressed, "10.0.0.6/24").state.broadcast == ip_address("10.0.0.255")

    def test_labels_scopes_metrics_and_flags(self, addressed: NamespaceFacts) -> None:
        """Of an address all is kept that `ip addr add` takes."""
        assert own(addressed, "10.0.0.6/24").state.label == "eth0:two"
        assert own(addressed, "10.1.0.5/32").state.scope == "link"
        assert own(addressed, "10.2.0.5/24").state.metric == 50
        assert own(addressed, "10.3.0.5/24").state.flags == ("noprefixroute",)
        assert own(addressed, "fd00:4::5/64").state.flags == ("nodad", "noprefixroute")

    def test_a_peer_is_part_of_the_identity(self, addressed: NamespaceFacts) -> None:
        """`local` is ours and `address` the peer's."""
        assert own(addressed, "10.2.0.5/24").resource.peer == ip_address("10.2.0.1")
        assert own(addressed, "fd00:3::5/128").resource.peer == ip_address("fd00:3::1")
        assert own(addressed, "10.0.0.5/24").resource.peer is None

    def test_lifetimes_are_seconds_and_forever_is_none(self, addressed: NamespaceFacts) -> None:
        """4294967295 seconds means forever; deprecated without an end means that somebody set it to 0."""
        lifetimes = {
            text: (own(addressed, text).state.valid_lft, own(addressed, text).state.preferred_lft)
            for text in ("10.0.0.5/24", "10.3.0.5/24", "10.4.0.5/24", "fd00:4::5/64")
        }
        assert lifetimes == {
            "10.0.0.5/24": (None, None),
            "10.3.0.5/24": (5000, 4000),
            "10.4.0.5/24": (None, 0),
            "fd00:4::5/64": (5000, 0),
        }

    def test_what_a_router_advertised_is_learnt(self, addressed: NamespaceFacts) -> None:
        """A dynamic address that manages temporary ones was advertised; one with lifetimes alone was not."""
        assert own(addressed, "fd00:5::5/64").state.learnt is True
        assert own(addressed, "fd00:4::5/64").state.learnt is False
        assert own(addressed, "10.3.0.5/24").state.learnt is False

    def test_prefix_routes_that_somebody_removed_are_noted(self, addressed: NamespaceFacts) -> None:
        """Plugins (ptp) remove them; of an address that has none (noprefixroute, down, secondary) none is missing."""
        absent = {str(fact.resource.address): fact.state.absent_routes for fact in addressed.addresses}
        assert absent["10.4.0.5/24"] == (ip_network("10.4.0.0/24"),)
        assert absent["fd00:1::5/64"] == (ip_network("fd00:1::/64"),)
        others = [text for text in absent if absent[text] and text not in ("10.4.0.5/24", "fd00:1::5/64", "::1/128")]
        assert others == []

    def test_the_loopback_route_of_lo_is_not_missing(self, addressed: NamespaceFacts) -> None:
        """127.0.0.0/8 is in the local table, so nobody removed it from the main one."""
        assert own(addressed, "127.0.0.1/8").state.absent_routes == ()


class TestRoutes:
    """Every route with its identity; what cannot be given back is kept by name, and refused only if touched."""

    def test_a_locked_metric_is_found_in_the_text_form(self, routed: NamespaceFacts) -> None:
        """That a metric is locked is not in the JSON at all."""
        assert to(routed, "0.0.0.0/0", metric=None).state.metrics == (
            RouteMetric(Keyword("mtu"), Keyword("1280"), locked=True),
            RouteMetric(Keyword("advmss"), Keyword("1240")),
        )

    def test_metrics_are_in_the_words_that_ip_takes(self, routed: NamespaceFacts) -> None:
        """`congctl`, not `congestion`; times with their unit; `rto_min` is locked always and takes no `lock`."""
        words = [f"{m.name} {m.value}" for m in to(routed, "0.0.0.0/0", metric=100).state.metrics if not m.locked]
        assert words == ["rtt 90ms", "initcwnd 20", "features ecn", "rto_min 200ms", "congctl cubic"]

    def test_a_link_called_like_a_metric_is_none(self, routed: NamespaceFacts) -> None:
        """`dev mtu table main` says nothing of an MTU."""
        assert [fact.state.metrics for fact in routed.routes_of("mtu") if fact.state.metrics] == [
            (RouteMetric(Keyword("mtu"), Keyword("1400")),)
        ]

    @pytest.mark.parametrize(
        ("shown", "word"),
        [
            ("features 0x10", "features 0x10"),
            ("features ecn 0x11", "features 0x11"),
            ("rto_min 40ms", "a rto_min that is not locked"),
            ("rto_min lock 1234.57s", "a rounded rto_min"),
            ("rtt 0ms", "a rounded rtt"),
            ("rttvar lock 0ms advmss 1200", "a rounded rttvar"),
            ("rtt 1.543s features ecn", None),
        ],
    )
    def test_what_ip_could_not_set_again_is_named(self, shown: str, word: str | None) -> None:
        """Others have set it: a newer `ip` knows more features, and a program need not lock `rto_min`."""
        text = answers("routes").route_text
        assert text is not None
        told = text.replace("mtu lock 1280 advmss 1240", shown)
        assert told != text
        assert to(facts_of("routes", route_text=told), "0.0.0.0/0", metric=None).state.unsupported == word

    def test_a_text_form_that_ends_in_a_metric_leaves_that_route_untouched(self) -> None:
        """Cut off behind `lock`, or an `ip` that prints otherwise."""
        text = answers("routes").route_text
        assert text is not None
        cut = text.replace(" mtu lock 1280 advmss 1240", " mtu lock")
        assert cut != text
        states = {fact.state.unsupported for fact in facts_of("routes", route_text=cut).routes}
        assert "metrics that could not be read" in states

    def test_without_the_text_form_a_route_with_metrics_cannot_be_touched(self) -> None:
        """Guessing that a metric is not locked would lose the lock; other routes are as they are."""
        facts = facts_of("routes", route_text=None)
        assert to(facts, "0.0.0.0/0", metric=None).state.unsupported == "metrics that could not be read"
        assert to(facts, "10.16.0.0/16").state.unsupported is None

    def test_a_gateway_of_the_other_family(self, routed: NamespaceFacts) -> None:
        """An IPv4 route via an IPv6 gateway comes as `via` with a family."""
        assert to(routed, "10.11.0.0/16") == route("10.11.0.0/16 via fe80::1 dev eth0")

    def test_several_ways_with_their_weights(self, routed: NamespaceFacts) -> None:
        """A route over several links is one route, of IPv4 and of IPv6."""
        assert to(routed, "10.13.0.0/16") == route(
            "10.13.0.0/16 mtu 1400 nexthop via 10.0.0.1 dev eth0 weight 2 nexthop via 10.1.0.1 dev mtu"
        )
        assert to(routed, "fd10::/64") == route(
            "fd10::/64 nexthop via fe80::1 dev eth0 weight 2 nexthop via fe80::2 dev mtu"
        )

    @pytest.mark.parametrize(
        "text",
        [
            "10.12.0.0/16 via 10.0.0.3 dev mtu onlink",
            "10.16.0.0/16 tos 0x10 via 10.0.0.1 dev eth0 proto static src 10.1.0.5",
            "10.17.0.0/16 via 10.0.0.1 dev eth0 table 100",
            "blackhole 10.20.0.0/16",
            "unreachable 10.21.0.0/16",
            "prohibit 10.22.0.0/16",
            "throw 10.23.0.0/16",
            "local 10.32.0.0/16 dev eth0 table local",
            "10.33.0.0/16 dev eth0 proto kernel",
            "fd12::/64 via fd00:1::1 dev eth0 src fd00:2::5 metric 7 expires 499",
            "blackhole fd13::/64 dev lo",
            "default via fe80::1 dev eth0 pref high hoplimit 32",
        ],
    )
    def test_is_read_as_it_was_set(self, routed: NamespaceFacts, text: str) -> None:
        """Types, tables, sources, protocols, tos, onlink, preference and expiry."""
        assert route(text) in routed.routes

    def test_equal_routes_stand_in_the_kernels_order(self, routed: NamespaceFacts) -> None:
        """Of two routes equal in destination and metric the first wins."""
        equal = [fact.resource.links for fact in routed.routes if fact.resource.dst == ip_network("10.10.0.0/16")]
        assert equal == [("eth0",), ("mtu",)]

    def test_a_nexthop_object_is_known_by_its_id_and_leaves_by_its_link(self, routed: NamespaceFacts) -> None:
        """It is stripped with its link, and given back by the id of the object."""
        assert [(f.resource.nhid, f.resource.links) for f in routed.routes if f.resource.nhid] == [
            (7, ("eth0",)),
            (8, ("eth0",)),
            (10, ("eth0",)),
        ]

    def test_what_a_router_advertised_is_learnt(self, routed: NamespaceFacts) -> None:
        """`proto ra` with an expiry comes back by itself, an expiry alone does not."""
        assert [str(fact.resource) for fact in routed.routes if fact.state.learnt] == [
            "route default via fe80::2 dev mtu metric 2000"
        ]

    @pytest.mark.parametrize(
        ("text", "why"),
        [("10.15.0.0/16", "an encapsulation"), ("fd11::/64", "an encapsulation"), ("10.18.0.0/16", "'flow'")],
    )
    def test_what_cannot_be_given_back_has_its_reason(self, routed: NamespaceFacts, text: str, why: str) -> None:
        """An encapsulated route repeats keys in the JSON; it is known by its own destination all the same."""
        assert to(routed, text).state.unsupported == why

    def test_what_cannot_be_given_back_is_refused_where_it_is_touched(self, routed: NamespaceFacts) -> None:
        """Stripping eth0 would lose it; the sentence names route and reason."""
        with pytest.raises(
            Refused,
            match=r"^route 10\.18\.0\.0/16 via 10\.0\.0\.1 dev eth0 table default has 'flow', which podwire could",
        ):
            plan_of(routed, ETH0_ONLY)

    def test_an_unknown_flag_cannot_be_given_back(self) -> None:
        """What a later kernel adds is not silently dropped."""
        changed = answers("routes").routes4.replace('"flags":["onlink"]', '"flags":["onlink","sideways"]')
        assert to(facts_of("routes", routes4=changed), "10.12.0.0/16").state.unsupported == "'sideways'"


class TestNeighbours:
    """What somebody set, without what the kernel learns or makes."""

    def test_permanent_noarp_and_proxy_entries(self) -> None:
        """With their flags, which come as keys with null; neither stale nor incomplete ones."""
        found = set(facts_of("neighbours").neighbours)
        assert found == {
            neighbour("169.254.1.1"),
            neighbour("fe80::1", flags=["router", "extern_learn"]),
            neighbour("10.0.0.7", lladdr="02:00:00:00:00:77", state="noarp"),
            neighbour("10.1.0.7", "silent", lladdr="02:00:00:00:00:99"),
            neighbour("10.1.0.9", "silent", lladdr="02:00:00:00:00:aa", state="noarp"),
            neighbour("10.1.0.8", "silent", lladdr="02:00:00:00:00:02", state="noarp"),
            neighbour("10.0.0.10", proxy=True),
            neighbour("fd00::10", proxy=True),
        }

    def test_what_the_kernel_makes_comes_and_goes(self) -> None:
        """Noarp entries for multicast and broadcast addresses, and on lo, are the kernel's own."""
        text = answers("neighbours").neighbours
        for address in ("ff02::16", "10.0.0.255", ANY):
            assert f'"dst":"{address}"' in text
        kept = {str(fact.resource.address) for fact in facts_of("neighbours").neighbours}
        assert kept & {"ff02::16", "10.0.0.255", ANY} == set()


class TestEbtables:
    """The filter table, or why it cannot be read."""

    def test_foreign_rules_and_chains(self) -> None:
        """Rules in order; of the base chains those that exist, with their policies."""
        found = facts_of("foreign-rules").ebtables
        assert [(chain.name, chain.policy) for chain in found.chains] == [
            ("INPUT", "ACCEPT"),
            ("FORWARD", "DROP"),
            ("TENANT", "ACCEPT"),
        ]
        assert found.rules[0] == "-A INPUT -j TENANT"
        assert len(found.rules) == 7

    def test_a_table_that_cannot_be_read_has_its_reason(self) -> None:
        """The reason is kept, and wiring is refused with it."""
        facts = facts_of("neighbours", ebtables_save=None, ebtables_problem="ebtables is missing")
        assert facts.ebtables.problem == "ebtables is missing"
        with pytest.raises(Refused, match=r"^ebtables is missing$"):
            plan_of(facts, ETH0_ONLY)

    def test_nft_that_prints_no_json_is_refused(self) -> None:
        """The rules count as what cannot be looked at: planning refuses, and teardown brings back all the rest."""
        assert str(facts_of("foreign-rules", nft_chains="Error: syntax").ebtables.problem).startswith("nft list chains")


class TestAnswers:
    """The answers as a whole."""

    @pytest.mark.parametrize("name", ["links-and-addresses", "routes", "neighbours", "foreign-rules"])
    def test_reading_them_twice_gives_the_same_digest(self, name: str) -> None:
        """Display state leaks from line to line in a batch: more keys than asked for change nothing."""
        text = json.dumps([link | {"stats64": {"rx": {"bytes": 1}}} for link in json.loads(answers(name).links)])
        assert facts_of(name, links=text).digest() == facts_of(name).digest()

    def test_nothing_answered_is_nothing_there(self) -> None:
        """`ip -j` prints nothing, or an empty list, if there is nothing."""
        nothing = ProbeOutput("", "", "[]", "", "", "[{}]", None, "", None, None, {}, 0.0)
        facts = read_probes(nothing)
        assert (facts.links, facts.routes, facts.neighbours) == ((), (), ())

    @pytest.mark.parametrize(
        ("key", "text", "message"),
        [
            ("links", "Cannot open netlink socket", "ip link did not answer in JSON: 'Cannot open netlink socket'"),
            ("links", '{"a": 1}', "ip link: expected a list, not an object"),
            ("links", "[" * 5000, None),
        ],
    )
    def test_what_a_program_never_prints_is_refused(self, key: str, text: str, message: str | None) -> None:
        """ProbeOutput that are none give one sentence, never a traceback."""
        with pytest.raises(InvalidInput) as refused:
            facts_of("neighbours", **{key: text})
        assert message is None or str(refused.value) == message
        assert str(refused.value).isprintable()

    @pytest.mark.parametrize(
        ("key", "text", "link", "why"),
        [
            ("links", '[{"ifname": "eth0", "flags": 1}]', "eth0", "ip link[0]"),
            ("addresses", '[{"addr_info": []}]', None, "ip addr[0]: 'ifname' is missing"),
            ("addresses", '[{"ifname": "eth0", "addr_info": [{}, {"local": 1}]}]', "eth0", "ip addr[0].addr_info[1]"),
            ("routes4", '[{"dst": "300.0.0.0"}]', None, "ip route[0].dst: "),
            ("routes6", '[{"dst": 7, "dev": "eth0"}]', "eth0", "ip route[0].dst: expected a string, not 7"),
            ("routes4", '[{"dst": 7, "nexthops": [{"dev": "a b"}, {"dev": "eth0"}]}]', "eth0", "ip route[0].dst: "),
            ("neighbours", '[{"dev": "eth0", "state": ["PERMANENT"]}]', "eth0", "ip neigh[0]: 'dst' is missing"),
            ("proxies", '[{"dst": "10.0.0.1"}]', None, "ip neigh proxy[0]: 'dev' is missing"),
        ],
    )
    def test_what_cannot_be_read_is_opaque(self, key: str, text: str, link: str | None, why: str) -> None:
        """All else is read; if a link is known, a plan for that is refused by name."""
        facts = facts_of("neighbours", **{key: text})
        (thing,) = facts.opaque
        assert thing.link == link
        assert thing.why.startswith(why)
        assert thing.why.isprintable()
        assert from_json(NamespaceFacts, Node(to_json(facts), "facts")) == facts

    @pytest.mark.parametrize("name", ["a;b", "AWS(Test)", "ü", "-x", "$(id)", "a\\b", "a'b"])
    def test_a_link_of_an_odd_name_is_opaque_with_all_that_is_on_it(self, name: str) -> None:
        """The kernel takes such a name; to podwire it is not there, but nothing else is lost."""
        found = answers("neighbours")
        odd = {
            key: getattr(found, key).replace('"silent"', json.dumps(name))
            for key in ("links", "addresses", "routes4", "routes6", "neighbours", "proxies")
        }
        assert '"silent"' in found.links
        facts, before = facts_of("neighbours", **odd), facts_of("neighbours")
        assert [link for link in facts.links if link.name != "silent"] == [
            link for link in before.links if link.name != "silent"
        ]
        assert facts.opaque
        assert all(thing.link is None for thing in facts.opaque)

    def test_a_port_of_a_link_of_an_odd_name_is_there(self) -> None:
        """It must be seen, or rolling its wiring back would forget it; planning it again is refused."""
        found = json.loads(answers("neighbours").links)
        links = [one | ({"master": "AWS(Test)"} if one["ifname"] == "eth0" else {}) for one in found]
        facts = facts_of("neighbours", links=json.dumps(links))
        assert facts.link("eth0") is not None
        with pytest.raises(Refused, match=r"^eth0 has what podwire could not restore .*AWS"):
            plan_of(facts, ETH0_ONLY)

    def test_the_real_namespaces_can_be_planned(self) -> None:
        """A plan of real answers fits its facts, whatever is in the namespace."""
        facts = facts_of("neighbours")
        plan = plan_of(facts, ETH0_ONLY)
        assert plan.netns == NETNS
        removed = {change.resource for change in plan.changes if change.after is None}
        assert {fact.resource for fact in facts.neighbours if fact.resource.link == "eth0"} <= removed
        assert not any(isinstance(fact, NeighbourFact) for fact in removed)
