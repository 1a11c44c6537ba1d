"""The drawing: well-formed, nothing cut off, nothing over anything else, by what the texts can take at most."""

from __future__ import annotations

from itertools import combinations
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve, frozen

from planner.formats.picture.layout import NAME_SIZE, SIZE
from planner.formats.svg import render_svg
from planner.formats.text_width import Font, width, wrapped
from planner.plan.plan import Plan
from tests.formats.plans import HOSTILE, every_plan, hostile_plan, plan_of

SVG = "{http://www.w3.org/2000/svg}"
PLANS = every_plan()
KNOWN = {"svg", "title", "desc", "style", "rect", "line", "g", "text"}


@frozen
class Area:
    """A rectangle, and what it is."""

    x1: float
    y1: float
    x2: float
    y2: float
    what: str

    def holds(self, other: Area) -> bool:
        """Say whether ``other`` is wholly inside."""
        return self.x1 <= other.x1 and self.y1 <= other.y1 and self.x2 >= other.x2 and self.y2 >= other.y2

    def meets(self, other: Area) -> bool:
        """Say whether the two overlap."""
        return self.x1 < other.x2 and other.x1 < self.x2 and self.y1 < other.y2 and other.y1 < self.y2


def drawn(plan: Plan) -> ET.Element:
    """Return the parsed drawing."""
    return ET.fromstring(render_svg(plan))  # noqa: S314 -- our own


def area_of_text(text: ET.Element) -> Area:
    """Return what a text takes at most."""
    kind = text.get("class", "").split()[0]
    font: Font = "mono" if kind in ("value", "mark", "name") else "bold" if kind == "title" else "sans"
    size = {"name": NAME_SIZE, "title": 18.0}.get(kind, SIZE)
    x, y, content = float(text.get("x", "")), float(text.get("y", "")), text.text or ""
    return Area(x, y - size, x + float(text.get("textLength") or width(content, size, font)), y + size / 4, content)


def area_of_box(box: ET.Element) -> Area:
    """Return the rectangle of a box."""
    x, y, wide, high = (float(box.get(key, "")) for key in ("x", "y", "width", "height"))
    return Area(x, y, x + wide, y + high, "box")


@pytest.mark.parametrize("name", PLANS)
def test_every_text_is_in_the_picture_and_over_no_other(name: str) -> None:
    """Measured by the width that is the most it can take."""
    plan = PLANS[name]
    svg = drawn(plan)
    page = Area(0, 0, float(svg.get("width", "")), float(svg.get("height", "")), "page")
    texts = [area_of_text(text) for text in svg.iter(f"{SVG}text")]
    assert texts
    assert [text for text in texts if not page.holds(text)] == []
    assert [pair for pair in combinations(texts, 2) if pair[0].meets(pair[1])] == []


@pytest.mark.parametrize("name", PLANS)
def test_every_box_holds_its_texts_and_meets_no_other(name: str) -> None:
    """And no text of elsewhere reaches into it."""
    plan = PLANS[name]
    svg = drawn(plan)
    boxes, inside = [], set()
    for group in svg.iter(f"{SVG}g"):
        if group.get("class") == "placed":
            boxes.append(area_of_box(group[0]))
            for text in group.iter(f"{SVG}text"):
                inside.add(text)
                assert boxes[-1].holds(area_of_text(text)), text.text
    assert [pair for pair in combinations(boxes, 2) if pair[0].meets(pair[1])] == []
    outside = [
        area_of_text(text) for text in svg.iter(f"{SVG}text") if text not in inside and text.get("class") != "mark"
    ]
    lanes = [area for area in outside if any(box.meets(area) for box in boxes)]
    assert lanes == []


@pytest.mark.parametrize("reason", HOSTILE, ids=lambda text: text[:12])
def test_hostile_text_stays_text(reason: str) -> None:
    """Whatever a reason holds, there are no elements but those that podwire draws, and it is read as it is."""
    plan = hostile_plan()
    svg = drawn(evolve(plan, changes=tuple(evolve(change, reason=reason) for change in plan.changes)))
    assert {element.tag.removeprefix(SVG) for element in svg.iter()} <= KNOWN
    assert not [key for element in svg.iter() for key in element.attrib if key.startswith("on")]
    said = "".join("".join(text.itertext()) for text in svg.iter(f"{SVG}text")).replace(" ", "")
    assert reason.replace(" ", "") in said


def test_it_fetches_nothing_and_runs_nothing() -> None:
    """No script, no link, no import, no url."""
    text = render_svg(plan_of("three")).replace("http://www.w3.org/2000/svg", "")
    for word in ("http", "url(", "@import", "href", "<script", "<image", "<foreignObject"):
        assert word not in text


def test_the_same_plan_is_the_same_picture() -> None:
    """Byte by byte."""
    assert render_svg(plan_of("three")) == render_svg(plan_of("three"))


def test_nothing_to_do_is_said() -> None:
    """An empty plan has no lanes."""
    svg = drawn(PLANS["nothing"])
    assert [text.text for text in svg.iter(f"{SVG}text")][-1] == "nothing to do: the namespace is already as requested"


@pytest.mark.parametrize("font", ["mono", "sans", "bold"])
@pytest.mark.parametrize("text", [*HOSTILE, "a b  c", "/" * 90, "2001:db8::1/64 " * 9, "-"], ids=lambda text: text[:12])
def test_wrapped_lines_are_never_wider_and_lose_nothing(text: str, font: Font) -> None:
    """Only spaces may go."""
    lines = wrapped(text, 180, 12, font)
    assert all(width(line, 12, font) <= 180 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
