"""How long planning alone takes, in a warm process: from texts to a plan with its commands."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from benchmarks.measuring import timed
from benchmarks.pods import scratch_pod
from executor.templates import load_templates
from planner.cni.result import parse_result
from planner.facts.model import NamespaceFacts
from planner.options import PlanOptions
from planner.plan.render import Templates
from planner.planning import make_plan
from planner.text.codec import from_json, to_json
from planner.text.document import load_json
from planner.text.values import NetnsPath, PlanId
from tests.support.pods import Build
from tests.support.podwire import Podwire


def planning(build: Build) -> Callable[[], tuple[float]]:
    """Return what takes the time of one plan: facts and result are parsed, the commands rendered in both directions."""
    with scratch_pod(build) as pod:
        wired = Podwire.on(pod, pod.inside.path)
        facts, result = json.dumps(to_json(wired.facts())), json.dumps(pod.result)
        netns = NetnsPath(str(pod.inside.path))
    templates = load_templates()
    return lambda: (timed(lambda: _plan(facts, result, netns, templates)),)


def _plan(facts: str, result: str, netns: NetnsPath, templates: Templates) -> None:
    make_plan(
        parse_result(result),
        from_json(NamespaceFacts, load_json(facts, "facts")),
        plan_id=PlanId("bench"),
        netns=netns,
        options=PlanOptions(),
        random=random.SystemRandom(),
        templates=templates,
    )
