"""Namespaces as hypothesis draws them: whatever it adds goes through the kernel on paper, so they could really be."""

from __future__ import annotations

from ipaddress import ip_interface

from attrs import evolve
from hypothesis import strategies as st

from planner.cni.result import CniResult
from planner.facts.model import LinkFact, NamespaceFacts
from planner.kinds.ebtables import EbtablesFacts
from planner.options import PlanOptions
from planner.text.values import Keyword
from tests.planner.builders import (
    address,
    connected,
    ebtables,
    loopback,
    namespace,
    neighbour,
    result,
    route,
    setting,
    veth,
)
from tests.planner.kernel_model import OutOfOrder, add_address, add_route, secondaries

_NAMES = ("eth0", "net1", "eth0.100")
_LIFETIMES = ("", "", "", " valid_lft 900 preferred_lft 600", " valid_lft 900 preferred_lft 0", " preferred_lft 0")

_TABLES = st.sampled_from(
    [
        EbtablesFacts(),
        ebtables(),
        ebtables(chains={"INPUT": "ACCEPT"}),
        ebtables("-A FORWARD -p IPv4 -j ACCEPT", chains={"FORWARD": "DROP", "TENANT": "ACCEPT"}),
        ebtables("-A INPUT -j TENANT", chains={"INPUT": "ACCEPT", "OUTPUT": "ACCEPT", "FORWARD": "ACCEPT"}),
    ]
)

OPTIONS = st.builds(
    PlanOptions,
    tap_owner=st.none() | st.integers(0, 2**32 - 2),
    tap_owner_group=st.none() | st.integers(0, 2**32 - 2),
    tap_queues=st.integers(1, 8),
    tap_vnet_hdr=st.booleans(),
    dhcp_addresses=st.sampled_from([(), (ip_interface("169.254.7.1/24"),), (ip_interface("203.0.113.1/30"),)]),
)


@st.composite
def links(draw: st.DrawFn) -> tuple[LinkFact, ...]:
    """Draw one to three links."""
    names = draw(st.lists(st.sampled_from(_NAMES), min_size=1, max_size=3, unique=True))
    return tuple(
        evolve(
            veth(
                name,
                mac=f"0a:58:0a:00:00:{number:02x}",
                mtu=draw(st.sampled_from([1200, 1500, 1500, 9000])),
                up=draw(st.sampled_from([True, True, True, False])),
                carrier=draw(st.booleans()),
                addrgenmode=draw(st.sampled_from(["eui64", "none", "random"])),
            ),
            type=Keyword(draw(st.sampled_from(["veth", "veth", "ether", "vlan"]))),
        )
        for number, name in enumerate(names)
    )


@st.composite
def namespaces(draw: st.DrawFn, *, learnt: bool = True) -> NamespaceFacts:
    """Draw a namespace whose first link has at least one address."""
    found = draw(links())
    calls = [
        setting(f"net/bridge/bridge-nf-call-{call}", draw(st.integers(0, 1)))
        for call in ("iptables", "ip6tables", "arptables")
    ]
    dad = [setting("net/ipv6/conf/all/accept_dad", draw(st.integers(0, 1)))]
    dad += [
        setting(f"net/ipv6/conf/{link.name}/accept_dad", draw(st.integers(0, 2))) for link in found if link.mtu >= 1280
    ]
    facts = namespace(*found, *calls, *dad, draw(_TABLES), lo=loopback(up=draw(st.booleans())))
    for number, link in enumerate(found):
        facts = _with_addresses(draw, facts, link, number, learnt=learnt)
        facts = _with_neighbours(draw, facts, link, number)
    for number, link in enumerate(found):
        facts = _with_routes(draw, facts, link, number, learnt=learnt)
    return facts


def _with_addresses(
    draw: st.DrawFn, facts: NamespaceFacts, link: LinkFact, number: int, *, learnt: bool
) -> NamespaceFacts:
    net = 10 + number
    texts = [
        f"{net}.0.0.5/24",
        f"{net}.0.0.6/24 brd {net}.0.0.255",
        f"{net}.0.0.7/24 label {link.name}:x",
        f"{net}.1.0.5/32",
        f"{net}.2.0.5/24 peer {net}.3.0.1",
        f"{net}.4.0.5/16 scope link",
        f"{net}.5.0.5/24 noprefixroute",
        f"{net}.6.0.5/24 metric 50",
    ]
    chosen = draw(st.lists(st.sampled_from(texts), min_size=0 if number else 1, max_size=4, unique=True))
    if link.mtu >= 1280:
        texts6 = [f"fd00:{net}::5/64", f"fd00:{net}::6/64 nodad", f"fd00:{net}:1::5/128", f"fe80::{net}/64"]
        texts6 += [f"fd00:{net}:2::5/64 noprefixroute"]
        chosen += draw(st.lists(st.sampled_from(texts6), max_size=3, unique=True))
    # One for all of IPv6: if one address of a prefix would expire and another would not, the route stays behind.
    lifetime6 = draw(st.sampled_from(_LIFETIMES))
    for text in chosen:
        lifetime = lifetime6 if "::" in text else draw(st.sampled_from(_LIFETIMES))
        is_learnt = learnt and "::" in text and "valid_lft" in lifetime and draw(st.booleans())
        new = address(text + lifetime, link.name, learnt=is_learnt)
        facts = add_address(facts, new)
        if (
            link.up
            and not is_learnt
            and draw(st.integers(0, 4)) == 0
            and new.resource not in secondaries(facts, link.name)
        ):
            facts = _without_prefix_route(facts, text + lifetime, link.name)
    return facts


