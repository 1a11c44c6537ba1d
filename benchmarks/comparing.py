"""Every way side by side, each on a pod of its own, taking turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks import ways
from benchmarks.measuring import Times, in_turns, timed
from benchmarks.pods import scratch_pod, state_directory
from planner.plan.plan import Plan
from tests.support.pods import Build, Pod, plain
from tests.support.podwire import Podwire

NAIVE, PODWIRE, PYROUTE2, PYROUTE2_LOOKS = (
    "naive",
    "podwire, in process",
    "pyroute2",
    "pyroute2, looking as podwire does",
)
_Make = Callable[[Pod, Podwire, Plan], ways.Way]
_WAYS: dict[str, _Make] = {
    NAIVE: lambda pod, _wired, _plan: ways.naive(pod),
    "the preview, as a script": lambda _pod, _wired, plan: ways.preview(plan),
    "ip -batch and ebtables-restore by hand": lambda pod, _wired, plan: ways.batch(plan, pod),
    PYROUTE2: lambda pod, _wired, _plan: ways.rtnetlink(pod, looks=False),
    PYROUTE2_LOOKS: lambda pod, _wired, _plan: ways.rtnetlink(pod, looks=True),
    PODWIRE: lambda _pod, wired, _plan: ways.podwire(wired, wired.plan()),
}
# For a moment after an address came back the kernel adds its route; a plan made before that would be stale.
_SETTLING = 0.03


def compare(rounds: int) -> dict[str, tuple[Times, ...]]:
    """Return the times of up and down for every way."""
    with ExitStack() as stack:
        works = {name: _turn(stack, make) for name, make in _WAYS.items()}
        return in_turns(rounds, works)


def grow(builds: dict[str, Build], rounds: int) -> dict[str, tuple[Times, ...]]:
    """Return podwire's times of planning, up and down for each kind of pod."""
    with ExitStack() as stack:
        works = {name: _turn(stack, _WAYS[PODWIRE], build, planned=True) for name, build in builds.items()}
        return in_turns(rounds, works)


def _turn(
    stack: ExitStack, make: _Make, build: Build = plain, *, planned: bool = False
) -> Callable[[], tuple[float, ...]]:
    pod = stack.enter_context(scratch_pod(build))
    wired = Podwire.on(pod, stack.enter_context(state_directory()))
    plan = wired.plan()

    def turn() -> tuple[float, ...]:
        time.sleep(_SETTLING)
        plans = (timed(wired.plan),) if planned else ()
        way = make(pod, wired, plan)
        return (*plans, timed(way.up), timed(way.down))

    return turn
