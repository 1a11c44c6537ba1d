"""Ways to show a plan; each reads the same list of changes and commands, and computes nothing about wiring.

Those in daily use are here, the others in ``markdown``, ``html`` and ``svg``; each is loaded only where it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from planner.formats.ansi import COLOURED, PLAIN, Style

if TYPE_CHECKING:
    from planner.formats.commands import render_commands
    from planner.formats.drift import render_drift
    from planner.formats.script import render_script
    from planner.formats.text import render_text

__all__ = ["COLOURED", "PLAIN", "Style", "render_commands", "render_drift", "render_script", "render_text"]
_RENDER = "render_"


def __getattr__(name: str) -> Any:
    """Load what renders a format when it is first used (PEP 562)."""
    if name in __all__ and name.startswith(_RENDER):
        return getattr(import_module(f"{__name__}.{name.removeprefix(_RENDER)}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
