"""A kind of the test's own, the length of a link's queue: one file and one template make it a resource like any other.

Nothing of podwire knows it. It is planned, shown in every format, stored, scripted, applied, checked and rolled back.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from attrs import evolve, frozen

from executor.operations.repair import drift_of, repair
from executor.templates import load_pages
from planner.changes.change import Change
from planner.facts.parse import ProbeOutput
from planner.formats import render_drift
from planner.formats.plan_format import render_plan
from planner.kinds.kind import ChangeLike, Kind, Look, Seen, link_touch, register, unregister
from planner.kinds.shown import arrow, differences
from planner.plan.plan import Plan, parse_plan, plan_to_json, with_changes
from planner.plan.render import Templates
from planner.text.values import InterfaceName
from tests.support import MakeNamespace
from tests.support.dumps import difference, dump
from tests.support.pods import plain
from tests.support.podwire import TEMPLATES, Podwire

TEMPLATE = """\
{# ip-link(8) #}
{% block change %}
$ ip link set dev {{ resource.link }} txqueuelen {{ after.length }}
{% endblock %}
"""


@frozen
class QueueState:
    """How many frames may wait."""

    length: int


@frozen
class Queue:
    """The queue of a link. ``ip link set dev eth0 txqueuelen 500`` (ip-link(8))."""

    TAG: ClassVar = {"kind": "queue"}
    link: InterfaceName

    def __str__(self) -> str:
        return f"queue of {self.link}"


def observe(seen: Seen, resource: Queue, _like: QueueState) -> QueueState | None:
    """Return the state in the facts that ``read`` made."""
    found: QueueState | None = seen.entries.get(resource)
    return found


def read(answers: ProbeOutput) -> Iterator[tuple[Queue, QueueState]]:
    """Yield the queues of the links, as ``ip link`` tells them."""
    for link in json.loads(answers.links, strict=False):
        if link and "txqlen" in link:
            yield Queue(InterfaceName(link["ifname"])), QueueState(link["txqlen"])


def looks(resource: Queue, state: QueueState) -> Iterator[Look]:
    """Yield how a script sees it."""
    yield ["ip", "-o", "link", "show", "dev", resource.link], rf" qlen {state.length}[ \\]"


def words(change: ChangeLike) -> list[str]:
    """Return a line for the preview."""
    return [f"queue {arrow(change, 'length')}"]


QUEUE = Kind(
    name="queue",
    resource=Queue,
    state=QueueState,
    template="queue.j2",
    observe=observe,
    subject=lambda resource: str(resource.link),
    words=words,
    drift=lambda change: list(differences(change.before, change.after)),
    looks=looks,
    links=lambda resource: frozenset((resource.link,)),
    touches=lambda change: frozenset((link_touch(change.resource.link),)),
    read=read,
)


@pytest.fixture
def templates() -> Iterator[Templates]:
    """Register the kind, and return podwire's templates with that of the kind."""
    register(QUEUE)
    try:
        folder = Path(__file__).parents[2] / "templates"
        files = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.j2")}
        yield Templates(files | {"queue.j2": TEMPLATE})
    finally:
        unregister(QUEUE)


@pytest.fixture
def podwire(netns: MakeNamespace, state_dir: Path, templates: Templates) -> Podwire:
    """Return podwire on a pod, with the templates."""
    found = Podwire.on(plain(netns("host"), netns("pod")), state_dir)
    return evolve(found, settings=evolve(found.settings, templates=templates))


@pytest.fixture
def plan(podwire: Podwire, templates: Templates) -> Plan:
    """Return a plan that also changes the queue of eth0."""
    podwire.pod.inside.ip("link set dev eth0 txqueuelen 700")
    plan = podwire.plan()
    change = Change(Queue(InterfaceName("eth0")), QueueState(700), QueueState(500), "for the VM", plan.netns)
    return with_changes(plan, (*plan.changes, change), templates)


def length(podwire: Podwire) -> int:
    """Return what the kernel has."""
    (link,) = json.loads(podwire.pod.inside.ip("-j link show dev eth0"))
    return int(link["txqlen"])


def test_it_is_applied_checked_repaired_and_rolled_back(podwire: Podwire, plan: Plan) -> None:
    """Exactly, by raw dumps."""
    before = dump(podwire.pod.inside)
    podwire.apply(plan)
    assert length(podwire) == 500
    podwire.pod.inside.ip("link set dev eth0 txqueuelen 9")
    entry = podwire.entry
    assert entry is not None
    drift = drift_of(entry, podwire.settings).plan
    assert "length 9, was applied as 500" in render_drift(
        drift.changes, drift.commands, plan_id=drift.id, netns=drift.netns
    )
    repair(entry, podwire.settings)
    assert length(podwire) == 500
    podwire.teardown()
    assert difference(before, dump(podwire.pod.inside)) == ""


@pytest.mark.parametrize("form", ["text", "commands", "script", "json", "markdown", "html", "svg"])
@pytest.mark.parametrize("way", ["there", "back"])
def test_it_is_shown_in_every_format(plan: Plan, templates: Templates, form: str, way: str) -> None:
    """By its words, or by its command."""
    shown = render_plan(plan if way == "there" else plan.reverse(), form, templates, load_pages)
    assert "queue" in shown


def test_a_stored_plan_holds_it(plan: Plan, templates: Templates) -> None:
    """It is read as it was written, the facts with it."""
    found = parse_plan(json.dumps(plan_to_json(plan)), templates)
    assert found == plan
    assert Queue(InterfaceName("eth0")) in [fact.resource for fact in found.facts.others]


def test_a_script_looks_at_it_and_changes_it(podwire: Podwire, plan: Plan, templates: Templates) -> None:
    """It refuses if the queue is not what it was, and does what apply does."""
    script = render_plan(plan, "script", templates, load_pages)
    podwire.pod.inside.ip("link set dev eth0 txqueuelen 701")
    refused = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (refused.returncode, "queue of eth0" in refused.stderr) == (1, True)
    podwire.pod.inside.ip("link set dev eth0 txqueuelen 700")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert length(podwire) == 500


def test_a_change_of_it_makes_a_plan_stale(podwire: Podwire, plan: Plan) -> None:
    """What the plan depends on includes what the kind reads."""
    podwire.pod.inside.ip("link set dev eth0 txqueuelen 9")
    with pytest.raises(Exception, match="queue of eth0 was length 700 when the plan was made and is length 9 now"):
        podwire.apply(plan)


def test_without_the_kind_a_plan_that_has_it_is_refused(plan: Plan) -> None:
    """In one sentence, by a podwire that does not know it."""
    text = json.dumps(plan_to_json(plan))
    unregister(QUEUE)
    try:
        with pytest.raises(Exception, match="not 'queue'"):
            parse_plan(text, TEMPLATES)
    finally:
        register(QUEUE)
