"""Changes in other namespaces than the plan's: each is looked at where it is, and a stored plan reaches no further."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from planner.changes.change import Change, inverse, lost_links, pending, without_lost_links
from planner.errors import InvalidInput, Refused
from planner.facts.model import Elsewhere
from planner.kinds.link_attributes import Admin, AdminState
from planner.kinds.veth_end import VethEnd, VethEndState
from planner.plan.plan import Plan, parse_plan, plan_to_json, with_changes
from planner.plan.render import Templates
from planner.text.values import InterfaceName, MacAddress, NetnsPath
from planner.wiring.veth import setup_veth
from tests.planner.builders import NETNS, FixedBits, address, namespace, plan_of, templates, veth
from tests.planner.test_plan import refusal, sealed

OUTER = NetnsPath("/run/netns/outer")
FACTS = namespace(veth(), address("10.1.90.5/24"))
OUTSIDE = Elsewhere(OUTER, 7, namespace(veth("eth0"), veth("up0")))
ON_HOST = Elsewhere(None, 1, namespace(veth("eth0")))
ETH0 = Admin(InterfaceName("eth0"))


def down(netns: NetnsPath | None) -> Change:
    """Return the change that brings eth0 of a namespace down."""
    return Change(ETH0, AdminState(up=True), AdminState(up=False), "because", netns)


def pair() -> tuple[Change, ...]:
    """Return the changes that make a pair between the pod and the other namespace."""
    _, changes = setup_veth(
        InterfaceName("esc0"), 1400, inside=(), outside=(), random=FixedBits(7), netns=NETNS, outer_netns=OUTER
    )
    return changes


def plan_with(*changes: Change, others: tuple[Elsewhere, ...] = (OUTSIDE, ON_HOST)) -> Plan:
    """Return a plan that has these changes as well, and was made from facts of these namespaces."""
    plan = plan_of(FACTS)
    return with_changes(evolve(plan, facts=evolve(FACTS, elsewhere=others)), (*plan.changes, *changes), templates())


class TestLooking:
    """The same name means another link in each namespace."""

    def test_each_change_is_looked_at_in_its_namespace(self) -> None:
        """Down in one of the three, up in the others."""
        there = evolve(OUTSIDE, facts=namespace(evolve(veth("eth0"), flags=())))
        facts = evolve(FACTS, elsewhere=(there, ON_HOST))
        assert pending([down(NETNS), down(OUTER), down(None)], facts) == (down(NETNS), down(None))

    def test_what_was_in_a_namespace_that_is_gone_is_not_brought_back(self) -> None:
        """Nor is what was on a link that is gone elsewhere, whatever the pod has under that name."""
        changes = [down(NETNS), down(OUTER), down(None)]
        facts = evolve(FACTS, elsewhere=(evolve(OUTSIDE, facts=None), evolve(ON_HOST, facts=namespace())))
        assert without_lost_links(changes, facts) == (down(NETNS),)
        assert lost_links(changes, facts) == ("eth0", "eth0")

    def test_facts_of_elsewhere_are_no_part_of_the_digest(self) -> None:
        """The whole host would have to stand still."""
        assert evolve(FACTS, elsewhere=(OUTSIDE, ON_HOST)).digest() == FACTS.digest()


class TestFarEnd:
    """The other end of a pair, which no command makes or removes by itself."""

    def test_it_is_brought_up_and_goes_with_the_near_one(self) -> None:
        """One command there, none back."""
        _, far = pair()
        there, back = (templates().commands(way) for way in ((far,), inverse((far,))))
        assert [(command.netns, command.line) for command in there] == [
            (OUTER, f"ip link set dev {far.resource.name} up")
        ]
        assert back == ()

    @pytest.mark.parametrize("is_ours", [True, False])
    def test_it_is_known_by_its_mac(self, is_ours: bool) -> None:  # noqa: FBT001
        """A stranger's link under its name is refused forward, and left alone by the rollback."""
        _, far = pair()
        mac = far.known_state.mac if is_ours else MacAddress("02:42:00:00:00:99")
        seen = namespace(veth(far.resource.name, mac=mac, mtu=1400))
        facts = evolve(FACTS, elsewhere=(evolve(OUTSIDE, facts=seen),))
        assert pending([far.inverse()], facts) == ((far.inverse(),) if is_ours else ())
        if is_ours:
            assert pending([far], facts) == ()
        else:
            with pytest.raises(
                Refused, match=f"a link named {far.resource.name} already exists and was not created by podwire"
            ):
                pending([far], facts)

    def test_it_is_put_right(self) -> None:
        """Up, with its MTU."""
        state = VethEndState(MacAddress("02:00:00:00:00:08"), 1400, up=True)
        change = Change(VethEnd(InterfaceName("veth7")), evolve(state, mtu=1500, up=False), state, "drift", OUTER)
        assert [command.line for command in templates().commands((change,))] == ["ip link set dev veth7 mtu 1400 up"]


