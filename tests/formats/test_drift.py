"""Drift as a diff: what is gone, what has come, what is otherwise, and what repairs it."""

from __future__ import annotations

from attrs import evolve

from planner.changes.change import Change
from planner.formats.drift import render_drift
from planner.kinds.address import Address
from planner.kinds.bpf import Bytecode
from planner.kinds.ebtables import EbtablesRules, RulesState
from planner.kinds.link import BridgeDevice, Link, LinkState
from planner.kinds.link_attributes import Mac
from planner.kinds.route import RouteMetric, RouteState
from planner.kinds.shown import differences
from planner.kinds.sysctl import Sysctl
from planner.kinds.tc_filter import ALL, BPF, EVERY_FRAME, U32, FilterRule, FilterState, TcFilter
from planner.text.values import InterfaceName, Keyword
from tests.formats.plans import TEMPLATES, plan_of

PLAN = plan_of("plain")


def change_of(kind: type, number: int = 0) -> Change:
    """Return a change of the plan by its kind of resource."""
    return [change for change in PLAN.changes if isinstance(change.resource, kind)][number]


def drift(*changes: Change, repaired: bool = True) -> list[str]:
    """Return the lines between the heading and the totals."""
    commands = TEMPLATES.commands(changes) if repaired else ()
    text = render_drift(changes, commands, plan_id="pod1", netns="/run/netns/pod1")
    return text.splitlines()[2:-2]


def test_what_is_gone_has_a_minus_and_the_commands_that_bring_it_back() -> None:
    """A tap that somebody deleted."""
    lines = drift(change_of(Link, 1))
    assert lines[0] == "  - tap0  tap, mtu 1500, in br0 is gone"
    assert lines[2] == "      repair  ip tuntap add dev tap0 mode tap"


def test_what_has_come_has_a_plus() -> None:
    """The address is back on the pod's interface."""
    assert drift(change_of(Address)) == [
        "  + eth0  address 10.1.90.2/24 exists, but was not applied",
        "      repair  ip addr del 10.1.90.2/24 dev eth0",
    ]


def test_what_is_otherwise_says_how_and_how_it_was_applied() -> None:
    """A MAC that somebody set back."""
    change = change_of(Mac)
    assert drift(change) == [
        f"  ~ eth0  mac {change.before.mac}, was applied as {change.after.mac}",  # type: ignore[union-attr]
        f"      repair  ip link set dev eth0 address {change.after.mac}",  # type: ignore[union-attr]
    ]


def test_of_a_link_only_what_differs_is_said() -> None:
    """Its MTU, that it is down, an address that is missing; how it behaves."""
    change = change_of(Link)
    assert isinstance(change.after, LinkState)
    device = BridgeDevice(ageing_time=30000, mcast_snooping=False)
    seen = evolve(change.after, mtu=1400, up=False, addresses=(), device=device)
    assert drift(evolve(change, before=seen), repaired=False) == [
        "  ~ br0  ageing time 30000, was applied as 0",
        "         mtu 1400, was applied as 1500",
        "         down, was applied as up",
        "         addresses none, was applied as 169.254.254.2/24",
        "      no command repairs this: tear down and apply again",
    ]


def test_missing_rules_are_counted() -> None:
    """Two of three."""
    change = change_of(EbtablesRules)
    assert isinstance(change.after, RulesState)
    seen = evolve(change.after, rules=change.after.rules[:1])
    assert drift(evolve(change, before=seen), repaired=False)[0] == "  ~ rules  2 of 3 rules missing"


def test_rules_for_another_name_are_counted() -> None:
    """The link was renamed: none is where it should be, and what is there does nothing."""
    change = change_of(EbtablesRules)
    assert isinstance(change.after, RulesState)
    wanted = change.after.under_names({"eth0": InterfaceName("eth7")})
    lines = drift(evolve(change, before=change.after, after=wanted))
    assert lines[:3] == [
        "  ~ rules  3 of 3 rules missing",
        "           3 rules for a name that the link no longer has",
        "      repair  ebtables-restore --noflush",
    ]
    assert "              | -D INPUT -i eth0 -j DROP" in lines
    assert "              | -I INPUT -i eth7 -j DROP" in lines


def test_a_filter_says_in_words_what_it_does() -> None:
    """No class of Python's is shown."""
    applied = FilterState(ALL, U32, (FilterRule(EVERY_FRAME, redirect=InterfaceName("tap0")),))
    resource = TcFilter(InterfaceName("eth0"), Keyword("ingress"), 100)
    change = Change(resource, evolve(applied, rules=(FilterRule(EVERY_FRAME),)), applied, "", PLAN.netns)
    assert drift(change, repaired=False)[:2] == [
        "  ~ eth0  ingress filter, pref 100",
        "          all frames pass, was applied as all frames to tap0",
    ]
    programs = (FilterRule(program=Bytecode("1,6+0+0+0")), FilterRule(program=Bytecode("1,6+0+0+1")))
    one, other = (evolve(applied, kind=BPF, rules=(rule,)) for rule in programs)
    assert drift(Change(resource, one, other, "", PLAN.netns), repaired=False)[1] == (
        "          a program of 1 instructions decides, was applied as another one"
    )


def test_parts_of_a_state_are_shown_in_words() -> None:
    """Of a kind whose parts have no words of their own."""
    wanted = RouteState(metrics=(RouteMetric(Keyword("mtu"), Keyword("1400")),))
    assert [*differences(RouteState(), wanted)] == ["metrics none, was applied as name mtu value 1400"]


def test_one_command_for_several_is_said_once() -> None:
    """It is shown with the last of them."""
    lines = drift(change_of(Sysctl), change_of(Sysctl, 1))
    assert lines == [
        "  ~ sysctl  net/bridge/bridge-nf-call-iptables 1, was applied as 0",
        "      repaired together with what follows",
        "  ~ sysctl  net/bridge/bridge-nf-call-ip6tables 1, was applied as 0",
        "      repair  sysctl -q -p -",
        "              | net/bridge/bridge-nf-call-iptables=0",
        "              | net/bridge/bridge-nf-call-ip6tables=0",
    ]


def test_without_drift_there_is_one_sentence() -> None:
    """And no totals."""
    text = render_drift((), (), plan_id="pod1", netns="/run/netns/pod1")
    assert text == "podwire check pod1 · /run/netns/pod1\n\n  no drift: everything is as it was applied\n"
