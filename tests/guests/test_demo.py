"""`./dev demo --vm`: the demo with a guest's console."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.support import run

DEMO = Path(__file__).parents[2] / "examples/demo.py"


def test_the_demo_boots_a_guest(tmp_path: Path) -> None:
    """It gets its lease and reaches its gateway, and the pod is then what it was."""
    environment = os.environ | {"TMPDIR": str(tmp_path), "NO_COLOR": "1"}
    said = run([sys.executable, DEMO, "--vm"], env=environment, timeout=300).out
    for words in ("guest # ip route", "default via 10.1.90.1", "2 packets received", "the pod is as it was"):
        assert words in said
