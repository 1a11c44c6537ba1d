"""Random namespaces: wiring and rolling back is the identity, whatever a CNI plugin, or anybody, has left there."""

from __future__ import annotations

import json
import os
import random
import sys
from collections import Counter
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

from executor.errors import ExecutorError, RollbackIncomplete, RolledBack
from executor.observe.observe import observe_netns
from executor.operations.apply import apply
from executor.operations.rollback import restore
from executor.settings import Settings
from executor.state.store import StateStore
from executor.templates import load_templates
from planner.cni.result import parse_result
from planner.errors import PlannerError, RenderError, StalePlan
from planner.formats.commands import render_commands
from planner.options import PlanOptions
from planner.plan.plan import Plan, parse_plan, plan_from_json, plan_to_json
from planner.planning import make_plan
from planner.text.values import NetnsPath, PlanId
from tests.property.scripts import Site, built
from tests.property.strategies import Case, cases
from tests.support import run
from tests.support.dumps import Dump, difference
from tests.support.seed import number

# How many examples, and from which seed: always the same ones, and others in each run, of which CI draws 400
# (.ci/run). More, by hand: PODWIRE_EXAMPLES=6000 ./dev test tests/property.
FIXED, DRAWN = 200, int(os.environ.get("PODWIRE_EXAMPLES", "80"))
# The drawn ones in two tests, so that two workers can share them.
DRAWS: dict[str, tuple[int, int | None]] = {
    "fixed": (FIXED, None),
    "seed of the run": (DRAWN // 2, number("namespaces")),
    "seed of the run, others": (DRAWN // 2, number("namespaces", "others")),
}
ID = PlanId("pod1")
TIMEOUT = 30.0


@pytest.mark.long
@pytest.mark.seeded
@pytest.mark.parametrize("draw", DRAWS)
def test_wiring_and_taking_back_is_the_identity(tmp_path: Path, draw: str) -> None:
    """Also: a second plan is empty, the preview run by hand does the same, and what is refused was left alone."""
    tally: Counter[str] = Counter()
    examples, seed = DRAWS[draw]

    @settings(
        max_examples=examples,
        derandomize=seed is None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    @given(cases())
    def check(case: Case) -> None:
        tally["namespaces"] += 1
        _check(case, tmp_path / str(tally["namespaces"]), tally)

    (check if seed is None else hypothesis.seed(seed)(check))()
    sys.stdout.write(f"{draw}: {dict(tally)}\n")
    assert tally["namespaces"] >= examples
    assert tally["wired"] > tally["namespaces"] / 3


def _check(case: Case, directory: Path, tally: Counter[str]) -> None:
    with built(case.script) as site:
        result = json.dumps(case.wish.result(site.script, str(site.pod.path)))
        note(f"# the namespace\n{site.script}\n# the result\n{result.replace(site.pod.name, 'pod')}")
        before, anycasts = site.state(), site.anycasts()
        wiring = Wiring(
            site, result, Settings(store=StateStore(directory), templates=load_templates(), timeout=TIMEOUT)
        )
        try:
            plan = wiring.plan()
            apply(plan, wiring.settings)
        except (RolledBack, RollbackIncomplete, RenderError, StalePlan):
            raise
        except (PlannerError, ExecutorError) as error:
            tally["refused"] += 1
            tally[" ".join(str(error).split()[-7:])] += 1
            _must_equal(before, site.state(), f"it refused ({error}) and changed something")
            return
        tally["wired"] += 1
        site.settle()
        again = wiring.plan(recorded=wiring.recorded())
        assert again.changes == (), f"a second plan is not empty: {[str(change.resource) for change in again.changes]}"
        if case.by_hand:
            tally["by hand"] += 1
            _preview_must_do_the_same(case, site, plan, anycasts, tally)
        wiring.take_back()
        site.settle()
        _must_equal(before, site.state(), "it did not come back")


class Wiring:
    """podwire at work on a site, in this process."""

    def __init__(self, site: Site, result: str, how: Settings) -> None:
        self.site, self.result, self.settings = site, result, how
        self.netns = NetnsPath(str(site.pod.path))

    def plan(self, recorded: Plan | None = None) -> Plan:
        """Plan, and read the plan back from its document."""
        plan = make_plan(
            parse_result(self.result),
            observe_netns(self.netns, timeout=TIMEOUT),
            plan_id=ID,
            netns=self.netns,
            options=PlanOptions(),
            random=random.Random(7),  # noqa: S311  nobody is to guess anything
            templates=self.settings.templates,
            recorded=() if recorded is None else (recorded,),
        )
        stored = parse_plan(json.dumps(plan_to_json(plan)), self.settings.templates)
        assert stored == plan
        return stored

    def recorded(self) -> Plan:
        """Return the plan that was applied, as the state has it."""
        entry = self.settings.store.load(ID)
        assert entry is not None
        return plan_from_json(entry.plan, self.settings.templates)

    def take_back(self) -> None:
        """Tear the wiring down."""
        entry = self.settings.store.load(ID)
        assert entry is not None
        restore(entry, self.settings, "teardown")


def _preview_must_do_the_same(case: Case, site: Site, plan: Plan, anycasts: str, tally: Counter[str]) -> None:
    """Run the preview's commands by hand in a namespace built alike, and compare."""
    wired = site.dump()
    with built(case.script) as twin:
        assert twin.script == site.script, "the same script built something else"
        if twin.anycasts() != anycasts:
            tally["no twin"] += 1
            return
        commands = render_commands(plan).replace(str(site.pod.path), str(twin.pod.path))
        run(["sh", "-e"], stdin=commands)
        twin.settle()
        _must_equal(wired, twin.dump(), "the preview run by hand does something else than apply")


def _must_equal(one: Dump, other: Dump, problem: str) -> None:
    found = difference(one, other)
    assert found == "", f"{problem}:\n{found}"
