"""What the guest is told: all that moves to it, by what the pod really had, completed by the CNI result."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from planner.cni.result import CniDns, CniIp, CniResult
from planner.facts.model import NamespaceFacts
from planner.guest.model import Guest
from planner.options import PlanOptions
from planner.plan.plan import guests, parse_plan, plan_to_json
from planner.text.values import DomainName, parse_address, parse_interface
from tests.planner.builders import address, namespace, neighbour, plan_of, result, route, templates, veth


def told(facts: NamespaceFacts, given: CniResult | None = None, options: PlanOptions | None = None) -> list[Guest]:
    """Return what the guest is told of each interface."""
    plan = plan_of(facts, given, options)
    assert all(interface.guest for interface in plan.interfaces)
    return list(guests(plan))


def words(guest: Guest) -> tuple[list[str], list[str]]:
    """Return the addresses and the routes of a guest as text."""
    return [str(one) for one in guest.addresses], [str(one) for one in guest.routes]


def fixed(facts: NamespaceFacts, given: CniResult) -> tuple[list[str], list[str]]:
    """Return what the guest is told of the only interface."""
    (guest,) = told(facts, given)
    return words(guest)


class TestFromWhatThePodHad:
    """Of both families, per link."""

    def test_a_plain_pod(self) -> None:
        """Its address with its subnet, its gateway, its MAC and MTU."""
        facts = namespace(veth(mtu=1450), address("10.1.90.5/24"), route("default via 10.1.90.1 dev eth0"))
        (guest,) = told(facts)
        assert words(guest) == (["10.1.90.5/24"], ["default via 10.1.90.1"])
        assert (guest.mac, guest.mtu) == ("0a:58:0a:01:5a:05", 1450)

    def test_calico_dual_stack(self) -> None:
        """The result has no routes; the pod's are told, the one to the gateway first, so that they can be added."""
        facts = namespace(
            veth(),
            address("10.244.186.221/32"),
            address("fd10:244::badc/128"),
            address("fe80::858:aff:fe01:5a05/64"),
            route("default via 169.254.1.1 dev eth0"),
            route("169.254.1.1/32 dev eth0 scope link"),
            route("default via fe80::ecee:eeff:feee:eeee dev eth0"),
        )
        assert fixed(facts, result({"eth0": ["10.244.186.221/32", "fd10:244::badc/128"]})) == (
            ["10.244.186.221/32", "fd10:244::badc/128"],
            [
                "169.254.1.1/32 on the link",
                "default via 169.254.1.1 on the link",
                "default via fe80::ecee:eeff:feee:eeee",
            ],
        )

    def test_a_subnet_that_is_behind_the_gateway(self) -> None:
        """Ptp and GKE: the pod reaches its neighbours by the gateway only, so the guest gets a /32 and its routes."""
        facts = namespace(
            veth(),
            address("10.4.2.17/24", absent=["10.4.2.0/24"]),
            route("10.4.2.1/32 dev eth0 scope link src 10.4.2.17"),
            route("10.4.2.0/24 via 10.4.2.1 dev eth0 src 10.4.2.17"),
            route("default via 10.4.2.1 dev eth0"),
        )
        assert fixed(facts, result({"eth0": ["10.4.2.17/24"]}, routes=["0.0.0.0/0"])) == (
            ["10.4.2.17/32"],
            [
                "10.4.2.1/32 on the link",
                "10.4.2.0/24 via 10.4.2.1 on the link",
                "default via 10.4.2.1 on the link",
            ],
        )

    def test_an_ipv6_subnet_that_is_not_on_the_link(self) -> None:
        """The same in the other family, here by ``noprefixroute``."""
        facts = namespace(veth(), address("fd00::5/64 noprefixroute"), route("fd00::1/128 dev eth0"))
        assert words(told(facts)[0]) == (["fd00::5/128"], ["fd00::1/128 on the link"])

    def test_aws_ipv6(self) -> None:
        """A /128, the router's link-local address, and the neighbour entry without which nobody answers."""
        facts = namespace(
            veth(),
            address("2600:1f14::b/128"),
            route("fe80::1/128 dev eth0"),
            route("default via fe80::1 dev eth0"),
            neighbour("fe80::1"),
        )
        (guest,) = told(facts)
        assert words(guest) == (["2600:1f14::b/128"], ["default via fe80::1"])
        assert [str(one) for one in guest.neighbours] == ["fe80::1 is ee:ee:ee:ee:ee:ee"]

    def test_an_address_with_a_peer(self) -> None:
        """The guest has it whole, and the peer is on the link."""
        facts = namespace(veth(), address("10.1.90.5/32 peer 10.1.90.1"), route("default via 10.1.90.1 dev eth0"))
        assert words(told(facts)[0]) == (
            ["10.1.90.5/32"],
            ["10.1.90.1/32 on the link", "default via 10.1.90.1 on the link"],
        )

    def test_metric_and_mtu_of_a_route(self) -> None:
        """Both families have them; what IPv6 gives to a route that came without a metric is none."""
        facts = namespace(
            veth(),
            address("10.1.90.5/24"),
            address("fd00::5/64"),
            route("10.9.0.0/16 via 10.1.90.1 dev eth0 metric 50 mtu 1400"),
            route("default via fd00::1 dev eth0 mtu 1300"),
        )
        (guest,) = told(facts)
        assert [(route.metric, route.mtu) for route in guest.routes] == [(50, 1400), (None, 1300)]
        assert str(guest.routes[0]) == "10.9.0.0/16 via 10.1.90.1 metric 50 mtu 1400"

    def test_what_the_guest_cannot_use_or_makes_by_itself_is_not_told(self) -> None:
        """Tables that no rule asks, entries that drop packets, what an advertisement brings, link-local addresses."""
        facts = namespace(
            veth(),
            address("10.1.90.5/24"),
            address("fe80::858:aff:fe01:5a05/64"),
            address("fd00::858:aff:fe01:5a05/64 valid_lft 900 preferred_lft 300", learnt=True),
            route("10.9.0.0/16 via 10.1.90.1 dev eth0 table 100"),
            route("blackhole 10.8.0.0/16"),
            route("default via fe80::1 dev eth0 proto ra expires 900", learnt=True),
        )
        assert fixed(facts, result({"eth0": ["10.1.90.5/24"]})) == (["10.1.90.5/24"], [])

    def test_other_links_of_the_pod_are_not_the_guests(self) -> None:
        """Docker in the pod: its bridge and what is behind it stay."""
        facts = namespace(
            veth(),
            veth("docker0"),
            address("10.1.90.5/24"),
            address("172.17.0.1/16", "docker0"),
            route("10.5.0.0/16 via 172.17.0.2 dev docker0"),
            route("default via 10.1.90.1 dev eth0"),
        )
        assert fixed(facts, result({"eth0": ["10.1.90.5/24"]})) == (["10.1.90.5/24"], ["default via 10.1.90.1"])


