"""`./dev`: it says what it is doing when that takes longer than a moment, and nothing when nothing is to be done."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support import run
from tests.support.preloaded import ROOT

# Stands for Python: looking is quick, making the environment takes a while, what pip does fails if it is told to.
PYTHON = """\
#!/bin/sh
case $* in
    *"-m venv"*)
        sleep 1.5
        for last; do :; done
        mkdir -p "$last/bin"
        cp "$0" "$last/bin/python"
        printf '#!/bin/sh\\necho here\\n' >"$last/bin/podwire"
        chmod +x "$last/bin/podwire"
        ;;
    *"-m pip"*) [ -z "$PIP_FAILS" ] || { echo 'no such package'; exit 1; } ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make what ./dev looks at: itself, the list of dependencies, and a Python on PATH."""
    shutil.copy(ROOT / "dev", tmp_path / "dev")
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text(PYTHON)
    (tmp_path / "bin/python3").chmod(0o755)
    return tmp_path


def test_a_step_is_said_if_it_takes_longer_than_a_moment(checkout: Path) -> None:
    """On standard error, before it has ended; what is quick is not said, nor what is done already."""
    env = {**os.environ, "PATH": f"{checkout}/bin:{os.environ['PATH']}"}
    first = run([str(checkout / "dev"), "podwire"], env=env)
    assert (first.out, first.err) == ("here\n", "dev: making the virtual environment …\n")
    again = run([str(checkout / "dev"), "podwire"], env=env)
    assert (again.out, again.err) == ("here\n", "")


def test_a_step_that_fails_shows_what_it_printed(checkout: Path) -> None:
    """And what was being done."""
    env = {**os.environ, "PATH": f"{checkout}/bin:{os.environ['PATH']}", "PIP_FAILS": "1"}
    outcome = run([str(checkout / "dev"), "podwire"], env=env, check=False)
    assert outcome.rc == 1
    assert outcome.err.endswith("dev: installing the dependencies failed:\nno such package\n")


def test_the_sandbox_has_podwire_on_path() -> None:
    """The command and the plugin, as they are in this checkout; and what it runs ends as it ends."""
    outcome = run(
        [str(ROOT / "dev"), "sandbox", "sh", "-c", "command -v podwire; command -v podwire-cni; podwire list"]
    )
    assert outcome.out.splitlines() == [
        f"{ROOT}/.venv/bin/podwire",
        f"{ROOT}/.venv/bin/podwire-cni",
        "nothing is wired here",
    ]
