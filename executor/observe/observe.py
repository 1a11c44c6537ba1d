"""Looking at a namespace: what ``ip``, ``ebtables-save``, ``nft`` and /proc/sys say, as facts. Changes nothing."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import re
import time
from collections.abc import Callable, Mapping
from typing import Self, TypeAlias

from attrs import evolve

from executor.errors import HostError
from executor.netns.namespace import Namespace
from executor.observe.ebtables import EbtablesSave, close_begun
from executor.observe.hooks import read_all_filters, read_netfilter_hooks, read_qdiscs
from executor.observe.makers import (
    read_address_makers,
    read_groups,
    read_ipv6_mtus,
    read_making_temporary,
    read_neighbour_types,
    read_route_makers,
)
from executor.process.background import Task
from executor.process.ip_batch import IpBatch
from executor.process.result import CommandResult, is_interrupted, one_line
from executor.process.run import start_program
from planner.errors import InvalidInput
from planner.facts.hooks import NetfilterHook
from planner.facts.makers import AddressMakers
from planner.facts.model import NamespaceFacts, ResourceFact
from planner.facts.parse import ProbeOutput, read_probes, read_rules
from planner.text.values import Alias, NetnsPath

# An ip that was asked for a link shows all of each link with its addresses (docs/kernel.md).
_LINKS, _ANY_LINK = "ip link show", "ip link show dev lo"
_QUESTIONS = (
    "ip addr show",
    "ip route show table all root 0.0.0.0/0",
    "ip route show table all root ::/0",
    "ip neigh show nud all",
    "ip neigh show proxy",
    "ip rule show",
)
_ROUTES = _QUESTIONS[1:3]
_TRIES = 5
_NOT_LEARNT = ("PERMANENT", "NOARP", "managed", "extern_learn")
_SET = rf'"dst":"\d+\.[^{{}}]*"(?:{"|".join(_NOT_LEARNT)})"'
_PCI = '"parentbus":"pci"'
_SHOWN_AS_LINK = '"linkmode":'  # what ip addr shows of a link only then
# A tap that belongs to somebody.
_OWNED = re.compile(r'"info_kind":"tun","info_data":\{[^{}]*"(?:user|group)":')
_MANAGED = '"mngtmpaddr"'
_CONF = "/proc/sys/net/{}/conf"
_LINK_SYSCTLS = ("accept_dad", "accept_ra")
# Of IPv4 only a link of which accept_local is set is included: podwire sets it, and hardly anybody else.
_ACCEPT_LOCAL, _RP_FILTER = "accept_local", "rp_filter"
# Told only if it is set: plans of earlier versions, which did not look, keep their digest.
_KEEP = "keep_addr_on_down"
_MOST_OF_SYSCTL = 4096
_BRIDGE_SYSCTLS = ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-call-arptables")


# What podwire reads itself: sysctls, queueing disciplines, hooks, who made addresses, and the groups listened to.
_Rest: TypeAlias = tuple[
    dict[str, str], tuple[ResourceFact, ...], tuple[NetfilterHook, ...], AddressMakers | None, str | None
]


class Observation:
    """A look at a namespace that has begun: programs are at it, and the answers are still to be read."""

    def __init__(
        self,
        namespace: Namespace,
        session: IpBatch,
        timeout: float,
        *,
        rules: Task[EbtablesSave] | None = None,
        needs_rules: bool = False,
    ) -> None:
        """Begin to look; ``session`` is an open JSON one in ``namespace``, ``timeout`` seconds for a program.

        ``rules`` is an ``ebtables-save`` that was begun before, since when no rule has changed. With ``needs_rules``
        it is started where there are none, too.
        """
        self._namespace = namespace
        self._session: IpBatch | None = session
        self._timeout = timeout
        self._rules = rules
        self._inside: Task[_Rest] | None = None
        try:
            session.begin(*(question.split() for question in (_ANY_LINK, *_QUESTIONS)))
            self._inside = namespace.begin(lambda: self._look_inside(needs_rules))
        except BaseException:
            self.close()
            raise

    def result(self) -> NamespaceFacts:
        """Return what was seen. To be called once.

        Raises HostError if ``ip`` does not answer, InvalidInput if it answers what podwire does not understand.
        """
        with self:
            found = self._read_network()
            assert self._rules is not None  # noqa: S101  it was begun
            rules = self._rules.result().result()
        return evolve(found, ebtables=read_rules(rules.save, rules.chains, rules.problem))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what nobody will look at any more; a second time, or after ``result``, does nothing."""
        session, self._session = self._session, None
        if session is not None:
            session.abandon()
        if self._inside is not None:
            self._inside.wait()
        if self._rules is not None:
            close_begun(self._rules)

    def _look_inside(self, needs_rules: bool) -> _Rest:  # noqa: FBT001
        """Start reading the rules, and return what podwire reads itself; runs inside, while ``ip`` is at work."""
        if self._rules is None:
            self._rules = Task(lambda: EbtablesSave(self._namespace, self._timeout, must_work=needs_rules))
            self._rules.run()
        return _read_sysctls(), read_qdiscs(), read_netfilter_hooks(), read_address_makers(), read_groups()

    def _read_network(self) -> NamespaceFacts:
        """Return all but the rules, which another program reads at the same time."""
        session, inside = self._session, self._inside
        assert session is not None and inside is not None  # noqa: S101, PT018  called once
        session.answer()
        addresses, routes4, routes6, neighbours, proxies, policy = _answers(session, _QUESTIONS)
        links = addresses if _SHOWN_AS_LINK in addresses else _ask(session, (_LINKS,))[0]
        sysctls, qdiscs, hooks, makers, groups = inside.result()
        route_text = None
        if '"metrics"' in routes4 or '"metrics"' in routes6:
            routes4, routes6, route_text = _with_text(routes4, routes6, self._namespace, session, self._timeout)
        self._session = None
        answers = ProbeOutput(
            links=_numeric_owners(links),
            addresses=addresses,
            routes4=routes4,
            routes6=routes6,
            neighbours=neighbours,
            proxies=proxies,
            route_text=route_text,
            ebtables_save="",
            nft_chains=None,
            ebtables_problem=None,
            sysctls=sysctls,
            functions=_read_functions() if self._namespace.is_of_the_host else {},
            conf=self._namespace.call(lambda: _read_conf(links)) if _PCI in links else {},
            observed_at=time.time(),
            address_makers=makers,
            groups=groups,
            neighbour_types=self._namespace.call(read_neighbour_types) if _are_set(neighbours) else {},
            route_makers=self._namespace.call(read_route_makers) if _needs_marks(routes6) else None,
            policy=policy,
            ipv6_mtus=self._namespace.call(read_ipv6_mtus) if _is_one_down(links) else {},
            making_temporary=self._namespace.call(read_making_temporary) if _MANAGED in addresses else (),
        )
        found = read_probes(answers)
        if _has_foreign_port(found):
            found = read_probes(evolve(answers, bridge_fdb=self._bridge("fdb"), bridge_mdb=self._bridge("mdb")))
        filters = read_all_filters(qdiscs, self._namespace, self._timeout)
        return evolve(found, others=(*found.others, *qdiscs, *filters), hooks=hooks)

    def _bridge(self, table: str) -> str:
        """Return what bridges keep of their ports, in JSON. Raises HostError where ``bridge`` does not answer."""
        argv = ("bridge", "-j", "-d", table, "show")
        with start_program(argv, namespace=self._namespace, stdin=None, timeout=self._timeout) as running:
            return _answer(running.result(), " ".join(argv))


