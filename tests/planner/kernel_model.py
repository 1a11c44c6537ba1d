"""A kernel on paper: it carries changes out on facts, and refuses an order in which the real one would lose something.

What it knows is what docs/kernel.md says, written down a second time and independently of the planner.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

from attrs import evolve

from planner.changes.change import Change
from planner.facts.model import AddressFact, LinkFact, NamespaceFacts, NeighbourFact, RouteFact
from planner.kinds.address import Address
from planner.kinds.ebtables import Chain, DropRule, EbtablesFacts, EbtablesRules, RulesState
from planner.kinds.link import Link, LinkState, TapDevice
from planner.kinds.link_attributes import AddrGenMode, Admin, Mac, Master
from planner.kinds.neighbour import Neighbour
from planner.kinds.route import Route
from planner.kinds.sysctl import LinkSysctl, Sysctl
from planner.text.values import IpNetwork, Keyword
from tests.planner.builders import address, connected, setting

_SCOPES = {"host": 254, "link": 253, "site": 200, "global": 0}


class OutOfOrder(AssertionError):
    """The kernel would refuse this change now, or something else would go with it."""


def carry_out(changes: Iterable[Change], facts: NamespaceFacts) -> NamespaceFacts:
    """Return the facts after ``changes``, one after the other; what the network brings back is left out."""
    for change in changes:
        if not change.happens_by_itself:
            facts = _step(change, facts)
    return facts


def _step(change: Change, facts: NamespaceFacts) -> NamespaceFacts:
    resource, before, after = change.resource, change.before, change.after
    own_link = getattr(resource, "link", None)
    _demand(own_link is None or facts.link(own_link) is not None, f"{resource}: its link is gone")
    if isinstance(resource, Address):
        return _address(facts, resource, after) if after else remove_address(facts, resource)
    if isinstance(resource, Route):
        return _route(facts, resource, before, after)
    if isinstance(resource, Neighbour):
        return _neighbour(facts, resource, after)
    if isinstance(resource, Link):
        return _add_link(facts, resource, after) if isinstance(after, LinkState) else _remove_link(facts, resource)
    if isinstance(resource, EbtablesRules):
        return _remove_rules(facts, before) if after is None else _add_rules(facts, after)
    return _sysctl(facts, resource, after) if isinstance(resource, Sysctl) else _link_attribute(facts, resource, after)


def _demand(condition: object, otherwise: str) -> None:
    if not condition:
        raise OutOfOrder(otherwise)


# Addresses


def _subnet(resource: Address) -> IpNetwork:
    return ip_network(f"{resource.peer or resource.address.ip}/{resource.address.network.prefixlen}", strict=False)


def _goes_behind(new: AddressFact, other: AddressFact, *, is_secondary: bool) -> bool:
    """Say whether a new address is listed behind ``other`` (inet_insert_ifa, ipv6_link_dev_addr)."""
    version, other_version = new.resource.address.version, other.resource.address.version
    if version != other_version:
        return version > other_version
    scope, other_scope = _SCOPES[new.state.scope], _SCOPES[other.state.scope]
    return is_secondary or scope <= other_scope if version == 4 else scope > other_scope


def secondaries(facts: NamespaceFacts, link: str) -> set[Address]:
    """Return the IPv4 addresses of a link that are not the first listed of their subnet."""
    found = [fact.resource for fact in facts.addresses_of(link) if fact.resource.address.version == 4]
    return {one for index, one in enumerate(found) if any(_subnet(one) == _subnet(before) for before in found[:index])}


def _address(facts: NamespaceFacts, resource: Address, after: Any) -> NamespaceFacts:
    """Return the facts with an address, less the routes that it brings but that go again."""
    plain = evolve(after, unmade_routes=(), generated=None, generated_from=None, generated_once=False)
    added = add_address(facts, AddressFact(resource, plain))
    unmade = [route for route in after.unmade_routes if route.table != "local"]
    _demand(set(unmade) <= {fact.resource for fact in added.routes}, f"{resource} brings no {unmade}")
    return evolve(added, routes=tuple(fact for fact in added.routes if fact.resource not in unmade))


def add_address(facts: NamespaceFacts, new: AddressFact) -> NamespaceFacts:
    """Return the facts with ``new`` in its place among the addresses, and the connected routes that it brings."""
    resource = new.resource
    link = facts.link(resource.link)
    there = [fact for fact in facts.addresses if fact.resource.link == resource.link]
    _demand(all(fact.resource != resource for fact in there), f"{resource} is there already")
    family = [fact for fact in there if fact.resource.address.version == resource.address.version]
    is_secondary = resource.address.version == 4 and any(_subnet(f.resource) == _subnet(resource) for f in family)
    if resource.address.version == 4:
        primaries = [fact for fact in there if fact.resource not in secondaries(facts, resource.link)]
        ahead = there if is_secondary else primaries
        behind = [fact for fact in ahead if _goes_behind(new, fact, is_secondary=is_secondary)]
        place = there.index(behind[-1]) + 1 if behind else 0
    else:
        place = sum(_goes_behind(new, fact, is_secondary=False) for fact in there)
    there.insert(place, new)
    others = [fact for fact in facts.addresses if fact.resource.link != resource.link]
    brought = () if is_secondary or link is None or not link.up else tuple(connected(new))
    return evolve(
        facts,
        addresses=tuple(_by_link([*others, *there], facts)),
        routes=_with_connected(facts.routes, brought),
    )


def _with_connected(routes: tuple[RouteFact, ...], brought: Iterable[RouteFact]) -> tuple[RouteFact, ...]:
    """Return the routes with those that an address brings; one that is there loses its expiry by one that has none."""
    found = {fact.resource: fact for fact in routes}
    for fact in brought:
        if fact.resource not in found or fact.state.expires is None:
            found[fact.resource] = fact
    return tuple(found.values())


def _by_link(addresses: list[AddressFact], facts: NamespaceFacts) -> list[AddressFact]:
    order = [link.name for link in facts.links]
    return sorted(addresses, key=lambda fact: order.index(fact.resource.link))


def remove_address(facts: NamespaceFacts, resource: Address) -> NamespaceFacts:
    """Return the facts without an address and its connected routes; nothing else may go with it."""
    fact = next((fact for fact in facts.addresses if fact.resource == resource), None)
    if fact is None:
        raise OutOfOrder(f"{resource} is not there")
    is_secondary = resource in secondaries(facts, resource.link)
    left = tuple(other for other in facts.addresses if other != fact)
    family = [
        other.resource
        for other in left
        if other.resource.link == resource.link and other.resource.address.version == resource.address.version
    ]
    if resource.address.version == 4 and not is_secondary:
        _demand(
            all(_subnet(other) != _subnet(resource) for other in family), f"{resource} takes its secondaries with it"
        )
    routes = _without_connected(facts.routes, fact, left, is_secondary=is_secondary)
    source = [route for route in routes if route.resource.source == resource.address.ip]
    _demand(not source or any(a.resource.address.ip == resource.address.ip for a in left), f"{resource}: {source}")
    if resource.address.version == 4 and not family:
        _demand(not _ipv4_of(routes, facts, resource.link), f"{resource}, the last of its link, takes more with it")
    return evolve(facts, addresses=left, routes=routes)


def _without_connected(
    routes: tuple[RouteFact, ...], gone: AddressFact, left: Iterable[AddressFact], *, is_secondary: bool
) -> tuple[RouteFact, ...]:
    """Return the routes without those that go with an address: none with one that would expire (ipv6_del_addr)."""
    if is_secondary or (gone.resource.address.version == 6 and gone.state.valid_lft is not None):
        return routes
    still = [route for other in left if other.resource.link == gone.resource.link for route in connected(other)]
    own = {route.resource for route in connected(gone)}
    lost = own - {route.resource for route in still}
    expiring = {r.resource: r for r in still if r.resource in own and r.state.expires is not None}
    lasting = {r.resource for r in still if r.state.expires is None}
    return tuple(
        expiring[fact.resource] if fact.resource in expiring and fact.resource not in lasting else fact
        for fact in routes
        if fact.resource not in lost
    )


def _ipv4_of(routes: Iterable[RouteFact], facts: NamespaceFacts, link: str) -> list[object]:
    """Return what goes with a link's last IPv4 address (fib_disable_ip, arp_ifdown)."""
    found: list[object] = [
        fact.resource
        for fact in routes
        if link in fact.resource.links and fact.resource.dst.version == 4 and fact.resource.nhid is None
    ]
    found += [f.resource for f in facts.neighbours if f.resource.link == link and f.resource.address.version == 4]
    return found


