"""podwire's executor: the only door to the host. It observes, runs what was planned, journals, and takes back.

    facts = observe_netns(path, timeout=30)        what is there, for the planner
    apply(plan, settings)                          look, change, look again; back where anything fails
    restore(entry, settings, "teardown")           the way back, by what is there

It never prints: ``Settings.listeners`` hear of every command. Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:  # type checkers take it for True; typing itself would be a third of what podwire --version takes
    from typing import Any

    from executor.errors import (
        ExecutorError,
        HostError,
        Locked,
        NamespaceGone,
        RollbackIncomplete,
        RolledBack,
        TimedOut,
    )
    from executor.netns.namespace import Namespace
    from executor.observe.observe import observe_netns
    from executor.operations.apply import apply, roll_forward
    from executor.operations.outcome import Outcome
    from executor.operations.rollback import restore
    from executor.process.ip_batch import IpBatch
    from executor.settings import Settings
    from executor.state.store import StateStore, WiringRecord
    from executor.taps.open import open_tap, send_descriptors
    from executor.taps.recover import Reopened, reopen
    from executor.templates import load_templates
    from executor.version import __version__

_HOMES = {
    "operations.apply": ("apply", "roll_forward"),
    "errors": ("ExecutorError", "RollbackIncomplete", "Locked", "NamespaceGone", "RolledBack", "TimedOut", "HostError"),
    "netns.namespace": ("Namespace",),
    "observe.observe": ("observe_netns",),
    "operations.outcome": ("Outcome",),
    "taps.recover": ("Reopened", "reopen"),
    "operations.rollback": ("restore",),
    "process.ip_batch": ("IpBatch",),
    "state.store": ("WiringRecord", "StateStore"),
    "taps.open": ("open_tap", "send_descriptors"),
    "templates": ("load_templates",),
    "version": ("__version__",),
    "settings": ("Settings",),
}

__all__ = [
    "ExecutorError",
    "HostError",
    "IpBatch",
    "Locked",
    "Namespace",
    "NamespaceGone",
    "Outcome",
    "Reopened",
    "RollbackIncomplete",
    "RolledBack",
    "Settings",
    "StateStore",
    "TimedOut",
    "WiringRecord",
    "__version__",
    "apply",
    "load_templates",
    "observe_netns",
    "open_tap",
    "reopen",
    "restore",
    "roll_forward",
    "send_descriptors",
]


def __getattr__(name: str) -> Any:
    """Load a public name from the module that it lives in (PEP 562)."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"executor.{module}"), name)
    raise AttributeError(f"module 'executor' has no attribute {name!r}")
