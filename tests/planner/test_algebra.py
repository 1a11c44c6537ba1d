"""What holds of every plan: inverses, one change a resource, what is pending when, and a kernel that loses nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from attrs import evolve
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from planner.changes.change import Change, inverse, pending
from planner.changes.lookup import Observed
from planner.cni.result import CniResult
from planner.errors import Refused
from planner.facts.model import NamespaceFacts
from planner.facts.remains import differences
from planner.kinds.address import Address
from planner.kinds.ebtables import EbtablesRules
from planner.kinds.kind import equivalent
from planner.kinds.link import Link
from planner.kinds.route import Route
from planner.kinds.sysctl import Sysctl
from planner.options import PlanOptions
from planner.plan.plan import Plan, parse_plan, plan_to_json, reverse_after
from planner.text.values import MacAddress
from tests.planner import builders
from tests.planner.builders import address, ebtables, namespace, neighbour, plan_of, route, setting, templates, veth
from tests.planner.kernel_model import carry_out
from tests.planner.situations import SITUATIONS
from tests.planner.strategies import namespaces, situations

Situation = tuple[NamespaceFacts, CniResult, PlanOptions]
MANY = settings(max_examples=15, deadline=None, derandomize=True)
PROBE = namespace(
    veth(),
    veth("net1", mac="02:42:0a:09:00:05"),
    address("10.1.90.5/24 valid_lft 900 preferred_lft 600"),
    address("10.1.90.6/24"),
    address("fd00:1:90::5/64"),
    route("default via 10.1.90.1 dev eth0 mtu 1400"),
    route("10.9.0.0/16 via 10.1.90.1 dev eth0"),
    neighbour("10.1.90.1"),
    neighbour("10.1.90.2"),
    ebtables("-A INPUT -j ACCEPT", chains={"INPUT": "ACCEPT"}),
)


def plan_for(situation: Situation) -> Plan:
    """Return the plan of a drawn situation; one that has no address to give, or a lost gateway, is none."""
    facts, given_result, options = situation
    assume(given_result.ips)
    try:
        return plan_of(facts, given_result, options)
    except Refused as refusal:
        assume("could not be added again" not in str(refusal))
        raise


def _removing(changes: Iterable[Change]) -> list[Change]:
    """Return the changes but for those of routes that stay, whose place changes as others go and come."""
    return [change for change in changes if not getattr(change.before, "stays", False)]


class TestInverse:
    """Everything that is rolled back is rolled back by the same changes, inverted."""

    @MANY
    @given(situations())
    def test_twice_is_the_plan_again(self, situation: Situation) -> None:
        """The inverse of the inverse of any plan is that plan, and so is the reverse of its reverse."""
        plan = plan_for(situation)
        assert inverse(inverse(plan.changes)) == plan.changes
        assert plan.reverse().reverse() == plan

    @MANY
    @given(situations())
    def test_a_reverse_plan_is_the_inverse_with_the_commands_swapped(self, situation: Situation) -> None:
        """A reverse plan holds the inverse changes and is rendered as they are."""
        plan = plan_for(situation)
        back = plan.reverse()
        assert back.changes == inverse(plan.changes)
        assert back.commands == builders.templates().commands(back.changes)
        assert back.reverse_commands == plan.commands


class TestChanges:
    """A plan's changes fit its facts, and each other."""

    @MANY
    @given(situations())
    def test_no_resource_stands_in_two(self, situation: Situation) -> None:
        """Were a resource in two changes, the first's `after` would not be true at the end."""
        resources = [change.resource for change in plan_for(situation).changes]
        assert len(set(resources)) == len(resources)

    @MANY
    @given(situations())
    def test_each_changes_something_and_begins_at_what_was_observed(self, situation: Situation) -> None:
        """A plan fits its own facts: each `before` is what is observed, and no `after` is that."""
        plan = plan_for(situation)
        observed = Observed(plan.facts)
        for change in plan.changes:
            assert equivalent(observed.state_of(change.resource, change.known_state), change.before), change
            assert not equivalent(change.before, change.after), change

    @MANY
    @given(situations())
    def test_every_one_is_carried_out_by_commands_in_order(self, situation: Situation) -> None:
        """Commands name the changes that they carry out: all of them, in order, but for what happens by itself.

        What is only made comes first, and while links are made their sysctls are set together; still each link's own
        commands keep their order.
        """
        plan = plan_for(situation)
        for changes, commands in ((plan.changes, plan.commands), (plan.reverse().changes, plan.reverse_commands)):
            named = [index for command in commands for index in command.changes]
            assert set(named) == {n for n, change in enumerate(changes) if not change.happens_by_itself}
            others = [
                index for index in named if not isinstance(changes[index].resource, Link | Sysctl | EbtablesRules)
            ]
            assert others == sorted(others)
            for index in set(named):
                if isinstance(changes[index].resource, Link) and changes[index].after is not None:
                    own = [command.argv for command in commands if index in command.changes]
                    assert own == [command.argv for command in templates().commands((changes[index],))]

    @pytest.mark.parametrize("name", SITUATIONS)
    def test_of_the_golden_plans_begin_at_what_was_observed(self, name: str) -> None:
        """The golden plans fit their own facts too."""
        plan = SITUATIONS[name].plan()
        observed = Observed(plan.facts)
        assert [
            str(change.resource)
            for change in plan.changes
            if not equivalent(observed.state_of(change.resource, change.known_state), change.before)
        ] == []


