"""podwire as a command: from the start of its process to the end, and the most memory that it took."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import installed
from benchmarks.measuring import Times, in_turns, timed
from benchmarks.pods import scratch_pod, state_directory
from tests.support.package import Package

BARE = "python3 -I -c pass"
# Run from a process that is small itself: until it execs, a child counts as large as its parent.
_PEAK = """
import os, sys
pid = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
sys.exit(status and "podwire apply failed") if status else print(usage.ru_maxrss, file=sys.stderr)
"""


def cold_starts(rounds: int, package: Package) -> dict[str, tuple[Times, ...]]:
    """Return the times of the commands, each in a process of its own, as a package installs them."""
    with ExitStack() as stack:
        pod, state = stack.enter_context(scratch_pod()), stack.enter_context(state_directory())
        result = state / "result.json"
        result.write_text(json.dumps(pod.result))
        where = ["--state-dir", str(state / "state")]
        wiring = ["--result", str(result), "--netns", str(pod.inside.path), *where]
        ident = pod.inside.path.name

        def run(*words: str) -> Callable[[], float]:
            return lambda: timed(lambda: _run([package.podwire, *words]))

        apply, teardown = run("apply", *wiring, "--yes"), run("teardown", ident, *where, "--yes")

        def listed() -> tuple[float, ...]:
            apply()
            took = run("list", *where)()
            teardown()
            return (took,)

        works: dict[str, Callable[[], tuple[float, ...]]] = {
            BARE: lambda: (timed(lambda: _run(installed.BARE)),),
            "podwire --version": lambda: (run("--version")(),),
            "podwire --help": lambda: (run("--help")(),),
            "podwire plan": lambda: (run("plan", *wiring)(),),
            "podwire apply, teardown": lambda: (apply(), teardown()),
            "podwire list": listed,
            "podwire list, nothing wired": lambda: (run("list", *where)(),),
            "podwire log": lambda: (run("log", *where)(),),
        }
        return in_turns(rounds, works)


def peak_memory(package: Package) -> float:
    """Return the most memory that ``podwire apply`` takes, in MB (getrusage(2))."""
    with scratch_pod() as pod, state_directory() as state:
        result = state / "result.json"
        result.write_text(json.dumps(pod.result))
        words = ["apply", "--result", str(result), "--netns", str(pod.inside.path), "--state-dir", str(state), "--yes"]
        argv = [installed.PYTHON, "-I", "-c", _PEAK, str(package.podwire), *words]
        return int(subprocess.run(argv, check=True, capture_output=True, text=True).stderr) / 1024


def _run(argv: Sequence[str | Path]) -> None:
    subprocess.run(argv, check=True, capture_output=True)
