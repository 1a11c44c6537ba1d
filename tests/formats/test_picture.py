"""The model behind the pictures: it shows every change, and nothing that is not so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from planner.changes.change import Change
from planner.formats.picture.boxes import Box
from planner.formats.picture.palette import DARK, LIGHT, SIGN_NAMES
from planner.formats.picture.scene import Lane, Row, picture_of
from planner.formats.undo import pairs_of
from planner.kinds.address import Address
from planner.kinds.ebtables import EbtablesRules
from planner.kinds.link import Link
from planner.kinds.link_attributes import AddrGenMode, Admin, Mac, Master
from planner.kinds.neighbour import Neighbour
from planner.kinds.route import Route
from planner.kinds.sysctl import Sysctl
from tests.formats.plans import NAMES, plan_of


def boxes_in(row: Row) -> dict[str, Box]:
    """Return the boxes of a row by their place."""
    return {box.place: box for box in row.boxes}


def lines_in(lane: Lane) -> set[tuple[str, str]]:
    """Return every line of a lane's pod interface, with its sign."""
    return {(line.sign, line.text) for row in (lane.before, lane.after) for line in boxes_in(row)["link"].lines}


def test_a_plain_pod_before_has_the_host_and_the_interface_only() -> None:
    """What goes is marked, the rest is there as it is."""
    lane = picture_of(plan_of("plain")).lanes[0]
    before = boxes_in(lane.before)
    assert list(before) == ["host", "link"]
    assert before["host"].name == "vethaa199b79"
    assert ("-", "10.1.90.2/24") in lines_in(lane)
    assert ("-", "default via 10.1.90.1") in lines_in(lane)


def test_after_it_everything_that_appears_stands_in_order_from_host_to_vm() -> None:
    """The block rules are on the port, between the interface and the bridge."""
    row = picture_of(plan_of("plain")).lanes[0].after
    assert [(box.place, box.sign) for box in row.boxes] == [
        ("host", ""), ("link", "~"), ("rules", "+"), ("bridge", "+"), ("tap", "+"), ("vm", "+"),
    ]  # fmt: skip
    assert [(wire.left, wire.right, wire.sign) for wire in row.wires] == [
        ("host", "link", ""), ("link", "bridge", "+"), ("bridge", "tap", "+"), ("tap", "vm", "+"),
    ]  # fmt: skip


def test_the_vm_has_the_old_mac_and_the_address() -> None:
    """They moved there."""
    plan = plan_of("plain")
    after = boxes_in(picture_of(plan).lanes[0].after)
    texts = [line.text for line in after["vm"].lines]
    assert texts == [plan.interfaces[0].mac, "10.1.90.2/24", "routes", "default via 10.1.90.1"]
    assert plan.interfaces[0].mac not in [line.text for line in after["link"].lines]


def test_the_guest_is_shown_the_neighbour_that_it_needs() -> None:
    """AWS: the entry goes from the pod's interface to the VM."""
    lane = picture_of(plan_of("aws")).lanes[0]
    assert ("-", "169.254.1.1 is 0a:58:0a:01:5a:01") in lines_in(lane)
    assert "169.254.1.1 is 0a:58:0a:01:5a:01" in [line.text for line in boxes_in(lane.after)["vm"].lines]


def test_a_link_that_was_down_is_shown_so() -> None:
    """Down before, up after."""
    lane = picture_of(plan_of("down")).lanes[0]
    assert {("~", "down"), ("~", "up")} <= lines_in(lane)


@pytest.mark.parametrize("name", NAMES)
def test_the_reverse_is_the_same_picture_the_other_way_round(name: str) -> None:
    """Its before is the after of the plan, with the signs turned."""
    turned = {"+": "-", "-": "+", "~": "~", "": ""}
    there, back = picture_of(plan_of(name)), picture_of(plan_of(name, reverse=True))
    for lane, other in zip(there.lanes, back.lanes, strict=True):
        for row, mirror in ((lane.before, other.after), (lane.after, other.before)):
            assert [(box.place, box.name, turned[box.sign]) for box in row.boxes] == [
                (box.place, box.name, box.sign) for box in mirror.boxes
            ]
            for box, same in zip(row.boxes, mirror.boxes, strict=True):
                assert sorted((turned[line.sign], line.text) for line in box.lines) == sorted(
                    (line.sign, line.text) for line in same.lines
                )


@pytest.mark.parametrize("name", NAMES)
def test_every_change_stands_in_the_picture(name: str) -> None:
    """Either in a lane, if it acts, or in the list below."""
    plan = plan_of(name)
    picture = picture_of(plan)
    shown = {line for lane in picture.lanes for row in (lane.before, lane.after) for line in _texts(row)}
    notes = {word for note in picture.notes for word in (note.subject, *note.words)}
    for change in plan.changes:
        assert _trace(change) in shown | notes, change.resource


def _texts(row: Row) -> set[str]:
    return {text for box in row.boxes for text in (box.name, *(line.text for line in box.lines))}


def _trace(change: Change) -> str:
    """Return a text that must be somewhere if a change is shown."""
    resource: Any = change.resource
    state: Any = change.known_state
    traces: dict[type, Callable[[], str]] = {
        Link: lambda: resource.name,
        Address: lambda: f"{'address ' if resource.link == 'lo' else ''}{resource.address}",
        Route: lambda: str(resource).removeprefix("route ").replace(f" dev {resource.links[0]}", ""),
        Neighbour: lambda: f"{resource.address} is {state.lladdr}",
        Mac: lambda: state.mac,
        Master: lambda: f"port of {state.master}",
        EbtablesRules: lambda: "what is for the bridge itself",
        AddrGenMode: lambda: f"addrgenmode {state.mode}",
        Admin: lambda: "lo" if resource.link == "lo" else "up",
        Sysctl: lambda: f"{resource.key} 1 → 0" if "bridge-nf" in resource.key else f"accept_dad {state.value}",
    }
    return traces[type(resource)]()


@pytest.mark.parametrize("reverse", [False, True], ids=["there", "back"])
@pytest.mark.parametrize("name", NAMES)
def test_every_command_stands_beside_its_inverse_exactly_once(name: str, *, reverse: bool) -> None:
    """In each direction, with its number."""
    plan = plan_of(name, reverse=reverse)
    pairs = pairs_of(plan)
    assert [step.command for pair in pairs for step in pair.steps] == list(plan.commands)
    back = sorted((step for pair in pairs for step in pair.back), key=lambda step: step.number)
    assert [step.command.argv for step in back] == [command.argv for command in plan.reverse_commands]
    shown = [change for pair in pairs for change in pair.changes]
    assert sorted(map(repr, shown)) == sorted(map(repr, plan.changes))
    assert shown == list(plan.changes) or not reverse
    # An address that the kernel generates comes with the mode, by the command of that.
    alone = [pair for pair in pairs if not (pair.back or pair.also_back)]
    assert all(change.before.generated for pair in alone for change in pair.changes if change.before)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_has_enough_contrast(palette: dict[str, str]) -> None:
    """4.5 to 1 (WCAG 2.1, 1.4.3), on the page, in a zone, in a box of any kind."""
    grounds = ["page", "zone", "box", *(f"{name}-box" for name in SIGN_NAMES.values())]
    for text in ("text", "faint", *SIGN_NAMES.values()):
        for ground in grounds:
            assert _contrast(palette[text], palette[ground]) >= 4.5, (text, ground)


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
