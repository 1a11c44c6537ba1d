"""The pictures of the README are what podwire draws today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "pictures.py"


def test_the_readme_shows_what_podwire_draws() -> None:
    """If not, make them again: python examples/pictures.py."""
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
