"""What is asked of `ip` in a look, and what if it answers otherwise than it does here."""

from __future__ import annotations

import pytest
from attrs import evolve

from executor.observe.observe import observe_netns
from planner.facts.model import NamespaceFacts
from planner.text.values import NetnsPath
from tests.support.namespaces import Namespace
from tests.support.pods import Pod

FIRST_QUESTION = "executor.observe.observe._ANY_LINK"


def facts_of(namespace: Namespace) -> NamespaceFacts:
    """Return what podwire observes, less the time of that."""
    return evolve(observe_netns(NetnsPath(str(namespace.path)), timeout=30), observed_at=0)


@pytest.fixture
def inside(pod: Pod) -> Namespace:
    """Return a namespace with links that somebody owns, and that are ports."""
    pod.inside.batch(
        "tuntap add tap7 mode tap user nobody group 7",
        "link add br7 type bridge",
        "link set tap7 master br7 addrgenmode none",
        "link set br7 up",
    )
    pod.settle()
    return pod.inside


def test_links_are_asked_for_where_addresses_do_not_tell_all_of_them(
    inside: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by an `ip` that forgets what it has shown before: here it has shown no link yet."""
    facts = facts_of(inside)
    assert {link.addrgenmode for link in facts.links} == {"eui64", "none"}
    monkeypatch.setattr(FIRST_QUESTION, "ip rule show")
    assert facts_of(inside) == facts


def test_a_namespace_whose_lo_is_called_otherwise_can_be_looked_at(inside: Namespace) -> None:
    """The first question, for lo, is answered that there is none."""
    inside.batch("link set lo down", "link set lo name own")
    assert {link.name for link in facts_of(inside).links} == {"own", "eth0", "tap7", "br7"}
