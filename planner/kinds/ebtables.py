"""The ebtables rules of one wiring, with the chains and the table that they bring along (ebtables(8), nf_tables)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from attrs import evolve

from planner.kinds.kind import UNREADABLE, ChangeLike, Kind, Look, Seen, Unreadable, register
from planner.kinds.shown import counted, differences, word
from planner.text.frozen import frozen
from planner.text.values import Alias, InterfaceName, Keyword, PlanId, shown

# What is in common with becoming a port of a bridge.
RULES = "ebtables rules"
ACCEPT = Keyword("ACCEPT")
INPUT, FORWARD, OUTPUT = Keyword("INPUT"), Keyword("FORWARD"), Keyword("OUTPUT")
_PORT_OPTION = {"IPv4": ("--ip-proto", "--ip-dport"), "IPv6": ("--ip6-proto", "--ip6-dport")}
_DHCP_SERVER_PORT = {"IPv4": 67, "IPv6": 547}
_DHCP_CLIENT_PORT = {"IPv4": 68, "IPv6": 546}
_IPV6 = Keyword("IPv6")
# As ebtables(8) calls them (RFC 4861, section 4).
ADVERTISEMENT, REDIRECT = Keyword("router-advertisement"), Keyword("redirect")
SOLICITATION = Keyword("router-solicitation")

# Compiled only where there are rules: that takes as long as loading a module.
_RULE = (
    r"-A (?P<chain>\S+)(?: -p (?P<protocol>IPv4|IPv6))?(?: -i (?P<in_link>\S+))?(?: -o (?P<out_link>\S+))?"
    r"(?: (?P<proto>--ip6?-proto) udp (?P<option>--ip6?-dport) (?P<udp_port>\d{1,5}))?"
    r"(?: --ip6-proto ipv6-icmp --ip6-icmp-type (?P<icmpv6_type>[a-z-]+))? -j DROP"
)


@frozen
class DropRule:
    """A rule that drops frames, in the terms of ebtables(8).

    By port of the bridge, and perhaps by UDP destination or by type of ICMPv6.
    """

    chain: Keyword
    in_link: InterfaceName | None = None
    out_link: InterfaceName | None = None
    protocol: Keyword | None = None
    udp_port: int | None = None
    icmpv6_type: Keyword | None = None

    @property
    def link(self) -> InterfaceName | None:
        """Return the name of the link that it is about."""
        return self.in_link or self.out_link

    def under_names(self, names: Mapping[str, InterfaceName]) -> DropRule:
        """Return the rule for what the link is called in ``names``."""
        in_link, out_link = (name and names.get(name, name) for name in (self.in_link, self.out_link))
        return evolve(self, in_link=in_link, out_link=out_link)


@frozen
class RulesState:
    """The rules of one wiring, with the chains and the table that they brought along (and take away again).

    ``former`` are the wiring's as well where they are found, and to go: a rule matches whatever link has a name, so
    that one for a name that its link no longer has does nothing, or keeps a stranger apart.
    """

    rules: tuple[DropRule, ...]
    new_chains: tuple[Keyword, ...] = ()
    new_table: bool = False
    former: tuple[DropRule, ...] = ()

    @property
    def canonical(self) -> RulesState:
        """Return this without chains and table, as long as it has rules: others may have put theirs there as well."""
        return RulesState(self.rules) if self.rules else evolve(self, former=())

    def under_names(self, names: Mapping[str, InterfaceName]) -> RulesState:
        """Return the rules for what their links are called in ``names``; what is there may be the former ones."""
        return evolve(self, rules=tuple(rule.under_names(names) for rule in self.rules)).knowing(self)

    def knowing(self, other: RulesState) -> RulesState:
        """Return this with the rules of another state of the wiring among the former ones."""
        known = dict.fromkeys((*self.former, *other.former, *other.rules))
        return evolve(self, former=tuple(rule for rule in known if rule not in self.rules))


@frozen
class EbtablesRules:
    """All ebtables rules of one wiring: ``ebtables-restore --noflush`` with an ``-I`` a rule (ebtables(8))."""

    TAG: ClassVar = {"kind": "ebtables"}
    id: PlanId

    def __str__(self) -> str:
        return f"ebtables rules of {self.id}"


@frozen
class Chain:
    """A chain of ``table bridge filter`` that exists, with its policy."""

    name: Keyword
    policy: Keyword


@frozen
class EbtablesFacts:
    """The filter table of ebtables: ours and foreign rules, in order, as ``ebtables-save`` prints them.

    ``odd_chains`` have the name of one of ebtables, but hook elsewhere or at another priority, where it adds no rule.

    ``problem`` says why it could not be read; the rest is empty then.
    """

    table: bool = False
    chains: tuple[Chain, ...] = ()
    rules: tuple[str, ...] = ()
    problem: str | None = None
    odd_chains: tuple[Keyword, ...] = ()


def block_rules(link: InterfaceName, *, served: Collection[int]) -> tuple[DropRule, ...]:
    """Return the rules that keep the pod's port ``link`` apart from the bridge's own stack and DHCP requests inside.

    ``served`` are the families (4, 6) of which the guest is given addresses here; of others its requests go out, to a
    server of the network (RFC 2131, port 67; RFC 8415, port 547).
    """
    families = [f"IPv{family}" for family in (4, 6) if family in served]
    return (
        DropRule(chain=INPUT, in_link=link),
        DropRule(chain=OUTPUT, out_link=link),
        *(
            DropRule(chain=FORWARD, protocol=Keyword(family), out_link=link, udp_port=_DHCP_SERVER_PORT[family])
            for family in families
        ),
    )


def served_rules(link: InterfaceName, *, served: Collection[int], routers: bool) -> tuple[DropRule, ...]:
    """Return the rules that keep from the guest what others would serve it, if podwire does: it has one server.

    No DHCP answer of the families that are ``served`` comes in by the pod's port ``link``. With ``routers`` those of
    the pod network are kept from telling it anything (RFC 4861), and from being asked.
    """
    families = [f"IPv{family}" for family in (4, 6) if family in served]
    answers = tuple(
        DropRule(chain=FORWARD, protocol=Keyword(family), in_link=link, udp_port=_DHCP_CLIENT_PORT[family])
        for family in families
    )
    if not routers:
        return answers
    return (
        *answers,
        *(
            DropRule(chain=FORWARD, protocol=_IPV6, in_link=link, icmpv6_type=kind)
            for kind in (ADVERTISEMENT, REDIRECT)
        ),
        DropRule(chain=FORWARD, protocol=_IPV6, out_link=link, icmpv6_type=SOLICITATION),
    )


def new_rules(rules: tuple[DropRule, ...], facts: EbtablesFacts) -> RulesState:
    """Return the state in which ``rules`` are in the table, with the chains and the table that they bring along."""
    there = {chain.name for chain in facts.chains}
    wanted = dict.fromkeys(rule.chain for rule in rules)
    return RulesState(
        rules=rules,
        new_chains=tuple(chain for chain in wanted if chain not in there),
        new_table=not facts.table,
    )


def read_rule(line: str) -> DropRule | None:
    """Return the rule of ``ebtables-save``'s ``line`` if it is of the kind that podwire makes, else None."""
    found = re.fullmatch(_RULE, line)
    if found is None:
        return None
    protocol, port = found["protocol"], found["udp_port"]
    if (port is not None) and (protocol is None or (found["proto"], found["option"]) != _PORT_OPTION[protocol]):
        return None
    if found["icmpv6_type"] is not None and (protocol != _IPV6 or port is not None):
        return None
    try:
        return DropRule(
            chain=Keyword(found["chain"]),
            in_link=InterfaceName(found["in_link"]) if found["in_link"] else None,
            out_link=InterfaceName(found["out_link"]) if found["out_link"] else None,
            protocol=Keyword(protocol) if protocol else None,
            udp_port=int(port) if port else None,
            icmpv6_type=Keyword(found["icmpv6_type"]) if found["icmpv6_type"] else None,
        )
    except ValueError:
        return None


