"""What serving a guest needs of a wiring, whichever it is: families, routers, and addresses for the server."""

from __future__ import annotations

from ipaddress import ip_interface

from planner.facts.model import NamespaceFacts
from planner.guest.model import SERVER_LINK_LOCAL
from planner.kinds.route import KERNEL
from planner.text.values import InterfaceName, IpInterface, is_ipv6_link_local
from planner.wiring.base import Slot, WiringRequest


def served_families(link: InterfaceName, facts: NamespaceFacts) -> set[int]:
    """Return the families in which a link has addresses; in the others it is a wire, and the network serves the VM."""
    found = (fact.resource.address for fact in facts.addresses_of(link))
    return {address.version for address in found if not is_ipv6_link_local(address)}


def listens_to_routers(link: InterfaceName, facts: NamespaceFacts) -> bool:
    """Say whether a link has what router advertisements gave it; its routers are the guest's too."""
    learnt = [fact.state.learnt for fact in facts.addresses_of(link)]
    learnt += [fact.state.learnt for fact in facts.routes_of(link) if fact.resource.protocol != KERNEL]
    return any(learnt)


def addresses_to_serve(slot: Slot, request: WiringRequest) -> tuple[IpInterface, ...]:
    """Return the addresses that a DHCPv6 server needs on its link: dnsmasq wants a link-local and another one."""
    ipv6 = any(address.version == 6 for address in slot.guest.addresses)
    if not (request.options.serve_dhcp and ipv6):
        return ()
    return (SERVER_LINK_LOCAL, ip_interface(f"fd70:6f64:7769:{slot.position:x}::1/64"))
