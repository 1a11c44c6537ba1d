"""Waiting for what the kernel does a moment after an IPv6 address has come: whether to probe for it, and its group.

It looks at ``accept_dad`` only then (duplicate address detection), so nobody may set that back earlier; until then the
address is tentative, and no source for a route. And it enters the address's group then even if the link has gone down
meanwhile, and never leaves that again (docs/kernel.md).
"""

from __future__ import annotations

import fcntl
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from executor.netns.namespace import Namespace
from planner.kinds.address import Address

_ADDRESSES, _GROUPS = (Path("/proc/thread-self/net", name) for name in ("if_inet6", "igmp6"))
_TENTATIVE = 0x40  # <linux/if_addr.h>
# RFC 4291, 2.7.1, as the kernel writes it: the last 24 bits are those of the address.
_SOLICITED_NODE = "ff0200000000000000000001ff"
# <linux/sockios.h> and <net/if.h>: SIOCGIFFLAGS with a struct ifreq; IFF_UP, IFF_NOARP.
_GET_FLAGS, _IFREQ = 0x8913, struct.Struct("=16sH22x")
_UP, _NO_ARP = 0x1, 0x80
_LONGEST = 1.0
_FIRST_PAUSE = 0.0005


def wait_for_addresses(namespace: Namespace, addresses: Collection[Address]) -> bool:
    """Return when none of ``addresses``, IPv6 ones, is tentative any more, or after a second; say whether it is so."""
    wanted = {(address.address.ip.packed.hex(), str(address.link)) for address in addresses}
    return _wait_while(lambda: namespace.call(lambda: _is_tentative(wanted)))


def wait_for_groups(namespace: Namespace, link: str) -> None:
    """Return when ``link``, if it is up, is in the groups of all its IPv6 addresses, or after a second."""
    _wait_while(lambda: namespace.call(lambda: _lacks_a_group(link)))


def _wait_while(is_so: Callable[[], bool]) -> bool:
    """Wait while it is so, up to a second; say whether it is not any more."""
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


def _enters_groups(link: str) -> bool:
    """Say whether a link is up and uses neighbour discovery (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket, suppress(OSError):  # it may be gone
        answer = fcntl.ioctl(any_socket, _GET_FLAGS, _IFREQ.pack(link.encode(), 0))
        flags: int = _IFREQ.unpack(answer)[1]
        return flags & (_UP | _NO_ARP) == _UP
    return False


def _rows(table: Path) -> list[list[str]]:
    """Return the words of each line of a table of the kernel's; none if it has no IPv6."""
    with suppress(OSError):
        return [line.split() for line in table.read_text("ascii", "replace").splitlines()]
    return []
