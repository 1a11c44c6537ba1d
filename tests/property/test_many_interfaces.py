"""64 interfaces in one namespace: wired and rolled back like one, and at a cost that grows no faster than they do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import planner
from executor.observe.observe import observe_netns
from executor.operations.apply import apply
from executor.operations.rollback import restore
from executor.settings import Settings
from executor.state.events import Event, Ran
from executor.state.store import StateStore
from executor.templates import load_templates
from planner.cni.result import parse_result
from planner.facts.model import NamespaceFacts
from planner.options import PlanOptions
from planner.plan.plan import Plan, plan_to_json
from planner.planning import make_plan
from planner.text.values import NetnsPath, PlanId
from tests.planner.builders import FixedBits
from tests.property.scripts import HOST, HOSTS_NAME, SETTLE, Line, Script, Site, built
from tests.support.dumps import difference

MANY = 64
ID = PlanId("pod1")
PLANNER = planner.__path__[0]


def script(count: int) -> Script:
    """Return a pod with so many interfaces, each with two addresses, three routes, a neighbour, and a host's end."""
    lines = [Line("net/ipv6/conf/default/accept_dad=0", program="sysctl", where=where) for where in ("pod", HOST)]
    lines.append(Line("link set lo up"))
    for number in range(count):
        name, low = f"net{number}", f"{number:02x}"
        made = f"link add {name} index {number + 11} address 0a:58:0a:01:5a:{low} type veth"
        peer = f"peer name h-{name} index {number + 511} address 06:58:0a:01:5a:{low} netns {HOSTS_NAME}"
        lines += [Line(f"{made} {peer}"), Line(f"link set {name} up")]
    lines += [Line(f"link set h-net{number} up", where=HOST) for number in range(count)]
    lines.append(SETTLE)
    for number in range(count):
        name = f"net{number}"
        lines += [
            Line(f"addr add 10.9.{number}.5/24 dev {name}"),
            Line(f"addr add fd00:9:{number:x}::5/64 dev {name}"),
            Line(f"route add 0.0.0.0/0 via 10.9.{number}.1 dev {name} metric {number + 1}"),
            Line(f"route add 10.{number + 10}.0.0/16 via 10.9.{number}.1 src 10.9.{(number + 1) % count}.5"),
            Line(f"route add ::/0 via fd00:9:{number:x}::1 dev {name} metric {number + 1} table 100"),
            Line(f"neigh add 10.9.{number}.1 lladdr ee:ee:ee:ee:ee:ee nud permanent dev {name}"),
        ]
    # the sources of routes come once all addresses are there
    lines = [line for line in lines if " src " not in line.text] + [line for line in lines if " src " in line.text]
    return Script((*lines, SETTLE))


def result(count: int, sandbox: str) -> str:
    """Return what the plugins together answered, its interfaces in another order than they were made in."""
    order = [*range(1, count, 2), *range(0, count, 2)]
    document: dict[str, Any] = {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": f"net{number}", "sandbox": sandbox} for number in order],
        "ips": [{"address": f"10.9.{number}.5/24", "interface": index} for index, number in enumerate(order)],
    }
    return json.dumps(document)


def plan_of(count: int, facts: NamespaceFacts, netns: NetnsPath, recorded: Plan | None = None) -> Plan:
    """Plan the wiring of all of them."""
    return make_plan(
        parse_result(result(count, str(netns))),
        facts,
        plan_id=ID,
        netns=netns,
        options=PlanOptions(),
        random=FixedBits(),
        templates=load_templates(),
        recorded=() if recorded is None else (recorded,),
    )


@contextmanager
def pod_with(count: int) -> Iterator[tuple[Site, NetnsPath]]:
    """Build a pod with so many interfaces; nothing of its script may have failed."""
    wanted = script(count)
    with built(wanted) as site:
        assert site.script == wanted
        yield site, NetnsPath(str(site.pod.path))


def test_64_interfaces_are_wired_and_come_back(tmp_path: Path) -> None:
    """All the numbers, names and addresses of bridges are there, and afterwards nothing is different."""
    ran: list[Ran] = []

    def listen(event: Event) -> None:
        if isinstance(event, Ran):
            ran.append(event)

    settings = Settings(store=StateStore(tmp_path), templates=load_templates(), listeners=(listen,))
    with pod_with(MANY) as (site, netns):
        before = site.dump()
        plan = plan_of(MANY, observe_netns(netns, timeout=30), netns)
        apply(plan, settings)
        links = json.loads(site.pod.ip("-j link show"))
        assert {f"br{x}" for x in range(MANY)} | {f"tap{x}" for x in range(MANY)} < {link["ifname"] for link in links}
        masters = {link["ifname"]: link.get("master") for link in links}
        order = [*range(1, MANY, 2), *range(0, MANY, 2)]
        assert [masters[f"net{number}"] for number in order] == [f"br{x}" for x in range(MANY)]
        assert len({interface.dhcp_address for interface in plan.interfaces}) == MANY
        assert plan_of(MANY, observe_netns(netns, timeout=30), netns, recorded=plan).changes == ()
        assert len(ran) == len(plan.commands)
        entry = settings.store.load(ID)
        assert entry is not None
        restore(entry, settings, "teardown")
        site.settle()
        assert difference(before, site.dump()) == ""
    assert [event for event in ran if not event.reply.ok] == []


@pytest.fixture(scope="module")
def work() -> dict[int, dict[str, int]]:
    """Count what planning for 8, 16, 32 and 64 interfaces comes to."""
    return {count: _work(count) for count in (8, 16, 32, 64)}


def _work(count: int) -> dict[str, int]:
    with pod_with(count) as (_, netns):
        facts = observe_netns(netns, timeout=30)
    plan = plan_of(count, facts, netns)
    return {
        "lines of the planner run": _lines_run(lambda: plan_of(count, facts, netns)),
        "changes": len(plan.changes),
        "commands": len(plan.commands),
        "commands back": len(plan.reverse_commands),
        "lines of standard input": sum((command.stdin or "").count("\n") for command in plan.commands),
        "size of the document": len(json.dumps(plan_to_json(plan))),
    }


def _lines_run(function: Callable[[], object]) -> int:
    """Count the lines of the planner's code that run in `function`, each turn of a loop again: its cost, exactly."""
    lines = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Callable[..., Any] | None:
        nonlocal lines
        if not frame.f_code.co_filename.startswith(PLANNER):
            return None
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize(
    "what",
    [
        "changes",
        "commands",
        "commands back",
        "lines of standard input",
        "size of the document",
        "lines of the planner run",
    ],
)
def test_work_grows_with_the_interfaces_and_no_faster(work: dict[int, dict[str, int]], what: str) -> None:
    """From 8 to 16 to 32 to 64, each interface adds no more than the ones before it did."""
    per_link = [(work[2 * count][what] - work[count][what]) / count for count in (8, 16, 32)]
    assert per_link[0] > 0
    # Names and addresses get a digit or two longer, and sorting has its logarithm. A square would be 4 times as much.
    assert max(per_link) <= 1.25 * min(per_link), work
