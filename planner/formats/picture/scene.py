"""What stands where, before and after: one model that the drawing and the diagram read.

It is computed from the facts of a plan and its changes alone: whatever a change is about is at its ``before``, then at
its ``after``; all else is as it was observed. So the picture of the reverse is that of the reverse plan.
"""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from planner.changes.change import Change
from planner.formats.guest import vm_box
from planner.formats.picture import boxes
from planner.formats.picture.boxes import Box, Place, Snapshot
from planner.formats.text import reason_of
from planner.formats.words import subject_of, words_of
from planner.network import VmInterface
from planner.plan.plan import Plan
from planner.resources import EbtablesRules, Link, LinkState, Master, MasterState, Route, RulesState, Sysctl
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
    """Return what stands in the plan's namespace before and after; a plan without changes has no lanes."""
    if not plan.changes:
        return Picture(plan.netns, (), ())
    before, after = (Snapshot(plan, when) for when in ("before", "after"))
    lanes = tuple(
        Lane(interface.link, _row(interface, before), _row(interface, after)) for interface in plan.interfaces
    )
    return Picture(plan.netns, lanes, tuple(_notes(plan)))


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
    return [*wires, Wire("tap", "vm", side.sign(tap))]


def _notes(plan: Plan) -> list[Note]:
    notes = []
    for change in plan.changes:
        reason = reason_of(change, plan)
        if isinstance(change.resource, EbtablesRules):
            notes += _new_chains(change, "" if plan.is_reverse else "the rules stand there")
        elif not _has_place(change, plan.interfaces):
            notes.append(Note(change.sign, subject_of(change), tuple(words_of(change)), reason))
    return notes


def _new_chains(change: Change, reason: str) -> list[Note]:
    """Return what comes and goes with the rules: a table or chains that were not there."""
    state = change.known_state
    if not isinstance(state, RulesState) or not (state.new_chains or state.new_table):
        return []
    words = (["the filter table"] if state.new_table else []) + (
        [f"chains {', '.join(state.new_chains)}"] if state.new_chains else []
    )
    return [Note(change.sign, "ebtables", (" with ".join(words),), reason)]


def _has_place(change: Change, interfaces: tuple[VmInterface, ...]) -> bool:
    resource = change.resource
    links = {interface.link for interface in interfaces}
    if isinstance(resource, Link):
        made = {name for interface in interfaces for name in (interface.name, interface.bridge)}
        return resource.name in made and isinstance(change.known_state, LinkState)
    if isinstance(resource, Route):
        return bool(links & set(resource.links))
    if isinstance(resource, Sysctl):
        return boxes.link_of_sysctl(resource) in links
    return not isinstance(resource, EbtablesRules) and resource.link in links
