"""A change: one resource, before and after. Everything else is computed from a list of these."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, overload

from attrs import evolve

from planner.changes.lookup import Lookup
from planner.errors import Refused
from planner.facts.model import NamespaceFacts
from planner.kinds.kind import (
    UNREADABLE,
    Foreign,
    Resource,
    State,
    equivalent,
    kind_of,
    resource_from_json,
)
from planner.text.codec import from_json, to_json
from planner.text.document import Node
from planner.text.frozen import frozen
from planner.text.values import NetnsPath


@frozen
class Change:
    """``resource`` goes from ``before`` to ``after``, None if it is not there, in a namespace.

    ``netns`` is its path, or None for that of the host, which is the one that podwire runs in.
    """

    resource: Resource
    before: State | None
    after: State | None
    reason: str
    netns: NetnsPath | None

    def inverse(self) -> Change:
        """Return the change that undoes this one."""
        return Change(self.resource, self.after, self.before, self.reason, self.netns)

    @property
    def sign(self) -> str:
        """Return ``+`` if the resource appears, ``-`` if it goes, ``~`` if it changes."""
        return "+" if self.before is None else "-" if self.after is None else "~"

    @property
    def happens_by_itself(self) -> bool:
        """Say whether the network brings ``after`` about: what a router advertisement made returns with the next."""
        return bool(getattr(self.after, "comes_back", False))

    @property
    def known_state(self) -> State:
        """Return the state that podwire knows the resource in: ``after``, or ``before`` if that is None."""
        state = self.before if self.after is None else self.after
        if state is None:
            raise ValueError("a change has a before or an after")
        return state

    @property
    def links(self) -> frozenset[str]:
        """Return the links without which the resource cannot be."""
        return kind_of(self.resource).links(self.resource)

    def knowing(self, other: Change) -> Change:
        """Return the change that also finds what ``other``, which is of the same resource, makes of it."""
        knowing = getattr(self.after, "knowing", None)
        return evolve(self, after=knowing(other.after)) if knowing else self

    def elapsed(self, seconds: float) -> Change:
        """Return the change ``seconds`` later: what it restores has that much less to live, or is not restored."""
        count_down = getattr(self.after, "aged", None)
        return evolve(self, after=count_down(seconds)) if count_down else self


def inverse(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return the changes that undo ``changes``: in reverse order, each inverted."""
    return tuple(Inverse(tuple(changes)))


class Inverse(Sequence[Change]):
    """The changes that undo others, each made when it is asked for: there may be very many."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self._changes = changes

    def __len__(self) -> int:
        return len(self._changes)

    def __iter__(self) -> Iterator[Change]:
        return (change.inverse() for change in reversed(self._changes))

    @overload
    def __getitem__(self, at: int) -> Change: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Change, ...]: ...
    def __getitem__(self, at: int | slice) -> Change | tuple[Change, ...]:
        return tuple(self)[at] if isinstance(at, slice) else self._changes[-1 - at].inverse()


def pending(changes: Iterable[Change], facts: NamespaceFacts) -> tuple[Change, ...]:
    """Return what of ``changes`` is still to be done, each from the state in which its resource is observed.

    What could not be looked at (ebtables rules, if ebtables does not answer) always is.

    Raises Refused if there is a link of the name that podwire did not make.
    """
    lookup = Lookup(facts)
    found = []
    for change in changes:
        seen = lookup.at(change.netns).state_of(change.resource, change.known_state)
        if isinstance(seen, Foreign) and change.after is not None:
            raise Refused(
                f"a link named {seen.name} already exists and was not created by podwire: rename or remove it"
            )
        if not (equivalent(seen, change.after) or change.happens_by_itself or isinstance(seen, Foreign)):
            # What only changes with its link (a MAC, a sysctl) is still to be done if that is gone: it will be
            # reported.
            found.append(change if seen in (None, UNREADABLE) else evolve(change, before=seen))
    return _refined(tuple(found), lookup)


def _refined(changes: tuple[Change, ...], lookup: Lookup) -> tuple[Change, ...]:
    """Return the changes as their kinds rewrite them for what others have made in their namespaces."""
    alike: dict[tuple[str, NetnsPath | None], list[int]] = {}
    for index, change in enumerate(changes):
        alike.setdefault((kind_of(change.resource).name, change.netns), []).append(index)
    found = list(changes)
    for (_, netns), indexes in alike.items():
        refine = kind_of(changes[indexes[0]].resource).refine
        refined = refine(tuple(changes[index] for index in indexes), lookup.at(netns))
        for index, change in zip(indexes, refined, strict=True):
            found[index] = change
    return tuple(found)


def without_lost_links(changes: Iterable[Change], facts: NamespaceFacts) -> tuple[Change, ...]:
    """Return the changes less those of links, devices, or namespaces, that are not there any more: nothing can be done.

    What the changes themselves bring back, such as the interface of a device, is as good as there.
    """
    all_changes = tuple(changes)
    lookup, lost = Lookup(facts), lost_devices(all_changes, facts)
    left = [
        change
        for change in all_changes
        if facts.of(change.netns) is not None and kind_of(change.resource).device(change.resource) not in lost
    ]
    coming = _brought(change for change in left if change.after is not None)
    return tuple(
        change
        for change in left
        if all(name in lookup.at(change.netns).links or (change.netns, name) in coming for name in change.links)
    )


def lost_devices(changes: Iterable[Change], facts: NamespaceFacts) -> dict[Hashable, str]:
    """Return the devices of ``changes`` that are not to be brought back, each with a sentence that says why."""
    lookup = Lookup(facts)
    found: dict[Hashable, str] = {}
    for change in changes:
        kind = kind_of(change.resource)
        device = kind.device(change.resource)
        if device is not None and (why := kind.lost(change, lookup.at(change.netns))):
            found.setdefault(device, why)
    return found


def _brought(changes: Iterable[Change]) -> set[tuple[NetnsPath | None, str]]:
    return {(change.netns, name) for change in changes for name in kind_of(change.resource).brings(change.resource)}


def lost_links(changes: Iterable[Change], facts: NamespaceFacts) -> tuple[str, ...]:
    """Return the links of ``changes`` that are not there any more, those that podwire made left out."""
    all_changes = tuple(changes)
    ours = {(change.netns, change.resource.name) for change in all_changes if kind_of(change.resource).is_made_link}
    ours |= _brought(all_changes)
    lookup = Lookup(facts)
    named = dict.fromkeys((change.netns, name) for change in all_changes for name in sorted(change.links))
    return tuple(name for netns, name in named if name not in lookup.at(netns).links and (netns, name) not in ours)


def change_to_json(change: Change) -> dict[str, Any]:
    """Return a change as JSON values: resource, before, after, reason, netns."""
    return {
        "resource": to_json(change.resource),
        "before": to_json(change.before),
        "after": to_json(change.after),
        "reason": change.reason,
        "netns": None if change.netns is None else str(change.netns),
    }


def change_from_json(node: Node) -> Change:
    """Return the change that ``node`` holds; InvalidInput if anything in it is missing, unknown or malformed."""
    node.only("resource", "before", "after", "reason", "netns")
    resource = resource_from_json(node.field("resource"))
    kind = kind_of(resource).state
    before, after = (node.maybe(key, lambda item: from_json(kind, item)) for key in ("before", "after"))
    if before is None and after is None:
        raise node.error("a change needs a before or an after")
    reason = node.field("reason").text()
    if not reason.isprintable():
        raise node.field("reason").error("a reason is one line of text")
    return Change(resource, before, after, reason, node.maybe("netns", lambda item: item.parse(NetnsPath)))
