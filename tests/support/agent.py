"""A `podwire agent` of the test's own, in a folder of its own, and what tests want to know of it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen


@frozen
class Agent:
    """An agent that listens in a folder."""

    run_dir: Path
    process: subprocess.Popen[str]

    @property
    def env(self) -> dict[str, str]:
        """What podwire-cni must be told to find it."""
        return {"PODWIRE_RUN_DIR": str(self.run_dir)}

    def log(self) -> str:
        """Return what it has said, a line for each request."""
        return (self.run_dir / "log").read_text()

    def children(self) -> list[int]:
        """Return the processes that are at work on requests."""
        return [int(word) for word in self._proc("task", str(self.process.pid), "children").read_text().split()]

    def memory(self) -> int:
        """Return how much memory is its own, in KiB (proc(5), smaps_rollup: what is shared with nobody)."""
        lines = self._proc("smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_", "Shared_")))

    def descriptors(self) -> int:
        """Return how many descriptors it has open."""
        return len(list(self._proc("fd").iterdir()))

    def _proc(self, *parts: str) -> Path:
        return Path("/proc", str(self.process.pid), *parts)


@contextmanager
def agent_running(patch: str = "", *, command: Sequence[str | Path] = ()) -> Iterator[Agent]:
    """Yield an agent that listens; it is killed in the end, if it is still there.

    `patch` is a statement in Python that it runs first, for limits that would be waited for too long; `command` the
    podwire that it is, if that is another one than this checkout's.
    """
    run_dir = Path(tempfile.mkdtemp(prefix="agent-", dir="/tmp"))  # the path of a socket must be short
    program = f"{patch or 'pass'}\nimport sys\nfrom executor.cli import main\nsys.exit(main())"
    argv = [*(command or (sys.executable, "-c", program)), "agent", "--json", "--verbose"]
    with (run_dir / "log").open("w") as log:
        process = subprocess.Popen(
            argv, env={**os.environ, "PODWIRE_RUN_DIR": str(run_dir)}, stdout=subprocess.PIPE, stderr=log, text=True
        )
    agent = Agent(run_dir, process)
    try:
        assert process.stdout is not None
        said = "".join(itertools.takewhile(lambda line: line != "}\n", process.stdout))
        assert json.loads(said + "}") == {"listening": f"{run_dir}/agent.sock"}, agent.log()
        yield agent
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        shutil.rmtree(run_dir)
