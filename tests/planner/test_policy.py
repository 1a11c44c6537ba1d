"""Which rules decide on the gateway of a route that is added again: what `ip -j rule show` told, and who is asked."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

import pytest

from planner.errors import InvalidInput
from planner.facts.rules import USUAL, PolicyRule, asked, read_policy

GATEWAY = ip_address("10.1.0.1")
LOCAL, MAIN, DEFAULT = ({"priority": rule.priority, "src": "all", "table": rule.table} for rule in USUAL)


def policy(*rules: dict[str, Any]) -> tuple[PolicyRule, ...]:
    """Return the rules of a namespace that has these between the usual ones, each of a priority of its own."""
    between = [{"priority": 10 + at, "src": "all", **rule} for at, rule in enumerate(rules)]
    return read_policy(json.dumps([LOCAL, *between, MAIN, DEFAULT]))


def test_the_usual_rules_are_not_told() -> None:
    """So that what was told of a namespace by earlier versions is still true."""
    assert policy() == ()


@pytest.mark.parametrize(
    "rule",
    [
        {"src": "10.1.0.5", "table": "100"},
        {"src": "10.0.0.0", "srclen": 8, "action": "blackhole"},
        {"fwmark": "0x5", "action": "blackhole"},
        {"iif": "eth0", "table": "100"},
        {"uid_start": 1, "uid_end": 9, "action": "blackhole"},
        {"ipproto": "tcp", "dport": 80, "action": "blackhole"},
        {"sport_start": 1, "sport_end": 9, "action": "blackhole"},
        {"tos": "0x10", "action": "unreachable"},
        {"nop": None},
        {"goto": 40000, "unresolved": None},
    ],
    ids=" ".join,
)
def test_what_no_gateway_is_looked_for_by_is_left_out(rule: dict[str, Any]) -> None:
    """The lookup has no source, mark, protocol or port, and is root's."""
    assert policy(rule) == ()


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"dst": "10.1.0.1", "action": "blackhole"}, "10: to 10.1.0.1/32 blackhole"),
        ({"not": None, "dst": "10.2.0.0", "dstlen": 24, "table": "100"}, "10: not to 10.2.0.0/24 lookup 100"),
        ({"not": None, "src": "10.1.0.5", "dst": "10.9.9.9", "action": "prohibit"}, "10: prohibit"),
        ({"oif": "eth0", "table": "100"}, "10: oif 'eth0' lookup 100"),
        ({"iif": "lo", "table": "100"}, "10: lookup 100"),
        ({"src": "0.0.0.0", "srclen": 8, "table": "100"}, "10: lookup 100"),  # noqa: S104  nothing is bound
        ({"fwmark": "0x100", "fwmask": "0xff", "table": "100"}, "10: lookup 100"),
        ({"uid_start": 0, "uid_end": 9, "table": "100"}, "10: lookup 100"),
        ({"suppress_ifgroup": "7", "table": "main"}, "10: something unknown"),
    ],
)
def test_what_may_decide_is_told(rule: dict[str, Any], words: str) -> None:
    """What podwire cannot read decides as well, and nobody knows what."""
    found = policy(rule)
    assert [str(each) for each in found[1:-2]] == [words]
    assert found[1] in list(asked(found, GATEWAY, "eth0"))


def test_a_rule_for_another_destination_or_link_is_not_asked() -> None:
    """Each half of a rule, and its negation."""
    others = policy(
        {"dst": "10.1.0.2", "action": "blackhole"},
        {"oif": "eth1", "action": "blackhole"},
        {"not": None, "dst": "10.1.0.0", "dstlen": 24, "action": "blackhole"},
    )
    assert [rule.table for rule in asked(others, GATEWAY, "eth0")] == ["local", "main", "default"]


def test_a_goto_leaves_out_what_is_between() -> None:
    """To the first rule of that priority, or the next one of those that may decide."""
    found = policy({"goto": 12}, {"action": "blackhole"}, {"nop": None}, {"table": "100"})
    assert [rule.table for rule in asked(found, GATEWAY, "eth0")] == ["local", "100", "main", "default"]
    assert [str(rule) for rule in found[1:3]] == ["10: goto 12", "11: blackhole"]


@pytest.mark.parametrize("rule", [{"fwmark": "x"}, {"dst": "x"}, {"src": "x"}, {"dst": "10.1.0.1", "dstlen": 77}])
def test_what_ip_never_prints_is_refused(rule: dict[str, Any]) -> None:
    """In a sentence that says where."""
    with pytest.raises(InvalidInput, match=r"^ip rule\[1\]"):
        policy(rule)
