"""A plan with changes in another namespace and in that of the host: a pair's far end, and a link of the host."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve, frozen

from executor.errors import HostError, NamespaceGone, RolledBack
from executor.observe.elsewhere import with_elsewhere
from executor.operations.repair import drift_of, repair
from executor.operations.rollback import way_back
from executor.state.events import Event, Running
from executor.templates import load_pages
from planner.changes.change import Change
from planner.errors import InvalidInput, StalePlan
from planner.facts.model import Elsewhere
from planner.formats import render_drift
from planner.formats.plan_format import render_plan
from planner.kinds.link_attributes import Admin, AdminState
from planner.plan.plan import Plan, parse_plan, plan_to_json, with_changes
from planner.text.values import InterfaceName, NetnsPath
from planner.wiring.veth import create_escape_veth_pair
from tests.support import MakeNamespace, Namespace, eventually, run
from tests.support.dumps import difference, dump
from tests.support.pods import plain
from tests.support.podwire import TEMPLATES, TIMEOUT, Podwire

INNER = InterfaceName("escape0")
OF_HOST = InterfaceName("pwhost0")


@frozen
class Scene:
    """A pod, a namespace beside it, a link of the host, and a plan for all three."""

    podwire: Podwire
    outer: Namespace
    peer: InterfaceName
    plan: Plan

    @property
    def inside(self) -> Namespace:
        """The pod's namespace."""
        return self.podwire.pod.inside

    def far_end(self) -> str:
        """Return what ``ip`` says of the pair's other end."""
        return self.outer.ip(f"-o link show dev {self.peer}")


def host_link() -> str:
    """Return the flags of the host's link."""
    return run(["ip", "-o", "link", "show", "dev", OF_HOST]).out.split()[2]


@pytest.fixture
def scene(netns: MakeNamespace, state_dir: Path) -> Iterator[Scene]:
    """Wire a pod, and join it with another namespace by a pair of links, and bring a link of the host up."""
    podwire, outer = Podwire.on(plain(netns("host"), netns("pod")), state_dir), netns("outer")
    run(["ip", "link", "add", OF_HOST, "type", "bridge"])
    try:
        outer_netns = NetnsPath(str(outer.path))
        wiring = podwire.plan()
        facts = with_elsewhere(wiring.facts, (Elsewhere(outer_netns), Elsewhere(None)), timeout=TIMEOUT)
        outside = facts.of(outer_netns)
        assert outside is not None
        peer, pair = create_escape_veth_pair(
            INNER,
            1400,
            inside=facts.links,
            outside=outside.links,
            random=random.Random(1),  # noqa: S311 -- the same again is what is wanted
            netns=podwire.netns,
            outer_netns=outer_netns,
        )
        up = Change(Admin(OF_HOST), AdminState(up=False), AdminState(up=True), "the far side is used", None)
        plan = with_changes(evolve(wiring, facts=facts), (*wiring.changes, *pair, up), TEMPLATES)
        yield Scene(podwire, outer, peer, plan)
    finally:
        run(["ip", "link", "del", OF_HOST])


def test_it_is_applied_and_rolled_back_everywhere(scene: Scene) -> None:
    """Both ends are up with their MTU, and go; the host's link is up, and down again."""
    before = dump(scene.inside), dump(scene.outer)
    scene.podwire.apply(scene.plan)
    assert ",UP" in scene.far_end()
    assert "mtu 1400" in scene.far_end()
    assert ",UP" in scene.inside.ip(f"-o link show dev {INNER}")
    assert ",UP" in host_link()
    assert scene.podwire.teardown().what == "restored"
    assert ",UP" not in host_link()
    assert difference(before[0], dump(scene.inside)) == ""
    assert difference(before[1], dump(scene.outer)) == ""


def test_the_host_s_ip_is_kept_open_too(scene: Scene) -> None:
    """What is run is what is previewed, one to one, each in its namespace."""
    ran: list[Event] = []
    scene.podwire.apply(scene.plan, ran.append)
    assert {event.command for event in ran if isinstance(event, Running)} == set(scene.plan.commands)
    assert {command.netns for command in scene.plan.commands} == {
        scene.podwire.netns,
        NetnsPath(str(scene.outer.path)),
        None,
    }


def test_drift_elsewhere_is_seen_said_and_repaired(scene: Scene) -> None:
    """With the namespace that it is in."""
    scene.podwire.apply(scene.plan)
    entry = scene.podwire.entry
    assert entry is not None
    assert drift_of(entry, scene.podwire.settings).plan.changes == ()
    scene.outer.ip(f"link set dev {scene.peer} down")
    drift = drift_of(entry, scene.podwire.settings).plan
    shown = render_drift(drift.changes, drift.commands, plan_id=drift.id, netns=drift.netns)
    assert f"down, was applied as up, in {scene.outer.path}" in shown
    repair(entry, scene.podwire.settings)
    assert ",UP" in scene.far_end()
    assert drift_of(entry, scene.podwire.settings).plan.changes == ()


def test_planning_again_finds_nothing_to_do(scene: Scene) -> None:
    """The far end is looked at in its namespace, not in the pod's; what would roll it back is all of it."""
    scene.podwire.apply(scene.plan)
    entry = scene.podwire.entry
    assert entry is not None
    back = way_back(entry, scene.podwire.settings)
    assert {change.netns for change in back.changes} == {change.netns for change in scene.plan.changes}