def _read_functions() -> dict[str, dict[str, str]]:
    """Return the virtual functions of the host, where this is its namespace."""
    from executor.observe.functions import read_functions  # noqa: PLC0415  a pod's is another

    return read_functions()


def _read_conf(links: str) -> dict[str, dict[str, str]]:
    """Return the sysctls in which links of PCI devices, which hardly any pod has, differ from the default."""
    from executor.observe.functions import read_conf  # noqa: PLC0415

    return read_conf(link["ifname"] for link in json.loads(links, strict=False) if link.get("parentbus") == "pci")


def observe_netns(netns: NetnsPath, *, timeout: float) -> NamespaceFacts:
    """Return what is in the namespace at ``netns`` now, opening it only for that. Raises what ``observe`` does."""
    with Namespace.open(netns) as namespace:
        return observe_once(namespace, timeout=timeout)


def observe_once(namespace: Namespace, *, timeout: float) -> NamespaceFacts:
    """Return what is in ``namespace`` now, with an ``ip`` opened only for that."""
    with IpBatch(namespace, timeout=timeout) as session:
        return Observation(namespace, session, timeout).result()


def _ask(session: IpBatch, questions: tuple[str, ...]) -> list[str]:
    session.begin(*(question.split() for question in questions))
    return _answers(session, questions)


