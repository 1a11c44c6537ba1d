"""Where everything in a picture is: boxes in columns, lanes below each other, texts as wide as can be.

Nothing is drawn here; coordinates are those of SVG, y goes down, a text's y is its baseline.
"""

from __future__ import annotations

from planner.formats.picture.boxes import PLACES, Box, Line, Place
from planner.formats.picture.scene import Lane, Picture, Row
from planner.formats.text_width import Font, width, wrapped
from planner.text.frozen import frozen

SIZE = 12.0
NAME_SIZE = 13.0
MARGIN = 24.0
GAP = 30.0
PAD = 12.0
MARK = 14.0
LEADING = 18.0
_GUTTER = 62.0
# The wider one holds "default via 192.168.100.100", and an IPv6 link-local address with its prefix length.
_NARROWEST, _WIDEST = 96.0, 206.0
_ROW_GAP = 16.0
_LANE_PAD = 16.0
_ZONE_PAD = 12.0
_FONTS: dict[str, Font] = {"value": "mono", "mark": "mono", "name": "mono"}


@frozen
class Text:
    """A line of text; ``width`` is what it can take at most."""

    x: float
    y: float
    text: str
    face: str
    sign: str
    width: float


@frozen
class Placed:
    """A box in its place, with its texts."""

    x: float
    y: float
    width: float
    height: float
    box: Box
    texts: tuple[Text, ...]


@frozen
class PlacedWire:
    """A straight line from one box to another."""

    x1: float
    x2: float
    y: float
    sign: str


@frozen
class PlacedRow:
    """A lane's boxes at one time."""

    y: float
    height: float
    labels: tuple[Text, ...]
    boxes: tuple[Placed, ...]
    wires: tuple[PlacedWire, ...]


@frozen
class PlacedLane:
    """An interface's two rows; ``zone`` is the rectangle (x, y, width, height) of the network namespace."""

    rows: tuple[PlacedRow, ...]
    zone: tuple[float, float, float, float]


@frozen
class Layout:
    """The lanes of a picture, and the names of the zones above them. What is below begins at ``bottom``."""

    width: float
    bottom: float
    zones: tuple[Text, ...]
    lanes: tuple[PlacedLane, ...]


@frozen
class _Columns:
    x: dict[Place, float]
    width: dict[Place, float]
    right: float


def laid_out(picture: Picture, top: float) -> Layout:
    """Return the layout of a picture's lanes, beginning at ``top``."""
    columns = _columns(picture)
    zones = _zone_names(picture, columns, top)
    y = max((zone.y for zone in zones), default=top) + _ZONE_PAD
    lanes = []
    for lane in picture.lanes:
        lanes.append(_lane(lane, columns, y))
        y = lanes[-1].zone[1] + lanes[-1].zone[3] + GAP / 2
    return Layout(columns.right + MARGIN, y, zones, tuple(lanes))


def text_at(x: float, y: float, text: str, face: str, sign: str = "") -> Text:
    """Return a text that begins at ``x``, as wide as it can be."""
    size = NAME_SIZE if face == "name" else SIZE
    return Text(x, y, text, face, sign, width(text, size, _FONTS.get(face, "sans")))


def _columns(picture: Picture) -> _Columns:
    """Return a column for each place that a row has a box in, as wide as its widest text may be."""
    rows = [row for lane in picture.lanes for row in (lane.before, lane.after)]
    xs: dict[Place, float] = {}
    widths: dict[Place, float] = {}
    names = [text_at(0, 0, lane.name, "name").width for lane in picture.lanes]
    x = MARGIN + max([_GUTTER, *(name + PAD for name in names)])
    for place in PLACES:
        boxes = [box for row in rows for box in row.boxes if box.place == place]
        if boxes:
            xs[place], widths[place] = x, max(map(_wanted_width, boxes))
            x += widths[place] + GAP
    return _Columns(xs, widths, x - GAP)