class TestStored:
    """A stored plan names its own namespace and those that its facts tell about."""

    def test_it_is_read_as_it_was_written(self) -> None:
        """One resource may change in several namespaces."""
        plan = plan_with(*pair(), down(OUTER), down(None))
        assert parse_plan(json.dumps(plan_to_json(plan)), templates()) == plan

    def test_what_has_none_is_written_as_ever(self) -> None:
        """So that an earlier podwire reads it, and its checksum holds."""
        assert "elsewhere" not in plan_to_json(plan_of(FACTS))["facts"]

    @pytest.mark.parametrize(
        ("changes", "others"),
        [
            ((down(None),), (OUTSIDE,)),
            ((down(OUTER),), (ON_HOST,)),
            (pair()[:1], (ON_HOST,)),
            ((down(NetnsPath("/proc/1/ns/net")),), (OUTSIDE, ON_HOST)),
        ],
        ids=["host", "other", "far-end", "init"],
    )
    def test_it_reaches_no_further(self, changes: tuple[Change, ...], others: tuple[Elsewhere, ...]) -> None:
        """By a change, or by a pair's far end."""
        found = refusal(plan_to_json(plan_with(*changes, others=others)))
        assert found.endswith(".netns: it is not the plan's namespace, nor one that its facts cover")

    def test_a_resource_twice_in_one_namespace_is_refused(self) -> None:
        """Wherever that is."""
        found = refusal(plan_to_json(plan_with(down(OUTER), down(OUTER))))
        assert found.endswith(f"{ETH0} is in two changes of the plan")

    @pytest.mark.parametrize(
        ("edit", "message"),
        [
            (lambda other: other.pop("cookie"), "'cookie' is missing"),
            (lambda other: other.update(cookie=0), "plan.facts.elsewhere[0].cookie"),
            (lambda other: other.pop("facts"), "'facts' is missing"),
            (lambda other: other.update(netns="../x"), "plan.facts.elsewhere[0].netns"),
            (lambda other: other.update(netns=NETNS), "a namespace appears twice, or is the plan's own"),
            (lambda other: other.update(netns=None), "a namespace appears twice, or is the plan's own"),
            (lambda other: other.update(path="/"), "'path'"),
            (lambda other: other["facts"].update(elsewhere=[copy.deepcopy(other)]), "has no elsewhere of its own"),
        ],
        ids=["cookie", "no-cookie", "facts", "path", "own", "twice", "key", "nested"],
    )
    def test_what_is_no_such_thing_is_refused(self, edit: Callable[[Any], object], message: str) -> None:
        """In a sentence that says where."""
        document = json.loads(json.dumps(plan_to_json(plan_with())))
        edit(document["facts"]["elsewhere"][0])
        with pytest.raises(InvalidInput) as caught:
            parse_plan(json.dumps(sealed(document)), templates())
        assert message in str(caught.value)


def test_the_words_say_where(templates: Templates) -> None:
    """As every command does."""
    commands = templates.commands((down(NETNS), down(OUTER), down(None)))
    assert [command.netns for command in commands] == [NETNS, OUTER, None]