def _answers(session: IpBatch, questions: tuple[str, ...]) -> list[str]:
    """Return what was answered; a dump that the kernel calls interrupted is asked for again, a few times."""
    replies = list(session.finish())
    for at, question in enumerate(questions):
        for _ in range(_TRIES):
            if not is_interrupted(replies[at]):
                break
            session.begin(question.split())
            (replies[at],) = session.finish()
    return [_answer(reply, question) for reply, question in zip(replies, questions, strict=True)]


def _answer(reply: CommandResult, question: str) -> str:
    if is_interrupted(reply):
        raise HostError(f"{question}: the kernel's tables change faster than they can be read: try again")
    if not reply.ok or reply.stderr.strip():
        raise HostError(f"{question} failed: {one_line(reply.stderr) or f'status {reply.rc}'}")
    return reply.stdout


def _with_text(
    routes4: str, routes6: str, namespace: Namespace, session: IpBatch, timeout: float
) -> tuple[str, str, str]:
    """Return the routes of both families and the same as text: only that says that a metric is locked.

    Both are asked for again if a route came or went between the two: the kernel enters the local route of an IPv6
    address by and by.
    """
    routes, text = [routes4, routes6], ""
    with IpBatch(namespace, timeout=timeout, json=False) as as_text:
        for _ in range(_TRIES):
            text = "".join(_ask(as_text, _ROUTES))
            before, routes = routes, _ask(session, _ROUTES)
            if routes == before:
                break
    return routes[0], routes[1], text


def _read_sysctls() -> dict[str, str]:
    """Return the sysctls that podwire may change, by key; runs inside: /proc/sys/net is that of the caller."""
    found: dict[str, str] = {}
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        for link in sorted(os.listdir(_CONF.format("ipv6"))):
            for name in _LINK_SYSCTLS:
                _read_into(found, f"net/ipv6/conf/{link}/{name}")
            _read_into(found, key := f"net/ipv6/conf/{link}/{_KEEP}")
            if found.get(key) == "0":
                del found[key]
    for link in sorted(os.listdir(_CONF.format("ipv4"))):
        own: dict[str, str] = {}
        _read_into(own, key := f"net/ipv4/conf/{link}/{_ACCEPT_LOCAL}")
        if own.get(key, "0") != "0":
            _read_into(own, f"net/ipv4/conf/{link}/{_RP_FILTER}")
            found |= own
    for name in _BRIDGE_SYSCTLS:
        _read_into(found, f"net/bridge/{name}")
    return found


def _read_into(found: dict[str, str], key: str) -> None:
    try:
        fd = os.open(f"/proc/sys/{key}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # a link may go while it is read; br_netfilter may not be loaded
        return
    try:
        found[key] = os.read(fd, _MOST_OF_SYSCTL).decode("ascii").strip()
    finally:
        os.close(fd)


def _is_one_down(links: str) -> bool:
    """Say whether a link is down, as far as it can be told without reading all of them."""
    return links.count('"ifname":') > links.count(',"UP"')


def _needs_marks(routes6: str) -> bool:
    """Say whether a route looks advertised, or has several ways: what ``ip`` prints of them is not all."""
    return '"expires"' in routes6 or '"nexthops"' in routes6


def _are_set(neighbours: str) -> bool:
    """Say whether an IPv4 neighbour was perhaps set by somebody."""
    return any(word in neighbours for word in _NOT_LEARNT) and re.search(_SET, neighbours) is not None


def _has_foreign_port(found: NamespaceFacts) -> bool:
    """Say whether a bridge that podwire did not make has a port."""
    bridges = {link.name for link in found.links if link.type == "bridge" and not Alias.is_ours(link.alias)}
    return any(link.master in bridges for link in found.links)


def _numeric_owners(links: str) -> str:
    """Return the links with the owners of taps as numbers: ``ip`` prints the names that this host has for them."""
    if not _OWNED.search(links):
        return links
    try:
        found = json.loads(links, strict=False)
    except ValueError:
        raise InvalidInput("ip link did not answer in JSON") from None
    for link in found:
        info = link.get("linkinfo", {})
        if info.get("info_kind") != "tun":
            continue  # the group of a vxlan is that of its multicast
        data = info.get("info_data", {})
        _to_number(data, "user", lambda name: pwd.getpwnam(name).pw_uid)
        _to_number(data, "group", lambda name: grp.getgrnam(name).gr_gid)
    return json.dumps(found)


def _to_number(data: Mapping[str, object], key: str, look_up: Callable[[str], int]) -> None:
    name = data.get(key)
    if isinstance(data, dict) and isinstance(name, str) and not name.isdecimal():
        with contextlib.suppress(KeyError):  # such a tap stays opaque
            data[key] = look_up(name)
