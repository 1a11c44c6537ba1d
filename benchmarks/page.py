"""The results as text: tables for people, the targets with what was reached, and the page with its plots.

The page's last part, what was tried and did not help, is written by hand; it is kept.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl

from benchmarks.agent import ASKED, AT_ONCE, BY_ITSELF, BY_THE_AGENT, IP_BATCH, IP_EACH
from benchmarks.breakdown import Breakdown
from benchmarks.cold import BARE
from benchmarks.comparing import NAIVE, PODWIRE, PYROUTE2
from benchmarks.results import Results

_BY_HAND = "<!-- by hand from here on: ./dev bench keeps it -->"
_ONE, _EIGHT = "1 interface", "8 interfaces"
_ONE_ROUTE, _MANY = "1 route", "1000 routes"


def tables(results: Results) -> str:
    """Return everything that was measured, as Markdown."""
    return "\n\n".join(
        (
            "## Targets\n\n" + _targets(results),
            "## Side by side\n\n" + _ways(results),
            "![The ways side by side](pictures/performance-ways.svg)",
            "## Growth\n\n" + _growth(results),
            "![Growth with interfaces and routes](pictures/performance-growth.svg)",
            "## Very many routes\n\n" + _many_routes(results),
            "## Cold start\n\n" + _cold(results),
            "## A call of the CNI plugin\n\n" + _plugins(results),
            "## The agent\n\n" + _agent(results),
            "## One program in a namespace\n\n" + _starting(results),
            "## Where the time goes\n\n" + _where(results),
        )
    )


def write_page(results: Results, path: Path) -> None:
    """Write the page and its plots; what was written by hand stays."""
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    by_hand = found.partition(_BY_HAND)[2]
    path.write_text(f"{_head(results)}\n\n{tables(results)}\n\n{_BY_HAND}{by_hand}", encoding="utf-8")
    _plot(results, path.parent / "pictures")


def _head(results: Results) -> str:
    return (
        "# How fast it is\n\n"
        f"Written by `./dev bench`: medians of {results.rounds} rounds in which every way had its turn, on scratch "
        f"namespaces; {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}. "
        "Milliseconds mean little on another machine; the ratios are to the naive way in the same run."
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = tuple(head)
    rule = ["---", *("---:" for _ in names[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (names, rule, *map(tuple, rows)))


def _targets(results: Results) -> str:
    up, down = results.ways[PODWIRE]
    naive_up, naive_down = results.ways[NAIVE]
    pyroute_up, pyroute_down = results.ways[PYROUTE2]
    cold = {name: times[0].median for name, times in results.cold.items()}
    bare, plan = cold[BARE], cold["podwire plan"]
    cold_up, cold_down = results.cold["podwire apply, teardown"]
    one, eight = results.growth[_ONE], results.growth[_EIGHT]
    planned = results.planning[_ONE][0].median
    agent = results.agent
    by_agent, by_itself = (agent.calls[f"{who}, `bridge`"] for who in (BY_THE_AGENT, BY_ITSELF))
    asked, bare_start = agent.starts[ASKED][0], agent.starts[BARE][0]
    wanted = (
        ("apply, to the naive way", up.ratio_to(naive_up), 0.26),
        ("teardown, to the naive way", down.ratio_to(naive_down), 0.41),
        ("apply, to pyroute2", up.ratio_to(pyroute_up), 1),
        ("teardown, to pyroute2", down.ratio_to(pyroute_down), 1),
        ("planning, ms", planned, 2),
        ("apply of 8 interfaces, to one", eight[1].ratio_to(one[1]), 2.5),
        ("teardown of 8 interfaces, to one", eight[2].ratio_to(one[2]), 3),
        ("apply of 1000 routes, to one", results.growth[_MANY][1].ratio_to(results.growth[_ONE_ROUTE][1]), 8),
        ("most memory of `podwire apply`, MB", results.memory, 60),
        ("`--version`, to bare Python", cold["podwire --version"] / bare, 2.5),
        ("`--help`, to bare Python", cold["podwire --help"] / bare, 2.5),
        ("`plan`, to bare Python", plan / bare, 10),
        ("`list`, to bare Python", cold["podwire list"] / bare, 4),
        ("`log`, to bare Python", cold["podwire log"] / bare, 7),
        ("cold apply less cold plan, to the naive way", (cold_up.median - plan) / naive_up.median, 0.5),
        ("cold teardown less cold plan, to the naive way", (cold_down.median - plan) / naive_down.median, 0.55),
        *(
            (f"{verb} by the agent, to without", with_it.ratio_to(without), 0.25)
            for verb, with_it, without in zip(("ADD", "CHECK", "DEL"), by_agent, by_itself, strict=True)
        ),
        ("`podwire-cni` until it has asked, to bare Python", asked.ratio_to(bare_start), 2),
        ("99 of 100 ADDs at once, to their median", agent.crowds[AT_ONCE].p99 / agent.crowds[AT_ONCE].times.median, 5),
        *(
            (
                f"{who}, to 8 callers of the agent, pods a second",
                agent.crowds[who].up / agent.crowds[BY_THE_AGENT].up,
                1.25,
            )
            for who in (IP_EACH, IP_BATCH)
        ),
    )
    rows = ((what, f"{found:.2f}", f"{most:g}", "yes" if found <= most else "**no**") for what, found, most in wanted)
    return _table(("what", "found", "at most", "met"), rows)


def _ways(results: Results) -> str:
    naive_up, naive_down = results.ways[NAIVE]
    rows = (
        (
            name,
            f"{up.median:.1f}",
            f"{up.ratio_to(naive_up):.2f}",
            f"{down.median:.1f}",
            f"{down.ratio_to(naive_down):.2f}",
        )
        for name, (up, down) in results.ways.items()
    )
    return _table(("way", "up, ms", "ratio", "down, ms", "ratio"), rows)


def _growth(results: Results) -> str:
    rows = (
        (name, f"{results.planning[name][0].median:.2f}", f"{up.median:.1f}", f"{down.median:.1f}")
        for name, (_, up, down) in results.growth.items()
    )
    return _table(("pod", "planning, ms", "apply, ms", "teardown, ms"), rows)


def _many_routes(results: Results) -> str:
    rows = (
        (f"{count:,}", f"{seconds:.2f}", f"{megabytes:.0f}")
        for count, (seconds, megabytes) in results.many_routes.items()
    )
    return _table(("routes", "`podwire plan`, s of the processor", "most memory, MB"), rows)


def _cold(results: Results) -> str:
    bare = results.cold[BARE][0].median
    rows = (
        (name, ", ".join(f"{part.median:.0f}" for part in times), ", ".join(f"{p.median / bare:.1f}" for p in times))
        for name, times in results.cold.items()
    )
    return _table(("command", "ms", "of bare Python"), rows)


def _plugins(results: Results) -> str:
    rows = ((name, f"{add.median:.0f}", f"{delete.median:.0f}") for name, (add, delete) in results.plugins.items())
    return _table(("plugin", "ADD, ms", "DEL, ms"), rows)


def _agent(results: Results) -> str:
    agent = results.agent
    calls = ((name, *(f"{times.median:.0f}" for times in verbs)) for name, verbs in agent.calls.items())
    starts = ((name, f"{times.median:.1f}") for name, (times,) in agent.starts.items())
    crowds = (
        (name, f"{crowd.up:.0f}", f"{crowd.down:.0f}", f"{crowd.times.median:.0f}", f"{crowd.p99:.0f}")
        for name, crowd in agent.crowds.items()
    )
    waits = ((f"`{name}`", f"{alone:.2f}", f"{many:.2f}") for name, (alone, many) in agent.waits.items())
    return "\n\n".join(
        (
            _table(("call", "ADD, ms", "CHECK, ms", "DEL, ms"), calls),
            _table(("start", "ms"), starts),
            "Many pods, by 8 callers; `ip` alone makes the same objects, looks at nothing and writes nothing down:",
            _table(("by", "ADDs a second", "DELs a second", "ADD, ms", "99 of 100 within, ms"), crowds),
            "Where the kernel lets them wait (medians of the log):",
            _table(("command", "alone, ms", "among 8 callers, ms"), waits),
        )
    )


def _starting(results: Results) -> str:
    rows = ((way, f"{times.median:.2f}") for way, (times,) in results.starting.items())
    return _table(("`true`, started by", "ms"), rows)


def _where(results: Results) -> str:
    return "\n\n".join(
        f"### {name}\n\n{_phases(found)}\n\n" + _table(("command", "began, ms", "took, ms"), _steps(found))
        for name, found in (("apply", results.apply), ("teardown", results.teardown))
    )


def _phases(found: Breakdown) -> str:
    return (
        f"{found.first:.1f} ms until the first command (opening, observing, comparing, writing the entry), "
        f"{found.last - found.first:.1f} ms for the commands, some of them at the same time, "
        f"{found.whole - found.last:.1f} ms after the last (observing again, comparing, writing)."
    )


def _steps(found: Breakdown) -> Iterable[tuple[str, ...]]:
    return ((f"`{step.line}`", f"{step.began:.1f}", f"{step.took:.2f}") for step in found.steps)


def _plot(results: Results, folder: Path) -> None:
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "podwire"
    from matplotlib import pyplot as plt  # noqa: PLC0415  behind the choice of what draws

    folder.mkdir(exist_ok=True)
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    names = list(results.ways)
    for shift, part, label in ((0.2, 0, "up"), (-0.2, 1, "down")):
        heights = [shift - at for at in range(len(names))]
        axes.barh(heights, [results.ways[name][part].median for name in names], 0.4, label=label)
    axes.set_yticks([-at for at in range(len(names))], names)
    axes.set_xlabel("ms")
    axes.legend()
    figure.savefig(folder / "performance-ways.svg", metadata={"Date": None})
    figure, both = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for axes, what in zip(both, ("interface", "route"), strict=True):
        sizes = {int(name.split()[0]): name for name in results.growth if what in name}
        axes.loglog(list(sizes), [results.planning[name][0].median for name in sizes.values()], "o-", label="planning")
        for part, label in ((1, "apply"), (2, "teardown")):
            axes.loglog(list(sizes), [results.growth[n][part].median for n in sizes.values()], "o-", label=label)
        axes.set_xlabel(f"{what}s")
        axes.set_ylabel("ms")
        axes.legend()
    figure.savefig(folder / "performance-growth.svg", metadata={"Date": None})
