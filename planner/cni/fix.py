"""Making a CNI result say what is true: plugins leave interfaces out, number them wrongly, or know none (Weave)."""

from __future__ import annotations

from attrs import evolve

from planner.cni.links import EXTRACTED_VERSION, VETH, extract_link_info, find_veth
from planner.cni.result import CniInterface, CniResult
from planner.errors import InvalidInput
from planner.facts.model import LinkFact, NamespaceFacts
from planner.text.values import IpInterface

_WITHOUT_INTERFACES = ("0.1.0", "0.2.0")


def validate_and_fix_cni_result(result: CniResult, facts: NamespaceFacts, sandbox: str) -> CniResult:
    """Return ``result`` with each address matched to the link of the namespace that carries it.

    A result that knows no interface of its one address, or no routes (Weave, spec 0.2.0), is replaced by what the only
    veth really has; its DNS is kept. ``sandbox`` is the path of the namespace. On a namespace that is wired already
    the recorded facts are handed in. Raises InvalidInput for a result without an address, or with one that no link
    carries. Reference: ValidateAndFixCNIResult.
    """
    if not result.ips:
        raise InvalidInput("result: it has no IP address, so there is nothing to give to the VM")
    if _knows_too_little(result) and sum(link.type == VETH for link in facts.links) == 1:
        return _from_the_veth(result, facts, sandbox)
    fixed = result if result.version not in _WITHOUT_INTERFACES else evolve(result, version=EXTRACTED_VERSION)
    for position in range(len(result.ips)):
        fixed = _match_ip(fixed, position, _carrier(result, position, facts), sandbox)
    return fixed


def _knows_too_little(result: CniResult) -> bool:
    if len(result.ips) != 1:
        return False
    index = result.ips[0].interface
    is_inside = index is not None and result.interfaces[index].sandbox is not None
    return not is_inside or not result.routes


def _from_the_veth(result: CniResult, facts: NamespaceFacts, sandbox: str) -> CniResult:
    veth = find_veth(facts.links)
    found = extract_link_info(veth, facts, sandbox)
    if not found.ips:
        raise InvalidInput(f"result.ips[0].address: {veth.name}, the only veth of the namespace, has no address")
    return evolve(found, dns=result.dns)


def _carrier(result: CniResult, position: int, facts: NamespaceFacts) -> LinkFact:
    """Return the link that carries exactly the address at ``position``; of several the one that the result names."""
    ip = result.ips[position]
    names = facts.carriers(ip.address)
    named = None if ip.interface is None else result.interfaces[ip.interface].name
    link = facts.link(named if named in names else names[0]) if names else None
    if link is None:
        raise InvalidInput(f"result.ips[{position}].address: no link of the namespace carries {_text(ip.address)}")
    return link


def _text(address: IpInterface) -> str:
    return address.with_prefixlen


def _match_ip(result: CniResult, position: int, link: LinkFact, sandbox: str) -> CniResult:
    """Return the result with the IP at ``position`` pointing at ``link``, which is appended where it is missing."""
    interfaces = result.interfaces
    index = next(
        (i for i, interface in enumerate(interfaces) if interface.name == link.name and interface.sandbox),
        len(interfaces),
    )
    if index == len(interfaces):
        interfaces = (*interfaces, CniInterface(name=link.name, mac=link.mac, sandbox=sandbox))
    ips = tuple(evolve(ip, interface=index) if i == position else ip for i, ip in enumerate(result.ips))
    return evolve(result, interfaces=interfaces, ips=ips)