def _without_prefix_route(facts: NamespaceFacts, text: str, link: str) -> NamespaceFacts:
    """Return the facts as ptp leaves them: the connected routes of an address are removed."""
    new = address(text, link)
    brought = list(connected(new))
    sharing = [
        fact
        for fact in facts.addresses_of(link)
        if fact.resource != new.resource and set(connected(fact)) & set(brought)
    ]
    if sharing:
        return facts
    absent = address(text, link, absent=[str(made.resource.dst) for made in brought])
    return evolve(
        facts,
        addresses=tuple(absent if fact.resource == new.resource else fact for fact in facts.addresses),
        routes=tuple(fact for fact in facts.routes if fact not in brought),
    )


def _with_neighbours(draw: st.DrawFn, facts: NamespaceFacts, link: LinkFact, number: int) -> NamespaceFacts:
    entries = [
        neighbour(f"{10 + number}.0.0.1", link.name),
        neighbour(f"{10 + number}.0.0.2", link.name, state="noarp"),
        neighbour(f"{10 + number}.0.0.3", link.name, proxy=True),
    ]
    if link.mtu >= 1280:
        entries.append(neighbour("fe80::1", link.name, flags=["router"]))
    if not link.up:
        return facts
    chosen = draw(st.lists(st.sampled_from(entries), max_size=2, unique=True))
    return evolve(facts, neighbours=(*facts.neighbours, *chosen))


def _with_routes(
    draw: st.DrawFn, facts: NamespaceFacts, link: LinkFact, number: int, *, learnt: bool
) -> NamespaceFacts:
    net, dev = 10 + number, f"dev {link.name}"
    texts = [
        f"{net}.0.0.1/32 {dev} scope link",
        f"default via {net}.0.0.1 {dev}",
        f"default via {net}.0.0.1 {dev} metric 100 mtu lock 1400",
        f"default via {net}.0.0.1 {dev} table 100",
        f"10.99.0.0/16 {dev} scope link",
        f"10.98.0.0/16 via 192.0.2.1 {dev} onlink",
        f"10.97.0.0/16 via {net}.0.0.1 {dev} src 10.0.0.5",
        f"10.96.0.0/16 via fe80::1 {dev}",
        f"10.95.0.0/16 nexthop via {net}.0.0.1 {dev} weight 3 nexthop via {net}.0.0.2 {dev}",
        "blackhole 10.94.0.0/16",
    ]
    if link.mtu >= 1280:
        texts += [f"default via fe80::1 {dev} pref high", f"fd99::/64 via fd00:{net}::1 {dev} metric 7"]
        texts += [f"fd98::/64 {dev} src fd00:{net}::5", f"fd97::/64 via fe80::1 {dev} expires 900"]
    for text in draw(st.lists(st.sampled_from(texts), max_size=5, unique=True)):
        is_learnt = learnt and "expires" in text and draw(st.booleans())
        try:
            facts = add_route(facts, route(text, learnt=is_learnt))
        except OutOfOrder:
            continue
    return facts


@st.composite
def situations(draw: st.DrawFn, *, learnt: bool = True) -> tuple[NamespaceFacts, CniResult, PlanOptions]:
    """Draw a namespace, a result that gives some of its links to the VM, and options."""
    facts = draw(namespaces(learnt=learnt))
    names = [link.name for link in facts.links if link.name != "lo"]
    others = draw(st.lists(st.sampled_from(names), unique=True))
    wanted = draw(st.permutations([names[0], *(name for name in others if name != names[0])]))
    given = result(
        {
            name: [
                str(fact.resource.address)
                for fact in facts.addresses_of(name)
                if fact.resource.peer is None and not fact.resource.address.is_link_local
            ]
            for name in wanted
        },
        routes=["0.0.0.0/0"],
    )
    return facts, given, draw(OPTIONS)