# Routes and neighbours


def _route(facts: NamespaceFacts, resource: Route, before: Any, after: Any) -> NamespaceFacts:
    if after is None:
        return _remove_route(facts, resource)
    if before is not None:
        if not after.comes_last:
            return facts
        facts = _remove_route(facts, resource)
    state = evolve(after, place=None, equals=0, comes_last=False, stays=False)
    return add_route(facts, RouteFact(resource, state), in_front=not after.comes_last)


def add_route(facts: NamespaceFacts, new: RouteFact, *, in_front: bool = True) -> NamespaceFacts:
    """Return the facts with a route, IPv4 ones in front (`prepend`); its gateways and its source must be there."""
    route = new.resource
    _demand(all(fact.resource != route for fact in facts.routes), f"{route} is there already")
    for link in route.links:
        found = facts.link(link)
        _demand(found is not None and found.up, f"{route}: {link} is down")
    own = {fact.resource.address.ip for fact in facts.addresses}
    _demand(route.source is None or route.source in own, f"{route}: its source is not there")
    for hop in route.nexthops:
        if hop.via is None or hop.onlink or (hop.via.version == 6 and hop.via.is_link_local):
            continue
        on_link = [fact.resource for fact in facts.routes if fact.resource.links == (hop.dev,)]
        reached = any(other.dst.version == hop.via.version and hop.via in other.dst for other in on_link)
        _demand(reached, f"{route}: {hop.via} cannot be reached")
    routes = (new, *facts.routes) if route.dst.version == 4 and in_front else (*facts.routes, new)
    return evolve(facts, routes=routes)


