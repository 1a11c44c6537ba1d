"""``./dev bench``: measure everything, print it, and write it to docs/performance.md with its plots."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.agent import with_agent
from benchmarks.breakdown import breakdowns
from benchmarks.cold import cold_starts, peak_memory
from benchmarks.comparing import compare, grow
from benchmarks.installed import installed
from benchmarks.many_routes import many_routes
from benchmarks.measuring import in_turns
from benchmarks.page import tables, write_page
from benchmarks.planning import planning
from benchmarks.plugin import plugins
from benchmarks.pods import links, routes
from benchmarks.results import Results
from benchmarks.starting import starting
from tests import sandbox
from tests.support.package import Package

_PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
# Pods that 8 callers wire, and how many ADDs come at the same time.
_PODS, _AT_ONCE = 200, 100
_SIZES = {f"{n} interface{'s' if n > 1 else ''}": links(n) for n in (1, 8, 64)} | {
    f"{n} route{'s' if n > 1 else ''}": routes(n) for n in (1, 10, 100, 1000)
}


def main() -> int:
    """Measure and tell; return the exit status."""
    arguments = _arguments()
    if not sandbox.inside():
        print("the benchmarks make links and namespaces: run them by ./dev bench", file=sys.stderr)
        return 1
    with installed() as package:
        results = _measure(arguments.rounds, package)
    print(tables(results))
    if not arguments.print_only:
        write_page(results, _PAGE)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how often each thing is measured (20)")
    parser.add_argument("--print-only", action="store_true", help="leave docs/performance.md as it is")
    return parser.parse_args()


def _measure(rounds: int, package: Package) -> Results:
    few = max(3, rounds // 2)
    apply, teardown = breakdowns(rounds)
    return Results(
        rounds=rounds,
        ways=compare(rounds),
        growth=grow(_SIZES, few),
        planning=in_turns(few, {name: planning(build) for name, build in _SIZES.items()}),
        cold=cold_starts(rounds, package),
        memory=peak_memory(package),
        many_routes=many_routes(package),
        plugins=plugins(rounds, package),
        agent=with_agent(rounds, _PODS, _AT_ONCE, package),
        starting=starting(5 * rounds),
        apply=apply,
        teardown=teardown,
    )


if __name__ == "__main__":
    sys.exit(main())