def test_a_stored_plan_is_read_as_it_was_written(scene: Scene) -> None:
    """Facts of elsewhere are in it; but not those that nobody has looked at."""
    document = plan_to_json(scene.plan)
    assert parse_plan(json.dumps(document), TEMPLATES) == scene.plan
    without = plan_to_json(evolve(scene.plan, facts=evolve(scene.plan.facts, elsewhere=())))
    with pytest.raises(InvalidInput, match=r"changes\[\d+\]\.netns: it is not the plan's namespace$"):
        parse_plan(json.dumps(without), TEMPLATES)
    other = plan_to_json(evolve(scene.plan, facts=evolve(scene.plan.facts, elsewhere=scene.plan.facts.elsewhere[:1])))
    with pytest.raises(InvalidInput, match="it is not the plan's namespace, nor one that its facts cover"):
        parse_plan(json.dumps(other), TEMPLATES)


@pytest.mark.parametrize("form", ["text", "commands", "script", "json", "markdown", "html", "svg"])
@pytest.mark.parametrize("way", ["there", "back"])
def test_every_format_says_where(scene: Scene, form: str, way: str) -> None:
    """A reviewer sees that the pod's namespace is not the only one."""
    plan = scene.plan if way == "there" else scene.plan.reverse()
    shown = render_plan(plan, form, TEMPLATES, load_pages)
    # The far end goes with the near one, by no command of its own.
    assert str(scene.outer.path) in shown or (form, way) == ("commands", "back")
    assert form in ("commands", "script", "json") or "on the host" in shown


def test_a_script_does_the_same(scene: Scene) -> None:
    """Without podwire, there and back."""
    before = dump(scene.inside), dump(scene.outer)
    for plan in (scene.plan, scene.plan.reverse()):
        script = render_plan(plan, "script", TEMPLATES, load_pages)
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=TIMEOUT)
        assert (done.returncode, done.stderr) == (0, "")
        assert (",UP" in host_link()) == (plan is scene.plan)
    assert difference(before[0], dump(scene.inside)) == ""
    assert difference(before[1], dump(scene.outer)) == ""


def test_what_is_no_longer_so_elsewhere_makes_it_stale(scene: Scene) -> None:
    """A link that is up already would be brought down by the rollback."""
    run(["ip", "link", "set", OF_HOST, "up"])
    with pytest.raises(StalePlan, match=f"up or down of {OF_HOST} on the host is not as it was"):
        scene.podwire.apply(scene.plan)
    assert scene.podwire.entry is None


def test_a_failure_elsewhere_takes_all_back(scene: Scene) -> None:
    """The far end's name was taken since it was looked."""
    before = dump(scene.inside), dump(scene.outer)
    done: list[str] = []

    def take_the_name(event: Event) -> None:
        if isinstance(event, Running) and not done:
            done.append(scene.outer.ip(f"link add {scene.peer} type bridge"))

    with pytest.raises(RolledBack):
        scene.podwire.apply(scene.plan, take_the_name)
    scene.outer.ip(f"link del {scene.peer}")
    assert difference(before[0], dump(scene.inside)) == ""
    assert difference(before[1], dump(scene.outer)) == ""


def test_a_namespace_that_is_gone_has_nothing_to_take_back(scene: Scene) -> None:
    """Another one of its name, with a link of the same name, is left alone."""
    before = dump(scene.inside)
    scene.podwire.apply(scene.plan)
    scene.outer.delete()
    Namespace.create(scene.outer.name)
    scene.outer.ip(f"link add {scene.peer} type bridge")
    scene.outer.ip(f"link set {scene.peer} up")
    assert scene.podwire.teardown().what == "restored"
    assert ",UP" in scene.far_end()
    assert ",UP" not in host_link()
    assert difference(before, dump(scene.inside)) == ""


def test_what_the_pod_leaves_elsewhere_when_it_is_gone_is_rolled_back(scene: Scene) -> None:
    """Only the pod's namespace is: the host's link goes down again, and nothing is left of the pair."""
    before = dump(scene.outer)
    scene.podwire.apply(scene.plan)
    scene.inside.delete()
    eventually(lambda: scene.peer not in scene.outer.ip("-o link show"), "the end of the pair")
    assert scene.podwire.teardown().what == "gone"
    assert scene.podwire.entry is None
    assert ",UP" not in host_link()
    assert difference(before, dump(scene.outer)) == ""


def test_one_that_is_gone_before_is_said(scene: Scene) -> None:
    """Nothing is changed then."""
    before = dump(scene.inside)
    scene.outer.delete()
    with pytest.raises(NamespaceGone, match=str(scene.outer.path)):
        scene.podwire.apply(scene.plan)
    assert scene.podwire.entry is None
    assert difference(before, dump(scene.inside)) == ""


def test_one_namespace_under_two_names_is_refused(scene: Scene) -> None:
    """It would be locked, and looked at, twice."""
    again = NetnsPath(f"/proc/self/root/run/netns/{scene.outer.name}")
    facts = with_elsewhere(scene.plan.facts, (*scene.plan.facts.elsewhere, Elsewhere(again)), timeout=TIMEOUT)
    with pytest.raises(HostError, match="also has under another name"):
        scene.podwire.apply(evolve(scene.plan, facts=facts))
    assert scene.podwire.entry is None
