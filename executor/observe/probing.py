"""Waiting until the kernel has seen that an IPv6 address need not be probed for (duplicate address detection).

It looks at ``accept_dad`` a moment after it has made the address (docs/kernel.md), so nobody may set that back earlier.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path

from executor.netns.namespace import Namespace

_ADDRESSES = Path("/proc/thread-self/net/if_inet6")
_TENTATIVE = 0x40  # <linux/if_addr.h>
_COLUMNS = 6
_LONGEST = 1.0
_FIRST_PAUSE = 0.0005


def wait_for_addresses(namespace: Namespace, links: Collection[str]) -> None:
    """Return when no link-local address of ``links`` is tentative any more, or after a second."""
    deadline, pause = time.monotonic() + _LONGEST, _FIRST_PAUSE
    while namespace.call(lambda: _is_tentative(links)) and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def _is_tentative(links: Collection[str]) -> bool:
    try:
        lines = _ADDRESSES.read_text("ascii", "replace").splitlines()
    except OSError:  # a kernel without IPv6
        return False
    found = (line.split() for line in lines if line.startswith("fe8"))
    return any(len(words) == _COLUMNS and words[5] in links and int(words[4], 16) & _TENTATIVE for words in found)
