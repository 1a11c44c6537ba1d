"""Which of the links that are there is the one that was wired."""

from __future__ import annotations

import pytest
from attrs import evolve

from planner.changes.follow import follow
from planner.facts.model import LinkFact
from planner.kinds.link_attributes import MacState
from planner.text.values import InterfaceName, Keyword, MacAddress
from tests.planner.builders import address, namespace, plan_of, veth

ETH0 = evolve(veth(), index=2, other_end=7)
ANOTHER = MacAddress("02:11:22:33:44:55")
FACTS = namespace(ETH0, address("10.1.90.5/24"))
PLAN = plan_of(FACTS)
(DRAWN,) = {change.after.mac for change in PLAN.changes if isinstance(change.after, MacState)}


@pytest.mark.parametrize(
    ("link", "is_it"),
    [
        (ETH0, True),
        (evolve(ETH0, mac=DRAWN), True),
        (evolve(ETH0, mac=ANOTHER), True),
        (evolve(ETH0, mac=ANOTHER, other_end=8), False),  # a new one with the old number
        (evolve(ETH0, other_end=8), True),  # the other end was moved, and got another number
        (evolve(ETH0, index=9), True),  # it has been to another namespace
        (evolve(ETH0, index=9, mac=DRAWN, other_end=8), True),
        (evolve(ETH0, index=9, mac=ANOTHER), False),
        (evolve(ETH0, index=9, other_end=8), False),  # a new one with the MAC that CNI gives
        (evolve(ETH0, index=9, other_end=0), False),
        (evolve(ETH0, mac=DRAWN, type=Keyword("vlan")), False),
    ],
)
@pytest.mark.parametrize("name", ["eth0", "foo0"])
def test_a_link_is_known_by_two_things_at_least(link: LinkFact, is_it: bool, name: str) -> None:  # noqa: FBT001
    """Its number, its MAC, its other end; the MAC that was drawn for it is enough."""
    now = namespace(evolve(link, name=InterfaceName(name)), address("10.1.90.7/24", name))
    found = follow(PLAN, {"eth0": 2}, now)
    assert bool(found.facts.link(name)) == (is_it or name == "foo0")
    assert found.names == ({"eth0": name} if is_it and name == "foo0" else {})


def test_facts_of_an_earlier_podwire_have_no_other_ends() -> None:
    """Then number and name are enough, as they were."""
    plan = plan_of(namespace(evolve(ETH0, other_end=0), address("10.1.90.5/24")))
    there = evolve(ETH0, mac=ANOTHER)
    assert follow(plan, {"eth0": 2}, namespace(there)).facts.link("eth0") == there
    renamed = evolve(there, name=InterfaceName("foo0"))
    assert follow(plan, {"eth0": 2}, namespace(renamed)).names == {}
