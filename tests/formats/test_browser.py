"""Pictures and pages in a real browser, with the fonts of this machine: nothing overlaps, nothing is cut off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from executor.log.html import render_log_html
from planner.formats.html import render_html
from planner.formats.svg import render_svg
from tests.formats.browser import MISSING, chromium, measured
from tests.formats.logs import hostile_records, records
from tests.formats.plans import PAGE_TEMPLATES, every_plan

pytestmark = pytest.mark.skipif(chromium() is None, reason=MISSING)

PLANS = every_plan()


def assert_fine(found: dict[str, Any], *, scrolls: bool = False) -> None:
    """See that in every document everything is where it can be read."""
    for name, seen in found.items():
        assert (seen["cut"], seen["over"], seen["spilled"], seen["ran"]) == ([], [], [], []), name
        assert scrolls or not seen["scrolls"], name


def test_drawings_fit(tmp_path: Path) -> None:
    """Each text in its box and over no other, whichever the plan."""
    found = measured({name: render_svg(plan) for name, plan in PLANS.items()}, tmp_path)
    assert found["eight"]["boxes"] == 8 * 8
    assert found["plain"]["texts"] > 50
    assert_fine(found, scrolls=True)


@pytest.mark.parametrize("wide", [1600, 1024, 400])
def test_pages_fit_on_any_screen(tmp_path: Path, wide: int) -> None:
    """A page never scrolls sideways; if the picture is wider, only that does."""
    pages = {name: render_html(plan, PAGE_TEMPLATES) for name, plan in PLANS.items()}
    assert_fine(measured(pages, tmp_path, wide=wide))


@pytest.mark.parametrize("wide", [718, 500], ids=["A4", "A5"])
def test_pages_fit_on_paper(tmp_path: Path, wide: int) -> None:
    """A4 and A5, where nothing can be scrolled: the whole picture is there."""
    plans = {name: render_html(plan, PAGE_TEMPLATES) for name, plan in PLANS.items()}
    assert all("@media print" in page for page in plans.values())
    printed = {name: page.replace("@media print", "@media all") for name, page in plans.items()}
    found = measured(printed, tmp_path, wide=wide)
    assert_fine(found)
    assert {seen["wider"] for seen in found.values()} == {0}


@pytest.mark.parametrize("wide", [1600, 1024, 400])
def test_log_pages_fit_on_any_screen(tmp_path: Path, wide: int) -> None:
    """Whatever a command said."""
    logs = {"log": records(), "hostile": hostile_records(), "empty": []}
    assert_fine(
        measured({name: render_log_html(log, PAGE_TEMPLATES) for name, log in logs.items()}, tmp_path, wide=wide)
    )


@pytest.mark.parametrize(("dark", "ground"), [(False, "rgb(255, 255, 255)"), (True, "rgb(15, 20, 25)")])
def test_they_follow_what_the_reader_prefers(tmp_path: Path, ground: str, *, dark: bool) -> None:
    """Light on dark, or dark on light."""
    plan = PLANS["plain"]
    documents = {
        "svg": render_svg(plan),
        "html": render_html(plan, PAGE_TEMPLATES),
        "log": render_log_html(records(), PAGE_TEMPLATES),
    }
    found = measured(documents, tmp_path, dark=dark)
    assert {name: seen["ground"] for name, seen in found.items()} == dict.fromkeys(documents, ground)


def test_the_checker_sees_what_is_wrong(tmp_path: Path) -> None:
    """A text over another, one out of its box, one out of the picture, a script."""
    bad = (
        '<svg width="300" height="100"><text x="10" y="20">one</text><text x="14" y="24">two</text>'
        '<g class="placed"><rect x="10" y="40" width="30" height="20"/><text x="12" y="54">far too long</text></g>'
        '<text x="280" y="80">cut off</text></svg><script></script>'
    )
    seen = measured({"bad": bad}, tmp_path)["bad"]
    assert (seen["over"], seen["spilled"]) == ([["one", "two"]], ["far too long"])
    assert (seen["cut"], seen["ran"]) == (["cut off"], ["SCRIPT"])