class TestSeveralLinks:
    """Each interface is told what its own link had."""

    FACTS = namespace(
        veth(),
        veth("net1", mac="0a:58:0a:01:5b:05"),
        address("10.1.90.5/24"),
        address("10.1.91.5/24", "net1"),
        route("default via 10.1.90.1 dev eth0"),
        route("192.0.2.0/24 via 10.1.91.1 dev net1"),
    )

    def test_each_has_its_own(self) -> None:
        """The routes go with the link that they leave by."""
        given = result({"eth0": ["10.1.90.5/24"], "net1": ["10.1.91.5/24"]}, routes=["0.0.0.0/0"])
        assert [words(guest) for guest in told(self.FACTS, given)] == [
            (["10.1.90.5/24"], ["default via 10.1.90.1"]),
            (["10.1.91.5/24"], ["192.0.2.0/24 via 10.1.91.1"]),
        ]

    def test_no_default_route_twice(self) -> None:
        """The pod used the first; one with another metric is another route."""
        again = route("default via 10.1.91.1 dev net1")
        given = result({"eth0": ["10.1.90.5/24"], "net1": ["10.1.91.5/24"]})
        twice = evolve(self.FACTS, routes=(*self.FACTS.routes, again))
        assert "default via 10.1.91.1" not in words(told(twice, given)[1])[1]
        other = evolve(self.FACTS, routes=(*self.FACTS.routes, route("default via 10.1.91.1 dev net1 metric 200")))
        assert "default via 10.1.91.1 metric 200" in words(told(other, given)[1])[1]

    def test_a_default_route_that_is_another_links_is_not_told(self) -> None:
        """What a secondary network's result says of one, the pod did not get (Multus removes it)."""
        given = result({"net1": ["10.1.91.5/24"]}, routes=["0.0.0.0/0 via 10.1.91.1"])
        assert words(told(self.FACTS, given)[0])[1] == ["192.0.2.0/24 via 10.1.91.1"]

    def test_a_link_without_an_address_is_told_its_mac_only(self) -> None:
        """A wire: the guest asks the network."""
        facts = namespace(veth(), veth("net1", mac="0a:58:0a:01:5b:05"), address("10.1.90.5/24"))
        first, _ = told(facts, result({"net1": [], "eth0": ["10.1.90.5/24"]}))
        assert (first.mac, first.addresses, first.routes) == ("0a:58:0a:01:5b:05", (), ())