def _wanted_width(box: Box) -> float:
    lines = [text_at(0, 0, line.text, line.face).width for line in box.lines]
    widest = max([*lines, text_at(0, 0, box.kind, "kind").width, _NARROWEST])
    # The name is one word of at most 15 characters; what wraps keeps a little room for the break.
    return max(min(widest, _WIDEST), text_at(0, 0, box.name, "name").width) + _mark_width(box) + 2 * PAD


def _mark_width(box: Box) -> float:
    """Return the room for signs; nothing ever changes at the host's end."""
    return 0.0 if box.place == "host" else MARK


def _zone_names(picture: Picture, columns: _Columns, top: float) -> tuple[Text, ...]:
    """Return the names of the host, the namespace and the VM over their columns, the last lines side by side."""
    if "link" not in columns.x:
        return ()
    left = columns.x["link"]
    right = columns.x.get("vm", columns.right + GAP) - GAP
    lines = wrapped(f"in {picture.netns}", right - left, SIZE, "sans")
    names = [text_at(left, top + number * LEADING, line, "zone") for number, line in enumerate(lines, 1)]
    beside = [("host", "on the host"), ("vm", "in the VM")]
    places = [(columns.x[place], words) for place, words in beside if place in columns.x]
    return (*names, *(text_at(x, names[-1].y, words, "zone") for x, words in places))


def _lane(lane: Lane, columns: _Columns, top: float) -> PlacedLane:
    y = top + _LANE_PAD
    before = _row(lane.before, columns, y, lane.name, "before")
    y += before.height + _ROW_GAP
    after = _row(lane.after, columns, y, "after")
    y += after.height + _LANE_PAD
    inside = [place for place in columns.x if place not in ("host", "vm")]
    left = columns.x[inside[0]] - GAP / 2
    right = columns.x[inside[-1]] + columns.width[inside[-1]] + GAP / 2
    return PlacedLane((before, after), (left, top, right - left, y - top))


def _row(row: Row, columns: _Columns, y: float, *labels: str) -> PlacedRow:
    boxes = tuple(placed(box, columns.x[box.place], y, columns.width[box.place]) for box in row.boxes)
    at = {box.box.place: box for box in boxes}
    line = y + PAD + LEADING / 2
    wires = tuple(
        PlacedWire(at[wire.left].x + at[wire.left].width, at[wire.right].x, line, wire.sign) for wire in row.wires
    )
    baseline = y + PAD + NAME_SIZE
    texts = [text_at(MARGIN, baseline + number * LEADING, label, "label") for number, label in enumerate(labels)]
    if len(texts) > 1:
        texts[0] = text_at(MARGIN, baseline, labels[0], "name")
    return PlacedRow(y, max(box.height for box in boxes), tuple(texts), boxes, wires)


def placed(box: Box, x: float, y: float, outer: float) -> Placed:
    """Return a box at its place, ``outer`` wide: its name, its kind, then its lines, as many as they take."""
    left, indent = x + PAD, _mark_width(box)
    inner = outer - 2 * PAD - indent
    baseline = y + PAD + NAME_SIZE
    texts = [text_at(left, baseline, box.sign, "mark", box.sign)] if box.sign else []
    texts.append(text_at(left + indent, baseline, box.name, "name", box.sign))
    for part in wrapped(box.kind, inner, SIZE, "sans"):
        baseline += LEADING
        texts.append(text_at(left + indent, baseline, part, "kind"))
    baseline += 4
    for line in box.lines:
        baseline += 6 if line.face == "caption" else 0
        found = _line(line, left, indent, inner, baseline)
        texts += found
        baseline = found[-1].y
    return Placed(x, y, outer, baseline - y + PAD, box, tuple(texts))


def _line(line: Line, left: float, indent: float, inner: float, baseline: float) -> list[Text]:
    texts = []
    for number, part in enumerate(wrapped(line.text, inner, SIZE, _FONTS.get(line.face, "sans"))):
        baseline += LEADING
        if number == 0 and line.sign:
            texts.append(text_at(left, baseline, line.sign, "mark", line.sign))
        texts.append(text_at(left + indent, baseline, part, line.face, line.sign))
    return texts
