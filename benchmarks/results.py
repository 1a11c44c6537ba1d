"""All that one run of the benchmarks has measured, as a value."""

from __future__ import annotations

from attrs import frozen

from benchmarks.agent import AgentResults
from benchmarks.breakdown import Breakdown
from benchmarks.measuring import Times


@frozen
class Results:
    """All that was measured."""

    rounds: int
    ways: dict[str, tuple[Times, ...]]
    growth: dict[str, tuple[Times, ...]]
    planning: dict[str, tuple[Times, ...]]
    cold: dict[str, tuple[Times, ...]]
    memory: float
    many_routes: dict[int, tuple[float, float]]
    plugins: dict[str, tuple[Times, ...]]
    agent: AgentResults
    starting: dict[str, tuple[Times, ...]]
    apply: Breakdown
    teardown: Breakdown
