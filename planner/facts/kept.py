"""IPv6 addresses that outlive their link's going down (kernel, ip-sysctl.rst, ``keep_addr_on_down``).

Until the link is up again such an address has no local entry, and its group is not listened to. One that is added while
the link is down has both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from ipaddress import IPv6Address

from attrs import evolve

from planner.facts.kernel_routes import LOCAL_TABLE
from planner.facts.model import AddressFact
from planner.kinds.address import Kept
from planner.kinds.route import Route
from planner.text.values import LOOPBACK, IpAddress, SysctlValue

_SOLICITED_NODE = IPv6Address("ff02::1:ff00:0")  # RFC 4291, section 2.7.1
_GROUP_WORDS = 3


def with_kept(
    addresses: tuple[AddressFact, ...],
    down: Collection[str],
    routes: Collection[Route],
    groups: str | None,
    sysctls: Mapping[str, str],
) -> tuple[AddressFact, ...]:
    """Return the addresses, each with whether it was kept while its link went ``down``, or is unheard there.

    ``groups`` is the kernel's list (``/proc/net/igmp6``), None if nobody has read it: nothing is known then.
    """
    candidates = {
        fact.resource.address.ip
        for fact in addresses
        if fact.resource.link in down and fact.resource.address.version == 6
    }
    if not candidates or groups is None:
        return addresses
    local = {route.dst.network_address for route in routes if route.table == LOCAL_TABLE}
    heard = set(_heard(groups))

    def kept(fact: AddressFact) -> AddressFact:
        link, ip = fact.resource.link, fact.resource.address.ip
        if link not in down or ip not in candidates or (link != LOOPBACK and (link, _group(ip)) in heard):
            return fact
        if ip in local or ip.is_link_local:
            return evolve(fact, state=evolve(fact.state, unheard=True))
        now = SysctlValue(sysctls.get(f"net/ipv6/conf/{link}/keep_addr_on_down", "0"))
        return evolve(fact, state=evolve(fact.state, kept=Kept(now)))

    return tuple(map(kept, addresses))


def _heard(groups: str) -> Iterator[tuple[str, IPv6Address]]:
    """Yield each link with a group that it listens to."""
    for line in groups.splitlines():
        words = line.split()
        if len(words) >= _GROUP_WORDS:
            yield words[1], IPv6Address(bytes.fromhex(words[2]))


def _group(ip: IpAddress) -> IPv6Address:
    return IPv6Address(int(_SOLICITED_NODE) | int(ip) & 0xFFFFFF)
