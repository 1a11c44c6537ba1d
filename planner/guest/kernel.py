"""The ip= argument of a kernel's command line.

    ip=CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTOCONF:DNS0:DNS1

Source: Documentation/admin-guide/nfs/nfsroot.rst of the kernel. Kernels of distributions leave it to the initial RAM
disk, whose klibc or dracut reads the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planner.guest.nic import ETHERNET_MTU, GuestNic, GuestText

_MOST_NAMESERVERS = 2


def kernel(nics: Sequence[GuestNic]) -> GuestText:
    """Return the arguments, one for each interface that has an IPv4 address.

    An only interface needs no name; of several the guest must call them eth0, eth1 …, as with ``net.ifnames=0``.
    """
    arguments: list[str] = []
    notes: list[str] = []
    for number, nic in enumerate(nics):
        if nic.addresses(4):
            arguments.append(_argument(nic, f"eth{number}" if len(nics) > 1 else ""))
        notes += _unsaid(nic)
    if len(arguments) > 1:
        notes.append("the kernel itself takes one ip=; initial RAM disks take several")
    return GuestText(" ".join(arguments) + "\n" if arguments else "", tuple(notes))


def _argument(nic: GuestNic, device: str) -> str:
    address = nic.addresses(4)[0]
    gateway = str(nic.gateway(4) or "")
    fields = [str(address.ip), "", gateway, str(address.netmask), "", device, "off"]
    return "ip=" + ":".join([*fields, *map(str, nic.nameservers(4)[:_MOST_NAMESERVERS])])


def _unsaid(nic: GuestNic) -> Iterator[str]:
    """Yield what ip= cannot say of an interface."""
    ipv4 = nic.addresses(4)
    if not ipv4:
        yield f"{nic.name} has no IPv4 address, and ip= knows no other"
    for address in (*ipv4[1:], *nic.addresses(6)):
        yield f"ip= sets one IPv4 address: {address} is left out for {nic.name}"
    gateway = nic.gateway(4)
    if ipv4 and gateway and gateway not in ipv4[0].network:
        yield f"ip= cannot reach {gateway}, the gateway of {nic.name}: it is not in the subnet of {ipv4[0]}"
    for route in nic.guest.routes:
        if route not in (nic.default(4), nic.default(6)) or route.dst.version == 6 or route.via is None:
            yield f"ip= sets a default route by a gateway only: {route} is left out for {nic.name}"
    if nic.guest.mtu != ETHERNET_MTU:
        yield f"ip= cannot set the MTU of {nic.guest.mtu} on {nic.name}: let the VMM set it (host_mtu)"
    yield from nic.unsaid_neighbours("ip=")
    yield from _unsaid_dns(nic)


def _unsaid_dns(nic: GuestNic) -> Iterator[str]:
    servers = nic.guest.dns.nameservers
    for server in servers:
        if server not in nic.nameservers(4)[:_MOST_NAMESERVERS]:
            yield f"ip= names two IPv4 name servers at most: {nic.name} does not get {server}"
    if nic.search:
        yield f"ip= has no domains to search in: {nic.name} does not get {' '.join(nic.search)}"
    yield from nic.unsaid_dns("ip=")
