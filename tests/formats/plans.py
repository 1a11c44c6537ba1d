"""Plans to draw: of real pods (see make_pods.py), and of what people who mean harm might write."""

from __future__ import annotations

import json
import random
from pathlib import Path

from attrs import evolve

from executor.templates import load_pages, load_templates
from planner.cni.result import parse_result
from planner.facts.model import NamespaceFacts
from planner.options import PlanOptions
from planner.plan.plan import Plan
from planner.planning import make_plan
from planner.text.codec import from_json
from planner.text.document import Node
from planner.text.values import NetnsPath, PlanId

PODS = Path(__file__).parent / "pods"
NAMES = tuple(sorted(path.stem for path in PODS.glob("*.json")))
TEMPLATES = load_templates()
PAGE_TEMPLATES = load_pages()

# All of it is printable, so a plan that somebody edited and gave a new checksum may hold it as a reason.
HOSTILE = (
    "</text></svg></td></table></details></script><script>alert(1)</script>",
    "\"onload=alert(1)' & &amp; &lt; <b> <!-- --> ]]> <![CDATA[",
    "``` ````` ` | \\| || ~~~ **bold** [link](javascript:alert(1)) ![i](x)",
    "@somebody #12 https://example.org www.example.org $x$ \\(x\\) <details>",
    '"]:::added; click a "javascript:alert(1)"; end; #quot;]',
    "漢字" * 60 + "🎉" * 20,
    "x" * 400,
)


def plan_of(
    name: str, *, reverse: bool = False, netns: str = "/run/netns/pod1", options: PlanOptions | None = None
) -> Plan:
    """Return the plan of a pod; the same each time."""
    pod = json.loads((PODS / f"{name}.json").read_text())
    plan = make_plan(
        parse_result(json.dumps(pod["result"])),
        from_json(NamespaceFacts, Node(pod["facts"], "facts")),
        plan_id=PlanId("pod1"),
        netns=NetnsPath(netns),
        options=options or PlanOptions(),
        random=random.Random(1),  # noqa: S311 -- the same again is what is wanted
        templates=TEMPLATES,
    )
    return plan.reverse() if reverse else plan


def hostile_plan() -> Plan:
    """Return a plan whose reasons and names are as bad as their types let them be."""
    plan = plan_of("long", netns="/run/netns/" + "a@b%c=d,e~f+g:h-" * 12)
    changes = tuple(evolve(change, reason=HOSTILE[number % len(HOSTILE)]) for number, change in enumerate(plan.changes))
    return evolve(plan, id=PlanId("x" * 100), changes=changes)


def every_plan() -> dict[str, Plan]:
    """Return all plans and their reverses by name."""
    found = {}
    for name in NAMES:
        found[name] = plan_of(name)
        found[f"{name} reverse"] = plan_of(name, reverse=True)
    options = PlanOptions(tap_owner=1000, tap_owner_group=1000, tap_queues=4, tap_vnet_hdr=True)
    found["tap options"] = plan_of("plain", options=options)
    found["nothing"] = evolve(plan_of("plain"), changes=(), commands=(), reverse_commands=())
    found["hostile"] = hostile_plan()
    return found