class TestDocument:
    """A plan is data."""

    @MANY
    @given(situations())
    def test_a_stored_plan_reads_back_as_it_was(self, situation: Situation) -> None:
        """Writing a plan to JSON and reading it gives that plan."""
        plan = plan_for(situation)
        assert parse_plan(json.dumps(plan_to_json(plan)), builders.templates()) == plan

    @pytest.mark.parametrize("name", SITUATIONS)
    def test_a_stored_golden_plan_reads_back_as_it_was(self, name: str) -> None:
        """The golden plans and their reverses can be stored."""
        plan = SITUATIONS[name].plan()
        for either in (plan, plan.reverse()):
            assert parse_plan(json.dumps(plan_to_json(either)), builders.templates()) == either

    def test_only_a_reverse_says_its_direction(self) -> None:
        """What an earlier podwire stored has no key for it, and is the wiring."""
        plan = SITUATIONS["plain"].plan()
        assert "direction" not in plan_to_json(plan)
        assert plan_to_json(plan.reverse())["direction"] == "reverse"


class TestKernelOnPaper:
    """A kernel that refuses every order in which the real one would lose something (docs/kernel.md)."""

    @MANY
    @given(situations(learnt=False))
    def test_there_and_back_is_as_it_was(self, situation: Situation) -> None:
        """Carried out and rolled back, the namespace is what it was, addresses in their order."""
        plan = plan_for(situation)
        wired = carry_out(plan.changes, plan.facts)
        back = carry_out(inverse(plan.changes), wired)
        assert list(differences(plan.facts, back)) == []
        assert back.digest() == plan.facts.digest()

    @MANY
    @given(situations())
    def test_a_port_keeps_no_address_and_no_route(self, situation: Situation) -> None:
        """While wired the pod's interfaces have neither addresses nor routes nor neighbours, and are ports, up."""
        plan = plan_for(situation)
        wired = carry_out(plan.changes, plan.facts)
        for interface in plan.interfaces:
            link = wired.link(interface.link)
            assert link is not None
            assert (link.master, link.up) == (interface.bridge, True)
            assert link.mac != interface.mac
            assert wired.addresses_of(link.name) == ()
            assert wired.routes_of(link.name) == ()
            assert [fact for fact in wired.neighbours if fact.resource.link == link.name] == []

    @MANY
    @given(situations(learnt=False))
    def test_at_every_instant_what_is_left_and_what_was_done_is_known(self, situation: Situation) -> None:
        """After any number of changes, pending says exactly which are left, and which have to be rolled back."""
        plan = plan_for(situation)
        facts = plan.facts
        for done in range(len(plan.changes) + 1):
            assert _removing(pending(plan.changes, facts)) == _removing(plan.changes[done:])
            undone = tuple(change for change in inverse(plan.changes[:done]) if not change.happens_by_itself)
            assert _removing(pending(inverse(plan.changes), facts)) == _removing(undone)
            facts = carry_out(plan.changes[done : done + 1], facts)

    @MANY
    @given(situations())
    def test_what_the_network_brings_back_is_never_pending(self, situation: Situation) -> None:
        """What a router advertised is removed like the rest, but no rollback waits for it."""
        plan = plan_for(situation)
        wired = carry_out(plan.changes, plan.facts)
        assert pending(plan.changes, plan.facts) == plan.changes
        assert pending(plan.changes, wired) == ()
        expected = tuple(change for change in inverse(plan.changes) if not change.happens_by_itself)
        assert pending(inverse(plan.changes), wired) == expected

    @MANY
    @given(situations())
    def test_planning_again_is_an_empty_plan(self, situation: Situation) -> None:
        """On a namespace that is wired as wanted, the plan is empty, and knows the same interfaces."""
        facts, given_result, options = situation
        plan = plan_for(situation)
        wired = carry_out(plan.changes, plan.facts)
        again = plan_of(evolve(wired, observed_at=facts.observed_at + 60), given_result, options, recorded=plan)
        assert (again.changes, again.commands, again.reverse_commands) == ((), (), ())
        assert again.interfaces == plan.interfaces


