"""Virtual functions (SR-IOV): what sysfs and ``ip link`` of the host say of them, and what their links have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from attrs import evolve

from planner.facts.model import FunctionFact, LinkFact
from planner.kinds.sysctl import ConfValue
from planner.kinds.vf_setting import VfSettingState
from planner.text.document import Node
from planner.text.values import InterfaceName, Keyword, MacAddress, PciAddress, SysctlValue

T = TypeVar("T")

_NUMBER = r"[0-9]{1,9}"


def read_functions(found: Mapping[str, Mapping[str, str]], links: Iterable[Node]) -> tuple[FunctionFact, ...]:
    """Return the virtual functions of the host: their files in sysfs, by their address, and what ``ip link`` says.

    Raises InvalidInput if either says what it never says.
    """
    if not found:
        return ()
    physical = {node.field("ifname").text(): node for node in links}
    nodes = {address: Node(dict(files), f"sysfs {address}") for address, files in found.items()}
    return tuple(_function(address, files, physical) for address, files in nodes.items())


def _function(address: str, files: Node, links: Mapping[str, Node]) -> FunctionFact:
    number = files.field("number").parse(int)
    pf = _maybe(files, "pf", InterfaceName)
    link = links.get(pf or "")
    group = files.field("group").text()
    return FunctionFact(
        address=Node(address, "sysfs").parse(PciAddress),
        physfn=files.field("physfn").parse(PciAddress),
        number=number,
        pf=pf,
        pf_carrier=link is not None and "LOWER_UP" in link.field("flags").texts(),
        setting=None if link is None else _setting(link, number),
        driver=_maybe(files, "driver", Keyword),
        override=_maybe(files, "override", Keyword),
        group=int(group) if re.fullmatch(_NUMBER, group) else None,
        group_devices=tuple(PciAddress(other) for other in files.field("group_devices").text().split()),
        interface=_maybe(files, "interface", InterfaceName),
        vfio=files.field("vfio").text() == "1",
    )


def _maybe(files: Node, key: str, kind: Callable[[str], T]) -> T | None:
    node = files.field(key)
    return node.parse(kind) if node.value else None


def _setting(link: Node, number: int) -> VfSettingState | None:
    """Return what a physical function enforces of one of its virtual ones (ip-link(8), "vf")."""
    for node in _list(link, "vfinfo_list"):
        if node.field("vf").integer() == number:
            vlan = next(iter(_list(node, "vlan_list")), node)
            rate = node.optional("rate", lambda found: found, Node({}, node.path))
            return VfSettingState(
                mac=node.field("address").parse(MacAddress),
                vlan=vlan.optional("vlan", Node.integer, 0),
                qos=vlan.optional("qos", Node.integer, 0),
                vlan_protocol=vlan.optional("protocol", lambda name: name.parse(Keyword), Keyword("802.1Q")),
                spoof_check=node.maybe("spoofchk", Node.boolean),
                trust=node.maybe("trust", Node.boolean),
                link_state=node.maybe("link_state", lambda state: state.parse(Keyword)),
                min_rate=rate.optional("min_tx", Node.integer, 0),
                max_rate=rate.optional("max_tx", Node.integer, 0),
            )
    return None


def _list(node: Node, key: str) -> tuple[Node, ...]:
    return node.maybe(key, lambda found: tuple(found.items())) or ()


def with_conf(links: tuple[LinkFact, ...], conf: Mapping[str, Mapping[str, str]]) -> tuple[LinkFact, ...]:
    """Return the links with the sysctls in which those of PCI devices differ from the namespace's default."""
    return tuple(evolve(link, conf=tuple(_values(conf[link.name]))) if conf.get(link.name) else link for link in links)


def _values(found: Mapping[str, str]) -> Iterator[ConfValue]:
    for key, value in found.items():
        family, _, name = key.partition("/")
        yield ConfValue(Keyword(family), Keyword(name), SysctlValue(value))
