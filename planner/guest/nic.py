"""An interface of the VM as the formats see it: its name, what to open for it, and its guest's configuration."""

from __future__ import annotations

from collections.abc import Iterator

from planner.guest.model import Guest, GuestRoute
from planner.network import VmInterface
from planner.text.frozen import frozen
from planner.text.values import DomainName, InterfaceName, IpAddress, IpInterface, is_ipv6_link_local, shown

ETHERNET_MTU = 1500
_LONGEST_LABEL = 63


@frozen
class GuestText:
    """What the guest, its server or its VMM is to read, and what that cannot say, in sentences."""

    text: str
    notes: tuple[str, ...] = ()


@frozen
class GuestNic:
    """One interface of the VM; the guest may call it as the pod does."""

    interface: VmInterface
    guest: Guest

    @property
    def name(self) -> InterfaceName:
        """Return how the pod calls it."""
        return self.interface.link

    @property
    def server_link(self) -> InterfaceName:
        """Return the link of the namespace that a DHCP server for this interface listens on."""
        return self.interface.bridge or self.interface.name

    def addresses(self, version: int) -> tuple[IpInterface, ...]:
        """Return the addresses of a family."""
        return tuple(address for address in self.guest.addresses if address.version == version)

    def routes(self, version: int) -> tuple[GuestRoute, ...]:
        """Return the routes of a family that are no default route."""
        default = self.default(version)
        return tuple(route for route in self.guest.routes if route.dst.version == version and route is not default)

    def default(self, version: int) -> GuestRoute | None:
        """Return the default route of a family, the preferred one if there are several."""
        found = [route for route in self.guest.routes if route.dst.version == version and route.dst.prefixlen == 0]
        return min(found, key=lambda route: route.metric or 0, default=None)

    def gateway(self, version: int) -> IpAddress | None:
        """Return the gateway of the default route of a family."""
        default = self.default(version)
        return None if default is None else default.via

    def unreached_gateways(self, version: int) -> tuple[IpAddress, ...]:
        """Return the gateways that neither an address nor a route of the guest puts on the link."""
        near = [address.network for address in self.addresses(version)]
        near += [route.dst for route in self.guest.routes if route.via is None and route.dst.prefixlen]
        vias = dict.fromkeys(route.via for route in self.guest.routes if route.via and route.dst.version == version)
        return tuple(via for via in vias if not is_ipv6_link_local(via) and not any(via in network for network in near))

    def nameservers(self, version: int) -> tuple[IpAddress, ...]:
        """Return the name servers that are reached by a family."""
        return tuple(server for server in self.guest.dns.nameservers if server.version == version)

    @property
    def search(self) -> tuple[DomainName, ...]:
        """Return the domains to search in; without a list that is the domain that the guest is in (resolv.conf(5))."""
        dns = self.guest.dns
        domains = dns.search or tuple(filter(None, [dns.domain]))
        return tuple(DomainName(domain.removesuffix(".")) for domain in domains if _has_labels(domain))

    def unsaid_dns(self, how: str) -> Iterator[str]:
        """Yield that ``how`` cannot say the options of the resolver, if there are any."""
        if options := self.guest.dns.options:
            yield f"{how} cannot carry the resolver's options ({shown(' '.join(options), 100)})"

    def unsaid_neighbours(self, how: str) -> Iterator[str]:
        """Yield that ``how`` carries no neighbours, for each that the guest needs."""
        for neighbour in self.guest.neighbours:
            yield (
                f"{how} cannot set neighbours, and without this one the address is unreachable: in the guest, run ip "
                f"neigh replace {neighbour.address} lladdr {neighbour.lladdr} dev {self.name} nud permanent"
            )


def _has_labels(domain: DomainName) -> bool:
    """Say whether a name is one of DNS (RFC 1035, section 2.3.4); ``.`` in a list of domains means none."""
    return all(0 < len(label) <= _LONGEST_LABEL for label in domain.removesuffix(".").split("."))
