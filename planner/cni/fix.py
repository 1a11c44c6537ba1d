"""Making a CNI result true: plugins leave interfaces out, number them wrongly, or know none (Weave).

A result is binding: an address that it gives to a link is on that link, or the result is refused.
"""

from __future__ import annotations

from attrs import evolve

from planner.cni.links import EXTRACTED_VERSION, VETH, extract_link_info, find_veth
from planner.cni.result import CniInterface, CniResult
from planner.errors import InvalidInput
from planner.facts.model import LinkFact, NamespaceFacts
from planner.text.values import InterfaceName, IpInterface, is_ipv6_link_local

_WITHOUT_INTERFACES = ("0.1.0", "0.2.0")
_LOOPBACK = "lo"


def validate_and_fix_cni_result(result: CniResult, facts: NamespaceFacts, sandbox: str) -> CniResult:
    """Return ``result`` with each address matched to the link of the namespace that carries it.

    ``sandbox`` is the path of the namespace; what is ``passed_over`` is left out. A result with one address that names
    no link in the sandbox (Weave, spec 0.2.0) is replaced by what the only veth really has, if that carries the
    address; its DNS is kept. On a namespace that is wired already the recorded facts are handed in. Raises InvalidInput
    for a result with neither an address nor a link, or with an address that its link, or any, does not carry.
    Reference: ValidateAndFixCNIResult.
    """
    fixed = _without(result, set(passed_over(result, facts, sandbox)))
    if not fixed.ips and not fixed.sandboxed_interfaces():
        raise InvalidInput(
            "result: it has no IP address and names no link in the namespace, so there is nothing to give to the VM"
        )
    veths = [link for link in facts.links if link.type == VETH]
    is_nameless = len(fixed.ips) == 1 and not fixed.sandboxed_interfaces()
    if is_nameless and len(veths) == 1 and veths[0].name in facts.carriers(fixed.ips[0].address):
        return evolve(extract_link_info(find_veth(facts.links), facts, sandbox), dns=fixed.dns)
    if fixed.version in _WITHOUT_INTERFACES:
        fixed = evolve(fixed, version=EXTRACTED_VERSION)
    for position in range(len(fixed.ips)):
        fixed = _match_ip(fixed, position, _carrier(fixed, position, facts), sandbox)
    return fixed


def passed_over(result: CniResult, facts: NamespaceFacts, sandbox: str) -> dict[int, str]:
    """Return which interfaces of a result are none to wire, by their index, and why (a sentence each)."""
    ours = _our_sandboxes(result, sandbox)
    why = {}
    for index, interface in enumerate(result.interfaces):
        if interface.sandbox is None:
            continue
        if interface.name == _LOOPBACK:
            why[index] = "ignoring lo from the CNI result: it belongs to the namespace itself"
        elif interface.socket_path is not None:
            why[index] = f"ignoring {interface.name} from the CNI result: it is a socket, which the VMM opens itself"
        elif interface.sandbox not in ours:
            why[index] = f"ignoring {interface.name} from the CNI result: it is in another sandbox"
        elif interface.pci_id is not None and facts.link(interface.name) is None:
            why[index] = f"ignoring {interface.name} from the CNI result: it is a device without a link"
    return why


def _our_sandboxes(result: CniResult, sandbox: str) -> set[str]:
    """Return the sandboxes of a result that mean the namespace: its path, else all paths, else all.

    Runtimes name one namespace by several paths. An id of theirs is a sandbox too, of what isn't in the namespace
    (Firecracker's tap in the VM).
    """
    named = {interface.sandbox for interface in result.interfaces if interface.sandbox is not None}
    same = {name for name in named if _plain(name) == _plain(sandbox)}
    return same or {name for name in named if name.startswith("/")} or named


def _plain(path: str) -> str:
    return path.replace("/var/run/", "/run/", 1) if path.startswith("/var/run/") else path


def _without(result: CniResult, left_out: set[int]) -> CniResult:
    """Return the result without some interfaces and their addresses, the others numbered again."""
    if not left_out:
        return result
    kept = [index for index in range(len(result.interfaces)) if index not in left_out]
    number = {index: position for position, index in enumerate(kept)}
    ips = tuple(
        ip if ip.interface is None else evolve(ip, interface=number[ip.interface])
        for ip in result.ips
        if ip.interface is None or ip.interface in number
    )
    return evolve(result, interfaces=tuple(result.interfaces[index] for index in kept), ips=ips)


def _carrier(result: CniResult, position: int, facts: NamespaceFacts) -> LinkFact:
    """Return the link that carries exactly the address at ``position``: its own, else another one that is named.

    Only an address of which the result doesn't say a link in the sandbox may be that of a link which it doesn't name.
    """
    ip = result.ips[position]
    carriers = tuple(name for name in facts.carriers(ip.address) if facts.link(name))
    given = None if ip.interface is None else result.interfaces[ip.interface]
    own = given.name if given is not None and given.sandbox else None
    named = [interface.name for interface in result.sandboxed_interfaces()]
    candidates = [name for name in (own, *named) if name in carriers] or ([] if own else carriers)
    link = facts.link(candidates[0]) if candidates and candidates[0] else None
    if link is None:
        is_strange = not any(facts.carriers(other.address) for other in result.ips)
        question = ": is this another pod's result?" if is_strange else ""
        raise InvalidInput(f"result.ips[{position}].address: {_mismatch(ip.address, own, facts)}{question}")
    return link


def _mismatch(address: IpInterface, own: InterfaceName | None, facts: NamespaceFacts) -> str:
    """Return why an address of the result is no link's, or not that of its ``own`` link; and what the link has."""
    carriers = facts.carriers(address)
    if own is not None and carriers and facts.link(carriers[0]):
        return f"{own} does not carry {address.with_prefixlen}, which is {carriers[0]}'s ({_addresses_on(own, facts)})"
    said = f"no link of the namespace carries {address.with_prefixlen}"
    return said if own is None or facts.link(own) is None else f"{said} ({_addresses_on(own, facts)})"


def _addresses_on(name: InterfaceName, facts: NamespaceFacts) -> str:
    found = [fact.resource.address for fact in facts.addresses_of(name)]
    shown = [_text(address) for address in found if not is_ipv6_link_local(address)]
    return f"{name} has {', '.join(shown) or 'no address'}"


def _text(address: IpInterface) -> str:
    return address.with_prefixlen


def _match_ip(result: CniResult, position: int, link: LinkFact, sandbox: str) -> CniResult:
    """Return the result with the IP at ``position`` pointing at ``link``, which is appended if it is missing."""
    interfaces = result.interfaces
    index = next(
        (i for i, interface in enumerate(interfaces) if interface.name == link.name and interface.sandbox),
        len(interfaces),
    )
    if index == len(interfaces):
        interfaces = (*interfaces, CniInterface(name=link.name, mac=link.mac, sandbox=sandbox))
    ips = tuple(evolve(ip, interface=index) if i == position else ip for i, ip in enumerate(result.ips))
    return evolve(result, interfaces=interfaces, ips=ips)