def observed_rules(like: RulesState, facts: EbtablesFacts) -> RulesState | None:
    """Return how the rules of a wiring are: which are there, and which of its chains (and its table) could go.

    A chain with a stranger's rule or policy stays, and with it the table. What is not there is among the former ones:
    whoever goes back to this state knows what to look for.
    """
    present = {rule for rule in map(read_rule, facts.rules) if rule}
    known = (*like.rules, *like.former)
    ours = tuple(rule for rule in known if rule in present)
    free = {chain.name for chain in facts.chains if chain.policy == ACCEPT and not _foreign(chain.name, like, facts)}
    new_chains = tuple(chain for chain in like.new_chains if chain in free)
    new_table = like.new_table and facts.table and {chain.name for chain in facts.chains} <= set(new_chains)
    if not ours and not new_chains and not new_table:
        return None
    former = tuple(rule for rule in known if rule not in present)
    return RulesState(rules=ours, new_chains=new_chains, new_table=new_table, former=former)


def foreign_rules(like: RulesState, facts: EbtablesFacts) -> tuple[str, ...]:
    """Return the rules of others in the chains that a wiring made: they are left alone, and the chains with them."""
    return tuple(line for chain in like.new_chains for line in _foreign(chain, like, facts))


def _foreign(chain: Keyword, like: RulesState, facts: EbtablesFacts) -> list[str]:
    """Return the lines of a chain that are not ours: of those worded like ours one is, the others are somebody's."""
    ours, found = [*like.rules, *like.former], []
    for line in facts.rules:
        if not line.startswith(f"-A {chain} "):
            continue
        rule = read_rule(line)
        if rule in ours:
            ours.remove(rule)
        else:
            found.append(line)
    return found


def _joined(own: RulesState, other: RulesState) -> RulesState:
    """Return the rules of a wiring that also takes away the chains and the table which ``other`` brought along."""
    chains = tuple(dict.fromkeys((*own.new_chains, *other.new_chains)))
    return evolve(own, new_chains=chains, new_table=own.new_table or other.new_table)


