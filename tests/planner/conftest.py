"""What the planner's tests share: the templates, and the flag that rewrites the golden plans."""

from __future__ import annotations

import pytest

from planner.plan.render import Templates
from tests.planner import builders


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take `--golden-update`, known if `tests/planner` (or a file in it) is named on the command line."""
    parser.addoption("--golden-update", action="store_true", help="rewrite tests/planner/golden; review the difference")


@pytest.fixture(scope="session")
def templates() -> Templates:
    """Return the templates of this checkout."""
    return builders.templates()
