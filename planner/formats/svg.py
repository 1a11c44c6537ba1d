"""A plan as a picture that is one file: the namespace before and after, and what else changes in it."""

from __future__ import annotations

from collections.abc import Sequence

from planner.formats.markup import Element, Node, element
from planner.formats.picture.layout import (
    LEADING,
    MARGIN,
    Layout,
    Placed,
    PlacedLane,
    PlacedWire,
    Text,
    laid_out,
    text_at,
)
from planner.formats.picture.notes import placed_notes
from planner.formats.picture.palette import MONO, SANS, SIGN_NAMES, coloured, mark, sign_class
from planner.formats.picture.scene import Picture, picture_of
from planner.formats.plan_words import NOTHING, title_of
from planner.formats.text_width import is_known, width, wrapped
from planner.formats.undo import totals
from planner.plan.plan import Plan

_TITLE_SIZE = 18.0
_LEAST_WIDTH = 760.0
_LEGEND_WIDTH = 360.0

_SHAPES = (
    f"text{{font:12px {SANS};white-space:pre}}"
    f".value,.mark{{font-family:{MONO}}}"
    f".name{{font:600 13px {MONO}}}.mark{{font-weight:700}}.title{{font:600 18px {SANS}}}"
    ".box{stroke-width:1}.box.added,.box.removed,.box.changed{stroke-width:1.6}"
    ".removed{stroke-dasharray:6 4}text.removed{stroke-dasharray:none}.box.changed{stroke-dasharray:12 3 2 3}"
    ".wire{stroke-width:1.2}.wire.added,.wire.removed{stroke-width:2}"
)
_COLOURS = (
    (".page", "fill", "page"),
    (".zone-box", "fill", "zone"),
    (".box", "fill", "box"),
    (".box", "stroke", "line"),
    (".wire", "stroke", "faint"),
    ("text", "fill", "text"),
    (".kind,.caption,.zone,.label,.reason,.faint", "fill", "faint"),
    *((f".box.{name}", "fill", f"{name}-box") for name in SIGN_NAMES.values()),
    *((f".box.{name},.wire.{name}", "stroke", name) for name in SIGN_NAMES.values()),
    *((f"text.{name}", "fill", name) for name in SIGN_NAMES.values()),
)


def render_svg(plan: Plan) -> str:
    """Return ``plan`` as an SVG document."""
    title = title_of(plan)
    said = totals(plan) if plan.changes else NOTHING
    picture = picture_of(plan)
    across = max(laid_out(picture, 0).width, _LEAST_WIDTH)
    head = _head(title, said, across)
    nodes: list[Node] = [_text(text) for text in head]
    bottom = head[-1].y
    if picture.lanes:
        layout = laid_out(picture, bottom + LEADING)
        notes = placed_notes(picture, across, layout.bottom)
        nodes += [*_legend(across), *_lanes(layout), *map(_text, notes)]
        bottom = max([layout.bottom, *(note.y for note in notes)])
    about = (element("title", title), element("desc", said))
    return f"{_document(across, bottom + MARGIN, [*about, _page(across, bottom + MARGIN), *nodes])}\n"


def _head(title: str, said: str, across: float) -> list[Text]:
    """Return the title, beside which the legend has its place, and the totals."""
    texts: list[Text] = []
    y = MARGIN + _TITLE_SIZE
    for line in wrapped(title, across - 2 * MARGIN - _LEGEND_WIDTH, _TITLE_SIZE, "bold"):
        texts.append(Text(MARGIN, y, line, "title", "", width(line, _TITLE_SIZE, "bold")))
        y += _TITLE_SIZE * 1.3
    return [*texts, text_at(MARGIN, y + 2, said, "faint")]


def picture_element(picture: Picture, label: str) -> Element:
    """Return the lanes of a picture as an ``svg`` element, for a page that says the rest."""
    layout = laid_out(picture, LEADING * 1.5)
    across = max(layout.width, _LEAST_WIDTH)
    nodes = [*_legend(across, top=0), *_lanes(layout)]
    return _document(across - 2 * MARGIN + 4, layout.bottom, nodes, left=MARGIN - 2, label=label)


def picture_style() -> str:
    """Return the style sheet of the picture."""
    return _SHAPES + coloured(_COLOURS)


def _document(
    across: float, height: float, nodes: Sequence[Node], *, left: float = 0, label: str | None = None
) -> Element:
    return element(
        "svg",
        element("style", picture_style()),
        *nodes,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"{left:.0f} 0 {across:.0f} {height:.0f}",
        width=f"{across:.0f}",
        height=f"{height:.0f}",
        role="img",
        aria_label=label,
    )


def _page(across: float, height: float) -> Element:
    return element("rect", class_="page", width=across, height=height)


def _legend(across: float, top: float = MARGIN) -> list[Node]:
    """Return what the marks mean, at the right of the title."""
    nodes: list[Node] = []
    x = across - MARGIN
    for sign, words in (("~", "changes"), ("-", "goes"), ("+", "appears")):
        text = text_at(0, top + LEADING - 2, words, "faint")
        x -= text.width
        nodes.append(_text(text_at(x, text.y, words, "faint")))
        x -= 36
        swatch = {"x": x, "y": top + 4.0, "width": 28.0, "height": 16.0, "rx": 3}
        nodes.append(element("rect", class_=sign_class("box", sign=sign), **swatch))
        nodes.append(_text(text_at(x + 10, text.y, sign, "mark", sign)))
        x -= 20
    return nodes


def _lanes(layout: Layout) -> list[Node]:
    nodes: list[Node] = [_text(text) for text in layout.zones]
    return nodes + [_lane(lane) for lane in layout.lanes]


def _lane(lane: PlacedLane) -> Element:
    x, y, wide, high = lane.zone
    nodes: list[Node] = [element("rect", class_="zone-box", x=x, y=y, width=wide, height=high, rx=8)]
    for row in lane.rows:
        nodes += map(_text, row.labels)
        nodes += map(_wire, row.wires)
        nodes += map(_box, row.boxes)
    return element("g", *nodes, class_="lane")


def _wire(wire: PlacedWire) -> Element:
    kind = sign_class("wire", sign=wire.sign)
    return element("line", class_=kind, x1=wire.x1, y1=wire.y, x2=wire.x2, y2=wire.y)


def _box(placed: Placed) -> Element:
    rect = element(
        "rect",
        class_=sign_class("box", sign=placed.box.sign),
        x=placed.x,
        y=placed.y,
        width=placed.width,
        height=placed.height,
        rx=6,
    )
    return element("g", rect, *map(_text, placed.texts), class_="placed")


def _text(text: Text) -> Element:
    """Return a text; one with characters whose width nobody knows is made to fit."""
    fit = {} if is_known(text.text) else {"textLength": text.width, "lengthAdjust": "spacingAndGlyphs"}
    shown = mark(text.text) if text.face == "mark" else text.text
    return element("text", shown, class_=sign_class(text.face, sign=text.sign), x=text.x, y=text.y, **fit)
