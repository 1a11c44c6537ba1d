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

    from executor.applying import apply, finish
    from executor.errors import ExecutorError, HalfDone, Locked, NamespaceGone, TakenBack, TimedOut, Unusable
    from executor.netns import Namespace
    from executor.observe import observe_netns
    from executor.outcome import Outcome
    from executor.reopening import Reopened, reopen
    from executor.restoring import restore
    from executor.session import IpSession
    from executor.store import Entry, StateStore
    from executor.tap import open_tap, send_descriptors
    from executor.templates import load_templates
    from executor.version import __version__
    from executor.workplace import Settings

_HOMES = {
    "applying": ("apply", "finish"),
    "errors": ("ExecutorError", "HalfDone", "Locked", "NamespaceGone", "TakenBack", "TimedOut", "Unusable"),
    "netns": ("Namespace",),
    "observe": ("observe_netns",),
    "outcome": ("Outcome",),
    "reopening": ("Reopened", "reopen"),
    "restoring": ("restore",),
    "session": ("IpSession",),
    "store": ("Entry", "StateStore"),
    "tap": ("open_tap", "send_descriptors"),
    "templates": ("load_templates",),
    "version": ("__version__",),
    "workplace": ("Settings",),
}

__all__ = [
    "Entry",
    "ExecutorError",
    "HalfDone",
    "IpSession",
    "Locked",
    "Namespace",
    "NamespaceGone",
    "Outcome",
    "Reopened",
    "Settings",
    "StateStore",
    "TakenBack",
    "TimedOut",
    "Unusable",
    "__version__",
    "apply",
    "finish",
    "load_templates",
    "observe_netns",
    "open_tap",
    "reopen",
    "restore",
    "send_descriptors",
]


def __getattr__(name: str) -> Any:
    """Load a public name from the module that it lives in (PEP 562)."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"executor.{module}"), name)
    raise AttributeError(f"module 'executor' has no attribute {name!r}")
