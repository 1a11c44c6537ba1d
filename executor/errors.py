"""What the executor raises: one base class, and one subclass for each thing that a caller does differently."""

from __future__ import annotations

import errno

from planner.errors import PodwireError


class ExecutorError(PodwireError):
    """Base of everything that the executor raises on purpose."""


# What the machine may run out of at any moment: memory, descriptors, processes, locks. No bug, and no refusal of ours.
SHORTAGES = (MemoryError, OSError)


_SHORT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)


def is_shortage(error: OSError) -> bool:
    """Say whether a call failed for what the machine has run out of, so that it tells nothing of what was asked for."""
    return error.errno in _SHORT_OF


def shortage(error: BaseException) -> str:
    """Return what the machine has run out of, as a sentence."""
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    why = getattr(error, "strerror", None) or error
    if isinstance(error, FileNotFoundError):  # which no shortage is
        return f"the system says: {why}"
    return f"out of a system resource: {why}"


class HostError(ExecutorError):
    """A program, a permission, a namespace or the state is not as needed; nothing was changed (exit 1)."""


class NoThreads(HostError):
    """There can be no more threads just now. What could not be looked at for that is not gone."""


class NamespaceHidden(HostError):
    """A namespace cannot be found from here, and nothing proves that it is gone."""


class NamespaceGone(HostError):
    """There is no namespace at that path (any more): a caller that removes something from it has nothing to do."""


class Locked(HostError):
    """Another process is changing the namespace; the message says which. Trying again later may work."""


class TimedOut(ExecutorError):
    """A command took longer than it may and was killed; whether it had its effect is not known."""


class Interrupted(ExecutorError):
    """A signal asked podwire to stop while it was changing something."""


class RolledBack(ExecutorError):
    """Applying failed, and what was done was rolled back: the namespace is as it was (exit 3)."""


class RollbackIncomplete(ExecutorError):
    """Something failed and could not be rolled back completely; the state is kept for ``podwire recover`` (exit 4)."""
