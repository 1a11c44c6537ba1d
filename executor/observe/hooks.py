"""Looking for what may see frames of a link: qdiscs with filters, and base chains of nftables.

Most namespaces have neither, and asking the kernel costs less than starting ``tc`` or ``nft``; ``tc`` is only started
if there is a qdisc that can have filters.
"""

from __future__ import annotations

import _socket
import struct
from collections.abc import Iterator, Sequence

from executor.errors import HostError
from executor.netns.namespace import Namespace
from executor.observe.netlink import attributes, dump
from executor.process.result import is_interrupted, one_line
from executor.process.run import run_program
from planner.facts.hooks import NetfilterHook
from planner.facts.model import ResourceFact
from planner.text.values import InterfaceName, Keyword

_NETLINK_ROUTE, _NETLINK_NETFILTER = 0, 12
# <linux/rtnetlink.h>: RTM_GETQDISC, and struct tcmsg.
_GET_QDISC = 38
_TCMSG = struct.Struct("=BxHiIII")
_TCA_KIND = 1
# <linux/netfilter/nf_tables.h>: NFT_MSG_GETTABLE and NFT_MSG_GETCHAIN of the subsystem 10, and the attributes of a
# chain and its hook.
_GET_TABLE, _GET_CHAIN = 10 << 8 | 1, 10 << 8 | 4
_TABLE, _NAME, _HOOK, _POLICY, _USE = 1, 3, 4, 5, 6
_HOOKNUM, _DEVICE, _DEVICES = 1, 3, 4
_ACCEPT = 1
_TRIES = 5
_BRIDGE = 7
_FAMILIES = {5: Keyword("netdev"), _BRIDGE: Keyword("bridge")}
_HOOKS = {
    5: ("ingress", "egress"),
    7: ("prerouting", "input", "forward", "output", "postrouting"),
}
_OF_EBTABLES = ("INPUT", "FORWARD", "OUTPUT")
_DIRECTIONS = {Keyword("ingress"): ("ingress",), Keyword("clsact"): ("ingress", "egress")}


def read_qdiscs() -> tuple[ResourceFact, ...]:
    """Return the qdiscs of the caller's namespace that can have filters of ours or others on a link's way in or out."""
    found = []
    for body in dump(_NETLINK_ROUTE, _GET_QDISC, _TCMSG.pack(0, 0, 0, 0, 0, 0)):
        kind = dict(attributes(body[_TCMSG.size :])).get(_TCA_KIND, b"").rstrip(b"\0")
        if kind in (b"ingress", b"clsact"):
            from planner.kinds.qdisc import IngressQdisc, QdiscState  # noqa: PLC0415  most pods have none

            index = _TCMSG.unpack_from(body)[2]
            try:
                name = InterfaceName(_socket.if_indextoname(index))
                found.append(ResourceFact(IngressQdisc(name), QdiscState(Keyword(kind.decode()))))
            except (OSError, ValueError):  # it is gone by now, or has a name that podwire never touches
                continue
    return tuple(found)


def read_netfilter_hooks() -> tuple[NetfilterHook, ...]:
    """Return the base chains of the families netdev and bridge in the caller's namespace."""
    chains = ((family, chain) for family, chain in _base_chains() if not _is_of_ebtables(family, chain))
    found = (_hook(family, chain) for family, chain in chains)
    return tuple(sorted(found, key=lambda hook: (hook.family, hook.table, hook.chain)))


def has_bridge_tables() -> bool:
    """Say whether the caller's namespace has a table that ebtables-save could print, or that cannot be known."""
    try:
        return bool(dump(_NETLINK_NETFILTER, _GET_TABLE, struct.pack("=BBH", _BRIDGE, 0, 0)))
    except OSError:  # a kernel without nftables: ebtables-save says what is missing
        return True


def has_ebtables_chains() -> bool:
    """Say whether the caller's namespace has base chains that ebtables-save prints."""
    return any(_is_of_ebtables(family, chain) for family, chain in _base_chains())


def _base_chains() -> Iterator[tuple[int, dict[int, bytes]]]:
    try:
        bodies = dump(_NETLINK_NETFILTER, _GET_CHAIN, struct.pack("=BBH", 0, 0, 0))
    except OSError:  # a kernel without nftables, and so without chains
        return
    for body in bodies:
        family, chain = body[0], dict(attributes(body[4:]))
        if family in _FAMILIES and _HOOK in chain:
            yield family, chain


def _is_of_ebtables(family: int, chain: dict[int, bytes]) -> bool:
    """Say whether a chain is what ebtables-save prints, and therefore observed already."""
    return _FAMILIES[family] == "bridge" and _text(chain[_TABLE]) == "filter" and _text(chain[_NAME]) in _OF_EBTABLES


def _hook(family: int, chain: dict[int, bytes]) -> NetfilterHook:
    hook = dict(attributes(chain[_HOOK]))
    number = _number(hook, _HOOKNUM)
    names = _HOOKS[family]
    devices = {_text(value) for _, value in attributes(hook.get(_DEVICES, b""))}
    devices |= {_text(hook[_DEVICE])} if _DEVICE in hook else set()
    return NetfilterHook(
        family=_FAMILIES[family],
        table=_text(chain.get(_TABLE, b"")),
        chain=_text(chain.get(_NAME, b"")),
        hook=Keyword(names[number]) if number < len(names) else Keyword(f"hook{number}"),
        accepts=_number(chain, _POLICY, _ACCEPT) == _ACCEPT,
        rules=_number(chain, _USE),
        devices=tuple(sorted(devices)),
    )


def _number(found: dict[int, bytes], key: int, default: int = 0) -> int:
    return int.from_bytes(found[key], "big") if key in found else default


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace")


def read_all_filters(qdiscs: Sequence[ResourceFact], namespace: Namespace, timeout: float) -> tuple[ResourceFact, ...]:
    """Return the filters of ``qdiscs``, as ``tc`` tells them. Raises HostError if it fails or is missing."""
    return tuple(
        found
        for qdisc in qdiscs
        for direction in _DIRECTIONS[qdisc.state.kind]
        for found in _filters(qdisc.resource.link, Keyword(direction), namespace, timeout)
    )


def _filters(link: InterfaceName, direction: Keyword, namespace: Namespace, timeout: float) -> tuple[ResourceFact, ...]:
    from planner.facts.tc import read_filters  # noqa: PLC0415  see above

    argv = ("tc", "-j", "filter", "show", "dev", link, direction)
    for _ in range(_TRIES):
        answer = run_program(argv, namespace=namespace, stdin=None, timeout=timeout)
        if not is_interrupted(answer):
            break
    if not answer.ok or is_interrupted(answer):
        raise HostError(f"the tc filters of {link} cannot be read: {one_line(answer.stderr) or answer.rc}")
    return read_filters(answer.stdout, link, direction)
