"""Routes as ``ip -j -d route show table all`` tells them, to facts.

There may be very many, and of those most differ in nothing but their destination: only that is read of each.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from ipaddress import ip_network
from operator import attrgetter
from typing import Any, TypeVar

import attrs
from attrs import evolve

from planner.facts.answer import each_object
from planner.facts.model import RouteFact
from planner.facts.opaque import Readable
from planner.kinds.route import NextHop, Route, RouteMetric, RouteState
from planner.text.document import Node
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, IpNetwork, Keyword, parse_address, parse_network

T = TypeVar("T")

_ROUTE_KEYS = {
    "type", "dst", "tos", "gateway", "via", "dev", "table", "protocol", "scope", "prefsrc", "metric", "flags",
    "metrics", "expires", "pref", "nexthops", "nhid", "nh_info", "uid", "age", "users", "used",
}  # fmt: skip
_HOP_FLAGS = {"onlink", "linkdown", "dead", "pervasive", "offload", "trap", "rt_offload", "rt_trap", "unresolved"}
_METRICS = {
    "mtu", "window", "rtt", "rttvar", "ssthresh", "cwnd", "advmss", "reordering", "hoplimit", "initcwnd", "features",
    "rto_min", "initrwnd", "quickack", "congctl", "fastopen_no_cookie",
}  # fmt: skip
_TIMES = ("rtt", "rttvar", "rto_min")
_LONGEST = 1000  # seconds
_WHAT = "ip route"
# How many kinds of routes, and how many routes, are remembered: an operation looks twice and more.
_REMEMBERED = 8192


@frozen(eq=False)
class _Alike:
    """What routes have in common that differ in nothing but their destination."""

    parse: Callable[[str], IpNetwork]
    identity: tuple[Any, ...]
    state: RouteState

    def to(self, dst: str) -> RouteFact:
        """Return the route to ``dst``, as ``ip`` calls it; ValueError if that is no network."""
        return RouteFact(Route(self.parse(dst), *self.identity), self.state)


_identity = attrgetter(*(field.name for field in attrs.fields(Route) if field.name != "dst"))
_route_to = functools.lru_cache(_REMEMBERED)(_Alike.to)
_alike: dict[tuple[str, str], _Alike] = {}


def read_routes(routes4: str, routes6: str, text: str | None, readable: Readable) -> tuple[RouteFact, ...]:
    """Return the routes in the answers of both families, in the kernel's order; InvalidInput if one is no JSON.

    ``text`` is the same without ``-j`` (or None): only that says that a metric is locked.
    """
    families = ((routes4, "0.0.0.0/0"), (routes6, "::/0"))
    told: Iterator[str] = iter(())
    if text:
        lines = _lines(text)
        count = sum(1 for answer, _ in families for _ in each_object(answer, _WHAT))
        told = iter(lines if len(lines) == count else ())

    def read(default: str, node: Node) -> RouteFact:
        line = next(told, None)  # also of one that cannot be read
        return _with_metrics(node, _read(default, node), line)

    return tuple(
        fact
        for answer, default in families
        for fact in readable.each(each_object(answer, _WHAT), partial(read, default))
    )


def _read(default: str, node: Node) -> RouteFact:
    """Return the route in ``node``; one that differs from another only by its destination is not read again."""
    if not isinstance(node.value, dict):
        return _route(node, default)
    key = (default, repr(node.value | {"dst": ""}))
    alike = _alike.get(key)
    if alike is None:
        fact = _route(node, default)
        if len(_alike) >= _REMEMBERED:
            _alike.clear()
        alike = _alike[key] = _Alike(_network_of(default), _identity(fact.resource), fact.state)
    return node.field("dst").parse(partial(_route_to, alike))


def _keyword(node: Node) -> Keyword:
    return node.parse(Keyword)


def _with_metrics(node: Node, fact: RouteFact, line: str | None) -> RouteFact:
    """Return the fact with the metrics of its line of text, marked if it has some and there is none that tells."""
    if not node.has("metrics"):
        return fact
    metrics = fact.state.metrics
    unsupported: str | None = "metrics that could not be read"
    with suppress(ValueError):
        if line is not None:
            words = line.split("\\")[0].split()
            metrics, unsupported = _metrics(words), _not_settable(words)
    return evolve(fact, state=evolve(fact.state, metrics=metrics, unsupported=fact.state.unsupported or unsupported))


def _route(node: Node, default: str) -> RouteFact:
    network = _network_of(default)
    protocol = node.maybe("protocol", _keyword)
    expires = node.maybe("expires", lambda seconds: max(0, seconds.integer(low=-(2**31))))
    resource = Route(
        dst=node.field("dst").parse(network),
        nexthops=_shared(_nexthops(node)),
        nhid=node.maybe("nhid", Node.integer),
        type=node.optional("type", _keyword, Keyword("unicast")),
        table=node.optional("table", _keyword, Keyword("main")),
        metric=node.maybe("metric", Node.integer),
        tos=None if node.has("encap") else node.maybe("tos", _keyword),  # that of an encapsulation is a number
        protocol=protocol,
        # The scope of an IPv6 route is always global, and not for setting (ip-route(8)).
        scope=node.maybe("scope", _keyword) if default == "0.0.0.0/0" else None,
        source=node.maybe("prefsrc", lambda source: source.parse(parse_address)),
    )
    state = RouteState(
        expires=expires,
        preference=node.maybe("pref", _preference),
        learnt=expires is not None and (protocol == "ra" or (protocol == "kernel" and not node.has("gateway"))),
        unsupported=_unsupported(node),
    )
    return RouteFact(resource, _shared(state))


@functools.lru_cache(_REMEMBERED)
def _shared(value: T) -> T:
    """Return an equal value that is there already: of very many routes most have the same ways and state."""
    return value


def _preference(node: Node) -> Keyword | None:
    """Return the preference of a router (RFC 4191), None for medium, which is every route's."""
    return None if node.value == "medium" else _keyword(node)


