"""Routing policy (ip-rule(8)): which tables the kernel asks for the gateway of a route that is added.

That lookup has no source, no mark, no protocol and no port, is root's and the namespace's own (fib_semantics.c,
fib_check_nh_v4_gw). What is known not to match is left out; what podwire cannot read decides, unseen.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from ipaddress import IPv4Address

from planner.facts.answer import each_object
from planner.text.document import Node
from planner.text.frozen import frozen
from planner.text.values import IpAddress, IpNetwork, Keyword, parse_network, shown

_NOBODY = IPv4Address(0)
# Selectors that a lookup for a gateway never fits, since it has nothing of the kind (fib_rules.c, fib_rule_match).
_FOREIGN = {"tos", "tun_id", "ipproto", "sport", "sport_start", "dport", "dport_start", "l3mdev"}
_KEYS = _FOREIGN | {
    "priority", "src", "srclen", "dst", "dstlen", "iif", "oif", "fwmark", "fwmask", "uid_start", "uid_end", "not",
    "table", "suppress_prefixlen", "action", "goto", "nop", "unresolved", "protocol", "iif_detached", "oif_detached",
    "sport_end", "dport_end", "flow_from", "flow_to",
}  # fmt: skip


@frozen
class PolicyRule:
    """A rule that may decide where a gateway is looked for.

    ``table`` is the table that it asks; None if it refuses (``action``), or if podwire cannot read what it does.
    ``suppress``: an answer whose prefix is no longer than that does not count. ``goto`` is the priority of the rule
    that is next.
    """

    priority: int
    table: Keyword | None = None
    action: Keyword | None = None
    to: IpNetwork | None = None
    oif: str | None = None
    inverted: bool = False
    suppress: int = -1
    goto: int | None = None

    def fits(self, gateway: IpAddress, link: str) -> bool:
        """Say whether it decides on ``gateway``, which is looked for on ``link``."""
        is_like = (self.to is None or gateway in self.to) and self.oif in (None, link)
        return is_like != self.inverted

    def __str__(self) -> str:
        negation = " not" if self.inverted else ""
        to = "" if self.to is None else f" to {self.to}"
        oif = "" if self.oif is None else f" oif {shown(self.oif)}"
        what = f"lookup {self.table}" if self.table else self.action or "something unknown"
        return f"{self.priority}:{negation}{to}{oif} {what if self.goto is None else f'goto {self.goto}'}"


# Those of every namespace in which nobody has changed them.
USUAL = tuple(PolicyRule(at, Keyword(table)) for at, table in ((0, "local"), (32766, "main"), (32767, "default")))


def read_policy(answer: str) -> tuple[PolicyRule, ...]:
    """Return the IPv4 rules in the answer of ``ip -j rule show``, in their order; none if they are the usual ones."""
    return _read_again(answer) if len(answer) <= _SHORT else _read(answer)


def _read(answer: str) -> tuple[PolicyRule, ...]:
    found = tuple(rule for node in each_object(answer, "ip rule") if (rule := _rule(node)) is not None)
    return () if found == USUAL else found


# Nearly every namespace answers the same, and each look asks.
_SHORT = 1024
_read_again = functools.lru_cache(16)(_read)


def asked(rules: tuple[PolicyRule, ...], gateway: IpAddress, link: str) -> Iterator[PolicyRule]:
    """Yield the rules that the kernel asks in turn for ``gateway`` on ``link``, as long as none knows it."""
    at = 0
    while at < len(rules):
        rule, at = rules[at], at + 1
        if not rule.fits(gateway, link):
            continue
        if rule.goto is None:
            yield rule
        else:  # only ever forward
            at = next((there for there in range(at, len(rules)) if rules[there].priority >= rule.goto), len(rules))


def _rule(node: Node) -> PolicyRule | None:
    """Return the rule in ``node``, None for one that never decides on a gateway."""
    keys, selects = node.keys(), _fits_in_all_else(node)
    is_inverted = "not" in keys  # flags come as keys with null
    if not (selects or is_inverted) or keys & {"nop", "unresolved"}:
        return None
    is_known = not keys - _KEYS
    return PolicyRule(
        priority=node.field("priority").integer(),
        table=node.maybe("table", lambda table: table.parse(Keyword)) if is_known else None,
        action=node.maybe("action", lambda action: action.parse(Keyword)),
        # An inverted rule of which one half never fits always does.
        to=_network(node, "dst") if selects else None,
        oif=node.maybe("oif", Node.text) if selects else None,
        inverted=is_inverted and selects,
        suppress=node.optional("suppress_prefixlen", Node.integer, -1),
        goto=node.maybe("goto", Node.integer) if is_known else None,
    )


def _fits_in_all_else(node: Node) -> bool:
    """Say whether a lookup for a gateway fits what a rule selects by, except for destination and link."""
    source = _network(node, "src")
    if source is not None and _NOBODY not in source:
        return False
    if node.optional("iif", Node.text, "lo") != "lo" or node.optional("uid_start", Node.integer, 0) != 0:
        return False
    mark, mask = node.optional("fwmark", _number, 0), node.optional("fwmask", _number, -1)
    return not mark & mask and not node.keys() & _FOREIGN


def _network(node: Node, key: str) -> IpNetwork | None:
    """Return a network and the length of its prefix, which are two values; None for every address."""
    if node.optional(key, Node.text, "all") == "all":
        return None
    length = node.optional(f"{key}len", Node.integer, 32)
    return node.field(key).parse(lambda address: parse_network(f"{address}/{length}"))


def _number(node: Node) -> int:
    return node.parse(lambda text: int(text, 0))
