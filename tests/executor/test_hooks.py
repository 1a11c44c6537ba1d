"""What sees frames before a bridge does: tc filters and nftables chains, as the kernel and the real tc tell them."""

from __future__ import annotations

import pytest

from executor.observe.observe import observe_netns
from planner.facts.model import NamespaceFacts, ResourceFact
from planner.kinds.tc_filter import ALL, EVERY_FRAME, U32, FilterRule, FilterState, TcFilter
from planner.text.values import InterfaceName, Keyword, NetnsPath
from tests.support import MakeNamespace, Namespace


@pytest.fixture
def inside(netns: MakeNamespace) -> Namespace:
    """Return a namespace with a veth pair and a tap."""
    made = netns("hooks")
    for line in (
        "link add eth0 type veth peer name far",
        "link set eth0 up",
        "link set far up",
        "tuntap add left mode tap",
    ):
        made.ip(line)
    return made


def facts_of(namespace: Namespace) -> NamespaceFacts:
    """Return what podwire observes."""
    return observe_netns(NetnsPath(str(namespace.path)), timeout=30)


def filters_of(namespace: Namespace) -> list[ResourceFact]:
    """Return the tc filters that are found."""
    return [fact for fact in facts_of(namespace).others if isinstance(fact.resource, TcFilter)]


def tc(namespace: Namespace, line: str) -> None:
    """Run tc."""
    namespace.run("tc", *line.split())


def test_nothing_is_found_in_an_ordinary_namespace(inside: Namespace) -> None:
    """No qdisc that takes filters, no base chain, no XDP program."""
    facts = facts_of(inside)
    assert (facts.others, facts.hooks) == ((), ())
    assert all(link.xdp is None for link in facts.links)


@pytest.mark.parametrize("qdisc", ["ingress", "clsact"])
def test_a_redirect_is_known_as_one(inside: Namespace, qdisc: str) -> None:
    """By what it matches and does, whichever qdisc it is attached to."""
    tc(inside, f"qdisc add dev eth0 {qdisc}")
    tc(
        inside,
        "filter add dev eth0 ingress protocol all pref 7 u32 match u32 0 0 action mirred egress redirect dev left",
    )
    queue, found = facts_of(inside).others
    assert (str(queue.resource), queue.state.kind) == ("ingress qdisc of eth0", qdisc)
    assert found.resource == TcFilter(InterfaceName("eth0"), Keyword("ingress"), 7)
    assert found.state == FilterState(ALL, U32, (FilterRule(EVERY_FRAME, InterfaceName("left")),))
    assert found.state.redirects_all


def test_a_redirect_to_a_link_that_is_gone_is_still_one(inside: Namespace) -> None:
    """The kernel keeps the filter, and its frames go nowhere."""
    tc(inside, "qdisc add dev eth0 ingress")
    tc(
        inside,
        "filter add dev eth0 ingress protocol all pref 7 u32 match u32 0 0 action mirred egress redirect dev left",
    )
    inside.ip("link del left")
    (found,) = filters_of(inside)
    assert found.state.redirects_all
    assert found.state.rules == (FilterRule(EVERY_FRAME, others=("mirred redirect egress *",)),)


def test_a_filter_that_takes_some_frames_takes_not_all(inside: Namespace) -> None:
    """DHCP requests only; its two matches come under one repeated key."""
    tc(inside, "qdisc add dev eth0 clsact")
    tc(
        inside,
        "filter add dev eth0 egress protocol ip pref 1 u32 match ip protocol 17 0xff match ip dport 67 0xffff "
        "action mirred egress redirect dev left",
    )
    (found,) = filters_of(inside)
    (rule,) = found.state.rules
    assert (found.resource.direction, len(rule.matches), found.state.redirects_all) == ("egress", 2, False)


def test_chains_of_nftables_are_found(inside: Namespace) -> None:
    """Base chains of the families netdev and bridge with their policy and the number of their rules."""
    for line in (
        "add table netdev f",
        "add chain netdev f in { type filter hook ingress device eth0 priority 5; }",
        "add rule netdev f in ether type arp drop",
        "add table bridge fw",
        "add chain bridge fw c { type filter hook forward priority 0; policy drop; }",
        "add chain bridge fw called",
        "add table ip filter",
        "add chain ip filter c { type filter hook forward priority 0; policy drop; }",
    ):
        inside.run("nft", line)
    bridge, netdev = facts_of(inside).hooks
    assert (bridge.table, bridge.chain, bridge.hook, bridge.accepts, bridge.rules) == ("fw", "c", "forward", False, 0)
    assert (netdev.devices, netdev.hook, netdev.accepts, netdev.rules) == (("eth0",), "ingress", True, 1)


def test_what_ebtables_made_is_not_a_hook(inside: Namespace) -> None:
    """It is observed by ebtables-save, and would be there twice."""
    inside.run("ebtables", "-A", "FORWARD", "-i", "eth0", "-j", "DROP")
    facts = facts_of(inside)
    assert facts.hooks == ()
    assert facts.ebtables.rules


def test_the_digest_of_a_namespace_without_hooks_is_as_it_was(inside: Namespace) -> None:
    """So that plans of earlier versions stay fresh; with a filter it is another one."""
    before = facts_of(inside).digest()
    tc(inside, "qdisc add dev eth0 ingress")
    assert facts_of(inside).digest() != before
    tc(inside, "qdisc del dev eth0 ingress")
    assert facts_of(inside).digest() == before
