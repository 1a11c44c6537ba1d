"""A link is known by its index: the plan follows it under the name that it has now, and leaves strangers alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import attrs
from attrs import evolve

from planner.facts.model import LinkFact, NamespaceFacts
from planner.kinds.kind import kind_of
from planner.plan.plan import Plan
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, Label, MacAddress, SysctlKey

Names = Mapping[str, InterfaceName]
_Drawn = Collection[tuple[str, MacAddress | None]]


@frozen
class Followed:
    """A plan in the names that its links have now; ``names`` are the new ones by the old.

    ``facts`` are without what is not the plan's link but has its name.
    """

    plan: Plan
    facts: NamespaceFacts
    names: Names


def follow(plan: Plan, indexes: Mapping[str, int], facts: NamespaceFacts) -> Followed:
    """Return ``plan`` as it is about the links that ``indexes`` number, by their names when it was applied."""
    here = [change for change in plan.changes if change.netns == plan.netns]
    wanted = {name for change in here for name in change.links} | {one.link for one in plan.interfaces}
    names: dict[str, InterfaceName] = dict(_made_links(plan, facts))
    strangers = set()
    by_index = {link.index: link for link in facts.links if link.index}
    drawn = _drawn_macs(plan)
    for name in sorted(wanted & indexes.keys()):
        there, index = facts.link(name), indexes[name]
        candidates = filter(None, (there, by_index.get(index), *facts.links))
        now = next((one for one in candidates if _is_the_same(one, name, index, plan, drawn)), None)
        if now is not None and now.name != name:
            names[name] = now.name
        elif now is None and there is not None:
            strangers.add(name)
    followed = plan if not names else _renamed_plan(plan, names)
    return Followed(followed, _without(facts, strangers - set(names.values())), names)


def names_now(followed: Followed, indexes: Mapping[str, int], facts: NamespaceFacts) -> Names:
    """Return what links that are not the plan's are called now as well: one may have got the name of one that is."""
    by_index = {link.index: link for link in facts.links if link.index}
    before = ((link, by_index.get(indexes.get(link.name, 0))) for link in followed.plan.facts.links)
    others: dict[str, InterfaceName] = {
        link.name: now.name for link, now in before if now is not None and _was_called_otherwise(now, link)
    }
    return {**others, **followed.names}


def _was_called_otherwise(now: LinkFact, before: LinkFact) -> bool:
    """Say whether a link of the same index is the same one, which another wiring may have given its MAC back."""
    is_same = now.mac == before.mac or bool(before.other_end and now.other_end == before.other_end)
    return now.name != before.name and now.type == before.type and is_same


def _made_links(plan: Plan, facts: NamespaceFacts) -> Iterator[tuple[str, InterfaceName]]:
    """Yield the links that podwire made and somebody has renamed: by their alias and MAC."""
    for change in plan.changes:
        if change.netns != plan.netns or not kind_of(change.resource).is_made_link or change.after is None:
            continue
        name, state = change.resource.name, change.after
        marks = (state.alias, state.mac)
        there = facts.link(name)
        if None in marks or (there is not None and (there.alias, there.mac) == marks):
            continue
        for link in facts.links:
            if (link.alias, link.mac) == marks:
                yield name, link.name


def _is_its_device(link: LinkFact, name: str, plan: Plan) -> bool:
    """Say whether a link is of the same PCI device: a VF that comes back from a VM has another index."""
    before = plan.facts.link(name)
    return before is not None and link.parent_device is not None and link.parent_device == before.parent_device


def _is_the_same(link: LinkFact, name: str, index: int, plan: Plan, drawn: _Drawn) -> bool:
    """Say whether a link is the one that was called ``name`` and had this ``index`` when the plan was applied.

    One with the MAC that was ``drawn`` for it is. An index, which others may bring from another namespace, or a MAC,
    which CNI may give again, takes the other end of the link as well; one of that index and name may be anything as
    long as no other end is known.
    """
    before = plan.facts.link(name)
    if before is None or before.type != link.type:
        return False
    if (name, link.mac) in drawn or (link.name == name and _is_its_device(link, name, plan)):
        return True
    has_index, has_mac = link.index in (0, index), link.mac == before.mac
    if has_index and has_mac:
        return True
    if before.other_end and link.other_end:
        return (has_index or has_mac) and before.other_end == link.other_end
    return has_index and link.name == name


def _drawn_macs(plan: Plan) -> _Drawn:
    """Return which links got a MAC from podwire, and which: it has drawn them, so nothing else has one of them.

    One that was moved to another namespace and back keeps it, but may have another index.
    """
    return {
        (name, mac)
        for change in plan.changes
        if (mac := getattr(change.after, "mac", None)) is not None and change.netns == plan.netns
        for name in change.links
    }


def _renamed_plan(plan: Plan, names: Names) -> Plan:
    changes = tuple(
        evolve(
            change,
            resource=renamed(change.resource, names),
            before=renamed(change.before, names),
            after=renamed(change.after, names),
        )
        if change.netns == plan.netns
        else change
        for change in plan.changes
    )
    interfaces = tuple(
        evolve(one, name=names.get(one.name, one.name), link=names.get(one.link, one.link)) for one in plan.interfaces
    )
    return evolve(plan, changes=changes, interfaces=interfaces)


def renamed(value: Any, names: Names) -> Any:
    """Return a resource, a state or facts with new names of links, wherever they are in it.

    What matches links by a name, and keeps that when the link gets another, says by itself what becomes of it.
    """
    if isinstance(value, InterfaceName):
        return names.get(value, value)
    if isinstance(value, Label):  # the kernel renames labels with their link (devinet.c, inetdev_changename)
        name, colon, rest = value.partition(":")
        return Label(f"{names[name]}{colon}{rest}"[:15]) if name in names else value
    if isinstance(value, SysctlKey):
        return SysctlKey("/".join(names.get(word, word) for word in value.split("/")))
    if isinstance(value, tuple):
        return tuple(renamed(item, names) for item in value)
    if hasattr(value, "under_names"):
        value = value.under_names(names)
    elif attrs.has(type(value)):
        fields = attrs.fields(type(value))
        value = evolve(value, **{f.name: renamed(getattr(value, f.name), names) for f in fields if f.init})
    return value


def _without(facts: NamespaceFacts, strangers: set[str]) -> NamespaceFacts:
    if not strangers:
        return facts
    return evolve(
        facts,
        links=tuple(link for link in facts.links if link.name not in strangers),
        addresses=tuple(fact for fact in facts.addresses if fact.resource.link not in strangers),
        routes=tuple(fact for fact in facts.routes if strangers.isdisjoint(fact.resource.links)),
        neighbours=tuple(fact for fact in facts.neighbours if fact.resource.link not in strangers),
        sysctls=tuple(one for one in facts.sysctls if strangers.isdisjoint(one.key.split("/"))),
    )
