"""Golden plans: what a person reads before saying yes, and the commands of the rollback, kept in files for review.

`pytest tests/planner --golden-update` rewrites them. A file is kept only after somebody has read every line of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.formats import render_commands, render_text
from tests.planner.situations import SITUATIONS, Situation

GOLDEN = Path(__file__).parent / "golden"


def page(situation: Situation) -> str:
    """Return the golden file of a situation: its story, the preview, and the commands that roll it back."""
    plan = situation.plan()
    back = render_commands(plan.reverse())
    return f"{situation.story}\n\n{render_text(plan)}\nThe rollback:\n\n{back}"


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_plan_is_the_reviewed_one(name: str, pytestconfig: pytest.Config) -> None:
    """Each situation gives the preview and the rollback that were reviewed."""
    path = GOLDEN / f"{name}.txt"
    shown = page(SITUATIONS[name])
    if pytestconfig.getoption("--golden-update", default=False):
        path.write_text(shown)
    assert shown.splitlines() == path.read_text().splitlines()


def test_every_golden_file_has_its_situation() -> None:
    """No golden file outlives its situation."""
    assert {path.stem for path in GOLDEN.iterdir()} == set(SITUATIONS)
