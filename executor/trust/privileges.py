"""What podwire may do: capabilities(7), by name. Root has all, unless somebody took them away; nobody need be root.

CAP_SYS_ADMIN is for entering a network namespace (setns(2)), CAP_NET_ADMIN for changing what is in it. Others serve
some functions only (SECURITY.md has them).
"""

from __future__ import annotations

import ctypes
import os
import struct

from executor.errors import HostError
from executor.netns.handle import libc

# <linux/capability.h>
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_SYS_NICE": 23}
_WANTED = {"CAP_SYS_ADMIN": "to enter a network namespace", "CAP_NET_ADMIN": "to change one"}
_VERSION = 0x2008_0522
_HEAD, _SETS = struct.Struct("=Ii"), struct.Struct("=6I")
# <linux/prctl.h>
_PR_CAP_AMBIENT, _RAISE, _CLEAR_ALL = 47, 2, 4


def has(name: str) -> bool:
    """Say whether this thread has a capability."""
    return bool(_sets()[0] >> CAPABILITIES[name] & 1)


def require_privileges() -> None:
    """Raise HostError, which names what is missing, unless podwire may enter network namespaces and change them."""
    missing = [f"{name} ({what})" for name, what in _WANTED.items() if not has(name)]
    if missing:
        raise HostError(f"this needs root: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")


def hand_on() -> None:
    """Have the programs that this thread starts from now on get the two capabilities, as they would from root.

    Of another user's capabilities a program gets only those that are ambient (capabilities(7), "Transformation of
    capabilities during execve()").
    """
    if os.geteuid() == 0:
        return
    effective, permitted, inheritable, *more = _sets()
    numbers = [CAPABILITIES[name] for name in _WANTED if permitted >> CAPABILITIES[name] & 1]
    inheritable |= sum(1 << number for number in numbers)
    sets = _SETS.pack(effective, permitted, inheritable, *more)
    if libc().capset(_HEAD.pack(_VERSION, 0), sets) == 0:
        for number in numbers:
            libc().prctl(_PR_CAP_AMBIENT, _RAISE, number, 0, 0)


def _sets() -> tuple[int, ...]:
    """Return what is effective, permitted and inheritable: capabilities 0 to 31, then the others (capget(2))."""
    sets = ctypes.create_string_buffer(_SETS.size)
    if libc().capget(_HEAD.pack(_VERSION, 0), sets) != 0:
        return (0,) * 6
    return _SETS.unpack(sets.raw)


def keep_back() -> None:
    """Have the programs that this thread starts, or becomes, get no capability by their user's being ours."""
    libc().prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
