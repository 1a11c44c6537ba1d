"""A new wiring is one file: that of the tests' own is planned, shown, applied, checked, repaired and rolled back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import fields

from executor.operations.repair import drift_of, repair
from executor.taps.recover import reopen
from executor.templates import load_pages
from planner.errors import InvalidInput, Refused
from planner.formats.plan_format import render_plan
from planner.options import PlanOptions
from planner.plan.plan import parse_plan, plan_to_json
from planner.text.values import Keyword
from planner.wiring import base
from planner.wiring.base import Wiring, every_wiring, register, wiring_named
from tests.support import MakeNamespace
from tests.support.beside import BESIDE
from tests.support.dumps import difference, dump
from tests.support.pods import dual_stack
from tests.support.podwire import TEMPLATES, Podwire

OPTIONS = PlanOptions(wiring=Keyword(BESIDE.name))


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Register the wiring for the time of a test: others must not be offered it."""
    register(BESIDE)
    yield
    del base._WIRINGS[BESIDE.name]  # noqa: SLF001  nobody else unregisters one


@pytest.fixture
def podwire(netns: MakeNamespace, state_dir: Path) -> Podwire:
    """Return podwire for a pod with addresses of both families."""
    return Podwire.on(dual_stack(netns("host"), netns("pod")), state_dir)


def test_it_goes_there_and_back(podwire: Podwire) -> None:
    """The pod's interface keeps all that it has, the tap comes and goes, and planning again finds nothing to do."""
    inside = podwire.pod.inside
    before, of_eth0 = dump(inside), inside.ip("-o addr show dev eth0")
    plan = podwire.apply(podwire.plan(OPTIONS))
    assert [str(change.resource) for change in plan.changes] == ["link tap0"]
    assert [(interface.name, interface.bridge) for interface in plan.interfaces] == [("tap0", None)]
    assert inside.ip("-o addr show dev eth0") == of_eth0
    assert podwire.plan(OPTIONS).changes == ()
    podwire.teardown()
    assert difference(before, dump(inside)) == ""


def test_every_preview_has_its_title(podwire: Podwire) -> None:
    """What is read of a stored plan too; no text says that a bridge is made."""
    plan = parse_plan(json.dumps(plan_to_json(podwire.plan(OPTIONS))), TEMPLATES)
    for form in ("text", "markdown", "html", "svg"):
        shown = render_plan(plan, form, TEMPLATES, load_pages)
        assert "a tap beside it" in shown
        assert "bridge" not in shown


def test_only_another_wiring_than_the_default_is_stored_in_the_options(podwire: Podwire) -> None:
    """What an earlier podwire stored does not name one, and its checksum is over that."""
    assert plan_to_json(podwire.plan(OPTIONS))["options"] == {"wiring": "beside"}
    assert plan_to_json(podwire.plan())["options"] == {}


def test_what_comes_to_the_interface_is_no_drift_and_stays(podwire: Podwire) -> None:
    """It says what counts, so that `check --fix` repairs the tap and leaves a new address alone."""
    inside = podwire.pod.inside
    podwire.apply(podwire.plan(OPTIONS))
    inside.ip("addr add 10.1.90.77/24 dev eth0")
    entry = podwire.entry
    assert entry is not None
    assert drift_of(entry, podwire.settings).plan.changes == ()

    inside.ip("link del tap0")
    assert [str(change.resource) for change in drift_of(entry, podwire.settings).plan.changes] == ["link tap0"]
    assert repair(entry, podwire.settings).what == "repaired"
    assert drift_of(entry, podwire.settings).plan.changes == ()
    assert "10.1.90.77/24" in inside.ip("-o addr show dev eth0")

    podwire.teardown()
    assert "10.1.90.77/24" in inside.ip("-o addr show dev eth0")


def test_it_says_what_recovery_needs(podwire: Podwire) -> None:
    """Here, that the tap is up."""
    podwire.apply(podwire.plan(OPTIONS))
    entry = podwire.entry
    assert entry is not None
    reopen(entry, podwire.settings).close()
    podwire.pod.inside.ip("link set tap0 down")
    with pytest.raises(Refused, match=r"^tap0 of pod1: it is down: podwire teardown pod1 rolls back what is left$"):
        reopen(entry, podwire.settings)


def test_another_wiring_of_the_same_pod_is_other_options(podwire: Podwire) -> None:
    """One id is wired in one way at a time."""
    podwire.apply(podwire.plan(OPTIONS))
    with pytest.raises(Refused, match=r"^pod1 is already wired with other options: tear it down first"):
        podwire.plan()


def test_it_is_named_for_what_another_cannot_serve(netns: MakeNamespace, state_dir: Path) -> None:
    """Somebody who is refused has to know what would work."""
    host, inside = netns("host"), netns("pod")
    pod = dual_stack(host, inside)
    inside.ip("link add link eth0 name net1 type macvlan")
    with pytest.raises(Refused, match=r"^eth0 carries net1, a macvlan, so it .*: use --wiring beside$"):
        Podwire.on(pod, state_dir).plan()


def test_a_name_that_nothing_has_is_refused() -> None:
    """With those that there are; a module that is no wiring is none either."""
    for name in ("nothing", "strip", "base", "_own", "../bridge"):
        with pytest.raises(InvalidInput, match=r"^wiring: '.*' is not one of beside, bridge"):
            wiring_named(name)
    assert {"beside", "bridge"} <= {wiring.name for wiring in every_wiring()}


def test_a_missing_answer_and_a_second_wiring_of_a_name_fail_at_once() -> None:
    """When the file is loaded, not when somebody needs the answer."""
    answers = {field.name: getattr(BESIDE, field.name) for field in fields(Wiring)}
    with pytest.raises(ValueError, match="two wirings of the name beside"):
        register(Wiring(**answers | {"title": "another"}))
    del answers["lost"]
    with pytest.raises(TypeError, match="lost"):
        Wiring(**answers)
