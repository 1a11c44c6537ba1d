"""A picture as a mermaid flowchart (mermaid.js.org, "Flowcharts"), which GitHub and GitLab draw in a comment."""

from __future__ import annotations

import re
from collections.abc import Iterator

from planner.formats.picture.boxes import Box
from planner.formats.picture.scene import Picture, Row, When

_PLAIN = re.compile(r"[A-Za-z0-9 .,:/_+-]")
_CLASSES = {"+": "added", "-": "removed", "~": "changed"}
# Lines only, no fill, so that it is legible on a light and on a dark page, and in black and white.
_STYLES = (
    "classDef added stroke:#2da44e,stroke-width:3px",
    "classDef removed stroke:#e5534b,stroke-width:2px,stroke-dasharray:6 4",
    "classDef changed stroke:#c69026,stroke-width:2px,stroke-dasharray:12 3 2 3",
)
_ARROWS = {"+": "===", "-": "-.-"}


def render_mermaid(picture: Picture) -> str:
    """Return the flowchart of a picture, before over after."""
    lines = ["flowchart TB"]
    times: tuple[When, ...] = ("before", "after")
    for when in times:
        rows = [lane.before if when == "before" else lane.after for lane in picture.lanes]
        lines += [f'  subgraph {when}["{when}"]', "    direction LR"]
        lines += [f"    {line}" for number, row in enumerate(rows) for line in _row(row, f"{when}{number}")]
        lines.append("  end")
    # An invisible link keeps them in this order.
    lines += ["  before ~~~ after", *(f"  {style}" for style in _STYLES)]
    return "".join(f"{line}\n" for line in lines)


def label(text: str) -> str:
    """Return text for a quoted label: whatever could have a meaning is a character reference."""
    return "".join(char if _PLAIN.fullmatch(char) else f"#{ord(char)};" for char in text)


def _row(row: Row, name: str) -> Iterator[str]:
    """Yield a row: the places in their order, so that what is joined through the block rules goes through them."""
    for box in row.boxes:
        kind = _CLASSES.get(box.sign)
        yield f'{name}{box.place}["{_box(box)}"]{f":::{kind}" if kind else ""}'
    places = [box.place for box in row.boxes]
    for wire in row.wires:
        between = places[places.index(wire.left) : places.index(wire.right) + 1]
        arrow = f" {_ARROWS.get(wire.sign, '---')} "
        yield arrow.join(f"{name}{place}" for place in between)


def _box(box: Box) -> str:
    lines = [_signed(box.sign, box.name), label(box.kind), *(_signed(line.sign, line.text) for line in box.lines)]
    return "<br/>".join(lines)


def _signed(sign: str, text: str) -> str:
    """Return a line of a label. With a plain space after its sign it would be an item of a list."""
    return f"{label(sign)}#160;{label(text)}" if sign else label(text)
