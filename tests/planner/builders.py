"""Namespaces and CNI results in the words of `ip`, and the planning that all tests share. Nothing here asks a kernel.

    facts = namespace(veth("eth0"), address("10.1.90.5/24", "eth0"), route("default via 10.1.90.1 dev eth0"))
    plan = plan_of(facts, result({"eth0": ["10.1.90.5/24"]}))

`namespace` adds what the kernel adds by itself: `lo`, the sysctls of each link, the connected routes of each address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

from attrs import evolve

from planner.cni.result import CniInterface, CniIp, CniResult, CniRoute
from planner.facts.model import FACTS_VERSION, AddressFact, LinkFact, NamespaceFacts, NeighbourFact, RouteFact
from planner.kinds.address import Address, AddressState
from planner.kinds.ebtables import Chain, EbtablesFacts
from planner.kinds.neighbour import Neighbour, NeighbourState
from planner.kinds.route import NextHop, Route, RouteMetric, RouteState
from planner.kinds.sysctl import LinkSysctl
from planner.options import PlanOptions
from planner.plan.plan import Plan
from planner.plan.render import Templates
from planner.planning import make_plan
from planner.text.values import (
    InterfaceName,
    Keyword,
    Label,
    MacAddress,
    NetnsPath,
    PlanId,
    SysctlKey,
    SysctlValue,
    is_ipv6_link_local,
)

NETNS = NetnsPath("/run/netns/pod1")
ID = PlanId("pod1")
POD_MAC = MacAddress("0a:58:0a:01:5a:05")
OBSERVED_AT = 1_700_000_000.0

_TEMPLATES = Path(__file__).parents[2] / "templates"
_ROUTE_TYPES = {"unicast", "local", "blackhole", "unreachable", "prohibit", "throw", "broadcast", "multicast"}
_METRICS = {"mtu", "advmss", "hoplimit", "initcwnd", "rtt", "congctl", "features"}
_ADDRESS_FLAGS = {"nodad", "noprefixroute", "home", "mngtmpaddr", "optimistic", "autojoin"}

Part = LinkFact | AddressFact | RouteFact | NeighbourFact | EbtablesFacts | LinkSysctl


class FixedBits:
    """Randomness that counts: MACs become 02:00:00:00:00:01, …:02 and so on, in the order in which they are drawn."""

    def __init__(self, first: int = 1) -> None:
        self.next = first

    def getrandbits(self, k: int, /) -> int:
        """Return the next number."""
        self.next += 1
        return (self.next - 1) % (1 << k)


@cache
def templates() -> Templates:
    """Return the templates of this checkout."""
    return Templates({str(path.relative_to(_TEMPLATES)): path.read_text() for path in _TEMPLATES.rglob("*.j2")})


def plan_of(
    facts: NamespaceFacts,
    given: CniResult | None = None,
    options: PlanOptions | None = None,
    *,
    recorded: Plan | None = None,
) -> Plan:
    """Return the plan that wires the links of ``given`` (default: every link that has an address)."""
    return make_plan(
        result_of(facts) if given is None else given,
        facts,
        plan_id=ID,
        netns=NETNS,
        options=options or PlanOptions(),
        random=FixedBits(),
        templates=templates(),
        recorded=() if recorded is None else (recorded,),
    )


def result(
    interfaces: Mapping[str, Sequence[str]], *, routes: Sequence[str] = (), host: Sequence[str] = ()
) -> CniResult:
    """Return a CNI result: the addresses of each sandboxed interface, routes as `DST` or `DST via GATEWAY`."""
    names = [*host, *interfaces]
    return CniResult(
        version="1.0.0",
        interfaces=tuple(
            CniInterface(InterfaceName(name), sandbox=NETNS if name in interfaces else None) for name in names
        ),
        ips=tuple(
            CniIp(ip_interface(text), interface=names.index(name)) for name in interfaces for text in interfaces[name]
        ),
        routes=tuple(_cni_route(text) for text in routes),
    )


def result_of(facts: NamespaceFacts) -> CniResult:
    """Return the result of a plugin that gave the namespace's links their addresses, link-local ones apart."""
    return result(
        {
            link.name: [
                str(fact.resource.address)
                for fact in facts.addresses_of(link.name)
                if not is_ipv6_link_local(fact.resource.address)
            ]
            for link in facts.links
            if link.name != "lo"
        },
    )


def _cni_route(text: str) -> CniRoute:
    dst, _, gateway = text.partition(" via ")
    return CniRoute(ip_network(dst), ip_address(gateway) if gateway else None)


