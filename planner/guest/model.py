"""A guest's configuration of one of its interfaces."""

from __future__ import annotations

from ipaddress import IPv6Interface

from planner.text.frozen import frozen
from planner.text.values import DomainName, IpAddress, IpInterface, IpNetwork, MacAddress

# The address that a DHCPv6 server on the bridge answers from. No guest has it: each makes its own from its MAC or at
# random.
SERVER_LINK_LOCAL = IPv6Interface("fe80::5a54/64")


@frozen
class GuestRoute:
    """A route of a guest. ``via`` None is on the link, and so is a gateway that is ``onlink``, whatever its subnet."""

    dst: IpNetwork
    via: IpAddress | None
    onlink: bool
    metric: int | None
    mtu: int | None

    def __str__(self) -> str:
        dst = "default" if self.dst.prefixlen == 0 else str(self.dst)
        way = "" if self.via is None else f" via {self.via}"
        on_link = " on the link" if self.via is None or self.onlink else ""
        numbers = (("metric", self.metric), ("mtu", self.mtu))
        return f"{dst}{way}{on_link}{''.join(f' {name} {value}' for name, value in numbers if value is not None)}"


@frozen
class GuestNeighbour:
    """A neighbour entry that the pod had and that the guest needs in its place (the AWS VPC CNI sets one)."""

    address: IpAddress
    lladdr: MacAddress

    def __str__(self) -> str:
        return f"{self.address} is {self.lladdr}"


@frozen
class GuestDns:
    """The guest's resolver configuration (resolv.conf(5)); a nameserver has no zone, which would be the pod's."""

    nameservers: tuple[IpAddress, ...]
    search: tuple[DomainName, ...]
    domain: DomainName | None
    options: tuple[str, ...]


@frozen
class Guest:
    """All that a guest must know of one interface. Its routes are in an order in which they can be added."""

    mac: MacAddress
    mtu: int
    addresses: tuple[IpInterface, ...]
    routes: tuple[GuestRoute, ...]
    neighbours: tuple[GuestNeighbour, ...]
    dns: GuestDns