def _remove_route(facts: NamespaceFacts, resource: Route) -> NamespaceFacts:
    left = tuple(fact for fact in facts.routes if fact.resource != resource)
    _demand(len(left) == len(facts.routes) - 1, f"{resource} is not there")
    return evolve(facts, routes=left)


def _neighbour(facts: NamespaceFacts, resource: Neighbour, after: Any) -> NamespaceFacts:
    left = tuple(fact for fact in facts.neighbours if fact.resource != resource)
    _demand((len(left) < len(facts.neighbours)) == (after is None), f"{resource}: there or not there")
    return evolve(facts, neighbours=left if after is None else (*left, NeighbourFact(resource, after)))


# Links


def _link_attribute(facts: NamespaceFacts, resource: Any, after: Any) -> NamespaceFacts:
    link = facts.link(resource.link)
    if link is None:
        raise OutOfOrder(f"{resource}: its link is gone")
    if isinstance(resource, Mac):
        own = [fact for fact in facts.neighbours if fact.resource.link == link.name and not fact.resource.proxy]
        _demand(not own, f"{resource}: a new MAC flushes {own}")
        if after.via_down:
            _nothing_to_lose(link, facts)
        link = evolve(link, mac=after.mac)
    elif isinstance(resource, Master):
        _demand(after.master is None or facts.link(after.master), f"{resource}: {after.master} is not there")
        link = evolve(link, master=after.master)
    elif isinstance(resource, AddrGenMode):
        _demand(link.mtu >= 1280, f"{resource}: the link has no IPv6")
        link = evolve(link, addrgenmode=after.mode)
    elif isinstance(resource, Admin):
        return _admin(facts, link, up=after.up)
    return _with_link(facts, link)


def _with_link(facts: NamespaceFacts, link: LinkFact) -> NamespaceFacts:
    return evolve(facts, links=tuple(link if other.name == link.name else other for other in facts.links))


def _nothing_to_lose(link: LinkFact, facts: NamespaceFacts) -> None:
    ipv6 = [fact for fact in facts.addresses_of(link.name) if fact.resource.address.version == 6]
    _demand(not ipv6 and not facts.routes_of(link.name), f"{link.name}: going down loses addresses and routes")
    _demand(
        not any(fact.resource.link == link.name for fact in facts.neighbours),
        f"{link.name}: going down loses neighbours",
    )


def _admin(facts: NamespaceFacts, link: LinkFact, *, up: bool) -> NamespaceFacts:
    flags = tuple(flag for flag in link.flags if flag != "UP") + ((Keyword("UP"),) if up else ())
    changed = _with_link(facts, evolve(link, flags=flags))
    if link.name != "lo":
        if not up:
            _nothing_to_lose(link, facts)
        return changed
    own, loopback6 = address("127.0.0.1/8 scope host", "lo"), address("::1/128 scope host", "lo")
    if up:
        _demand(own in facts.addresses, "lo goes up: 127.0.0.1/8 would come unasked")
        return changed if loopback6 in changed.addresses else add_address(changed, loopback6)
    return evolve(changed, addresses=tuple(fact for fact in changed.addresses if fact != loopback6))