class TestWhatTheResultAdds:
    """What facts can't know; it takes nothing away."""

    def test_dns(self) -> None:
        """Of every interface; a zone is the name of a link of the pod, and means nothing to the guest."""
        servers = (parse_address("10.96.0.10"), parse_interface("fe80::1/128").ip)
        search = (DomainName("a.cluster.local"), DomainName("b"))
        dns = CniDns(servers, DomainName("cluster.local"), search, ("ndots:5",))
        (guest,) = told(namespace(veth(), address("10.1.90.5/24")), evolve(result({"eth0": ["10.1.90.5/24"]}), dns=dns))
        assert [str(server) for server in guest.dns.nameservers] == ["10.96.0.10", "fe80::1"]
        assert (guest.dns.domain, guest.dns.search, guest.dns.options) == (
            "cluster.local",
            ("a.cluster.local", "b"),
            ("ndots:5",),
        )

    def test_routes_of_a_link_that_is_down(self) -> None:
        """The kernel has none then, so that the result is all that says them."""
        facts = namespace(veth(up=False), address("10.1.90.5/24"))
        given = result({"eth0": ["10.1.90.5/24"]}, routes=["0.0.0.0/0 via 10.1.90.1"])
        assert fixed(facts, given) == (["10.1.90.5/24"], ["default via 10.1.90.1"])

    def test_a_route_without_a_gateway_has_that_of_the_address(self) -> None:
        """CNI specification, ADD Success."""
        given = result({"eth0": ["10.1.90.5/24"]}, routes=["0.0.0.0/0"])
        ips = (CniIp(given.ips[0].address, parse_address("10.1.90.254"), given.ips[0].interface),)
        facts = namespace(veth(up=False), address("10.1.90.5/24"))
        assert fixed(facts, evolve(given, ips=ips))[1] == ["default via 10.1.90.254"]

    @pytest.mark.parametrize(("own", "default"), [("10.1.90.5/24", "0.0.0.0/0"), ("fd00::5/64", "::/0")])
    def test_an_address_that_is_none_is_no_gateway(self, own: str, default: str) -> None:
        """Plugins write 0.0.0.0 and :: for none."""
        facts = namespace(veth(up=False), address(own))
        given = result({"eth0": [own]}, routes=[f"{default} via {default.partition('/')[0]}"])
        assert fixed(facts, given)[1] == ["default on the link"]

    def test_what_the_pod_had_is_told_although_the_result_says_otherwise(self) -> None:
        """The pod's gateway is the one that worked."""
        facts = namespace(veth(), address("10.1.90.5/24"), route("default via 10.1.90.7 dev eth0"))
        given = result({"eth0": ["10.1.90.5/24"]}, routes=["0.0.0.0/0 via 10.1.90.1"])
        assert fixed(facts, given)[1] == ["default via 10.1.90.7"]

    def test_calicos_address_that_was_made_to_fit(self) -> None:
        """--calico-subnet and --dummy-gateway are told, and not the gateway that nobody has; other routes stay."""
        facts = namespace(
            veth(),
            address("10.244.186.221/32"),
            route("default via 169.254.1.1 dev eth0"),
            route("169.254.1.1/32 dev eth0 scope link"),
            route("10.7.0.0/16 dev eth0 scope link"),
        )
        options = PlanOptions(dummy_gateway=parse_address("10.244.186.1"), calico_subnet=24)
        (guest,) = told(facts, result({"eth0": ["10.244.186.221/32"]}, routes=["0.0.0.0/0"]), options)
        assert words(guest) == (
            ["10.244.186.221/24"],
            ["10.7.0.0/16 on the link", "default via 10.244.186.1"],
        )


class TestDocument:
    """It is in the plan, `interfaces[].guest`."""

    PLAN = plan_of(
        namespace(
            veth(),
            address("10.4.2.17/24", absent=["10.4.2.0/24"]),
            route("10.4.2.1/32 dev eth0 scope link"),
            route("default via 10.4.2.1 dev eth0"),
            neighbour("10.4.2.1"),
        ),
    )

    def test_has_every_key(self) -> None:
        """Null, if there is nothing to say."""
        (interface,) = plan_to_json(self.PLAN)["interfaces"]
        assert interface["guest"] == {
            "mac": "0a:58:0a:01:5a:05",
            "mtu": 1500,
            "addresses": ["10.4.2.17/32"],
            "routes": [
                {"dst": "10.4.2.1/32", "via": None, "onlink": False, "metric": None, "mtu": None},
                {"dst": "0.0.0.0/0", "via": "10.4.2.1", "onlink": True, "metric": None, "mtu": None},
            ],
            "neighbours": [{"address": "10.4.2.1", "lladdr": "ee:ee:ee:ee:ee:ee"}],
            "dns": {"nameservers": [], "search": [], "domain": None, "options": []},
        }

    def test_reads_back(self) -> None:
        """As it was written."""
        assert parse_plan(json.dumps(plan_to_json(self.PLAN)), templates()) == self.PLAN

    def test_what_an_older_podwire_stored_without_it_says_the_same(self) -> None:
        """It is computed from the facts that are in the plan, and such a plan still is what was planned."""
        old = evolve(self.PLAN, interfaces=tuple(evolve(one, guest=None) for one in self.PLAN.interfaces))
        read = parse_plan(json.dumps(plan_to_json(old)), templates())
        assert "guest" not in plan_to_json(old)["interfaces"][0]
        assert guests(read) == guests(self.PLAN)