def namespace(*parts: Part, lo: LinkFact | None = None, bridge_netfilter: bool = True) -> NamespaceFacts:
    """Return the facts of a namespace that holds ``parts``, and what the kernel adds to them."""
    links = (lo or loopback(), *(part for part in parts if isinstance(part, LinkFact)))
    addresses = tuple(part for part in parts if isinstance(part, AddressFact))
    if links[0].up and not any(fact.resource.link == "lo" for fact in addresses):
        addresses = (address("127.0.0.1/8 scope host", "lo"), address("::1/128 scope host", "lo"), *addresses)
    down = {link.name for link in links if not link.up}
    primaries = {(fact.resource.link, fact.resource.subnet): fact for fact in reversed(addresses)}
    secondary = [f for f in addresses if f.resource.address.version == 4 and f not in primaries.values()]
    alive = [fact for fact in addresses if fact.resource.link not in down and fact not in secondary]
    made = [route for fact in alive for route in connected(fact)]
    # Addresses of one prefix share its route, which has no expiry if one of them has none.
    merged = {fact.resource: fact for fact in sorted(made, key=lambda fact: fact.state.expires is None)}.values()
    given = {part.key: part for part in parts if isinstance(part, LinkSysctl)}
    return NamespaceFacts(
        version=FACTS_VERSION,
        links=links,
        addresses=addresses,
        routes=tuple(dict.fromkeys((*(part for part in parts if isinstance(part, RouteFact)), *merged))),
        neighbours=tuple(part for part in parts if isinstance(part, NeighbourFact)),
        ebtables=next((part for part in parts if isinstance(part, EbtablesFacts)), EbtablesFacts()),
        sysctls=tuple((given | _sysctls(links, given, bridge_netfilter=bridge_netfilter)).values()),
        observed_at=OBSERVED_AT,
    )


def _sysctls(
    links: Sequence[LinkFact], given: Mapping[SysctlKey, LinkSysctl], *, bridge_netfilter: bool
) -> dict[SysctlKey, LinkSysctl]:
    """Return the sysctls with the kernel's values, less those that are ``given``."""
    found = [setting("net/ipv6/conf/all/accept_dad", 0), setting("net/ipv6/conf/all/accept_ra", 1)]
    for link in links:
        if link.mtu >= 1280:
            dad = -1 if link.type == "loopback" else 1
            found += [setting(f"net/ipv6/conf/{link.name}/accept_dad", dad)]
            found += [setting(f"net/ipv6/conf/{link.name}/accept_ra", 1)]
    if bridge_netfilter:
        found += [setting(f"net/bridge/bridge-nf-call-{call}", 1) for call in ("arptables", "ip6tables", "iptables")]
    return {item.key: item for item in found if item.key not in given}


def connected(fact: AddressFact) -> Iterator[RouteFact]:
    """Yield the connected routes of an address as the kernel makes them, less those that are said to be absent."""
    own, link = fact.resource.address, fact.resource.link
    if "noprefixroute" in fact.state.flags or link == "lo":
        return
    metric = f" metric {fact.state.metric}" if fact.state.metric else ""
    subnet = ip_network(f"{fact.resource.peer or own.ip}/{own.network.prefixlen}", strict=False)
    prefixes = [subnet] if own.version == 4 or fact.resource.peer is None else [own.network, subnet]
    for prefix in prefixes:
        if own.version == 6:
            # The kernel's own route has an expiry if its address has.
            expires = f" expires {fact.state.valid_lft}" if fact.state.valid_lft else ""
            text = f"{prefix} dev {link} proto kernel{metric or ' metric 256'}{expires}"
            found = route(text, learnt=bool(expires))
        elif prefix.prefixlen == 32 and fact.resource.peer is None:
            continue
        else:
            found = route(f"{prefix} dev {link} proto kernel scope link src {own.ip}{metric}")
        if prefix not in fact.state.absent_routes:
            yield found


def loopback(*, up: bool = True) -> LinkFact:
    """Return `lo`."""
    flags = ("LOOPBACK", "UP") if up else ("LOOPBACK",)
    return LinkFact(
        name=InterfaceName("lo"),
        type=Keyword("loopback"),
        mtu=65536,
        flags=tuple(Keyword(flag) for flag in flags),
        addrgenmode=Keyword("eui64"),
        carrier=up,
    )


def veth(
    name: str = "eth0",
    *,
    mac: str = POD_MAC,
    mtu: int = 1500,
    up: bool = True,
    carrier: bool = True,
    addrgenmode: str = "eui64",
) -> LinkFact:
    """Return a veth as a CNI plugin leaves it."""
    flags = ["BROADCAST", "MULTICAST", "UP"] if up else ["BROADCAST", "MULTICAST"]
    return LinkFact(
        name=InterfaceName(name),
        type=Keyword("veth"),
        mtu=mtu,
        flags=tuple(Keyword(flag) for flag in flags),
        mac=MacAddress(mac),
        addrgenmode=Keyword(addrgenmode),
        carrier=up and carrier,
    )


def of_type(kind: str, name: str = "eth0") -> LinkFact:
    """Return a link of another type than veth."""
    return evolve(veth(name), type=Keyword(kind))


def setting(key: str, value: int) -> LinkSysctl:
    """Return a sysctl with its value."""
    return LinkSysctl(SysctlKey(key), SysctlValue(str(value)))


