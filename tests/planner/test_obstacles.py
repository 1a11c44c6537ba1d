"""Links behind which a VM would reach nobody are refused by name; who else sees its frames is said."""

from __future__ import annotations

import pytest
from attrs import evolve

from planner.errors import Refused
from planner.facts.hooks import NetfilterHook
from planner.facts.model import LinkFact, NamespaceFacts, ResourceFact
from planner.facts.tc import read_filters
from planner.kinds.ebtables import Chain, EbtablesFacts
from planner.kinds.link import TapDevice
from planner.kinds.tc_filter import ALL, EVERY_FRAME, U32, FilterRule, FilterState, TcFilter, U32Match
from planner.options import PlanOptions
from planner.text.values import InterfaceName, Keyword, MacAddress
from tests.planner.builders import address, namespace, of_type, plan_of, result, veth

ADDRESS = address("10.1.90.5/24")
REDIRECT = ResourceFact(
    TcFilter(InterfaceName("eth0"), Keyword("ingress"), 49152),
    FilterState(ALL, U32, (FilterRule(EVERY_FRAME, InterfaceName("tap0_kata")),)),
)
CHAIN = NetfilterHook(
    family=Keyword("netdev"), table="f", chain="in", hook=Keyword("ingress"), accepts=True, rules=1,
    devices=("eth0",),
)  # fmt: skip


def refusal(facts: NamespaceFacts) -> str:
    """Return the sentence with which wiring eth0 is refused."""
    with pytest.raises(Refused) as refused:
        plan_of(facts, result({"eth0": ["10.1.90.5/24"]}))
    return str(refused.value)


def notes(facts: NamespaceFacts, wiring: str = "bridge") -> tuple[str, ...]:
    """Return what the plan for eth0 says of who sees the VM's frames."""
    return plan_of(facts, result({"eth0": ["10.1.90.5/24"]}), PlanOptions(wiring=Keyword(wiring))).notes


# The plugin `tap` makes its taps for the user of the VMM.
OWNED = TapDevice(owner=107, owner_group=None, multi_queue=False, vnet_hdr=False)


@pytest.mark.parametrize(
    ("link", "words"),
    [
        pytest.param(evolve(of_type("tun"), carrier=False, device=OWNED), "it is already a tap", id="a plugin's tap"),
        pytest.param(of_type("dummy"), "goes nowhere", id="dummy"),
        pytest.param(evolve(of_type("netkit"), mac=None), "netkit in L3 mode", id="netkit without a MAC"),
        pytest.param(
            evolve(of_type("netkit"), flags=(Keyword("NOARP"),)), "netkit in L3 mode", id="netkit without ARP"
        ),
        pytest.param(evolve(veth(), mac=MacAddress("00:00:00:00:00:00")), "no VM can have", id="zero MAC"),
        pytest.param(evolve(veth(), xdp=Keyword("xdp")), "ip link set dev eth0 xdp off", id="XDP"),
    ],
)
def test_a_dead_end_is_refused(link: LinkFact, words: str) -> None:
    """By name, with the reason."""
    said = refusal(namespace(link, ADDRESS))
    assert said.startswith("eth0 ")
    assert words in said


def test_a_netkit_in_l2_mode_is_a_link_like_others() -> None:
    """It has a MAC and carries Ethernet."""
    assert plan_of(namespace(of_type("netkit"), ADDRESS)).interfaces[0].link == "eth0"


def test_a_redirect_that_takes_all_is_refused() -> None:
    """Of whichever kind: left by a runtime that ended. What it says to do is the command that removes it."""
    to_nowhere = FilterState(ALL, U32, (FilterRule(EVERY_FRAME, others=("mirred redirect egress *",)),))
    matchall = FilterState(ALL, Keyword("matchall"), (FilterRule(redirect=InterfaceName("tap0_kata")),))
    for found in (REDIRECT, evolve(REDIRECT, state=to_nowhere), evolve(REDIRECT, state=matchall)):
        facts = evolve(namespace(veth(), ADDRESS), others=(found,))
        assert refusal(facts).endswith("(nsenter --net=/run/netns/pod1 tc filter del dev eth0 ingress pref 49152)")


RULE = FilterRule(EVERY_FRAME, InterfaceName("tap0_kata"))


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(
            FilterState(ALL, U32, (evolve(RULE, matches=(U32Match(Keyword("43"), Keyword("ffff"), 20),)),)), id="some"
        ),
        pytest.param(FilterState(Keyword("ip"), U32, (RULE,)), id="one protocol"),
        pytest.param(FilterState(ALL, U32, (FilterRule(EVERY_FRAME, others=("gact drop",)),)), id="drops"),
        pytest.param(FilterState(ALL, Keyword("bpf"), (FilterRule(others=("bpf x",)),)), id="a program"),
    ],
)
def test_another_filter_is_said(state: FilterState) -> None:
    """Whether it lets the VM's frames pass is for a person to judge."""
    (note,) = notes(evolve(namespace(veth(), ADDRESS), others=(evolve(REDIRECT, state=state),)))
    assert note.startswith("a tc filter at the ingress of eth0 (pref 49152) sees the VM's frames: ")