def _observe(seen: Seen, resource: EbtablesRules, like: RulesState) -> RulesState | Unreadable | None:
    ebtables = seen.facts.ebtables
    if ebtables.problem:
        return UNREADABLE
    former = tuple(rule for rule in like.former if not _is_anothers(rule, resource.id, seen))
    return observed_rules(evolve(like, former=former), ebtables)


def _is_anothers(rule: DropRule, own: PlanId, seen: Seen) -> bool:
    """Say whether a rule is for a link that another wiring has by now, and keeps that apart."""
    link = seen.links.get(rule.link)
    bridge = None if link is None else seen.links.get(link.master)
    return bridge is not None and Alias.is_ours(bridge.alias) and bridge.alias != Alias.of(own)


def _words(change: ChangeLike) -> list[str]:
    """Return what the rules keep out, a line for each way and in it the links that it is about."""
    found: dict[str, list[str]] = {}
    for rule in change.known_state.rules:
        found.setdefault(_rule_words(rule), []).append(rule.in_link or rule.out_link or "any link")
    lines = [text.format(", ".join(links)) for text, links in found.items()]
    return lines or [f"{_brought_along(change.known_state) or 'no rule'}, empty"]


def _rule_words(rule: DropRule) -> str:
    way = "arriving on {}" if rule.in_link else "leaving through {}"
    if rule.icmpv6_type is not None:
        return f"drop {rule.icmpv6_type.replace('-', ' ')}s {way}"
    if rule.udp_port is not None:
        dhcp = "DHCPv6" if rule.protocol == _IPV6 else "DHCP"
        return f"drop {dhcp} {'answers' if rule.in_link else 'requests'} {way}"
    return (
        "drop frames from {} to the bridge itself" if rule.in_link else "drop frames from the bridge itself out of {}"
    )


def _drift(change: ChangeLike) -> list[str]:
    if change.before is None or change.after is None:
        return list(differences(change.before, change.after))
    missing = sum(rule not in change.before.rules for rule in change.after.rules)
    former = sum(rule not in change.after.rules for rule in change.before.rules)
    return [
        *([f"{missing} of {counted(len(change.after.rules), 'rule')} missing"] if missing else []),
        *([f"{counted(former, 'rule')} for a name that the link no longer has"] if former else []),
    ]


def _looks(_resource: EbtablesRules, state: RulesState) -> Iterator[Look]:
    for rule in state.rules:
        yield ["ebtables-save"], word(_rule_line(rule))


def _rule_line(rule: DropRule) -> str:
    """Return a rule as ``ebtables-save`` prints it."""
    words = ["-A", rule.chain]
    words += ["-p", rule.protocol] if rule.protocol else []
    words += ["-i", rule.in_link] if rule.in_link else []
    words += ["-o", rule.out_link] if rule.out_link else []
    if rule.udp_port is not None:
        ip = "ip6" if rule.protocol == "IPv6" else "ip"
        words += [f"--{ip}-proto", "udp", f"--{ip}-dport", str(rule.udp_port)]
    if rule.icmpv6_type is not None:
        words += ["--ip6-proto", "ipv6-icmp", "--ip6-icmp-type", rule.icmpv6_type]
    return " ".join([*words, "-j", "DROP"])


def _remarks(change: ChangeLike) -> Iterator[tuple[str, str, str]]:
    """Yield what comes and goes with the rules: a table or chains that were not there."""
    if words := _brought_along(change.known_state):
        yield "ebtables", words, "the rules are there"


def _brought_along(state: RulesState) -> str:
    chains = [f"chains {', '.join(state.new_chains)}"] if state.new_chains else []
    return " with ".join([*(["the filter table"] if state.new_table else []), *chains])


def _has_copies(state: RulesState, facts: Any) -> bool:
    there = [read_rule(line) for line in facts.ebtables.rules]
    return any(there.count(rule) > 1 for rule in state.rules)


def _left_alone(state: RulesState, facts: Any) -> Iterable[str]:
    for rule in foreign_rules(state, facts.ebtables):
        yield f"left alone because podwire did not create it: ebtables rule {shown(rule, 200)}"


EBTABLES = register(
    Kind(
        name="ebtables",
        resource=EbtablesRules,
        state=RulesState,
        template="ebtables.j2",
        observe=_observe,
        subject=lambda _: "rules",
        words=_words,
        drift=_drift,
        looks=_looks,
        links=lambda _: frozenset(),
        touches=lambda _: frozenset((RULES,)),
        only_makes=lambda change: change.before is None,  # until a link is a port of a bridge, its rules match nothing
        owners=lambda change: (change.resource.id,),
        left_alone=_left_alone,
        joined=_joined,
        has_copies=_has_copies,
        remarks=_remarks,
        # ``--init-table`` after a failed restore would remove the rules of others too.
        stops_at_failure=True,
    )
)
