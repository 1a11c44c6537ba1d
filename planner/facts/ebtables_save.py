"""The ebtables filter table: reading ``ebtables-save``, and the rules of a wiring (ebtables(8), nf_tables variant)."""

from __future__ import annotations

import re

from planner.errors import InvalidInput
from planner.facts.model import Chain, EbtablesFacts
from planner.resources import DropRule, RulesState
from planner.text.document import Node
from planner.text.values import InterfaceName, Keyword, shown

ACCEPT = Keyword("ACCEPT")
INPUT, FORWARD, OUTPUT = Keyword("INPUT"), Keyword("FORWARD"), Keyword("OUTPUT")
_PORT_OPTION = {"IPv4": ("--ip-proto", "--ip-dport"), "IPv6": ("--ip6-proto", "--ip6-dport")}
_DHCP_SERVER_PORT = {"IPv4": 67, "IPv6": 547}

_RULE = re.compile(
    r"-A (?P<chain>\S+)(?: -p (?P<protocol>IPv4|IPv6))?(?: -i (?P<in_link>\S+))?(?: -o (?P<out_link>\S+))?"
    r"(?: (?P<proto>--ip6?-proto) udp (?P<option>--ip6?-dport) (?P<udp_port>\d{1,5}))? -j DROP"
)


def block_rules(link: InterfaceName, *, ipv6: bool) -> tuple[DropRule, ...]:
    """Return the rules that keep the pod's port ``link`` apart from the bridge's own stack and DHCP requests inside.

    ``ipv6`` says that the guest has IPv6 addresses: its DHCPv6 requests (RFC 8415, port 547) stay inside as well.
    """
    families = ("IPv4", "IPv6") if ipv6 else ("IPv4",)
    return (
        DropRule(chain=INPUT, in_link=link),
        DropRule(chain=OUTPUT, out_link=link),
        *(
            DropRule(chain=FORWARD, protocol=Keyword(family), out_link=link, udp_port=_DHCP_SERVER_PORT[family])
            for family in families
        ),
    )


def new_rules(rules: tuple[DropRule, ...], facts: EbtablesFacts) -> RulesState:
    """Return the state in which ``rules`` stand in the table, with the chains and the table that they bring along."""
    there = {chain.name for chain in facts.chains}
    wanted = dict.fromkeys(rule.chain for rule in rules)
    return RulesState(
        rules=rules,
        new_chains=tuple(chain for chain in wanted if chain not in there),
        new_table=not facts.table,
    )


def read_rule(line: str) -> DropRule | None:
    """Return the rule of ``ebtables-save``'s ``line`` where it is of the kind that podwire makes, else None."""
    found = _RULE.fullmatch(line)
    if found is None:
        return None
    protocol, port = found["protocol"], found["udp_port"]
    if (port is not None) and (protocol is None or (found["proto"], found["option"]) != _PORT_OPTION[protocol]):
        return None
    try:
        return DropRule(
            chain=Keyword(found["chain"]),
            in_link=InterfaceName(found["in_link"]) if found["in_link"] else None,
            out_link=InterfaceName(found["out_link"]) if found["out_link"] else None,
            protocol=Keyword(protocol) if protocol else None,
            udp_port=int(port) if port else None,
        )
    except ValueError:
        return None


def observed_rules(like: RulesState, facts: EbtablesFacts) -> RulesState | None:
    """Return how the rules of a wiring are: which stand there, and which of its chains (and its table) could go.

    A chain with a stranger's rule or policy stays, and with it the table.
    """
    present = {rule for rule in map(read_rule, facts.rules) if rule}
    ours = tuple(rule for rule in like.rules if rule in present)
    free = {chain.name for chain in facts.chains if chain.policy == ACCEPT and not _foreign(chain.name, like, facts)}
    new_chains = tuple(chain for chain in like.new_chains if chain in free)
    new_table = like.new_table and facts.table and {chain.name for chain in facts.chains} <= set(new_chains)
    if not ours and not new_chains and not new_table:
        return None
    return RulesState(rules=ours, new_chains=new_chains, new_table=new_table)


def foreign_rules(like: RulesState, facts: EbtablesFacts) -> tuple[str, ...]:
    """Return the rules of others in the chains that a wiring made: they are left alone, and the chains with them."""
    return tuple(line for chain in like.new_chains for line in _foreign(chain, like, facts))


def _foreign(chain: Keyword, like: RulesState, facts: EbtablesFacts) -> list[str]:
    return [line for line in facts.rules if line.startswith(f"-A {chain} ") and read_rule(line) not in like.rules]


def read_save(save: str, chains: Node | None) -> EbtablesFacts:
    """Return the facts that ``ebtables-save`` printed, with ``nft -j list chains bridge`` where nft is installed.

    ``ebtables-save`` prints all three base chains whichever exist. Without nft an empty ACCEPT chain counts as absent.
    Raises InvalidInput for text that ebtables-save does not print.
    """
    policies, rules = _filter_table(save)
    if chains is None:
        kept = {
            name for name in policies if policies[name] != ACCEPT or any(r.startswith(f"-A {name} ") for r in rules)
        }
        table = bool(policies)
    else:
        kept = {name for name in policies if name in _existing_chains(chains)}
        table = bool(policies)
    found = tuple(Chain(name=name, policy=policies[name]) for name in policies if name in kept)
    return EbtablesFacts(table=table, chains=found, rules=rules)


def hides_a_chain(save: str) -> bool:
    """Say whether an empty ACCEPT chain is in ``ebtables-save``'s output: only nft tells whether that exists.

    A chain with rules exists; an untouched namespace prints nothing.
    """
    policies, rules = _filter_table(save)
    return any(
        policy == ACCEPT and not any(rule.startswith(f"-A {name} ") for rule in rules)
        for name, policy in policies.items()
    )


def _filter_table(save: str) -> tuple[dict[Keyword, Keyword], tuple[str, ...]]:
    """Return the policies and the rules that stand in the filter table of ebtables-save's output."""
    policies: dict[Keyword, Keyword] = {}
    rules: list[str] = []
    table = ""
    for line in save.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif not line or line.startswith("#") or table not in ("filter", ""):
            continue
        elif line.startswith(":"):
            name, policy = _words(line[1:], 2)
            policies[name] = policy
        elif line.startswith("-A ") and line.isprintable():
            rules.append(line)
        else:
            raise InvalidInput(f"ebtables-save printed a line that podwire does not know: {shown(line)}")
    return policies, tuple(rules)


def _words(text: str, count: int) -> list[Keyword]:
    words = text.split()
    if len(words) != count:
        raise InvalidInput(f"ebtables-save printed a line that podwire does not know: {shown(text)}")
    try:
        return [Keyword(word) for word in words]
    except ValueError as error:
        raise InvalidInput(f"ebtables-save: {error}") from None


def _existing_chains(chains: Node) -> set[str]:
    """Return the names of the chains in ``table bridge filter`` (libnftables-json(5))."""
    found = set()
    for item in chains.field("nftables").items():
        if item.has("chain"):
            chain = item.field("chain")
            if chain.field("table").text() == "filter" and chain.field("family").text() == "bridge":
                found.add(chain.field("name").text())
    return found
