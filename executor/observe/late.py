"""Waiting for what the kernel does only a moment after an IPv6 address has come (docs/kernel.md).

It looks at ``accept_dad`` then (duplicate address detection), so nobody may set that back earlier; until then the
address is tentative, and no source for a route. It enters the address's group then even if the link has gone down
in the meantime, and never leaves that again. And it makes the address's local entry, which cannot be taken away
earlier.
"""

from __future__ import annotations

import _socket
import fcntl
import struct
import time
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path

from executor.netns.namespace import Namespace
from planner.changes.change import Change
from planner.kinds.address import Address
from planner.plan.render import Command
from planner.text.values import IpAddress

_ADDRESSES, _GROUPS, _ROUTES = (Path("/proc/thread-self/net", name) for name in ("if_inet6", "igmp6", "ipv6_route"))
_TENTATIVE = 0x40  # <linux/if_addr.h>
# RFC 4291, 2.7.1, as the kernel writes it: the last 24 bits are those of the address.
_SOLICITED_NODE = "ff0200000000000000000001ff"
# <linux/sockios.h> and <net/if.h>: SIOCGIFFLAGS with a struct ifreq; IFF_UP, IFF_LOOPBACK, IFF_NOARP.
_GET_FLAGS, _IFREQ = 0x8913, struct.Struct("=16sH22x")
_UP, _LOOPBACK, _NO_ARP = 0x1, 0x8, 0x80
# Seconds; it comes within milliseconds, unless the host is very busy.
_LONGEST = 3.0
_FIRST_PAUSE = 0.0005


class LateWork:
    """What commands that bring ``changes`` back have to wait for, each for some seconds at most.

    ``answered`` are the numbers of changes whose commands have to be answered before another begins.
    """

    def __init__(self, changes: Sequence[Change], namespace: Namespace) -> None:
        self._namespace = namespace
        numbered = list(enumerate(changes))
        self._kept = {at: change.resource.link for at, change in numbered if getattr(change.after, "kept", None)}
        self._known = {at: change.resource for at, change in numbered if _becomes_known(change)}
        sources = {address.address.ip for address in self._known.values()}
        self._follow_known = {at for at, change in numbered if self._known and _follows(change, sources)}
        self.answered = self._kept.keys() | self._known.keys()

    def before(self, command: Command) -> None:
        """Wait for what ``command`` needs: addresses that are known, or groups that are entered."""
        if not self._follow_known.isdisjoint(command.changes) and not self._wait_for_addresses():
            self._follow_known.clear()  # nor would the next one see it
        links = {self._kept[at] for at in command.changes if at in self._kept}
        if links:
            _wait_while(lambda: self._namespace.call(lambda: any(map(_lacks_a_group, links))))

    def _wait_for_addresses(self) -> bool:
        wanted = {(address.address.ip.packed.hex(), str(address.link)) for address in self._known.values()}
        return _wait_while(lambda: self._namespace.call(lambda: _is_tentative(wanted)))


def wait_for_routes(namespace: Namespace, changes: Iterable[Change]) -> None:
    """Return when there is what the kernel makes late and ``changes`` then take away, or after some seconds."""
    missing = {
        (route.dst.network_address.packed.hex(), f"{route.dst.prefixlen:02x}", link)
        for route in (change.resource for change in changes if getattr(change.after, "absent", False))
        for link in map(str, route.links)
    }
    if missing:
        _wait_while(lambda: not missing <= namespace.call(_local_and_direct_routes))


def _becomes_known(change: Change) -> bool:
    """Say whether a change adds an address that the kernel only takes for known after a moment."""
    resource, state = change.resource, change.after
    if not isinstance(resource, Address) or state is None or resource.address.version != 6 or state.tentative:
        return False
    return bool(state.generated) or not (resource.is_spared or "nodad" in state.flags)


def _follows(change: Change, sources: Container[IpAddress]) -> bool:
    """Say whether a change has addresses probed for again, or makes a route that needs one of ``sources``."""
    resource = change.resource
    return getattr(resource, "is_probing", False) or getattr(resource, "source", None) in sources


def _wait_while(is_so: Callable[[], bool]) -> bool:
    """Wait while it is so, for some seconds at most; say whether it is not any more."""
    deadline, pause = time.monotonic() + _LONGEST, _FIRST_PAUSE
    while was_so := is_so():
        if time.monotonic() >= deadline:
            break
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    return not was_so


def _is_tentative(wanted: Collection[tuple[str, str]]) -> bool:
    """Say whether one of the addresses, digits with the name of the link, is tentative."""
    return any((words[0], words[-1]) in wanted and int(words[4], 16) & _TENTATIVE for words in _rows(_ADDRESSES))


def _lacks_a_group(link: str) -> bool:
    if not _enters_groups(link):
        return False
    addresses = (words[0] for words in _rows(_ADDRESSES) if words[-1] == link)
    wanted = Counter(f"{_SOLICITED_NODE}{address[-6:]}" for address in addresses)
    there = {words[2]: int(words[3]) for words in _rows(_GROUPS) if words[1] == link}
    return any(there.get(group, 0) < members for group, members in wanted.items())


def _local_and_direct_routes() -> set[tuple[str, str, str]]:
    """Return where the namespace's IPv6 routes without a gateway lead to, and by which link."""
    return {(words[0], words[1], words[-1]) for words in _rows(_ROUTES) if not words[4].strip("0")}


def _enters_groups(link: str) -> bool:
    """Say whether a link is up and uses neighbour discovery (netdevice(7); addrconf.c, addrconf_join_solict)."""
    with closing(_socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)) as any_socket, suppress(OSError):  # it is gone
        answer = fcntl.ioctl(any_socket, _GET_FLAGS, _IFREQ.pack(link.encode(), 0))
        flags: int = _IFREQ.unpack(answer)[1]
        return flags & (_UP | _LOOPBACK | _NO_ARP) == _UP
    return False


def _rows(table: Path) -> list[list[str]]:
    """Return the words of each line of a table of the kernel's; none if it has no IPv6."""
    with suppress(OSError):
        return [line.split() for line in table.read_text("utf-8", "replace").splitlines()]
    return []