def _add_link(facts: NamespaceFacts, resource: Link, after: LinkState) -> NamespaceFacts:
    _demand(facts.link(resource.name) is None, f"{resource} is there already")
    _demand(after.master is None or facts.link(after.master), f"{resource}: {after.master} is not there")
    flags = ("BROADCAST", "MULTICAST", "UP") if after.up else ("BROADCAST", "MULTICAST")
    link = LinkFact(
        name=resource.name,
        type=Keyword("tun" if isinstance(after.device, TapDevice) else "bridge"),
        mtu=after.mtu,
        flags=tuple(Keyword(flag) for flag in flags),
        mac=after.mac,
        master=after.master,
        alias=after.alias,
        group=Keyword(str(after.group)),
        addrgenmode=after.addrgenmode or Keyword("eui64"),
        device=after.device,  # type: ignore[arg-type]  # no veth is made here
        carrier=isinstance(after.device, TapDevice) is False,
    )
    sysctls: tuple[LinkSysctl, ...] = ()
    if after.mtu >= 1280:
        sysctls = (setting(f"net/ipv6/conf/{link.name}/accept_dad", 1), *after.sysctls)
    changed = evolve(facts, links=(*facts.links, link), sysctls=(*facts.sysctls, *sysctls))
    for own in after.addresses:
        changed = add_address(changed, address(str(own), link.name))
    return changed


def _remove_link(facts: NamespaceFacts, resource: Link) -> NamespaceFacts:
    _demand(facts.link(resource.name), f"{resource} is not there")
    ports = [link.name for link in facts.links if link.master == resource.name]
    _demand(not ports, f"{resource}: {ports} would be released")
    return evolve(
        facts,
        links=tuple(link for link in facts.links if link.name != resource.name),
        addresses=tuple(fact for fact in facts.addresses if fact.resource.link != resource.name),
        routes=tuple(fact for fact in facts.routes if resource.name not in fact.resource.links),
        sysctls=tuple(item for item in facts.sysctls if f"/{resource.name}/" not in item.key),
    )


# Sysctls and rules


def _sysctl(facts: NamespaceFacts, resource: Sysctl, after: Any) -> NamespaceFacts:
    _demand(facts.sysctl(resource.key) is not None, f"{resource} is not there")
    changed = (LinkSysctl(item.key, after.value) if item.key == resource.key else item for item in facts.sysctls)
    return evolve(facts, sysctls=tuple(changed))


def rule_line(rule: DropRule) -> str:
    """Return a rule as ebtables-save prints it."""
    words = [f"-A {rule.chain}"]
    if rule.protocol:
        words.append(f"-p {rule.protocol}")
    if rule.in_link:
        words.append(f"-i {rule.in_link}")
    if rule.out_link:
        words.append(f"-o {rule.out_link}")
    if rule.udp_port:
        ip = {"IPv4": "ip", "IPv6": "ip6"}[rule.protocol or ""]
        words.append(f"--{ip}-proto udp --{ip}-dport {rule.udp_port}")
    if rule.icmpv6_type:
        words.append(f"--ip6-proto ipv6-icmp --ip6-icmp-type {rule.icmpv6_type}")
    return " ".join([*words, "-j DROP"])


def _add_rules(facts: NamespaceFacts, after: Any) -> NamespaceFacts:
    chains = {chain.name: chain for chain in facts.ebtables.chains}
    lines = facts.ebtables.rules
    for rule in after.rules:
        chains.setdefault(rule.chain, Chain(rule.chain, Keyword("ACCEPT")))
        lines = (rule_line(rule), *lines)
    return evolve(facts, ebtables=EbtablesFacts(table=True, chains=tuple(chains.values()), rules=lines))


def _remove_rules(facts: NamespaceFacts, before: Any) -> NamespaceFacts:
    if not isinstance(before, RulesState):
        raise OutOfOrder("there are no rules to remove")
    lines = list(facts.ebtables.rules)
    for rule in before.rules:
        _demand(rule_line(rule) in lines, f"{rule} is not there")
        lines.remove(rule_line(rule))
    for chain in before.new_chains:
        _demand(not any(line.startswith(f"-A {chain} ") for line in lines), f"chain {chain} is not empty")
    chains = tuple(chain for chain in facts.ebtables.chains if chain.name not in before.new_chains)
    if before.new_table:
        _demand(not lines and not chains, "removing the table takes a stranger's rules along")
        return evolve(facts, ebtables=EbtablesFacts())
    return evolve(facts, ebtables=evolve(facts.ebtables, chains=chains, rules=tuple(lines)))
