"""posix_spawn(3) beside our other threads.

``os.posix_spawn`` keeps them all waiting until the kernel has loaded the program: some 0.4 ms, five times an operation.
"""

from __future__ import annotations

import ctypes
import functools
import os
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

# <spawn.h> of glibc and musl alike. The types are opaque: 80 and 336 bytes in glibc, less in musl; sigset_t is 128.
_SETPGROUP, _SETSIGDEF, _SETSIGMASK = 0x02, 0x04, 0x08
_OPAQUE = 1024
_Opaque: TypeAlias = "ctypes.Array[ctypes.c_char]"


def spawn(
    program: Sequence[str],
    environment: Mapping[str, str],
    *,
    duplicates: Iterable[tuple[int, int]],
    closed: Iterable[int],
    default_signals: Iterable[signal.Signals],
) -> int:
    """Start ``program`` (its file, then its arguments) as the leader of a process group and return its process id.

    ``duplicates`` are pairs of a descriptor of ours and its number there; a descriptor that is its own duplicate is
    inherited. ``closed`` are closed there, after that. Signals are blocked there as nowhere, and ``default_signals``
    not ignored. Raises OSError, ValueError if a word holds a zero byte.
    """
    words, variables = _strings(program), _strings(f"{name}={value}" for name, value in environment.items())
    pid = ctypes.c_int()
    with _file_actions(duplicates, closed) as actions, _attributes(default_signals) as attributes:
        _check(_libc().posix_spawn(ctypes.byref(pid), words[0], actions, attributes, words, variables))
    return pid.value


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _check(code: int) -> None:
    """Raise what a function of <spawn.h> has returned: these do not set errno."""
    if code:
        raise OSError(code, os.strerror(code))


def _strings(words: Iterable[str]) -> ctypes.Array[ctypes.c_char_p]:
    encoded = [os.fsencode(word) for word in words]
    if any(b"\0" in word for word in encoded):
        raise ValueError("embedded null byte")
    return (ctypes.c_char_p * (len(encoded) + 1))(*encoded, None)


@contextmanager
def _file_actions(duplicates: Iterable[tuple[int, int]], closed: Iterable[int]) -> Iterator[_Opaque]:
    libc, actions = _libc(), ctypes.create_string_buffer(_OPAQUE)
    _check(libc.posix_spawn_file_actions_init(actions))
    try:
        for fd, number in duplicates:
            _check(libc.posix_spawn_file_actions_adddup2(actions, fd, number))
        for fd in closed:
            _check(libc.posix_spawn_file_actions_addclose(actions, fd))
        yield actions
    finally:
        libc.posix_spawn_file_actions_destroy(actions)


@contextmanager
def _attributes(default_signals: Iterable[signal.Signals]) -> Iterator[_Opaque]:
    libc, attributes = _libc(), ctypes.create_string_buffer(_OPAQUE)
    _check(libc.posix_spawnattr_init(attributes))
    try:
        none, defaults = ctypes.create_string_buffer(_OPAQUE), ctypes.create_string_buffer(_OPAQUE)
        libc.sigemptyset(none)
        libc.sigemptyset(defaults)
        for number in default_signals:
            libc.sigaddset(defaults, number)
        _check(libc.posix_spawnattr_setsigmask(attributes, none))
        _check(libc.posix_spawnattr_setsigdefault(attributes, defaults))
        _check(libc.posix_spawnattr_setpgroup(attributes, 0))
        _check(libc.posix_spawnattr_setflags(attributes, ctypes.c_short(_SETPGROUP | _SETSIGDEF | _SETSIGMASK)))
        yield attributes
    finally:
        libc.posix_spawnattr_destroy(attributes)
