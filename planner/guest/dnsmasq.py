"""A configuration of dnsmasq, which leases the guest what the pod had, and serves nobody else.

Sources: dnsmasq(8); RFC 2132; RFC 3442 (option 121; Windows reads 249, which is the same); RFC 3397 (119); RFC 8415.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from typing import NamedTuple

from planner.guest.model import GuestRoute
from planner.guest.nic import GuestNic, GuestText

_CLASSLESS_ROUTES = ("option:classless-static-route", "249")
_NO_GATEWAY = "0.0.0.0"  # noqa: S104  nothing is bound
# RFC 2132, section 2; dnsmasq does not split what is longer (RFC 3396). Of a line it reads 1,024 characters.
_MOST_OCTETS, _LONGEST_LIST = 255, 900
_HEAD = """\
port=0
bind-interfaces
except-interface=lo
leasefile-ro
dhcp-authoritative
dhcp-ignore-clid
dhcp-ignore=tag:!known
"""


class _List(NamedTuple):
    """An option that is a list: its names, what it is of, and each value with its octets."""

    names: tuple[str, ...]
    what: str
    values: tuple[tuple[str, int], ...]

    @property
    def fitting(self) -> tuple[str, ...]:
        """Return the first values, as many as one option and one line of dnsmasq's hold."""
        octets = length = 0
        for number, (text, size) in enumerate(self.values):
            octets, length = octets + size, length + len(text) + 1
            if octets > _MOST_OCTETS or length > _LONGEST_LIST:
                return tuple(text for text, _ in self.values[:number])
        return tuple(text for text, _ in self.values)


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
    """Yield the lines of one interface.

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
    start = f"dhcp-option=tag:{tag}"
    if nic.addresses(4):
        yield from _options(nic, start)
    for option in _lists(nic):
        yield from (",".join([start, name, *option.fitting]) for name in option.names)


def _options(nic: GuestNic, start: str) -> Iterator[str]:
    """Yield the options of DHCPv4 that are no lists.

    The empty router is given explicitly, or dnsmasq would name itself; one that is in no subnet is for classless
    routes.
    """
    address, gateway = nic.addresses(4)[0], nic.gateway(4)
    yield f"{start},option:netmask,{address.netmask}"
    yield f"{start},option:router" + (f",{gateway}" if gateway and gateway in address.network else "")
    yield f"{start},option:mtu,{nic.guest.mtu}"
    if nic.guest.dns.domain:
        yield f"{start},option:domain-name,{nic.guest.dns.domain}"


def _lists(nic: GuestNic) -> Iterator[_List]:
    """Yield the options of both families that are lists, and not empty."""
    search = tuple((str(domain), len(domain) + 2) for domain in nic.search)
    found = []
    if nic.addresses(4):
        servers = tuple((str(server), 4) for server in nic.nameservers(4))
        found.append(_List(_CLASSLESS_ROUTES, "routes", tuple(_classless_routes(nic))))
        found.append(_List(("option:dns-server",), "name servers", servers))
        found.append(_List(("option:domain-search",), "domains to search in", search))
    if nic.addresses(6):
        servers = tuple((f"[{server}]", 16) for server in nic.nameservers(6))
        found.append(_List(("option6:dns-server",), "name servers", servers))
        found.append(_List(("option6:domain-search",), "domains to search in", search))
    yield from (option for option in found if option.values)


def _classless_routes(nic: GuestNic) -> Iterator[tuple[str, int]]:
    """Yield destination and gateway, 0.0.0.0 if it is on the link, and their octets (RFC 3442).

    A client that reads them ignores the router. The server is on the link as well, so that a lease can be renewed
    without asking everybody. What a gateway is reached by comes first, and the last ones may find no room.
    """
    server, default = nic.interface.dhcp_address, nic.default(4)
    near = ((ip_network(gateway), None) for gateway in ([server.ip] if server else []) + [*nic.unreached_gateways(4)])
    routes = ([default] if default else []) + [route for route in nic.routes(4) if route.dst.prefixlen]
    ways = sorted(((route.dst, route.via) for route in routes), key=lambda way: way[1] is not None)
    for dst, via in (*near, *ways):
        yield f"{dst},{via or _NO_GATEWAY}", 1 + math.ceil(dst.prefixlen / 8) + 4


def left_out(nic: GuestNic) -> Iterator[str]:
    """Yield, in sentences, what an interface has more of than an option of DHCP holds."""
    for option in _lists(nic):
        fitting, total = len(option.fitting), len(option.values)
        if fitting < total:
            first = option.values[fitting][0].partition(",")[0]
            yield f"DHCP carries {fitting} of the {total} {option.what} of {nic.name}: the first left out is {first}"


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
    yield from left_out(nic)
    for route in nic.guest.routes:
        yield from _unsaid_of_route(route, nic)
    yield from nic.unsaid_neighbours("DHCP")
    yield from nic.unsaid_dns("DHCP")


def _unsaid_of_route(route: GuestRoute, nic: GuestNic) -> Iterator[str]:
    if route.dst.version == 4 and route.dst.prefixlen == 0 and route is not nic.default(4):
        yield f"DHCP carries one default route: {route} is left out for {nic.name}"
    elif route.dst.version == 4 and (route.metric or route.mtu):
        yield f"DHCP carries neither metrics nor MTUs of routes: {nic.name} gets {route.dst} without them"
