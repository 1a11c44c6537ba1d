"""Calico's /32 and its gateway that no interface has, made fit for a guest."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

import pytest

from planner.cni.calico import detect_calico, fix_calico_networking
from planner.errors import InvalidInput, Refused
from planner.options import PlanOptions
from tests.planner.builders import address, namespace, plan_of, result, route, veth
from tests.planner.situations import SITUATIONS

ON_LINK = route("169.254.1.1 dev eth0 scope link")
DEFAULT = route("default via 169.254.1.1 dev eth0")
OWN = address("10.244.196.152/32")
GIVEN = result({"eth0": ["10.244.196.152/32"]}, routes=["169.254.1.1/32", "0.0.0.0/0 via 169.254.1.1", "10.9.0.0/16"])
GATEWAY = ip_address("10.244.196.153")


class TestDetect:
    """Two answers: a scope-link route to 169.254.1.1, and a default route via it as well."""

    @pytest.mark.parametrize(
        ("routes", "expected"),
        [
            pytest.param([ON_LINK, DEFAULT], (True, True), id="default"),
            pytest.param([ON_LINK, route("default via 10.0.0.1 dev eth0 onlink")], (True, False), id="on-link-only"),
            pytest.param([DEFAULT], (False, False), id="no-link-route"),
            pytest.param([], (False, False), id="none"),
            pytest.param([route("169.254.1.1 dev net1 scope link")], (False, False), id="on-another-link"),
        ],
    )
    def test_looks_at_the_links_routes(self, routes: list[object], expected: tuple[bool, bool]) -> None:
        """Routes of other links do not count, nor does a default route alone."""
        facts = namespace(veth(), veth("net1"), OWN, *routes)  # type: ignore[arg-type]
        assert detect_calico(facts.links[1], facts) == expected


class TestFix:
    """The mask is widened; the default route goes via a dummy gateway."""

    FACTS = namespace(veth(), OWN, ON_LINK, DEFAULT)

    def test_default_route_goes_via_the_dummy_gateway(self) -> None:
        """Other routes stay, those to and via 169.254.1.1 go."""
        fixed = fix_calico_networking(GIVEN, self.FACTS, dummy_gateway=GATEWAY)
        assert [(ip.address, ip.gateway) for ip in fixed.ips] == [(ip_interface("10.244.196.152/24"), GATEWAY)]
        assert [(str(r.dst), r.gateway) for r in fixed.routes] == [("10.9.0.0/16", None), ("0.0.0.0/0", GATEWAY)]

    def test_without_the_default_route_only_the_mask_is_widened(self) -> None:
        """Whoever has the default route keeps it."""
        facts = namespace(veth(), OWN, ON_LINK)
        fixed = fix_calico_networking(GIVEN, facts, dummy_gateway=None, subnet=16)
        assert [str(ip.address) for ip in fixed.ips] == ["10.244.196.152/16"]
        assert fixed.routes == GIVEN.routes

    def test_addresses_of_other_links_stay(self) -> None:
        """Nobody else's addressing is touched, nor is IPv6."""
        situation = SITUATIONS["calico"]
        assert situation.result is not None
        fixed = fix_calico_networking(situation.result, situation.facts, dummy_gateway=GATEWAY)
        assert [str(ip.address) for ip in fixed.ips] == ["10.244.196.152/24", "fd10:244::c497/128"]
        plain = SITUATIONS["plain"]
        given = result({"eth0": ["10.1.90.5/24"]})
        assert fix_calico_networking(given, plain.facts, dummy_gateway=GATEWAY) == given

    def test_a_needed_gateway_that_is_not_given_is_refused(self) -> None:
        """The sentence names the link and the three ways to give one."""
        with pytest.raises(
            Refused, match=r"default route of eth0 is Calico's: a dummy gateway is needed \(--dummy-gateway, "
        ):
            fix_calico_networking(GIVEN, self.FACTS, dummy_gateway=None)

    def test_a_gateway_of_the_other_family_is_refused(self) -> None:
        """Calico's default route here is IPv4's."""
        with pytest.raises(InvalidInput, match="the dummy gateway fd00::1 is not an IPv4 address"):
            fix_calico_networking(GIVEN, self.FACTS, dummy_gateway=ip_address("fd00::1"))

    def test_what_has_no_effect_is_said(self) -> None:
        """Without Calico, or where it holds no default route; what has one is not mentioned."""
        plain, on_link = namespace(veth(), address("10.1.90.5/24")), namespace(veth(), OWN, ON_LINK)
        others = result({"eth0": ["10.1.90.5/24"]})
        both = PlanOptions(dummy_gateway=GATEWAY, calico_subnet=20)
        assert plan_of(plain, others, both).notes == (
            f"no link of this pod is Calico's: the dummy gateway {GATEWAY} and --calico-subnet 20 have no effect",
        )
        only = PlanOptions(calico_subnet=20)
        assert plan_of(plain, others, only).notes == (
            "no link of this pod is Calico's: --calico-subnet 20 has no effect",
        )
        given = result({"eth0": ["10.244.196.152/32"]})
        assert plan_of(on_link, given, both).notes == (
            f"Calico holds no default route of this pod: the dummy gateway {GATEWAY} has no effect",
        )
        assert plan_of(on_link, given, only).notes == plan_of(self.FACTS, GIVEN, both).notes == ()

    def test_the_plan_tells_the_guest_and_takes_the_same_off_the_link(self) -> None:
        """The options change what the guest is told, not what is in the namespace."""
        fixed = plan_of(self.FACTS, GIVEN, PlanOptions(dummy_gateway=GATEWAY))
        assert [str(ip.address) for ip in fixed.result.ips] == ["10.244.196.152/24"]
        assert fixed.changes == plan_of(self.FACTS, GIVEN).changes
