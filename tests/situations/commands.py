"""The command line on one pod, from a folder of its own.

    podwire = Commands(tmp_path)
    with podwire.wired(pod) as network:      # apply, plan once more, and at the end teardown, back to the same dump
        network["interfaces"][0]["name"]     # tap0
    podwire.refused("plan", ...)             # the one sentence that it says

In this process, which saves a quarter of a second each time; `start` makes it a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from attrs import frozen

from executor.cli import main
from tests.support import Namespace, Outcome, eventually
from tests.support.dumps import difference, dump
from tests.support.pods import Pod

ROOT = Path(__file__).resolve().parents[2]
PODWIRE = (sys.executable, "-m", "executor")
Result = dict[str, Any]


@frozen
class Commands:
    """The command `podwire`, with a folder for files and a state directory in it."""

    folder: Path

    @property
    def state(self) -> tuple[str, str]:
        """The option that names the state directory."""
        return "--state-dir", str(self.folder / "state")

    def run(self, *words: str | Path) -> Outcome:
        """Run `podwire WORDS…`, and return how it ended."""
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            rc = main([*map(str, words), *self.state])
        return Outcome(rc, out.getvalue(), err.getvalue())

    def ok(self, *words: str | Path) -> str:
        """Run it, see that it says nothing amiss, and return what it prints."""
        outcome = self.run(*words)
        assert (outcome.rc, outcome.err) == (0, ""), outcome
        return outcome.out

    def json(self, *words: str | Path) -> Any:
        """Run it with `--json`, and return the document."""
        return json.loads(self.ok(*words, "--json"))

    def refused(self, *words: str | Path, status: int = 1) -> str:
        """Run it, see that it ends with `status`, and return the one sentence that it says."""
        return sentence_of(self.run(*words), status)

    @contextmanager
    def start(self, *words: str | Path, through: tuple[str | Path, ...] = ()) -> Iterator[subprocess.Popen[str]]:
        """Start it as a process, if need be `through` another program; at the end it is killed, unless it has ended."""
        argv = [*map(str, through), *PODWIRE, *map(str, words), *self.state]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        with subprocess.Popen(argv, env=environment, stdin=nothing, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def file(self, name: str, content: object) -> Path:
        """Write a file: text as it is, anything else as JSON."""
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def wiring(self, pod: Pod) -> tuple[str | Path, ...]:
        """Return the options that name a pod and its result."""
        file = self.file(f"{pod.inside.name}.json", pod.result)
        return "--result", file, "--netns", pod.inside.name

    def plan(self, pod: Pod, *options: str) -> Result:
        """Plan, and return the plan."""
        found: Result = self.json("plan", *self.wiring(pod), *options)
        return found

    def apply(self, pod: Pod, *options: str) -> Result:
        """Apply, and return what it says of the network: the interfaces, as a VM needs to know them."""
        found: Result = self.json("apply", *self.wiring(pod), "--yes", *options)
        return found

    def teardown(self, pod: Pod) -> Result:
        """Take the wiring back."""
        found: Result = self.json("teardown", pod.inside.name, "--yes")
        return found

    @contextmanager
    def wired(self, pod: Pod, *options: str) -> Iterator[Result]:
        """Wire a pod, see that planning again finds nothing to do, and in the end that teardown leaves what was."""
        settle(pod)
        before = dump(pod.inside)
        network = self.apply(pod, *options)
        assert network["outcome"] == "wired"
        again = self.run("plan", *self.wiring(pod), *options, "--detailed-exitcode")
        assert (again.rc, again.err) == (0, ""), again
        yield network
        assert self.teardown(pod)["outcome"] == "restored"
        assert difference(before, dump(pod.inside)) == ""


@contextmanager
def unchanged(*namespaces: Namespace) -> Iterator[None]:
    """See that nothing is changed in these namespaces."""
    before = [dump(namespace) for namespace in namespaces]
    yield
    for namespace, then in zip(namespaces, before, strict=True):
        assert difference(then, dump(namespace)) == ""


def settle(pod: Pod) -> None:
    """Wait until it is noticed which links have a carrier, and no address is tentative that won't be for long.

    Before that, addresses are still on their way, and routes don't say `linkdown` yet.
    """
    for namespace in (pod.host, pod.inside):
        eventually(partial(_carriers_noticed, namespace), f"all carriers of {namespace.name} noticed")
    pod.settle()


def _carriers_noticed(namespace: Namespace) -> bool:
    links = json.loads(namespace.ip("-j link show"), strict=False)  # an alias may hold anything
    return all(("LOWER_UP" in link["flags"]) == (link["operstate"] in ("UP", "UNKNOWN")) for link in links)


def sentence_of(outcome: Outcome, status: int = 1) -> str:
    """Return the one sentence on standard error, without `podwire: `; fail where there is more, or another status."""
    assert outcome.rc == status, outcome
    assert (outcome.out, outcome.err[:9], outcome.err.count("\n")) == ("", "podwire: ", 1), outcome
    return outcome.err.removeprefix("podwire: ").rstrip("\n")


def ended(process: subprocess.Popen[str], *, seconds: float = 20) -> Outcome:
    """Wait for a process to end, and return how it did."""
    out, err = process.communicate(timeout=seconds)
    return Outcome(process.returncode, out, err)
