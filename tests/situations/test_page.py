"""docs/situations.md and the tests here are in step."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (\d+) \|.*\|(.*)\|$", re.MULTILINE)
ROWS = {
    int(number): re.findall(r"`(test_\w+)`", cell)
    for number, cell in ROW.findall((ROOT / "docs/situations.md").read_text())
}


def test_there_is_a_row_for_each_situation() -> None:
    """From 1 on, in their order."""
    assert list(ROWS) == list(range(1, len(ROWS) + 1))


def test_each_row_names_its_tests() -> None:
    """All those with its number, and none that isn't there."""
    files = [path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)]
    functions = [
        node for path in files for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)
    ]
    names = sorted(function.name for function in functions if function.name.startswith("test_"))
    for number, named in ROWS.items():
        assert sorted(named) == [name for name in names if name.startswith(f"test_{number:02}_")], number
    assert len(names) == sum(map(len, ROWS.values()))


def test_the_files_that_the_page_names_are_there() -> None:
    """By their path from the top."""
    page = (ROOT / "docs/situations.md").read_text()
    for path in re.findall(r"\b(?:tests|docs)/[\w/.]+", page) + [
        f"docs/{name}" for name in re.findall(r"\]\((\w+\.md)\)", page)
    ]:
        assert (ROOT / path).exists(), path
