"""docs/kernel.md and the tests here are in step: each fact has its test, each test its line."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from pkgutil import resolve_name

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/kernel.md").read_text()
SECTION = re.compile(r"^## [^\n]*`(tests/kernel/\w+\.py)`\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = dict(SECTION.findall(PAGE))


def names_in(file: Path) -> list[str]:
    """Return the names of the tests in a file."""
    functions = [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)]
    return [function.name for function in functions if function.name.startswith("test_")]


def test_every_file_has_its_section() -> None:
    """And no section is about a file that is gone."""
    files = {str(path.relative_to(ROOT)) for path in Path(__file__).parent.glob("test_*.py")}
    assert set(SECTIONS) == files - {str(Path(__file__).relative_to(ROOT))}


def test_each_section_names_the_tests_of_its_file() -> None:
    """All of them, each once."""
    for file, text in SECTIONS.items():
        assert sorted(re.findall(r"`(test_\w+)`", text)) == sorted(names_in(ROOT / file)), file


def test_every_line_names_a_test() -> None:
    """A fact needs a test that shows it."""
    items = [item for text in SECTIONS.values() for item in re.split(r"^- ", text, flags=re.MULTILINE)[1:]]
    facts = [item.split("\n\n")[0] for item in items]
    assert len(facts) > 100
    assert [fact for fact in facts if "`test_" not in fact] == []


def test_what_page_and_docstrings_refer_to_is_there() -> None:
    """Files by their path, names by their module."""
    texts = [PAGE, *(path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__))]
    for path in set(re.findall(r"\b(?:planner|executor|templates)/[\w/]+\.(?:py|j2)\b", "\n".join(texts))):
        assert (ROOT / path).is_file(), path
    for name in set(re.findall(r"\b(?:planner|executor)(?:\.\w+)+", "\n".join(texts))):
        assert resolve_name(name) is not None, name