def address(text: str, link: str = "eth0", *, absent: Sequence[str] = (), learnt: bool = False) -> AddressFact:
    """Return an address as `ip addr show` prints it: `10.1.90.5/24 brd 10.1.90.255 label eth0:1 valid_lft 300 nodad`.

    ``absent`` are connected routes of it that somebody removed.
    """
    words = text.split()
    own = ip_interface(words[0])
    flags, given = _options([word for word in words[1:] if word != "tentative"], _ADDRESS_FLAGS)
    label = given.get("label", link if own.version == 4 else None)
    state = AddressState(
        scope=Keyword(given.get("scope", "link" if is_ipv6_link_local(own) else "global")),
        label=None if label is None else Label(label),
        broadcast=ip_address(given["brd"]) if "brd" in given else None,
        flags=tuple(Keyword(flag) for flag in flags),
        metric=_number(given, "metric"),
        valid_lft=_number(given, "valid_lft"),
        preferred_lft=_number(given, "preferred_lft"),
        tentative="tentative" in words,
        learnt=learnt,
        absent_routes=tuple(ip_network(prefix) for prefix in absent),
    )
    peer = ip_address(given["peer"]) if "peer" in given else None
    return AddressFact(Address(InterfaceName(link), own, peer), state)


def route(text: str, *, learnt: bool = False, unsupported: str | None = None) -> RouteFact:
    """Return a route as `ip route show` prints it: `default via 10.1.90.1 dev eth0 metric 100 onlink mtu lock 1400`."""
    first, *hops = (part.split() for part in text.split(" nexthop "))
    kind = first.pop(0) if first[0] in _ROUTE_TYPES else "unicast"
    flags, given = _options([word for word in first[1:] if word != "lock"], {"onlink"})
    via = given.get("via", "")
    default = "::/0" if ":" in via else "0.0.0.0/0"
    dst = ip_network(default if first[0] == "default" else first[0])
    nexthops = [_hop(given, onlink="onlink" in flags)] if given.keys() & {"via", "dev"} else []
    for words in hops:
        hop_flags, hop_given = _options(words, {"onlink"})
        nexthops.append(_hop(hop_given, onlink="onlink" in hop_flags))
    default_scope = "link" if kind == "unicast" and not via and not hops else "host" if kind == "local" else "global"
    resource = Route(
        dst=dst,
        nexthops=tuple(nexthops),
        type=Keyword(kind),
        table=Keyword(given.get("table", "main")),
        metric=_number(given, "metric") if dst.version == 4 else int(given.get("metric", 1024)),
        tos=Keyword(given["tos"]) if "tos" in given else None,
        protocol=Keyword(given.get("proto", "boot")),
        scope=Keyword(given.get("scope", default_scope)) if dst.version == 4 else None,
        source=ip_address(given["src"]) if "src" in given else None,
    )
    state = RouteState(
        metrics=tuple(
            RouteMetric(Keyword(name), Keyword(given[name]), locked=f"{name} lock" in text)
            for name in given
            if name in _METRICS
        ),
        expires=_number(given, "expires"),
        preference=Keyword(given["pref"]) if "pref" in given else None,
        learnt=learnt,
        unsupported=unsupported,
    )
    return RouteFact(resource, state)


def _hop(given: Mapping[str, str], *, onlink: bool) -> NextHop:
    return NextHop(
        dev=InterfaceName(given["dev"]) if "dev" in given else None,
        via=ip_address(given["via"]) if "via" in given else None,
        onlink=onlink,
        weight=int(given.get("weight", 1)),
    )


def _options(words: Sequence[str], known: set[str]) -> tuple[list[str], dict[str, str]]:
    """Return which of the ``known`` flags are among ``words``, and the others as names and values."""
    flags = [word for word in words if word in known]
    pairs = [word for word in words if word not in known]
    return flags, dict(zip(pairs[::2], pairs[1::2], strict=True))


def _number(given: Mapping[str, str], key: str) -> int | None:
    return int(given[key]) if key in given else None


def neighbour(
    text: str,
    link: str = "eth0",
    *,
    lladdr: str | None = "ee:ee:ee:ee:ee:ee",
    state: str | None = "permanent",
    flags: Sequence[str] = (),
    proxy: bool = False,
) -> NeighbourFact:
    """Return an entry of the neighbour table; a ``proxy`` one has neither ``lladdr`` nor ``state``."""
    how = NeighbourState(
        lladdr=None if lladdr is None or proxy else MacAddress(lladdr),
        state=None if state is None or proxy else Keyword(state),
        flags=tuple(Keyword(flag) for flag in flags),
    )
    return NeighbourFact(Neighbour(InterfaceName(link), ip_address(text), proxy=proxy), how)


def ebtables(*rules: str, chains: Mapping[str, str] | None = None) -> EbtablesFacts:
    """Return a filter table with ``rules`` in the words of ebtables-save; ``chains`` are those that exist."""
    found = chains or {}
    return EbtablesFacts(
        table=True,
        chains=tuple(Chain(Keyword(name), Keyword(policy)) for name, policy in found.items()),
        rules=rules,
    )
