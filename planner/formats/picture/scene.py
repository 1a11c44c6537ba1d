"""What is where, before and after: one model that the drawing and the diagram read.

It is computed from the facts of a plan and its changes alone: whatever a change is about is at its ``before``, then at
its ``after``; all else is as it was observed. So the picture of the reverse is that of the reverse plan.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from planner.formats.picture import boxes
from planner.formats.picture.boxes import Box, Place, Snapshot
from planner.formats.picture.vm import vm_box
from planner.formats.text import reason_of
from planner.formats.words import subject_of, words_of
from planner.kinds.kind import Resource, kind_of
from planner.kinds.link import Link
from planner.kinds.link_attributes import Master, MasterState
from planner.network import VmInterface
from planner.plan.plan import Plan
from planner.text.frozen import frozen
from planner.text.values import NetnsPath

When = Literal["before", "after"]


@frozen
class Wire:
    """What joins two boxes of a row."""

    left: Place
    right: Place
    sign: str


@frozen
class Row:
    """One interface at one time, from the host's side to the VM."""

    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]


@frozen
class Lane:
    """One interface of the pod, before and after."""

    name: str
    before: Row
    after: Row


@frozen
class Note:
    """A change that has no place in a lane."""

    sign: str
    subject: str
    words: tuple[str, ...]
    reason: str


@frozen
class Picture:
    """A namespace before and after."""

    netns: NetnsPath
    lanes: tuple[Lane, ...]
    notes: tuple[Note, ...]


def picture_of(plan: Plan) -> Picture:
    """Return what is in the plan's namespace before and after; a plan without changes has no lanes."""
    if not plan.changes:
        return Picture(plan.netns, (), ())
    before, after = (Snapshot(plan, when) for when in ("before", "after"))
    lanes = tuple(
        Lane(interface.link, _row(interface, before), _row(interface, after)) for interface in plan.interfaces
    )
    return Picture(plan.netns, lanes, tuple(_notes(plan, before.drawn | after.drawn)))


def _row(interface: VmInterface, side: Snapshot) -> Row:
    found = (
        boxes.host_box(interface, side),
        boxes.link_box(interface, side),
        boxes.rules_box(interface, side),
        boxes.bridge_box(interface, side),
        boxes.tap_box(interface, side),
        vm_box(interface, side),
    )
    present = tuple(box for box in found if box)
    places = {box.place for box in present}
    wires = tuple(wire for wire in _wires(interface, side) if {wire.left, wire.right} <= places)
    return Row(present, wires)


def _wires(interface: VmInterface, side: Snapshot) -> list[Wire]:
    port, tap = Master(interface.link), Link(interface.name)
    wires = [Wire("host", "link", "")]
    state = side.state(port)
    if isinstance(state, MasterState) and state.master is not None and state.master == interface.bridge:
        wires.append(Wire("link", "bridge", "+-"[side.when == "before"] if side.sign(port) else ""))
    made = side.state(tap)
    if getattr(made, "master", None) == interface.bridge:
        wires.append(Wire("bridge", "tap", side.sign(tap)))
    elif interface.bridge is None and made is not None:
        wires.append(Wire("link", "tap", side.sign(tap)))
    if interface.pci_address:
        return [*wires, Wire("host", "vm", "")]
    return [*wires, Wire("tap", "vm", side.sign(tap))]


def _notes(plan: Plan, drawn: Collection[Resource]) -> list[Note]:
    """Return the changes that have no place in a lane, and what is to be remarked of those that have one."""
    notes = []
    for change in plan.changes:
        for subject, words, why in kind_of(change.resource).remarks(change):
            notes.append(Note(change.sign, subject, (words,), "" if plan.is_reverse else why))
        if change.netns != plan.netns or change.resource not in drawn:
            lines = tuple(words_of(change, plan.netns))
            notes.append(Note(change.sign, subject_of(change), lines, reason_of(change, plan)))
    return notes
