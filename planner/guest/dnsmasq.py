"""A configuration of dnsmasq, which leases the guest what the pod had, and serves nobody else.

Sources: dnsmasq(8); RFC 2132; RFC 3442 (option 121; Windows reads 249, which is the same); RFC 3397 (119); RFC 8415.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planner.guest.model import GuestRoute
from planner.guest.nic import GuestNic, GuestText

_CLASSLESS_ROUTES = ("option:classless-static-route", "249")
_HEAD = """\
port=0
bind-interfaces
except-interface=lo
leasefile-ro
dhcp-authoritative
dhcp-ignore-clid
dhcp-ignore=tag:!known
"""


def dnsmasq(nics: Sequence[GuestNic]) -> GuestText:
    """Return the configuration, whose server listens on the bridge (or the tap) of each interface."""
    lines: list[str] = []
    notes: list[str] = []
    for number, nic in enumerate(nics):
        if nic.interface.pci_address:
            notes.append(
                f"{nic.name} is a PCI device passed to the VM, so no DHCP server in this namespace can reach it"
            )
            continue
        if nic.guest.addresses:
            lines += [f"# {nic.name}", *_serve(nic, f"nic{number}")]
        notes += _unsaid(nic)
    return GuestText(_HEAD + "".join(f"{line}\n" for line in lines), tuple(notes))


def _serve(nic: GuestNic, tag: str) -> Iterator[str]:
    """Yield what is said of one interface.

    A lease lies in no subnet of the server's, so each is a network that is shared with the link. It never ends: the
    address is the pod's, and nobody else gets it.
    """
    leases = []
    yield f"interface={nic.server_link}"
    for version in (4, 6):
        for address in nic.addresses(version)[:1]:
            mask = str(address.netmask) if version == 4 else "64"
            yield f"dhcp-range={address.ip},static,{mask},infinite"
            yield f"shared-network={nic.server_link},{address.ip}"
            leases.append(str(address.ip) if version == 4 else f"[{address.ip}]")
    yield ",".join([f"dhcp-host={nic.guest.mac}", f"set:{tag}", *leases, "infinite"])
    if nic.addresses(4):
        yield from _options(nic, tag)
    if nic.addresses(6):
        yield from _options6(nic, tag)


def _options(nic: GuestNic, tag: str) -> Iterator[str]:
    """Yield the options of DHCPv4.

    The empty router is said as such, or dnsmasq would name itself; one that is in no subnet is for classless routes.
    """
    start, address, gateway = f"dhcp-option=tag:{tag}", nic.addresses(4)[0], nic.gateway(4)
    yield f"{start},option:netmask,{address.netmask}"
    yield f"{start},option:router" + (f",{gateway}" if gateway and gateway in address.network else "")
    yield f"{start},option:mtu,{nic.guest.mtu}"
    if routes := list(_classless_routes(nic)):
        yield from (",".join([start, option, *routes]) for option in _CLASSLESS_ROUTES)
    if servers := nic.nameservers(4):
        yield ",".join([start, "option:dns-server", *map(str, servers)])
    if nic.search:
        yield ",".join([start, "option:domain-search", *nic.search])
    if nic.guest.dns.domain:
        yield f"{start},option:domain-name,{nic.guest.dns.domain}"


def _classless_routes(nic: GuestNic) -> Iterator[str]:
    """Yield destinations and gateways, 0.0.0.0 if it is on the link. A client that reads them ignores the router.

    The server is on the link as well, so that a lease can be renewed without asking everybody.
    """
    if nic.interface.dhcp_address is not None:
        yield from (f"{nic.interface.dhcp_address.ip}/32", "0.0.0.0")  # noqa: S104 -- a gateway, nothing is bound
    for gateway in nic.unreached_gateways(4):
        yield from (f"{gateway}/32", "0.0.0.0")  # noqa: S104
    for route in nic.guest.routes:
        if route.dst.version == 4 and (route.dst.prefixlen or route is nic.default(4)):
            yield from (str(route.dst), str(route.via or "0.0.0.0"))  # noqa: S104


def _options6(nic: GuestNic, tag: str) -> Iterator[str]:
    start = f"dhcp-option=tag:{tag}"
    if servers := nic.nameservers(6):
        yield ",".join([start, "option6:dns-server", *(f"[{server}]" for server in servers)])
    if nic.search:
        yield ",".join([start, "option6:domain-search", *nic.search])


def _unsaid(nic: GuestNic) -> Iterator[str]:
    """Yield what DHCP cannot say of an interface."""
    if not nic.guest.addresses:
        yield f"{nic.name} has no address, so nothing is leased to it"
        return
    for version, name in ((4, "IPv4"), (6, "IPv6")):
        for address in nic.addresses(version)[1:]:
            yield f"DHCP leases one {name} address: {address} is left out for {nic.name}"
    if nic.addresses(6):
        yield (
            f"IPv6 routes and subnets come by router advertisements, which dnsmasq cannot send in the gateway's name "
            f"for {nic.name}: podwire dhcp does"
        )
    for route in nic.guest.routes:
        yield from _unsaid_of_route(route, nic)
    yield from nic.unsaid_neighbours("DHCP")
    yield from nic.unsaid_dns("DHCP")


def _unsaid_of_route(route: GuestRoute, nic: GuestNic) -> Iterator[str]:
    if route.dst.version == 4 and route.dst.prefixlen == 0 and route is not nic.default(4):
        yield f"DHCP carries one default route: {route} is left out for {nic.name}"
    elif route.dst.version == 4 and (route.metric or route.mtu):
        yield f"DHCP carries neither metrics nor MTUs of routes: {nic.name} gets {route.dst} without them"
