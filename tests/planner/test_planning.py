"""From a result and facts to a plan, once, twice, and after somebody was there before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve

from planner.changes.change import Change, pending
from planner.cni.result import parse_result
from planner.errors import InvalidInput, Refused
from planner.facts.model import LinkFact, NamespaceFacts
from planner.kinds.address import Address
from planner.kinds.link import Link, LinkState
from planner.kinds.route import RouteState
from planner.kinds.sysctl import Sysctl, SysctlState
from planner.options import PlanOptions
from planner.plan.plan import Plan
from planner.text.values import InterfaceName, Keyword, SysctlKey, SysctlValue
from tests.planner.builders import (
    address,
    ebtables,
    loopback,
    namespace,
    of_type,
    plan_of,
    result,
    route,
    templates,
    veth,
)
from tests.planner.kernel_model import carry_out
from tests.planner.situations import SITUATIONS

FACTS = SITUATIONS["dual-stack"].facts
GIVEN = result({"eth0": ["10.1.90.5/24", "fd00:1:90::5/64"]})


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Return the plan of a dual-stack pod."""
    return plan_of(FACTS, GIVEN)


@pytest.fixture(scope="module")
def wired(plan: Plan) -> NamespaceFacts:
    """Return the facts when that is done."""
    return carry_out(plan.changes, plan.facts)


def without_link(facts: NamespaceFacts, name: str) -> NamespaceFacts:
    """Return the facts when a link is gone, and with it all that hangs on it."""
    return evolve(
        facts,
        links=tuple(link for link in facts.links if link.name != name),
        addresses=tuple(fact for fact in facts.addresses if fact.resource.link != name),
        routes=tuple(fact for fact in facts.routes if name not in fact.resource.links),
        neighbours=tuple(fact for fact in facts.neighbours if fact.resource.link != name),
        sysctls=tuple(item for item in facts.sysctls if f"/{name}/" not in item.key),
    )


def with_link(facts: NamespaceFacts, link: LinkFact) -> NamespaceFacts:
    """Return the facts with ``link`` in the place of the one of that name."""
    return evolve(facts, links=(*(other for other in facts.links if other.name != link.name), link))


class TestTwice:
    """Planning twice is planning once; what is ours is known, not guessed."""

    def test_wired_as_wanted_is_an_empty_plan(self, plan: Plan, wired: NamespaceFacts) -> None:
        """Nothing to change, nothing to run; the interfaces are those that were recorded."""
        again = plan_of(wired, GIVEN, recorded=plan)
        assert (again.changes, again.commands, again.reverse_commands) == ((), (), ())
        assert (again.interfaces, again.facts, again.chosen) == (plan.interfaces, plan.facts, plan.chosen)

    def test_a_weave_result_works_on_the_recorded_facts(self) -> None:
        """On the wired namespace the veth has no address any more."""
        facts = namespace(veth(), address("10.32.0.4/12"), route("default via 10.32.0.1 dev eth0"))
        weave = parse_result('{"ip4": {"ip": "10.32.0.4/12"}, "dns": {}}')
        first = plan_of(facts, weave)
        assert plan_of(carry_out(first.changes, facts), weave, recorded=first).changes == ()

    @pytest.mark.parametrize(
        "options", [PlanOptions(tap_queues=2), PlanOptions(tap_vnet_hdr=True), PlanOptions(tap_owner=0)]
    )
    def test_other_options_are_refused_by_name(self, plan: Plan, wired: NamespaceFacts, options: PlanOptions) -> None:
        """The sentence names the id and says what to do."""
        with pytest.raises(Refused, match=r"^pod1 is already wired with other options: .*\(podwire teardown pod1\)$"):
            plan_of(wired, GIVEN, options, recorded=plan)

    def test_another_result_is_refused(self, plan: Plan) -> None:
        """It would have given another plan."""
        facts = namespace(
            *FACTS.links[1:], veth("net1"), *FACTS.addresses, *FACTS.routes, address("10.9.0.5/24", "net1")
        )
        first = plan_of(facts, GIVEN)
        other = result({"eth0": ["10.1.90.5/24", "fd00:1:90::5/64"], "net1": ["10.9.0.5/24"]})
        with pytest.raises(Refused, match=r"^pod1 is already wired from a different CNI result: "):
            plan_of(carry_out(first.changes, facts), other, recorded=first)
        assert plan.id == first.id

    def test_what_an_earlier_version_wired_in_another_way_is_wired(self, plan: Plan) -> None:
        """The same result, the same interfaces: after an upgrade nobody has to tear anything down."""
        key = SysctlKey("net/ipv6/conf/eth0/accept_dad")
        before, after = SysctlState(SysctlValue("1")), SysctlState(SysctlValue("0"))
        more = Change(Sysctl(key), before, after, "as it was done then", plan.netns)
        first = evolve(plan, changes=(more, *plan.changes))
        assert plan_of(carry_out(first.changes, first.facts), GIVEN, recorded=first).changes == ()

    def test_drift_is_refused_and_named(self, plan: Plan, wired: NamespaceFacts) -> None:
        """What is not as it was applied any more is listed."""
        drifted = without_link(wired, "tap0")
        with pytest.raises(Refused, match=r"has drifted \(link tap0\): tear it down first \(podwire teardown pod1\)$"):
            plan_of(drifted, GIVEN, recorded=plan)

    def test_two_plans_of_one_namespace_are_equal(self, plan: Plan) -> None:
        """All randomness is handed in; the rest is a pure function."""
        assert plan_of(FACTS, GIVEN) == plan

    def test_an_empty_plan_stays_empty_in_reverse(self, plan: Plan, wired: NamespaceFacts) -> None:
        """There is nothing to roll back of nothing."""
        again = plan_of(wired, GIVEN, recorded=plan)
        assert again.reverse().changes == ()


