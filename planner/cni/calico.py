"""Calico gives a pod a /32 and a gateway that no interface has (169.254.1.1): detecting it, and making it fit a VM."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, ip_interface

from attrs import evolve

from planner.cni.result import CniIp, CniResult, CniRoute
from planner.errors import InvalidInput, Refused
from planner.facts.model import LinkFact, NamespaceFacts
from planner.kinds.route import Route
from planner.text.values import IpAddress

# What Calico's CNI plugin routes everything to; the host's end answers ARP for it (proxy_arp).
_GATEWAY = IPv4Address("169.254.1.1")
_DEFAULT = IPv4Network("0.0.0.0/0")
DEFAULT_SUBNET = 24


def is_for_calicos_gateway(route: Route) -> bool:
    """Say whether a route is that to 169.254.1.1, or goes through it."""
    return route.dst == IPv4Network(_GATEWAY) or any(hop.via == _GATEWAY for hop in route.nexthops)


def detect_calico(link: LinkFact, facts: NamespaceFacts) -> tuple[bool, bool]:
    """Say whether Calico wired ``link``, and whether it holds the default route.

    The first is a scope-link route to 169.254.1.1 on the link, the second a default route via 169.254.1.1 as well.
    Reference: DetectCalico.
    """
    routes = [fact.resource for fact in facts.routes_of(link.name)]
    on_link = any(route.dst == IPv4Network(_GATEWAY) and route.scope == "link" for route in routes)
    is_default = any(route.dst == _DEFAULT and any(hop.via == _GATEWAY for hop in route.nexthops) for route in routes)
    return on_link, on_link and is_default


def fix_calico_networking(
    result: CniResult, facts: NamespaceFacts, *, dummy_gateway: IpAddress | None, subnet: int = DEFAULT_SUBNET
) -> CniResult:
    """Return ``result`` with Calico's addresses in a subnet of ``subnet`` bits and a gateway that a guest can use.

    If Calico holds the default route it is replaced by one via ``dummy_gateway``, an address that Calico's IPAM
    gave to a namespace of its own, so that the host answers ARP for it. Addresses of other links stay as they are.
    ``result`` is a fixed one, each IP matched to its interface. Reference: FixCalicoNetworking. Raises Refused if a
    dummy gateway is needed and there is none, InvalidInput if it is not an IPv4 address.
    """
    if dummy_gateway is not None and dummy_gateway.version != 4:
        raise InvalidInput(f"the dummy gateway {dummy_gateway} is not an IPv4 address")
    fixed = result
    for position, link, holds_default in _of_calico(result, facts):
        gateway = _needed(dummy_gateway, link) if holds_default else None
        fixed = _fix(fixed, position, subnet, gateway)
    return fixed


def calico_notes(
    result: CniResult, facts: NamespaceFacts, *, dummy_gateway: IpAddress | None, subnet: int | None
) -> tuple[str, ...]:
    """Return a sentence on what was given for Calico's links and has no effect in this pod, if there is any."""
    found = list(_of_calico(result, facts))
    if found and (dummy_gateway is None or any(holds_default for _, _, holds_default in found)):
        return ()
    why = "Calico holds no default route of this pod" if found else "no link of this pod is Calico's"
    given = [] if dummy_gateway is None else [f"the dummy gateway {dummy_gateway}"]
    given += [] if subnet is None or found else [f"--calico-subnet {subnet}"]
    return (f"{why}: {' and '.join(given)} {'have' if len(given) > 1 else 'has'} no effect",)


def _of_calico(result: CniResult, facts: NamespaceFacts) -> Iterator[tuple[int, LinkFact, bool]]:
    """Yield which IPv4 addresses of a result Calico gave, on which link, and whether that has its default route."""
    for position, ip in enumerate(result.ips):
        link = _link_of(ip, result, facts)
        if link is None or not isinstance(ip.address, IPv4Interface):
            continue
        is_calico, holds_default = detect_calico(link, facts)
        if is_calico:
            yield position, link, holds_default


def _link_of(ip: CniIp, result: CniResult, facts: NamespaceFacts) -> LinkFact | None:
    return None if ip.interface is None else facts.link(result.interfaces[ip.interface].name)


def _needed(gateway: IpAddress | None, link: LinkFact) -> IpAddress:
    if gateway is None:
        raise Refused(
            f"the default route of {link.name} is Calico's: a dummy gateway is needed (--dummy-gateway, --dummy-result "
            "or --dummy-conflist)"
        )
    return gateway


def _fix(result: CniResult, position: int, subnet: int, gateway: IpAddress | None) -> CniResult:
    ip = result.ips[position]
    wider = evolve(ip, address=ip_interface(f"{ip.address.ip}/{subnet}"), gateway=gateway or ip.gateway)
    ips = tuple(wider if index == position else other for index, other in enumerate(result.ips))
    if gateway is None:
        return evolve(result, ips=ips)
    kept = tuple(route for route in result.routes if route.dst != _DEFAULT and route.dst != IPv4Network(_GATEWAY))
    return evolve(result, ips=ips, routes=(*kept, CniRoute(dst=_DEFAULT, gateway=gateway)))
