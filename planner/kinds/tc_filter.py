"""A tc filter of a link: all that is attached under one preference (tc(8), tc-u32(8), tc-mirred(8))."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from attrs import evolve

from planner.kinds.bpf import Bytecode
from planner.kinds.kind import ChangeLike, Kind, Look, Seen, Touches, link_touch, register
from planner.kinds.shown import differences
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, Keyword, shown

ALL = Keyword("all")
U32, BPF = Keyword("u32"), Keyword("bpf")
_REDIRECT = "mirred redirect"
_MOST_WORDS = 120


@frozen
class U32Match:
    """What u32 compares: the word of a frame at ``offset`` after a mask, both in hexadecimal."""

    value: Keyword
    mask: Keyword
    offset: int = 0

    def __str__(self) -> str:
        return f"0x{self.value}/0x{self.mask} at {self.offset}"


# Matches every frame.
EVERY_FRAME = (U32Match(Keyword("0"), Keyword("0")),)
# UDP to the port of a DHCP server: the words of the IPv4 header and, after one without options, of the UDP header
# (RFC 791, RFC 2131), and of the IPv6 header and what follows it (RFC 8200, RFC 8415).
DHCP_REQUEST = {
    4: (
        Keyword("ip"),
        (U32Match(Keyword("110000"), Keyword("ff0000"), 8), U32Match(Keyword("43"), Keyword("ffff"), 20)),
    ),
    6: (
        Keyword("ipv6"),
        (U32Match(Keyword("1100"), Keyword("ff00"), 4), U32Match(Keyword("223"), Keyword("ffff"), 40)),
    ),
}


@frozen
class FilterRule:
    """One rule of a filter: what it matches, and the link to which it redirects, or None to let pass.

    A ``program`` decides on each frame on its own. ``others`` is what podwire does not make, in the words of tc: to be
    shown and compared, never to be run.
    """

    matches: tuple[U32Match, ...] = ()
    redirect: InterfaceName | None = None
    others: tuple[str, ...] = ()
    program: Bytecode | None = None


@frozen
class FilterState:
    """The protocol and kind of a filter, and its rules in their order."""

    protocol: Keyword
    kind: Keyword
    rules: tuple[FilterRule, ...] = ()

    @property
    def redirects_all(self) -> bool:
        """Say whether every frame is taken away to another link."""
        return self.protocol == ALL and any(map(self._redirects_all, self.rules))

    def _redirects_all(self, rule: FilterRule) -> bool:
        takes_all = self.kind == "matchall" or (self.kind == U32 and rule.matches == EVERY_FRAME)
        return takes_all and (rule.redirect is not None or any(text.startswith(_REDIRECT) for text in rule.others))


@frozen
class TcFilter:
    """A filter at the ingress or egress of a link. ``tc filter add dev eth0 ingress pref 100 …`` (tc(8))."""

    TAG: ClassVar = {"kind": "filter"}
    link: InterfaceName
    direction: Keyword
    pref: int

    def __str__(self) -> str:
        return f"tc filter at the {self.direction} of {self.link} (pref {self.pref})"


def _observe(seen: Seen, resource: TcFilter, _like: Any) -> FilterState | None:
    found: FilterState | None = seen.entries.get(resource)
    return found


def _words(change: ChangeLike) -> list[str]:
    return [f"{change.resource.direction} filter, pref {change.resource.pref}: {rules_words(change.known_state)}"]


def _drift(change: ChangeLike) -> list[str]:
    """Return what differs, in the words of a preview: a rule is a class of its own, and no text for people."""
    seen: Any = change.before
    wanted: Any = change.after
    lines = [f"{change.resource.direction} filter, pref {change.resource.pref}"]
    lines += differences(evolve(seen, rules=wanted.rules), wanted)
    if seen.rules != wanted.rules:
        words, applied = rules_words(seen), rules_words(wanted)
        lines.append(f"{words}, was applied as {'another one' if words == applied else applied}")
    return lines


def rules_words(state: FilterState) -> str:
    """Return what a filter does, fit for a terminal whatever others have called things."""
    lines = []
    for rule in state.rules:
        if rule.program:
            lines.append(f"a program of {rule.program.length} instructions decides")
            continue
        does = f"to {rule.redirect}" if rule.redirect else ", ".join(rule.others) or "pass"
        lines.append(f"{_matched(rule, state)} {does}")
    return shown("; ".join(lines) or state.kind, _MOST_WORDS).strip("'")


def _matched(rule: FilterRule, state: FilterState) -> str:
    if rule.matches == EVERY_FRAME:
        return "all frames"
    family = next((family for family, found in DHCP_REQUEST.items() if found == (state.protocol, rule.matches)), None)
    if family is not None:
        return "DHCP requests" if family == 4 else "DHCPv6 requests"
    return ", ".join(map(str, rule.matches)) or state.kind


def _looks(resource: TcFilter, state: FilterState) -> Iterator[Look]:
    argv = ["tc", "filter", "show", "dev", resource.link, str(resource.direction)]
    yield argv, f" pref {resource.pref} {re.escape(state.kind)} "
    for rule in state.rules:
        if rule.redirect:
            yield argv, rf" pref {resource.pref} .*Egress Redirect to device {re.escape(rule.redirect)}\)"
        if rule.program:
            yield argv, rf" pref {resource.pref} .*bytecode '{rule.program.replace('+', ' ')}'"


def _touches(change: ChangeLike) -> Touches:
    states = (state for state in (change.before, change.after) if state is not None)
    targets = (rule.redirect for state in states for rule in state.rules if rule.redirect)
    return frozenset(map(link_touch, (change.resource.link, *targets)))


FILTER = register(
    Kind(
        name="filter",
        resource=TcFilter,
        state=FilterState,
        template="tc_filter.j2",
        observe=_observe,
        subject=lambda resource: str(resource.link),
        words=_words,
        drift=_drift,
        looks=_looks,
        links=lambda resource: frozenset((resource.link,)),
        touches=_touches,
    )
)
