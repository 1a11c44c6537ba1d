"""What a runtime has done to the standard streams of podwire-cni: closed them, or given it one that takes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cni.helpers_cni import PLUGIN, Attached
from tests.support.running import Outcome, run

# By what is closed, as a shell writes it.
CLOSED = ("<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-")


@pytest.fixture
def call(pod: Attached, way: dict[str, str], tmp_path: Path) -> Callable[[str, str], Outcome]:
    """Return what calls the plugin with its streams redirected as a shell does it."""
    conf = tmp_path / "conf"
    conf.write_text(json.dumps(pod.conf()))

    def called(verb: str, redirected: str) -> Outcome:
        shell = ["sh", "-c", f'"$0" <"$1" {redirected}', str(PLUGIN), str(conf)]
        words = ["nsenter", f"--net={pod.trial.host.path}", *shell]
        env = {"CNI_COMMAND": verb, **pod.trial.identity(), "PATH": os.environ["PATH"], **way}
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=30, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return called


@pytest.mark.parametrize("closed", CLOSED)
def test_a_closed_stream_gives_its_place_to_nothing_else(
    pod: Attached, call: Callable[[str, str], Outcome], closed: str
) -> None:
    """No file or socket of podwire's own is read or written as one: each call ends at once.

    Without a configuration nothing is done, and an answer that nobody gets is a failure.
    """
    began = time.monotonic()
    added = call("ADD", closed)
    assert time.monotonic() - began < 2, "it waited for something"
    assert "Traceback" not in added.err
    assert added.rc == (not {"<&-", ">&-"}.isdisjoint(closed.split())), added
    if "<&-" in closed and ">&-" not in closed:
        assert json.loads(added.out)["code"] == 6
    assert call("DEL", "").rc == 0
    assert pod.left() == ""


def test_an_answer_that_nobody_gets_is_a_failure(pod: Attached, call: Callable[[str, str], Outcome]) -> None:
    """In one sentence. What was wired stays until DEL, which a runtime owes to an ADD that failed."""
    for verb in ("ADD", "VERSION"):
        lost = call(verb, ">/dev/full")
        assert (lost.rc, lost.out) == (1, "")
        assert lost.err.splitlines()[-1] == "podwire-cni: standard output cannot be written: No space left on device"
        assert "Traceback" not in lost.err
    assert json.loads(call("ADD", "").out)["interfaces"]
    assert call("DEL", "").rc == 0
    assert pod.left() == ""


def test_a_log_that_nobody_reads_keeps_nothing_from_being_done(
    pod: Attached, call: Callable[[str, str], Outcome]
) -> None:
    """What goes wrong with standard error is nothing that a runtime could mend."""
    added = call("ADD", "2>/dev/full")
    assert added.rc == 0
    assert json.loads(added.out)["interfaces"]
    assert call("DEL", "2>/dev/full").rc == 0
    assert pod.left() == ""


@pytest.mark.parametrize("most", [5, 6, 8, 11, 14])
def test_few_descriptors_are_an_answer_too(pod: Attached, most: int) -> None:
    """In JSON, with a code, from the first module that cannot be opened on; and what was wired is not forgotten."""
    pod.add()
    words = ["prlimit", f"--nofile={most}", str(PLUGIN)]
    env = {"CNI_COMMAND": "DEL", **pod.trial.identity(), "PATH": os.environ["PATH"]}
    short = run(words, stdin=json.dumps(pod.trial.conf()), env=env, check=False)
    assert short.rc == 1, short
    assert json.loads(short.out)["code"] in (11, 101)
    assert "Traceback" not in short.err
    pod.delete()
    assert pod.left() == ""


@pytest.mark.parametrize("module", ["executor.cni", "executor.cni.verbs", "executor.operations.rollback"])
def test_what_cannot_be_loaded_is_an_answer_too(pod: Attached, module: str) -> None:
    """Wherever it is wanted: the installation is not whole, or its files cannot be read just now."""
    pod.add()
    words = f"import sys; sys.modules[{module!r}] = None; from executor.agent.shim import main; sys.exit(main())"
    env = {"CNI_COMMAND": "DEL", **pod.trial.identity(), "PATH": os.environ["PATH"]}
    said = run([sys.executable, "-c", words], stdin=json.dumps(pod.trial.conf()), env=env, check=False)
    assert said.rc == 1
    assert json.loads(said.out)["code"] == 11
    assert "cannot be loaded" in said.err
    assert "bug" not in said.err
    pod.delete()
    assert pod.left() == ""


@pytest.mark.parametrize("encoding", ["utf-16", "ascii"])
def test_the_answer_is_utf_8_whatever_python_is_told(pod: Attached, way: dict[str, str], encoding: str) -> None:
    """JSON between programs has no other encoding."""
    assert pod.trial.call("ADD", pod.conf(), env=way | {"PYTHONIOENCODING": encoding}).document()["interfaces"]
