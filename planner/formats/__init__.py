"""Ways to show a plan; each reads the same list of changes and commands, and computes nothing about wiring.

Those in daily use are here; the modules ``markdown``, ``html`` and ``svg`` are loaded by whoever wants them.
"""

from __future__ import annotations

from planner.formats.ansi import COLOURED, PLAIN, Style
from planner.formats.commands import render_commands
from planner.formats.drift import render_drift
from planner.formats.script import render_script
from planner.formats.text import render_text

__all__ = ["COLOURED", "PLAIN", "Style", "render_commands", "render_drift", "render_script", "render_text"]