class TestPending:
    """What is still to be done, looked at and not remembered: recovery, drift and verifying are this."""

    @pytest.mark.parametrize(
        "found",
        [
            pytest.param(lambda facts: evolve(facts, ebtables=ebtables()), id="rules-gone"),
            pytest.param(
                lambda facts: evolve(facts, ebtables=evolve(facts.ebtables, rules=facts.ebtables.rules[1:])),
                id="a-rule-gone",
            ),
            pytest.param(lambda facts: without_link(facts, "eth0"), id="the-pods-link-gone"),
            pytest.param(lambda facts: without_link(facts, "tap0"), id="tap-gone"),
            pytest.param(
                lambda facts: evolve(
                    facts, addresses=(*facts.addresses, address("10.1.90.5/24 label eth0:x brd 10.1.90.7"))
                ),
                id="address-put-back-otherwise",
            ),
            pytest.param(
                lambda facts: evolve(facts, sysctls=tuple(s for s in facts.sysctls if "br0" not in s.key)),
                id="sysctl-gone",
            ),
            pytest.param(
                lambda facts: with_link(facts, evolve(facts.link("eth0"), addrgenmode=None)), id="no-ipv6-any-more"
            ),
            pytest.param(
                lambda facts: with_link(facts, evolve(facts.link("br0"), alias=None, mtu=1280, flags=())),
                id="bridge-half-made",
            ),
            pytest.param(lambda facts: with_link(facts, evolve(facts.link("eth0"), master=None)), id="port-released"),
        ],
    )
    def test_can_always_be_rendered_both_ways(
        self, plan: Plan, wired: NamespaceFacts, found: Callable[[NamespaceFacts], NamespaceFacts]
    ) -> None:
        """Whatever is found there after a crash or a stranger, what is left is commands, not an error."""
        facts = found(wired)
        forward = pending(plan.changes, facts)
        back = pending(plan.reverse().changes, facts)
        assert {change.resource for change in forward} <= {change.resource for change in plan.changes}
        assert templates().commands(forward) or not forward
        assert templates().commands(back)
        assert templates().commands(change.inverse() for change in forward) or not forward

    def test_a_link_that_is_gone_is_still_to_be_done(self, plan: Plan, wired: NamespaceFacts) -> None:
        """What only changes with its link cannot be done, and is said rather than forgotten."""
        left = [str(change.resource) for change in pending(plan.reverse().changes, without_link(wired, "eth0"))]
        assert "MAC of eth0" in left
        assert "address 10.1.90.5/24 on eth0" in left
        assert "link br0" in left

    def test_a_strangers_link_is_not_taken_for_ours(self, plan: Plan, wired: NamespaceFacts) -> None:
        """Another bridge of the name is refused forward, and left alone by the rollback."""
        stranger = evolve(of_type("vxlan", "br0"), alias="mine")
        facts = with_link(without_link(wired, "br0"), stranger)
        with pytest.raises(Refused, match=r"^a link named br0 already exists and was not created by podwire: "):
            pending(plan.changes, facts)
        assert "link br0" not in {str(change.resource) for change in pending(plan.reverse().changes, facts)}

    def test_a_bridge_without_alias_is_ours_while_it_is_made(self, plan: Plan, wired: NamespaceFacts) -> None:
        """Killed between two commands of one change, the link is there bare."""
        bridge = wired.link("br0")
        assert bridge is not None
        facts = with_link(wired, evolve(bridge, alias=None, flags=(), group=Keyword("default")))
        (left,) = (change for change in pending(plan.changes, facts) if isinstance(change.resource, Link))
        assert isinstance(left.before, LinkState)
        assert (left.before.alias, left.before.up) == (None, False)

    def test_a_strangers_link_in_our_group_is_spared(self, plan: Plan, wired: NamespaceFacts) -> None:
        """Our links are then removed one by one."""
        stranger = evolve(veth("net7"), group=Keyword(str(plan.chosen.group)))
        alone = templates().commands(pending(plan.reverse().changes, with_link(wired, stranger)))
        assert [c.line for c in alone if "link del" in c.line] == ["ip link del dev tap0", "ip link del dev br0"]
        together = templates().commands(pending(plan.reverse().changes, wired))
        assert [c.line for c in together if "link del" in c.line] == [f"ip link del group {plan.chosen.group}"]

    def test_lifetimes_that_tick_are_no_difference(self) -> None:
        """An address that has less to live than it had is still the same."""
        facts = namespace(veth(), address("10.1.90.5/24 valid_lft 900 preferred_lft 600"))
        plan = plan_of(facts)
        wired = carry_out(plan.changes, facts)
        later = evolve(wired, addresses=(*wired.addresses, address("10.1.90.5/24 valid_lft 30 preferred_lft 20")))
        left = [change.resource for change in pending(plan.reverse().changes, later)]
        assert not any(isinstance(resource, Address) for resource in left)