def test_a_redirect_of_another_link_is_nobody_s_business() -> None:
    """Only the links that are wired count."""
    other = evolve(REDIRECT, resource=TcFilter(InterfaceName("net1"), Keyword("ingress"), 49152))
    facts = evolve(namespace(veth(), veth("net1"), ADDRESS), others=(other,))
    assert notes(facts) == ()


def test_chains_that_see_the_frames_are_said() -> None:
    """One of netdev on the link, and every one of the bridge family; an empty one that accepts does nothing."""
    bridge = evolve(
        CHAIN, family=Keyword("bridge"), table="fw", hook=Keyword("forward"), rules=0, accepts=False, devices=()
    )
    quiet = evolve(bridge, table="quiet", accepts=True)
    elsewhere = evolve(CHAIN, table="other", devices=("net1",))
    facts = evolve(namespace(veth(), ADDRESS), hooks=(CHAIN, bridge, quiet, elsewhere))
    assert notes(facts) == (
        "the nftables chain 'netdev f in' (hook ingress, 1 rule, policy accept) sees the VM's frames",
        "the nftables chain 'bridge fw in' (hook forward, 0 rules, policy drop) sees the VM's frames",
    )


def test_a_policy_of_ebtables_is_said() -> None:
    """Its owner's will, for the VM as for the pod."""
    table = EbtablesFacts(table=True, chains=(Chain(Keyword("FORWARD"), Keyword("DROP")),))
    assert notes(namespace(veth(), ADDRESS, table)) == (
        "the ebtables chain FORWARD has the policy DROP, for the VM's frames too",
    )


def test_a_port_of_another_bridge_is_said() -> None:
    """As KubeVirt leaves it: the plan takes it out of there."""
    facts = namespace(evolve(veth(), master=InterfaceName("k6t-eth0")), of_type("bridge", "k6t-eth0"), ADDRESS)
    assert notes(facts) == ("eth0 is a port of k6t-eth0, and leaves it",)


def test_tables_may_be_called_anything() -> None:
    """What a pod calls its table never reaches a terminal as it is."""
    hook = evolve(CHAIN, table="f\x1b[2J")
    (note,) = notes(evolve(namespace(veth(), ADDRESS), hooks=(hook,)))
    assert note.isprintable()


@pytest.mark.parametrize("text", ["[", "{}", '[{"protocol": 7, "options": {}}]', "[" * 5000, '{"a": 1}'])
def test_what_tc_never_prints_is_refused(text: str) -> None:
    """In a sentence."""
    with pytest.raises(Exception, match=r"^tc filter") as refused:
        read_filters(text, InterfaceName("eth0"), Keyword("ingress"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "options", ["{}", '{"actions": [7], "matches": 3}', '{"match": 7, "actions": [{"kind": null}]}']
)
def test_a_filter_of_an_unknown_kind_is_kept_as_text(options: str) -> None:
    """Others' filters may be of any kind, and never keep podwire from its work."""
    text = f'[{{"protocol": "ip", "pref": 1, "kind": "flower", "chain": 0, "options": {options}}}]'
    (found,) = read_filters(text, InterfaceName("eth0"), Keyword("egress"))
    assert (found.state.kind, found.state.redirects_all) == ("flower", False)


def test_what_tc_takes_first_others_do_not_see() -> None:
    """The ingress hook of netdev comes behind tc, and no bridge is there; on the way out netdev sees all."""
    out = evolve(CHAIN, table="out", hook=Keyword("egress"))
    bridge = evolve(CHAIN, family=Keyword("bridge"), devices=())
    behind = evolve(REDIRECT, state=FilterState(ALL, U32, (FilterRule(EVERY_FRAME, others=("gact drop",)),)))
    facts = evolve(namespace(veth(), ADDRESS), hooks=(CHAIN, out, bridge), others=(behind,))
    assert notes(facts, "tc") == (
        "the nftables chain 'netdev out in' (hook egress, 1 rule, policy accept) sees the VM's frames",
    )


def test_a_port_that_tc_takes_the_frames_of_stays_one() -> None:
    """Nothing is changed of the bridge."""
    facts = namespace(evolve(veth(), master=InterfaceName("k6t-eth0")), of_type("bridge", "k6t-eth0"), ADDRESS)
    assert notes(facts, "tc") == ("eth0 is a port of k6t-eth0, which sees none of its frames then",)
