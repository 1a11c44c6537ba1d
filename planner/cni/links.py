"""Which links a CNI result means, and what a link really has."""

from __future__ import annotations

from collections.abc import Iterable

from planner.cni.result import CniInterface, CniIp, CniResult, CniRoute
from planner.errors import InvalidInput, Refused
from planner.facts.kernel_routes import explicit_routes
from planner.facts.model import AddressFact, LinkFact, NamespaceFacts, RouteFact
from planner.text.values import IpAddress, Keyword, is_ipv6_link_local

VETH = "veth"
# The first version whose routes can say more than destination and gateway.
EXTRACTED_VERSION = "1.1.0"
_SCOPES = {"link": 253, "host": 254, "nowhere": 255}
_TABLES = {"default": 253, "local": 255}


def container_interfaces(result: CniResult) -> tuple[CniInterface, ...]:
    """Return the result's interfaces in the sandbox, in the order in which its ``ips`` refer to them.

    Those without an IP come first, in a stable order. Raises InvalidInput if two have one name.
    """
    first_ip: dict[int, int] = {}
    for position, ip in enumerate(result.ips):
        if ip.interface is not None:
            first_ip.setdefault(ip.interface, position)
    inside = [index for index, interface in enumerate(result.interfaces) if interface.sandbox]
    names = [result.interfaces[index].name for index in inside]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"result.interfaces: {name} appears twice with a sandbox")
    return tuple(result.interfaces[index] for index in sorted(inside, key=lambda index: first_ip.get(index, -1)))


def get_container_links(result: CniResult, facts: NamespaceFacts) -> tuple[LinkFact | None, ...]:
    """Return the links of ``container_interfaces``; one that does not exist yields None, a gap.

    Reference: GetContainerLinks.
    """
    return tuple(facts.link(interface.name) for interface in container_interfaces(result))


def find_veth(links: Iterable[LinkFact]) -> LinkFact:
    """Return the one veth among ``links``; Refused if there is none, or several (it lists them).

    Reference: FindVeth.
    """
    veths = [link for link in links if link.type == VETH]
    if not veths:
        raise Refused("there is no veth in the namespace")
    if len(veths) > 1:
        raise Refused(f"there is more than one veth in the namespace: {', '.join(veth.name for veth in veths)}")
    return veths[0]


def extract_link_info(link: LinkFact, facts: NamespaceFacts, sandbox: str) -> CniResult:
    """Return what ``link`` really has, as a CNI result: its addresses with their gateways, and its routes.

    IPv6 link-local addresses are left out (the guest makes its own), as are the routes that the kernel makes itself.
    ``sandbox`` is the path of the namespace. Reference: ExtractLinkInfo.
    """
    routes = tuple(fact for fact in explicit_routes(facts) if fact.resource.links == (link.name,))
    ips = tuple(
        CniIp(address=fact.resource.address, gateway=_gateway_for(fact, routes), interface=0)
        for fact in facts.addresses_of(link.name)
        if not is_ipv6_link_local(fact.resource.address)
    )
    return CniResult(
        version=EXTRACTED_VERSION,
        interfaces=(CniInterface(name=link.name, mac=link.mac, sandbox=sandbox),),
        ips=ips,
        routes=tuple(_as_cni_route(fact) for fact in routes if fact.resource.type == "unicast"),
    )


def _gateway_for(address: AddressFact, routes: tuple[RouteFact, ...]) -> IpAddress | None:
    """Return the gateway of the default route of the address's family; else the first that lies in its subnet."""
    network = address.resource.address.network
    gateways = [
        (fact.resource.dst.prefixlen, hop.via)
        for fact in routes
        for hop in fact.resource.nexthops
        if hop.via is not None and hop.via.version == network.version == fact.resource.dst.version
    ]
    return next(
        (via for length, via in sorted(gateways, key=lambda found: found[0]) if length == 0 or via in network), None
    )


def _as_cni_route(fact: RouteFact) -> CniRoute:
    """Return a route with what a CNI result of 1.1.0 can say of it (CNI spec, "ADD Success")."""
    route = fact.resource
    metrics = {metric.name: metric.value for metric in fact.state.metrics}
    return CniRoute(
        dst=route.dst,
        gateway=route.nexthops[0].via,
        mtu=_number(metrics.get(Keyword("mtu"))),
        advmss=_number(metrics.get(Keyword("advmss"))),
        priority=route.metric,
        table=_TABLES.get(route.table, _number(route.table)),
        scope=_SCOPES.get(route.scope or ""),
    )


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
