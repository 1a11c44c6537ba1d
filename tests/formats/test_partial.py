"""Whatever part of a change is left to be done, each format has words for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, product
from typing import Any

import pytest
from attrs import evolve, fields, has

from planner.changes.change import Change
from planner.formats.drift import render_drift
from planner.formats.plan_format import PLAN_FORMATS, render_plan
from planner.formats.words import subject_of, words_of
from planner.kinds.kind import kind_of, kinds
from planner.kinds.link_attributes import QueueLength, QueueLengthState
from planner.kinds.veth_end import VethEnd, VethEndState
from planner.options import PlanOptions
from planner.plan.plan import Plan, with_changes
from planner.text.values import InterfaceName, Keyword, MacAddress
from tests.formats.plans import NAMES, PAGE_TEMPLATES, TEMPLATES, plan_of
from tests.planner import builders
from tests.planner.test_functions import SRIOV
from tests.planner.test_functions import pod as pod_with_function

MOST = 12
# What no plan of podwire's own changes today; what others write, or what was stored, may.
OTHERS = (
    Change(
        VethEnd(InterfaceName("veth1")), None, VethEndState(MacAddress("02:00:00:00:00:01"), 1500, up=True), "it", None
    ),
    Change(QueueLength(InterfaceName("eth0")), QueueLengthState(1000), QueueLengthState(500), "it", None),
)
PLANS = {
    **{name: plan_of(name) for name in NAMES},
    "tc": plan_of("plain", options=PlanOptions(wiring=Keyword("tc"))),
    "tc and tap options": plan_of("three", options=PlanOptions(wiring=Keyword("tc"), tap_queues=4, tap_vnet_hdr=True)),
    "vf": builders.plan_of(pod_with_function(), options=SRIOV),
}


def parts(state: Any) -> Iterator[Any]:
    """Yield what may be left of a state: each of its lists whole, cut to its first and empty, each flag either way."""
    choices = {
        attribute.name: tuple(dict.fromkeys(_parts_of(getattr(state, attribute.name))))
        for attribute in fields(type(state))
        if attribute.init
    }
    several = {name: values for name, values in choices.items() if len(values) > 1}
    for values in product(*several.values()):
        yield evolve(state, **dict(zip(several, values, strict=True)))


def _parts_of(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bool):
        return (value, not value)
    return (value, value[:1], ()) if isinstance(value, tuple) else (value,)


def partial_changes(changes: Iterable[Change]) -> Iterator[Change]:
    """Yield changes from and to all that may be left of their states."""
    for change in changes:
        if not has(type(change.known_state)):
            continue
        for part in list(parts(change.known_state))[:MOST]:
            yield evolve(change, before=None, after=part)
            yield evolve(change, before=part, after=None)
            if part != change.known_state:
                yield evolve(change, before=part, after=change.known_state)


def test_every_kind_is_among_them() -> None:
    """So a kind that is added, and that nothing here changes, is missed."""
    changes = [*OTHERS, *(change for plan in PLANS.values() for change in plan.changes)]
    assert {kind_of(change.resource).name for change in changes} == {kind.name for kind in kinds()}


@pytest.mark.parametrize("name", PLANS)
def test_a_part_has_words(name: str) -> None:
    """Lines that are not empty, as a change and as drift."""
    for change in partial_changes((*OTHERS, *PLANS[name].changes)):
        assert subject_of(change)
        assert all(words_of(change, change.netns or "")), change
        assert words_of(change, change.netns or ""), change
        text = render_drift([change], (), plan_id="pod1", netns="/run/netns/pod1")
        assert "1 resource drifted" in text


def left_of(plan: Plan, number: int) -> Plan:
    """Return what rolls a plan back when of each resource only a part is left, which differs from number to number."""
    changes = []
    for change in plan.reverse().changes:
        if change.before is not None and has(type(change.before)):
            possible = list(islice(parts(change.before), 64))
            change = evolve(change, before=possible[number * 7 % len(possible)])  # noqa: PLW2901 -- as it is left
        changes.append(change)
    return with_changes(plan.reverse(), tuple(changes), TEMPLATES)


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("name", ["three", "tc and tap options", "vf"])
def test_what_is_left_of_a_wiring_is_shown_in_every_format(name: str, number: int) -> None:
    """As a rollback, which is what somebody who broke it is shown."""
    plan = left_of(PLANS[name], number)
    for form in PLAN_FORMATS:
        assert render_plan(plan, form, TEMPLATES, lambda: PAGE_TEMPLATES), form


@pytest.mark.parametrize("form", PLAN_FORMATS)
def test_rules_that_somebody_flushed_are_shown_in_every_format(form: str) -> None:
    """Of our rules only the chains are left, and they are to go: the rollback is shown."""
    plan = plan_of("plain").reverse()
    (rules,) = (change for change in plan.changes if subject_of(change) == "rules")
    for part in parts(rules.before):
        changes = tuple(evolve(change, before=part) if change is rules else change for change in plan.changes)
        assert render_plan(with_changes(plan, changes, TEMPLATES), form, TEMPLATES, lambda: PAGE_TEMPLATES)
