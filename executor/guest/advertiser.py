"""Router advertisements for the VM on one tap, in the name of its routers, which are looked up first."""

from __future__ import annotations

import time
from ipaddress import IPv6Address

from attrs import define, field

from executor.guest.packets import IcmpV6Socket
from executor.guest.routers import TRIES, link_local_gateway
from executor.netns.namespace import Namespace
from planner.guest.icmpv6 import SOLICITATION, advertised_gateways, advertisements
from planner.guest.model import SERVER_LINK_LOCAL
from planner.guest.nic import GuestNic

_EVERY = 200.0  # RFC 4861, section 6.2.1: at most 600 s
_APART = 0.5  # however often the guest asks (RFC 4861, section 6.2.6, wants 3 s of who advertises to many)
_LOOK_EVERY = 5.0  # for a router that has not answered yet


@define(eq=False)
class Advertiser:
    """Tells the VM of its routers, when it asks and from time to time."""

    nic: GuestNic
    namespace: Namespace
    # The link-local address of each router that has answered.
    known: dict[IPv6Address, IPv6Address] = field(factory=dict, init=False)
    _socket: IcmpV6Socket = field(init=False)
    _last: float = field(init=False, default=0.0)
    _next: float = field(init=False, default=0.0)
    _next_look: float = field(init=False, default=0.0)

    def open(self) -> None:
        """Find the routers, and advertise them. Raises HostError if the tap is gone."""
        self._socket = IcmpV6Socket(self.namespace, self.nic.interface.name, (SOLICITATION,))
        self._look(TRIES)
        self.advertise()

    @property
    def missing(self) -> tuple[IPv6Address, ...]:
        """Return the routers that have not answered."""
        return tuple(gateway for gateway in advertised_gateways(self.nic) if gateway not in self.known)

    def fileno(self) -> int:
        """Return the descriptor that is readable when the guest asks."""
        return self._socket.fileno()

    @property
    def seconds_left(self) -> float:
        """Return how long it is until it is time to advertise."""
        return max(0.0, self._next - time.monotonic())

    def hear(self) -> None:
        """Note that it is time to advertise if the guest has asked."""
        if any(True for _ in self._socket.received()):
            self._next = min(self._next, self._last + _APART)

    def advertise_in_time(self) -> tuple[IPv6Address, ...]:
        """Advertise if it is time to; return the routers that have answered only now."""
        found = self._look(1) if self.missing and time.monotonic() >= self._next_look else ()
        if found or time.monotonic() >= self._next:
            self.advertise()
        return found

    def _look(self, tries: int) -> tuple[IPv6Address, ...]:
        """Ask for the routers that are missing, for some seconds; return those that answered."""
        before = self.missing
        for gateway in before:
            source = link_local_gateway(gateway, self.nic.name, self.namespace, tries=tries)
            if source is not None:
                self.known[gateway] = source
        self._next_look = time.monotonic() + _LOOK_EVERY
        return tuple(gateway for gateway in before if gateway in self.known)

    def advertise(self) -> None:
        """Advertise to the guest."""
        mac = self._socket.mac
        # Without a router the guest still has to hear that it is to ask DHCPv6, and what is on the link.
        for gateway, source in self.known.items() or [(None, SERVER_LINK_LOCAL.ip)]:
            for frame in advertisements(self.nic, gateway, source, mac):
                self._socket.send(frame)
        self._last = time.monotonic()
        self._next = self._last + _EVERY

    def close(self) -> None:
        """Stop."""
        self._socket.close()
