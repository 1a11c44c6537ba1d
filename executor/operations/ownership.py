"""Who works under an id: one podwire at a time, from the first plugin of an apply to the last of its teardown.

The lock is a file in the folder of locks (``executor.netns.lock``), one for each id of a state directory. It is taken
before that of the namespace, so that two which want both never wait for each other.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import evolve

from executor.errors import HostError
from executor.netns.lock import LockFile
from executor.operations.signals import check_stop
from executor.settings import Settings
from executor.state.store import StateStore
from planner.text.frozen import frozen
from planner.text.values import PlanId

# A teardown of one interface takes 19: two ``ip``, ebtables, sysctl, and what they read and write.
_DESCRIPTORS = 32


@frozen
class Owned:
    """An id of a state directory that is ours; programs that change something for it inherit ``fd``."""

    id: PlanId
    fd: int


@contextmanager
def own(plan_id: PlanId, settings: Settings) -> Iterator[Settings]:
    """Keep every other podwire from working under an id; yield the settings that tell operations so.

    With such settings it is owned already. Waits up to ``lock_timeout`` seconds, then raises Locked, which says who has
    it. Raises HostError if the state directory cannot be used, OSError if there are too few descriptors, Interrupted.
    """
    if settings.owned is not None and settings.owned.id == plan_id:
        yield settings
        return
    settings.store.prepare()
    what = f"id {plan_id}"
    with LockFile.take(_name(plan_id, settings.store), settings.lock_timeout, what, check=check_stop) as lock:
        _require_descriptors()
        yield evolve(settings, owned=Owned(plan_id, lock.fd))


def _require_descriptors() -> None:
    """Raise OSError if there are too few descriptors for an operation and its rollback, while nothing was changed."""
    most = os.sysconf("SC_OPEN_MAX")
    if most - sum(int(name) < most for name in os.listdir("/proc/self/fd")) < _DESCRIPTORS:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def _name(plan_id: PlanId, store: StateStore) -> str:
    """Return a name for an id of a state directory, by whatever path that is reached."""
    try:
        found = os.stat(store.directory)
    except OSError as error:
        raise HostError(f"the state directory cannot be read: {error.strerror}") from None
    return f"id-{found.st_dev:x}-{found.st_ino:x}-{plan_id}"
