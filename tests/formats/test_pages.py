"""The pages of a plan and of the log: one file each, well-formed, and text in them stays text."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as ET

import pytest

from executor.log.html import render_log_html
from planner.formats.html import render_html
from planner.formats.markup import clean, element
from tests.formats.logs import hostile_records, records
from tests.formats.plans import HOSTILE, NAMES, PAGE_TEMPLATES, every_plan, hostile_plan, plan_of

PLANS = every_plan()
PAGES = {name: render_html(plan, PAGE_TEMPLATES) for name, plan in PLANS.items()} | {
    "log": render_log_html(records(), PAGE_TEMPLATES),
    "hostile log": render_log_html(hostile_records(), PAGE_TEMPLATES),
    "empty log": render_log_html([], PAGE_TEMPLATES),
}
KNOWN = {
    "html", "head", "meta", "title", "style", "body", "main", "section", "h1", "h2", "p", "div", "span", "b", "code",
    "table", "thead", "tbody", "tr", "th", "td", "ol", "li", "details", "summary", "figure", "svg", "rect", "line",
    "g", "text",
}  # fmt: skip


def parsed(page: str) -> ET.Element:
    """Return a page as the XML that it is as well."""
    return ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))  # noqa: S314 -- our own


def names_in(page: str) -> Iterator[str]:
    """Yield the names of all elements."""
    return (found.tag.rpartition("}")[2] for found in parsed(page).iter())


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_only_elements_that_podwire_makes(name: str) -> None:
    """No script, no form, no picture from elsewhere, and nothing that handles an event."""
    assert set(names_in(PAGES[name])) <= KNOWN
    keys = {key for found in parsed(PAGES[name]).iter() for key in found.attrib}
    assert not [key for key in keys if key.startswith("on") or key in ("href", "src", "action")]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_written_to_a_file(name: str) -> None:
    """Nothing in it that UTF-8 has not, and no control characters."""
    assert PAGES[name].encode()
    assert clean(PAGES[name]) == PAGES[name]


def test_hostile_reasons_are_read_as_they_are() -> None:
    """In full."""
    said = "".join(parsed(render_html(hostile_plan(), PAGE_TEMPLATES)).itertext())
    for reason in HOSTILE:
        assert reason in said


@pytest.mark.parametrize("name", NAMES)
def test_each_command_is_on_the_page_to_be_copied(name: str) -> None:
    """With its number, in its place."""
    plan = plan_of(name)
    said = {(found.get("value"), found[0].text) for found in parsed(render_html(plan, PAGE_TEMPLATES)).iter("li")}
    for number, command in enumerate(plan.commands, 1):
        lines = [command.line, *(f"| {line}" for line in (command.stdin or "").splitlines())]
        assert (str(number), "\n".join(lines)) in said


def test_failed_commands_stand_out_and_are_open() -> None:
    """And only those."""
    page = parsed(render_log_html(records(), PAGE_TEMPLATES))
    bad = [found for found in page.iter("details") if found.get("class") == "bad"]
    assert [found[0][2].text for found in bad] == ["failed 2", "unfinished"]
    assert [found.get("open") for found in bad] == ["open", None]
    assert len([found for found in page.iter("details") if found.get("open")]) == 1
    assert "RTNETLINK answers: Device or resource busy" in "".join(bad[0].itertext())


def test_what_was_run_for_one_command_line_stands_together() -> None:
    """Under who asked for it, even if the log is read backwards."""
    for log in (records(), records()[::-1]):
        heads = [found.text for found in parsed(render_log_html(log, PAGE_TEMPLATES)).iter("h2")]
        assert sorted(filter(None, heads)) == ["apply pod1", "apply pod2", "teardown pod1"]


def test_bars_lie_within_their_track() -> None:
    """One begins if the one before it ended."""
    styles = [found.get("style", "") for found in parsed(render_log_html(records(), PAGE_TEMPLATES)).iter("div")]
    bars = [[float(part.split(":")[1][:-1]) for part in style.split(";")] for style in styles if style]
    assert bars
    assert all(0 <= begin <= 100 and begin + long <= 100.02 for begin, long in bars)


def test_a_name_from_elsewhere_cannot_be_an_element() -> None:
    """Names are podwire's own, always."""
    with pytest.raises(ValueError, match="is no name"):
        element("b onload=x")


def test_a_style_sheet_holds_nothing_to_escape() -> None:
    """HTML would not roll it back."""
    with pytest.raises(ValueError, match="style sheet"):
        str(element("style", "</style><script>"))
