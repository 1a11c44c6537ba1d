"""The tests of `inside/` pass in a host that has an SR-IOV card; each of them is named if it does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.sriov.host import HERE, run_inside

_TEST = re.compile(r"^def (test_\w+)\(", re.MULTILINE)


def wanted() -> set[str]:
    """Return the names of all tests of `inside/`, so that none is missed that did not even begin."""
    return {name for path in (HERE / "inside").glob("test_*.py") for name in _TEST.findall(path.read_text())}


@pytest.mark.long
def test_functions_are_handed_over_and_come_home() -> None:
    """All of it in one host: it takes most of the time to begin."""
    ran = run_inside(str(Path("tests/sriov/inside")), "-q")
    bad = "\n\n".join(f"{case.name}:\n{case.problem}" for case in ran.cases if case.problem)
    assert bad == ""
    assert {case.name.partition("[")[0] for case in ran.cases} == wanted(), ran.console[-4000:]
