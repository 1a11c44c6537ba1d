"""Odd namespaces come back exactly as they were, compared by what the kernel itself lists; or are refused by name.

Each case of exact.json is a list of lines that are run in a namespace whose eth0 is one end of a veth (`"lo": false`:
lo stays down), and perhaps what is run `meanwhile`, what of that must be `left` and what is `said` of it afterwards, or
why it is `refused`. What the kernel does a moment after an address has come is waited for: `made`, `routed`, `heard`
and `failed`.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from executor.observe.observe import observe_netns
from executor.operations.apply import apply
from executor.operations.rollback import restore
from executor.settings import Settings
from executor.state.store import StateStore
from executor.templates import load_templates
from planner.cni.result import parse_result
from planner.drift import drifted
from planner.errors import Refused
from planner.options import PlanOptions
from planner.plan.plan import Plan, parse_plan, plan_to_json
from planner.planning import make_plan
from planner.text.values import NetnsPath, PlanId
from tests.support import MakeNamespace, Namespace
from tests.support.dumps import difference, dump
from tests.support.netlink import raw_difference, raw_dump

CASES: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("exact.json").read_text())
ID = PlanId("pod1")
TIMEOUT = 30.0
TEMPLATES = load_templates()
# Functions for the lines: until there is the local entry of an IPv6 address, or its route to a peer; until its group is
# listened to; until somebody else was found to have it.
WAITING = """
until_shown() { until ip -6 $1 | grep -q "$2"; do sleep .01; done; }
made() { until_shown "route show table local type local" "^local $*"; }
routed() { until_shown "route show" "^$1 "; }
heard() { until_shown "maddr show" "ff02::1:$1"; }
failed() { until_shown "addr show dadfailed" " $1/"; }
"""


@pytest.fixture
def pod(netns: MakeNamespace) -> Namespace:
    """Return a namespace with an eth0 whose other end is in another one; address detection takes 20 ms for seconds."""
    inside, outside = netns("exact"), netns("host")
    for each in (inside, outside):
        each.sysctl("net/ipv6/conf/default/router_solicitation_delay", 0)
    inside.ip(f"link add eth0 address 02:00:00:00:00:05 type veth peer name h0 netns {outside.name}")
    inside.sysctl("net/ipv6/neigh/eth0/retrans_time_ms", 20)
    outside.sysctl("net/ipv6/neigh/h0/retrans_time_ms", 20)
    inside.ip("link set eth0 up")
    outside.ip("link set h0 up")
    return inside


@pytest.mark.usefixtures("busy_kernel")
@pytest.mark.parametrize("name", CASES)
def test_what_was_there_comes_back(name: str, pod: Namespace, tmp_path: Path) -> None:
    """And while it is wired nothing has drifted."""
    case = CASES[name]
    _build(case, pod)
    before = dump(pod), raw_dump(pod)
    if "refused" in case:
        with pytest.raises(Refused) as refusal:
            _plan(pod)
        assert case["refused"] in str(refusal.value)
        return
    settings = Settings(StateStore(tmp_path), TEMPLATES, timeout=TIMEOUT)
    plan = _plan(pod)
    apply(plan, settings)
    pod.settle()
    assert [str(change.resource) for change in drifted(plan, _facts(pod))] == []
    pod.run("sh", "-e", stdin="\n".join(case.get("meanwhile", ())))
    entry = settings.store.load(ID)
    assert entry is not None
    outcome = restore(entry, settings, "teardown")
    for words in case.get("said", ()):
        assert any(words in note for note in outcome.notes), outcome.notes
    _must_be_back(before, pod, case.get("left", ()))


def _build(case: dict[str, Any], pod: Namespace) -> None:
    if case.get("lo", True):
        pod.ip("link set lo up")
    pod.settle()
    pod.run("sh", "-e", stdin="\n".join((WAITING, *case["lines"])))
    pod.settle()


def _facts(pod: Namespace) -> Any:
    return observe_netns(NetnsPath(str(pod.path)), timeout=TIMEOUT)


def _plan(pod: Namespace) -> Plan:
    """Plan, and read the plan back from its document."""
    result = {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "eth0", "sandbox": str(pod.path)}],
        "ips": [{"interface": 0, "address": "10.1.0.5/24"}],
    }
    plan = make_plan(
        parse_result(json.dumps(result)),
        _facts(pod),
        plan_id=ID,
        netns=NetnsPath(str(pod.path)),
        options=PlanOptions(),
        random=random.Random(7),  # noqa: S311  nobody is to guess anything
        templates=TEMPLATES,
    )
    assert parse_plan(json.dumps(plan_to_json(plan)), TEMPLATES) == plan
    return plan


def _must_be_back(before: Any, pod: Namespace, left: list[str]) -> None:
    """Compare, after up to a second for what the kernel does by and by, less what others have added."""
    deadline = time.monotonic() + 1
    while True:
        pod.settle()
        found = f"{difference(before[0], dump(pod))}\n{raw_difference(before[1], raw_dump(pod))}"
        if left:
            assert all(line in found for line in left), found
            assert not any(line.startswith("-") for line in found.splitlines() if not line.startswith("---")), found
            return
        if not found.strip() or time.monotonic() > deadline:
            assert found.strip() == ""
            return
