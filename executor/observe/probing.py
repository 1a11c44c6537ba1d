"""Waiting for what the kernel does a moment after an IPv6 address has come: whether to probe for it, and its group.

It looks at ``accept_dad`` only then, so nobody may set that back earlier (duplicate address detection); and it enters
the address's group then even if the link has gone down meanwhile, and never leaves that again (docs/kernel.md).
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

_ADDRESSES, _GROUPS = (Path("/proc/thread-self/net", name) for name in ("if_inet6", "igmp6"))
_TENTATIVE = 0x40  # <linux/if_addr.h>
_COLUMNS = 6
# RFC 4291, 2.7.1, as the kernel writes it: the last 24 bits are those of the address.
_SOLICITED_NODE = "ff0200000000000000000001ff"
# <linux/sockios.h> and <net/if.h>: SIOCGIFFLAGS with a struct ifreq; IFF_UP, IFF_NOARP.
_GET_FLAGS, _IFREQ = 0x8913, struct.Struct("=16sH22x")
_UP, _NO_ARP = 0x1, 0x80
_LONGEST = 1.0
_FIRST_PAUSE = 0.0005


def wait_for_addresses(namespace: Namespace, links: Collection[str]) -> None:
    """Return when no link-local address of ``links`` is tentative any more, or after a second."""
    _wait_while(lambda: namespace.call(lambda: _is_tentative(links)))


def wait_for_groups(namespace: Namespace, link: str) -> None:
    """Return when ``link``, if it is up, is in the groups of all its IPv6 addresses, or after a second."""
    _wait_while(lambda: namespace.call(lambda: _lacks_a_group(link)))


def _wait_while(is_so: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + _LONGEST, _FIRST_PAUSE
    while is_so() and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def _is_tentative(links: Collection[str]) -> bool:
    found = (words for words in _rows(_ADDRESSES) if words[0].startswith("fe8"))
    return any(len(words) == _COLUMNS and words[5] in links and int(words[4], 16) & _TENTATIVE for words in found)


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
