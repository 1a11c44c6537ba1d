"""The command line, run as people run it: as a process, on a terminal or without one.

cli = Cli(folder, …)
cli.ok("apply", "--result", result, "--netns", "pod1", "--yes")
cli.refused("teardown", "pod2")     # the one sentence that it says
with cli.wired(pod) as network:     # apply, plan once more, and at the end teardown, back to the same dump
    network["interfaces"][0]["name"]
with cli.on_terminal("teardown", "pod1") as terminal:
    terminal.answer("to continue: ", "yes")

A run costs what podwire does, and not the start of Python, unless it goes `through` another program or is `started`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from tests import sandbox
from tests.support.dumps import difference, dump
from tests.support.pods import Pod
from tests.support.preloaded import PYTHONPATH, Preloaded
from tests.support.running import Outcome, run
from tests.support.terminal import Terminal

PODWIRE = (sys.executable, "-m", "executor")
Json = dict[str, Any]


@frozen
class Cli:
    """The command `podwire`, with a folder and a state directory of its own."""

    folder: Path
    preloaded: Preloaded

    @property
    def state_dir(self) -> Path:
        """Where the state is, once there is any."""
        return self.folder / "state"

    @property
    def environment(self) -> dict[str, str]:
        """What the command finds set: as little as can be."""
        return {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "TERM": "xterm",
            "PAGER": "",
            "PYTHONPATH": PYTHONPATH,
            "PODWIRE_STATE_DIR": str(self.state_dir),
            sandbox.VOUCHED: os.environ[sandbox.VOUCHED],
        }

    def run(
        self,
        *words: str | Path,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        through: tuple[str | Path, ...] = (),
    ) -> Outcome:
        """Run `podwire WORDS…`, if need be `through` another program, and return how it ended."""
        environment = self.environment | dict(env or {})
        argv = [str(word) for word in words]
        if not through:
            return self.preloaded.run(argv, stdin=stdin, env=environment)
        return run([*through, *PODWIRE, *argv], stdin=stdin, env=environment, timeout=120, check=False)

    def ok(self, *words: str | Path, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
        """Run it, see that it says nothing amiss, and return what it prints."""
        outcome = self.run(*words, stdin=stdin, env=env)
        assert (outcome.rc, outcome.err) == (0, ""), outcome
        return outcome.out

    def json(self, *words: str | Path, stdin: str = "") -> Any:
        """Run it with `--json`, and return the document."""
        return json.loads(self.ok(*words, "--json", stdin=stdin))

    def refused(
        self,
        *words: str | Path,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        through: tuple[str | Path, ...] = (),
        status: int = 1,
    ) -> str:
        """Run it, see that it ends with `status` and one sentence, and return that."""
        return sentence_of(self.run(*words, stdin=stdin, env=env, through=through), status)

    @contextmanager
    def started(
        self, *words: str | Path, env: Mapping[str, str] | None = None, through: tuple[str | Path, ...] = ()
    ) -> Iterator[subprocess.Popen[str]]:
        """Start it, if need be `through` another program, and go on; at the end it is killed, unless it has ended."""
        argv = [*map(str, through), *PODWIRE, *map(str, words)]
        environment = self.environment | dict(env or {})
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        with subprocess.Popen(argv, env=environment, stdin=nothing, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def on_terminal(self, *words: str | Path, env: Mapping[str, str] | None = None) -> Iterator[Terminal]:
        """Run it on a terminal of its own, 200 columns wide."""
        with Terminal.opened([*PODWIRE, *map(str, words)], self.environment | dict(env or {})) as terminal:
            yield terminal

    def file(self, name: str, content: object) -> Path:
        """Write a file: text as it is, anything else as JSON."""
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def result_of(self, pod: Pod) -> Path:
        """Write down what the CNI plugin answered for a pod."""
        return self.file("result.json", pod.result)

    def wiring(self, pod: Pod) -> tuple[str | Path, ...]:
        """Return the options that name a pod and its result."""
        return "--result", self.file(f"{pod.inside.name}.json", pod.result), "--netns", pod.inside.name

    def plan(self, pod: Pod, *options: str) -> Json:
        """Plan, and return the plan."""
        found: Json = self.json("plan", *self.wiring(pod), *options)
        return found

    def apply(self, pod: Pod, *options: str) -> Json:
        """Apply, and return what it says of the network: the interfaces, as a VM needs to know them."""
        found: Json = self.json("apply", *self.wiring(pod), "--yes", *options)
        return found

    def teardown(self, pod: Pod) -> Json:
        """Roll the wiring back."""
        found: Json = self.json("teardown", pod.inside.name, "--yes")
        return found

    @contextmanager
    def wired(self, pod: Pod, *options: str) -> Iterator[Json]:
        """Wire a pod, see that planning again finds nothing to do, and in the end that teardown leaves what was."""
        pod.settle()
        before = dump(pod.inside)
        network = self.apply(pod, *options)
        assert network["outcome"] == "wired"
        again = self.run("plan", *self.wiring(pod), *options, "--detailed-exitcode")
        assert (again.rc, again.err) == (0, ""), again
        yield network
        assert self.teardown(pod)["outcome"] == "restored"
        assert difference(before, dump(pod.inside)) == ""

    def wrapper(self, program: str, script: str) -> dict[str, str]:
        """Put a shell script in the place of a program; return the environment in which it is found first."""
        folder = self.folder / "wrappers"
        folder.mkdir(exist_ok=True)
        path = folder / program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return {"PATH": f"{folder}:{os.environ['PATH']}"}


def sentence_in(text: str) -> str:
    """Return the one sentence on standard error, without `podwire: `; fail if there is more, or none."""
    assert "Traceback" not in text, text
    assert "this is a bug" not in text, text
    assert text.startswith("podwire: "), text
    assert text.count("\n") == 1, text
    assert text.endswith("\n"), text
    return text.removeprefix("podwire: ").rstrip("\n")


def sentence_of(outcome: Outcome, status: int = 1) -> str:
    """Return the one sentence of a run that ended with `status` and printed nothing else."""
    assert (outcome.rc, outcome.out) == (status, ""), outcome
    return sentence_in(outcome.err)


def ended(process: subprocess.Popen[str], *, seconds: float = 60) -> Outcome:
    """Wait for a process to end, and return how it did."""
    out, err = process.communicate(timeout=seconds)
    return Outcome(process.returncode, out, err)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return everything in a folder, by its path: the content of files, None for the rest; {} if it isn't there."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in folder.rglob("*")
    }