class TestDigest:
    """The digest says whether a plan is stale: it moves with what a plan depends on, and with nothing else."""

    @MANY
    @given(namespaces(), st.randoms(use_true_random=False))
    def test_order_lifetimes_and_carrier_do_not_count(self, facts: NamespaceFacts, rng: random.Random) -> None:
        """The order of links, routes, neighbours and sysctls, running lifetimes, carrier and time leave it as it is."""
        moved = evolve(
            facts,
            links=tuple(evolve(link, carrier=not link.carrier) for link in _shuffled(facts.links, rng)),
            routes=_shuffled(facts.routes, rng),
            neighbours=_shuffled(facts.neighbours, rng),
            sysctls=_shuffled(facts.sysctls, rng),
            addresses=tuple(evolve(fact, state=_older(fact.state)) for fact in facts.addresses),
            observed_at=facts.observed_at + 7,
        )
        assert moved.digest() == facts.digest()
        assert list(differences(facts, moved)) == []

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda facts: evolve(facts, addresses=facts.addresses[::-1]), id="order-of-addresses"),
            pytest.param(lambda facts: evolve(facts, addresses=facts.addresses[:-1]), id="address-gone"),
            pytest.param(lambda facts: evolve(facts, routes=facts.routes[1:]), id="route-gone"),
            pytest.param(lambda facts: evolve(facts, neighbours=facts.neighbours[1:]), id="neighbour-gone"),
            pytest.param(lambda facts: evolve(facts, links=facts.links[:-1]), id="link-gone"),
            pytest.param(lambda facts: _with_link(facts, mtu=1400), id="mtu"),
            pytest.param(lambda facts: _with_link(facts, mac=MacAddress("02:00:00:00:00:99")), id="mac"),
            pytest.param(lambda facts: _with_link(facts, flags=("UP",)), id="flags"),
            pytest.param(lambda facts: _with_link(facts, master="br7"), id="master"),
            pytest.param(lambda facts: _with_link(facts, alias="x"), id="alias"),
            pytest.param(lambda facts: _with_link(facts, addrgenmode="none"), id="addrgenmode"),
            pytest.param(lambda facts: _with_state(facts, "addresses", label="eth0:x"), id="label"),
            pytest.param(lambda facts: _with_state(facts, "addresses", valid_lft=None), id="lifetime-without-end"),
            pytest.param(lambda facts: _with_state(facts, "addresses", preferred_lft=0), id="deprecated"),
            pytest.param(lambda facts: _with_state(facts, "routes", metrics=()), id="metrics"),
            pytest.param(lambda facts: _with_state(facts, "neighbours", state="noarp"), id="neighbour-state"),
            pytest.param(lambda facts: evolve(facts, sysctls=facts.sysctls[1:]), id="sysctl-gone"),
            pytest.param(
                lambda facts: evolve(facts, sysctls=(setting("net/ipv6/conf/all/accept_dad", 7), *facts.sysctls[1:])),
                id="sysctl",
            ),
            pytest.param(lambda facts: evolve(facts, ebtables=ebtables()), id="ebtables"),
            pytest.param(lambda facts: evolve(facts, ebtables=evolve(facts.ebtables, rules=())), id="ebtables-rules"),
        ],
    )
    def test_everything_else_counts_and_is_named(self, change: Callable[[NamespaceFacts], NamespaceFacts]) -> None:
        """Any other difference gives another digest, and a sentence that says what differs."""
        changed = change(PROBE)
        assert changed.digest() != PROBE.digest()
        said = list(differences(PROBE, changed))
        assert said
        assert all(sentence.isprintable() and "when the plan was made" in sentence for sentence in said)

    def test_a_hostile_alias_does_not_reach_the_terminal(self) -> None:
        """A link's alias may hold anything; what is said of it is on one line and moves no cursor."""
        changed = _with_link(PROBE, alias="\x1b[2J\n")
        for said in (differences(PROBE, changed), differences(changed, PROBE)):
            assert all(sentence.isprintable() for sentence in said)


