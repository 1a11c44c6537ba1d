"""Planning in a pod with very many routes: what the process of ``podwire plan`` takes, from first to last."""

from __future__ import annotations

import json
import subprocess

from benchmarks.installed import PYTHON, installed
from benchmarks.pods import scratch_pod, state_directory
from tests.support.package import Package

COUNTS = (10_000, 100_000)
# Run from a process that is small itself: until it execs, a child counts as large as its parent.
_USAGE = """
import json, os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", 1, 0)])
_, status, usage = os.wait4(pid, 0)
sys.exit(status and "podwire plan failed") if status else print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""


def many_routes(package: Package) -> dict[int, tuple[float, float]]:
    """Return for each of ``COUNTS`` the processor's seconds and the most memory, in MB (getrusage(2))."""
    return {count: _planned(count, package) for count in COUNTS}


def _planned(count: int, package: Package) -> tuple[float, float]:
    with scratch_pod() as pod, state_directory() as state:
        gateway = pod.result["ips"][0]["gateway"]
        lines = [
            f"route add {20 + number // 65536}.{number // 256 % 256}.{number % 256}.0/24 via {gateway}\n"
            for number in range(count)
        ]
        pod.inside.run("ip", "-batch", "-", stdin="".join(lines))
        result = state / "result.json"
        result.write_text(json.dumps(pod.result))
        words = ["plan", "--result", str(result), "--netns", str(pod.inside.path), "--state-dir", str(state)]
        argv = [PYTHON, "-I", "-c", _USAGE, str(package.podwire), *words]
        seconds, kilobytes = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
        return float(seconds), int(kilobytes) / 1024


if __name__ == "__main__":
    with installed() as package:
        for count, (seconds, megabytes) in many_routes(package).items():
            print(f"{count} routes: {seconds:.2f} s, {megabytes:.0f} MB")
