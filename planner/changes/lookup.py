"""How a resource is: one answer for planning, verifying, recovery and drift."""

from __future__ import annotations

from typing import Any

from planner.facts.model import FACTS_VERSION, NamespaceFacts
from planner.kinds.kind import Resource, State, kind_of
from planner.text.values import NetnsPath


class Observed:
    """An index over one set of facts that answers ``state_of`` in constant time (planner.kinds.kind.Seen)."""

    def __init__(self, facts: NamespaceFacts) -> None:
        self.facts = facts
        self.links = {link.name: link for link in facts.links}
        self.functions = {function.address: function for function in facts.functions}
        self.sysctls = {setting.key: setting.value for setting in facts.sysctls}
        kinds = (facts.addresses, facts.routes, facts.neighbours, facts.others)
        self.entries: dict[Any, Any] = {fact.resource: fact.state for found in kinds for fact in found}

    def state_of(self, resource: Resource, like: State) -> Any:
        """Return the state in which ``resource`` is, None if it is not there, UNREADABLE if nobody can tell.

        ``like`` is the state that podwire knows it in: of a created link and of the ebtables rules only what podwire
        gave to them is checked. What podwire cannot have made, under the name of what it makes, is Foreign.
        """
        return kind_of(resource).observe(self, resource, like)


class Lookup:
    """An index over facts and all that they have of elsewhere, each made when it is first asked for."""

    def __init__(self, facts: NamespaceFacts) -> None:
        self._facts = facts
        self._here = Observed(facts)
        self._elsewhere: dict[NetnsPath | None, Observed] = {}

    def at(self, netns: NetnsPath | None) -> Observed:
        """Return what was observed in a namespace; in one that is gone nothing was."""
        found = self._facts.of(netns)
        if found is self._facts:
            return self._here
        if netns not in self._elsewhere:
            self._elsewhere[netns] = Observed(found or NamespaceFacts(FACTS_VERSION))
        return self._elsewhere[netns]
