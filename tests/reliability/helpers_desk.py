"""podwire on one pod, in this process or in one of its own, and what it must leave: the raw dump of before.

desk = Desk.on(pod, folder)
desk.podwire("apply", desk.plan, "--yes")       # in this process: its exit status and what it printed
with desk.started("apply", desk.plan, "--yes") as process:
    process.kill()
assert desk.changed() == ""
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from attrs import field, frozen

from executor.cli import main
from tests.support import Outcome, eventually
from tests.support.dumps import Dump, difference, dump
from tests.support.pods import Pod

ROOT = Path(__file__).resolve().parents[2]
_STREAMS = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


@contextmanager
def environment(extra: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process for a while."""
    before = {name: os.environ.get(name) for name in extra}
    os.environ.update(extra)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def podwire(*words: str | Path, env: Mapping[str, str] | None = None) -> Outcome:
    """Run `podwire WORDS…` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with environment(env or {}), redirect_stdout(out), redirect_stderr(err):
        rc = main([str(word) for word in words])
    return Outcome(rc, out.getvalue(), err.getvalue())


@frozen
class Desk:
    """podwire, a pod that it wires, and a folder with its state directory and the plan."""

    pod: Pod
    folder: Path
    before: Dump = field(repr=False)

    @classmethod
    def on(cls, pod: Pod, folder: Path) -> Desk:
        """Plan the wiring of a pod; nothing is changed yet."""
        folder.mkdir(exist_ok=True)
        desk = cls(pod, folder, dump(pod.inside))
        desk.result.write_text(json.dumps(pod.result))
        outcome = desk.podwire("plan", "--result", desk.result, "--netns", pod.inside.name, "-o", desk.plan)
        assert outcome.rc == 0, outcome
        return desk

    @property
    def id(self) -> str:
        """The id of the wiring."""
        return self.pod.inside.name

    @property
    def result(self) -> Path:
        """The file with the pod's CNI result."""
        return self.folder / "result.json"

    @property
    def plan(self) -> Path:
        """The file with the plan."""
        return self.folder / "plan.json"

    @property
    def state_dir(self) -> Path:
        """The state directory."""
        return self.folder / "state"

    @property
    def journal(self) -> Path:
        """The journal of the wiring."""
        return self.state_dir / "journal" / f"{self.id}.jsonl"

    def commands(self, key: str = "commands") -> list[str]:
        """Return the commands of the plan (or its `reverse_commands`), as lines to read."""
        return [" ".join(command["argv"]) for command in json.loads(self.plan.read_text())[key]]

    def podwire(self, *words: str | Path, env: Mapping[str, str] | None = None) -> Outcome:
        """Run `podwire WORDS…` in this process, with the desk's state directory."""
        return podwire(*words, env={"PODWIRE_STATE_DIR": str(self.state_dir)} | dict(env or {}))

    def ok(self, *words: str | Path, env: Mapping[str, str] | None = None) -> str:
        """Run it, see that it succeeds, and return what it prints."""
        outcome = self.podwire(*words, env=env)
        assert (outcome.rc, outcome.err) == (0, ""), outcome
        return outcome.out

    def apply(self, env: Mapping[str, str] | None = None) -> Outcome:
        """Apply the plan."""
        return self.podwire("apply", self.plan, "--yes", env=env)

    def teardown(self, env: Mapping[str, str] | None = None) -> Outcome:
        """Take the wiring back."""
        return self.podwire("teardown", self.id, "--yes", env=env)

    @contextmanager
    def started(
        self, *words: str | Path, env: Mapping[str, str] | None = None, through: tuple[str, ...] = ()
    ) -> Iterator[subprocess.Popen[str]]:
        """Start `podwire WORDS…` as a process of its own and go on; at the end it is killed, unless it has ended."""
        setting = os.environ | {"PYTHONPATH": str(ROOT), "PODWIRE_STATE_DIR": str(self.state_dir)} | dict(env or {})
        argv = [*through, sys.executable, "-m", "executor", *map(str, words)]
        with subprocess.Popen(argv, env=setting, **_STREAMS) as process:  # type: ignore[call-overload]
            try:
                yield process
            finally:
                process.kill()

    def state(self) -> str | None:
        """Return what `podwire list` says of the wiring: wired, half-done, gone, or None where it doesn't list it."""
        rows = json.loads(self.ok("list", "--json"))
        return next((row["state"] for row in rows if row["id"] == self.id), None)

    def changed(self) -> str:
        """Return what is not as it was before the wiring; "" where all is.

        The kernel ends address detection on a queue of its own, for all namespaces (addrconf_dad_work): on a host that
        is that busy, podwire may have set accept_dad back first, and an address is tentative for as long as ever.
        """
        left = difference(self.before, dump(self.pod.inside))
        if "tentative" in left:
            self.pod.inside.settle()
            left = difference(self.before, dump(self.pod.inside))
        return left


def processes() -> dict[int, str]:
    """Return every process that there is, but for zombies, with its command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:  # it has just ended
                continue
            if line:
                found[int(entry.name)] = line
    return found


def see_them_end(before: Mapping[int, str], *, seconds: float = 10) -> None:
    """Wait until no process is left that was not there `before`."""

    def left() -> dict[int, str]:
        return {pid: line for pid, line in processes().items() if pid not in before}

    eventually(lambda: not left(), f"the end of {left()}", seconds=seconds)