class TestSituations:
    """Odd namespaces that are planned all the same."""

    def test_lo_that_is_down_with_its_address_comes_up_only(self) -> None:
        """127.0.0.1/8 that came with its going up stays there, and so does the local route that came with that."""
        own = address("127.0.0.1/8 scope host", "lo")
        entry = route("local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1")
        facts = namespace(veth(), own, entry, address("10.1.90.5/24"), lo=loopback(up=False))
        on_lo = [str(change.resource) for change in plan_of(facts).changes if str(change.resource).endswith(" lo")]
        assert on_lo == ["up or down of lo"]

    @pytest.mark.parametrize("text", ["127.0.0.1/8 scope host", "::1/128 scope host"])
    def test_what_somebody_gave_a_lo_that_was_never_up_is_refused(self, text: str) -> None:
        """It comes with going up as well, and afterwards something of it would be the kernel's."""
        facts = namespace(veth(), address(text, "lo"), address("10.1.90.5/24"), lo=loopback(up=False))
        with pytest.raises(Refused, match=f"address {text.partition(' ')[0]} on lo, which is down"):
            plan_of(facts)

    def test_a_route_through_several_links_goes_if_one_is_wired(self) -> None:
        """It would be half a route."""
        facts = namespace(
            veth(),
            veth("net1"),
            address("10.1.90.5/24"),
            address("10.9.0.5/24", "net1"),
            route("10.8.0.0/16 nexthop via 10.1.90.1 dev eth0 nexthop via 10.9.0.1 dev net1"),
        )
        changes = plan_of(facts, result({"eth0": ["10.1.90.5/24"]})).changes
        assert [change.after for change in changes if isinstance(change.before, RouteState)] == [None]

    def test_a_port_of_another_bridge_is_handed_over_and_back(self) -> None:
        """The master that it had is where it returns to."""
        port = evolve(veth(), master=InterfaceName("cni1"))
        facts = namespace(port, of_type("bridge", "cni1"), address("10.1.90.5/24"))
        plan = plan_of(facts, result({"eth0": ["10.1.90.5/24"]}))
        words = [c.argv for c in (*plan.commands, *plan.reverse_commands) if "master" in c.argv and "eth0" in c.argv]
        assert words == [
            ("ip", "link", "set", "dev", "eth0", "master", "br0"),
            ("ip", "link", "set", "dev", "eth0", "master", "cni1"),
        ]

    def test_a_result_of_nothing_is_refused(self) -> None:
        """It has no IP address."""
        with pytest.raises(InvalidInput, match=r"^result: it has no IP address"):
            plan_of(FACTS, parse_result('{"cniVersion": "1.0.0", "dns": {}}'))
