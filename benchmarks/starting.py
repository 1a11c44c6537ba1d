"""What it costs to start a program inside a namespace and to collect it: ``true``, in each way that there is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

from benchmarks.measuring import Times, in_turns, timed
from benchmarks.pods import scratch_pod
from executor.netns.namespace import Namespace
from executor.process.run import run_program
from executor.process.run_by_sh import run_by_sh
from planner.text.values import NetnsPath


def starting(rounds: int) -> dict[str, tuple[Times, ...]]:
    """Return the times of one program, by the way in which it is started."""
    with scratch_pod() as pod, Namespace.open(NetnsPath(str(pod.inside.path))) as namespace:
        enter = ["nsenter", f"--net={namespace.path}", "true"]

        def spawned() -> None:
            run_program(["true"], namespace=namespace, stdin=None, timeout=10)

        def spawned_inside() -> None:
            def start() -> int:
                return os.posix_spawn("/bin/true", ["true"], {}, setpgroup=0)

            os.waitpid(namespace.call(start), 0)

        def popen() -> None:
            subprocess.run(enter, check=True, capture_output=True)

        def by_sh() -> None:
            run_by_sh(enter, stdin=None, timeout=10)

        ways: dict[str, Callable[[], None]] = {
            "posix_spawn(3), with `nsenter` (podwire)": spawned,
            "`os.posix_spawn` on a thread inside the namespace": spawned_inside,
            "`subprocess`, with `nsenter`": popen,
            "`sh`, with `nsenter`": by_sh,
        }
        return in_turns(rounds, {name: _timing(way) for name, way in ways.items()})


def _timing(way: Callable[[], None]) -> Callable[[], tuple[float, ...]]:
    return lambda: (timed(way),)
