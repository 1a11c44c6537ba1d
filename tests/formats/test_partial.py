"""Whatever part of a change is left to be done, each format has words for it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from attrs import evolve, fields, has

from planner.changes.change import Change
from planner.formats.drift import render_drift
from planner.formats.plan_format import PLAN_FORMATS, render_plan
from planner.formats.words import subject_of, words_of
from planner.plan.plan import Plan, with_changes
from tests.formats.plans import NAMES, PAGE_TEMPLATES, TEMPLATES, plan_of

MOST = 12


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


def partial_changes(plan: Plan) -> Iterator[Change]:
    """Yield the changes of a plan from and to all that may be left of their states."""
    for change in plan.changes:
        if not has(type(change.known_state)):
            continue
        for part in list(parts(change.known_state))[:MOST]:
            yield evolve(change, before=None, after=part)
            yield evolve(change, before=part, after=None)
            if part != change.known_state:
                yield evolve(change, before=part, after=change.known_state)


@pytest.mark.parametrize("name", NAMES)
def test_a_part_has_words(name: str) -> None:
    """Lines that are not empty, as a change and as drift."""
    for change in partial_changes(plan_of(name)):
        assert subject_of(change)
        assert all(words_of(change, change.netns or "")), change
        assert words_of(change, change.netns or ""), change
        text = render_drift([change], (), plan_id="pod1", netns="/run/netns/pod1")
        assert "1 resource drifted" in text


@pytest.mark.parametrize("form", PLAN_FORMATS)
def test_rules_that_somebody_flushed_are_shown_in_every_format(form: str) -> None:
    """Of our rules only the chains are left, and they are to go: the rollback is shown."""
    plan = plan_of("plain").reverse()
    (rules,) = (change for change in plan.changes if subject_of(change) == "rules")
    for part in parts(rules.before):
        changes = tuple(evolve(change, before=part) if change is rules else change for change in plan.changes)
        assert render_plan(with_changes(plan, changes, TEMPLATES), form, TEMPLATES, lambda: PAGE_TEMPLATES)