def _network_of(default: str) -> Callable[[str], IpNetwork]:
    def parse(text: str) -> IpNetwork:
        return ip_network(default) if text == "default" else parse_network(text)

    return parse


def _nexthops(node: Node) -> tuple[NextHop, ...]:
    if node.has("nexthops"):
        return node.field("nexthops").each(_nexthop)
    hop = _nexthop(node)
    return (hop,) if hop != NextHop() else ()


def _nexthop(node: Node) -> NextHop:
    via = node.maybe("gateway", lambda gateway: gateway.parse(parse_address))
    if node.has("via"):
        via = node.field("via").field("host").parse(parse_address)
    flags = node.maybe("flags", Node.texts) or ()
    return NextHop(
        dev=node.maybe("dev", lambda dev: dev.parse(InterfaceName)),
        via=via,
        onlink="onlink" in flags,
        weight=node.optional("weight", Node.integer, 1),
    )


def _unsupported(node: Node) -> str | None:
    """Return what of a route podwire could not give back, in a word, or None."""
    keys = node.keys() - _ROUTE_KEYS
    if "encap" in keys:
        return "an encapsulation"
    several = node.has("nexthops")
    for hop in node.field("nexthops").items() if several else [node]:
        flags = set(hop.maybe("flags", Node.texts) or ())
        keys |= hop.keys() - _ROUTE_KEYS - {"weight"}
        keys |= flags - _HOP_FLAGS
        if several and "dead" in flags:
            return "a way by a link that is down"
    return f"'{min(keys)[:20]}'" if keys else None


def _lines(text: str) -> list[str]:
    """Return the line of each route in the text form."""
    return [line for line in text.splitlines() if line and not line[0].isspace()]


def _metrics(words: list[str]) -> tuple[RouteMetric, ...]:
    """Return the metrics in the text form of a route, which is nearly the input language (ip-route(8))."""
    return tuple(
        # ``rto_min`` is locked whenever it is set, and takes no ``lock``.
        RouteMetric(Keyword(name), Keyword(value), locked=is_locked and name != "rto_min")
        for name, value, is_locked, _ in _shown(words)
    )


def _shown(words: list[str]) -> Iterator[tuple[str, str, bool, str]]:
    """Yield each metric in the text form: its name and value, whether it is locked, and the word after these."""
    padded = [*words, "", ""]
    for index, word in enumerate(words[:-1]):
        if word in _METRICS and words[index - 1] not in ("dev", "table", "proto", "scope"):
            is_locked = words[index + 1] == "lock"
            at = index + 1 + is_locked
            yield word, padded[at], is_locked, padded[at + 1]


def _not_settable(words: list[str]) -> str | None:
    """Return a metric that others than ``ip`` have set, since it could not set it like that; None if there is none.

    It knows one feature, locks ``rto_min`` always, and rounds times that are no whole milliseconds, or very long.
    """
    for name, value, is_locked, more in _shown(words):
        if name == "features" and (value != "ecn" or more.startswith("0x")):
            return f"features {more if value == 'ecn' else value}"
        if name == "rto_min" and not is_locked:
            return "a rto_min that is not locked"
        if name in _TIMES and _is_rounded(value):
            return f"a rounded {name}"
    return None


def _is_rounded(time: str) -> bool:
    """Say whether a time is perhaps another than is shown: of long ones six digits are, of short ones no fraction."""
    return time == "0ms" or (not time.endswith("ms") and float(time.removesuffix("s")) >= _LONGEST)