class TestElapsed:
    """Lifetimes count down while a namespace is wired."""

    def test_lifetimes_count_down_and_what_expired_stays_away(self) -> None:
        """After 500 s an address and a route have that much less; after 1000 s they are gone, and nothing else is."""
        plan = plan_of(
            namespace(
                veth(),
                address("10.1.90.5/24"),
                address("fd00:1::5/64 valid_lft 900 preferred_lft 300 nodad"),
                address("fd00:2::5/64 preferred_lft 300 nodad"),
                route("fd97::/64 via fe80::1 dev eth0 expires 900"),
            )
        )
        text = {
            elapsed: [" ".join(command.argv) for command in reverse_after(plan, elapsed, builders.templates()).commands]
            for elapsed in (0, 500.9, 1000)
        }
        assert "ip addr add fd00:1::5/64 dev eth0 valid_lft 900 preferred_lft 300 nodad" in text[0]
        assert "ip addr add fd00:1::5/64 dev eth0 valid_lft 400 preferred_lft 0 nodad" in text[500.9]
        assert "ip addr add fd00:2::5/64 dev eth0 preferred_lft 0 nodad" in text[1000]
        assert "ip route append fd97::/64 metric 1024 expires 400 via fe80::1 dev eth0" in text[500.9]
        gone = [line for line in text[0] if line not in text[1000] and "fd00:2::" not in line]
        assert gone == [
            "ip addr add fd00:1::5/64 dev eth0 valid_lft 900 preferred_lft 300 nodad",
            "ip route append fd97::/64 metric 1024 expires 900 via fe80::1 dev eth0",
        ]

    @MANY
    @given(situations())
    def test_at_once_it_is_the_reverse_plan(self, situation: Situation) -> None:
        """After no time the rollback is the stored one."""
        plan = plan_for(situation)
        assert reverse_after(plan, 0.0, builders.templates()) == plan.reverse()

    def test_a_clock_that_was_set_back_makes_nothing_live_longer(self) -> None:
        """If less than no time has passed, lifetimes are those that were observed."""
        plan = plan_of(namespace(veth(), address("10.1.90.5/24 valid_lft 900 preferred_lft 300")))
        assert reverse_after(plan, -3600.0, builders.templates()) == plan.reverse()

    def test_an_ipv4_route_goes_with_the_address_that_was_its_source(self) -> None:
        """The kernel removes an IPv4 route when its source expires: it cannot come back, and nobody tries."""
        plan = plan_of(
            namespace(
                veth(),
                address("10.1.90.5/24"),
                address("10.2.0.5/24 valid_lft 900 preferred_lft 900"),
                route("10.9.0.0/16 via 10.1.90.1 dev eth0 src 10.2.0.5"),
            )
        )
        late = reverse_after(plan, 1000.0, builders.templates())
        kinds = [change.resource for change in late.changes if isinstance(change.resource, (Address, Route))]
        assert [str(resource) for resource in kinds] == ["address 10.1.90.5/24 on eth0"]


def _shuffled(items: tuple[Any, ...], rng: random.Random) -> tuple[Any, ...]:
    mixed = list(items)
    rng.shuffle(mixed)
    return tuple(mixed)


def _older(state: Any) -> Any:
    """Return an address's state a few seconds later."""
    left = {key: getattr(state, key) for key in ("valid_lft", "preferred_lft")}
    return evolve(state, **{key: value - 7 if value else value for key, value in left.items()})


def _with_link(facts: NamespaceFacts, **values: Any) -> NamespaceFacts:
    first = facts.links[1]
    return evolve(facts, links=(facts.links[0], evolve(first, **values), *facts.links[2:]))


def _with_state(facts: NamespaceFacts, kind: str, **values: Any) -> NamespaceFacts:
    """Return the facts with another state of the first entry of eth0."""
    entries = list(getattr(facts, kind))
    index = next(n for n, fact in enumerate(entries) if "lo" not in str(fact.resource))
    entries[index] = evolve(entries[index], state=evolve(entries[index].state, **values))
    changed: dict[str, Any] = {kind: tuple(entries)}
    return evolve(facts, **changed)
