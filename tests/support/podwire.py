"""podwire itself, in process, on one pod: of the helpers the only one that uses it.

    podwire = Podwire.on(pod, state_dir)
    plan = podwire.apply()
    podwire.teardown()

All that is random comes from `seed`: pods that are built alike and have the same seed get plans that are alike.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from attrs import evolve, frozen

from executor.observe.observe import observe_netns
from executor.operations.apply import apply
from executor.operations.outcome import Outcome
from executor.operations.repair import Drift, drift_of, repair
from executor.operations.rollback import restore
from executor.settings import Settings
from executor.state.events import Listener
from executor.state.record import WiringRecord
from executor.state.store import StateStore
from executor.templates import load_templates
from planner.cni.result import parse_result
from planner.facts.model import NamespaceFacts
from planner.options import PlanOptions
from planner.plan.plan import Plan, plan_from_json
from planner.planning import make_plan
from planner.text.values import NetnsPath, PlanId
from tests.support.pods import Pod

TEMPLATES = load_templates()
NO_OPTIONS = PlanOptions()
TIMEOUT = 30.0


@frozen
class Podwire:
    """What a user of podwire does to one pod, with a state directory of its own."""

    pod: Pod
    settings: Settings
    id: PlanId
    seed: int

    @classmethod
    def on(cls, pod: Pod, state_dir: Path, *, seed: int = 1) -> Podwire:
        """Take a pod in hand; nothing is done to it yet."""
        return cls(pod, Settings(StateStore(state_dir), TEMPLATES, timeout=TIMEOUT), PlanId("pod1"), seed)

    @property
    def netns(self) -> NetnsPath:
        """The path of the pod's namespace."""
        return NetnsPath(str(self.pod.inside.path))

    @property
    def entry(self) -> WiringRecord | None:
        """What is recorded of the pod."""
        return self.settings.store.load(self.id)

    def facts(self) -> NamespaceFacts:
        """Observe the pod's namespace."""
        return observe_netns(self.netns, timeout=TIMEOUT)

    def plan(self, options: PlanOptions = NO_OPTIONS, *, again: bool = False) -> Plan:
        """Plan, as `podwire plan --result … --netns …` does: with what is recorded, if the pod is wired.

        `again` is for what is recorded of another pod, which is gone.
        """
        entry = None if again else self.entry
        return make_plan(
            parse_result(json.dumps(self.pod.result)),
            self.facts(),
            plan_id=self.id,
            netns=self.netns,
            options=options,
            random=random.Random(self.seed),  # noqa: S311 -- the same again is what is wanted
            templates=TEMPLATES,
            recorded=() if entry is None else (plan_from_json(entry.plan, TEMPLATES),),
        )

    def apply(self, plan: Plan | None = None, *listeners: Listener) -> Plan:
        """Apply a plan, by default one made now, while `listeners` listen; return it."""
        wanted = self.plan() if plan is None else plan
        apply(wanted, evolve(self.settings, listeners=listeners))
        return wanted

    def drift(self) -> Drift:
        """Return in what the wiring is not as it was applied."""
        entry = self.entry
        assert entry is not None, "nothing is recorded"
        return drift_of(entry, self.settings)

    def repair(self) -> Outcome:
        """Put right what is not as it was applied."""
        entry = self.entry
        assert entry is not None, "nothing is recorded"
        return repair(entry, self.settings)

    def teardown(self, *listeners: Listener) -> Outcome:
        """Roll the wiring back."""
        entry = self.entry
        assert entry is not None, "nothing is recorded, so there is nothing to roll back"
        return restore(entry, evolve(self.settings, listeners=listeners), "teardown")
