"""SIGINT, SIGTERM and SIGHUP, whenever they come: what was begun is rolled back or kept, and nothing else is begun."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from executor.errors import Interrupted
from executor.netns.lock import LockFile
from tests.reliability.conftest import MakeTrial
from tests.reliability.helpers_faults import Faults
from tests.reliability.helpers_trial import Trial
from tests.reliability.test_concurrency import has_open
from tests.reliability.test_faults import sentence
from tests.support import eventually
from tests.support.cli import ended
from tests.support.pods import Pod, plain
from tests.support.podwire import Podwire
from tests.support.processes import descriptors


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_during_apply_takes_all_back(trial: Trial, faults: Faults, name: str) -> None:
    """At the first, a middle and the last command: status 3 and as it was before."""
    total = len(trial.commands())
    for number in (1, total // 2, total):
        faults.plan(number, name)
        outcome = trial.apply(faults.env)
        if number < total:
            assert outcome.rc == 3, (number, outcome)
            assert f"interrupted by {name}" in sentence(outcome)
        assert outcome.rc in (0, 3), outcome  # with the last command it may be done already
        if outcome.rc == 0:
            assert trial.teardown().rc == 0
        assert trial.changed() == ""
        assert trial.state() is None


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_during_the_rollback_does_not_stop_it(trial: Trial, faults: Faults, name: str) -> None:
    """What was begun is rolled back to its end, however impatient somebody is."""
    total = len(trial.commands())
    script = faults.folder / "ebtables-restore"
    script.write_text("#!/bin/sh\necho refused >&2\nexit 4\n")
    at = next(number for number, line in enumerate(trial.commands(), 1) if line.startswith("ebtables-restore"))
    for number in range(at, at + 3):
        faults.plan(number, name)  # the failing one isn't counted: these are the rollback's
        outcome = trial.apply(faults.env)
        assert outcome.rc == 3, (number, total, outcome)
        assert trial.changed() == ""
        assert trial.state() is None


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_during_teardown_stops_it_and_keeps_the_state(trial: Trial, faults: Faults, name: str) -> None:
    """Status 4; recover finishes it."""
    total = len(trial.commands("reverse_commands"))
    for number in (1, total // 2, total - 1):
        assert trial.apply().rc == 0
        faults.plan(number, name)
        outcome = trial.teardown(faults.env)
        if number < total - 1 or outcome.rc != 0:  # the last one may be on its way beside it
            assert outcome.rc == 4, (number, outcome)
            assert f"interrupted by {name}" in sentence(outcome)
            assert trial.state() == "half-done"
        trial.ok("recover")
        assert trial.changed() == ""
        assert trial.state() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_mean_afterwards_what_they_meant_before(trial: Trial, number: signal.Signals) -> None:
    """A program that uses podwire keeps its own handlers."""
    handler = signal.getsignal(number)
    assert trial.apply().rc == 0
    assert trial.teardown().rc == 0
    assert signal.getsignal(number) == handler


# --- several wirings --------------------------------------------------------------------------------------------------


def three(make_trial: MakeTrial) -> tuple[list[Trial], dict[str, str]]:
    """Wire three pods under one state directory; return them and what names that in the environment."""
    trials = [make_trial(plain) for _ in range(3)]
    env = {"PODWIRE_STATE_DIR": str(trials[0].state_dir)}
    for trial in trials:
        assert trial.apply(env).rc == 0
    return sorted(trials, key=lambda trial: trial.id), env


def states(trial: Trial, env: dict[str, str]) -> list[str]:
    """Return the states of all, in the order of their ids."""
    return [row["state"] for row in json.loads(trial.ok("list", "--json", env=env))]


def test_a_signal_in_the_middle_of_all_begins_no_other(make_trial: MakeTrial, faults: Faults) -> None:
    """The one that it met is half done, the others stay wired, and both is said."""
    trials, env = three(make_trial)
    faults.plan(2, "SIGINT")
    outcome = trials[0].podwire("teardown", "--all", "--yes", env=env | faults.env)
    assert outcome.rc == 4, outcome
    assert f"podwire recover {trials[0].id}" in outcome.err
    assert f"interrupted by SIGINT: {trials[1].id}, {trials[2].id} left as before" in outcome.err
    assert outcome.err.count("\n") == 2
    assert states(trials[0], env) == ["half-done", "wired", "wired"]
    trials[0].ok("recover", env=env)
    trials[0].ok("teardown", "--all", "--yes", env=env)
    assert [trial.changed() for trial in trials] == ["", "", ""]


def test_an_interrupt_at_the_second_question_of_all_ends_it(make_trial: MakeTrial) -> None:
    """What was torn down is not called unchanged."""
    trials, env = three(make_trial)
    question = 'Type "yes" to continue: '
    with trials[0].cli.on_terminal("teardown", "--all", env=env) as terminal:
        terminal.answer(question, "yes")
        terminal.type(question, "\x03")
        status, said = terminal.end()
    assert status == 1, said
    assert f"interrupted: {trials[1].id}, {trials[2].id} left as before" in said
    assert "nothing was changed" not in said
    assert states(trials[0], env) == ["wired", "wired"]
    trials[0].ok("teardown", "--all", "--yes", env=env)
    assert [trial.changed() for trial in trials] == ["", "", ""]


def test_a_signal_ends_the_waiting_for_a_lock(trial: Trial, faults: Faults) -> None:
    """At once, and nothing was changed."""
    faults.plan(3, "wait")
    with trial.started("apply", trial.plan, "--yes", env=faults.env) as first:
        eventually(lambda: faults.waiting, "the command at which it is held", seconds=20)
        with trial.started("teardown", trial.id, "--yes", "--lock-timeout", "600") as second:
            inode = trial.pod.inside.path.stat().st_ino
            eventually(lambda: has_open(second.pid, inode), "the second one at the lock", seconds=20)
            second.send_signal(signal.SIGTERM)
            outcome = ended(second)
        assert outcome.rc == 1, outcome
        assert sentence(outcome) == "interrupted by SIGTERM; nothing was changed"
        faults.release()
        assert ended(first).rc == 0
    assert trial.teardown().rc == 0
    assert trial.changed() == ""


# --- in a program that goes on ----------------------------------------------------------------------------------------


class Taking:
    """The real LockFile.take, after which, the `at`-th time, a signal comes before its caller can do anything."""

    def __init__(self, at: int) -> None:
        self.taken = 0
        self._at = at
        self._take = LockFile.take

    def __call__(self, *args: Any, **options: Any) -> LockFile:
        """Take a lock."""
        lock = self._take(*args, **options)
        self.taken += 1
        if self.taken == self._at:
            os.kill(os.getpid(), signal.SIGTERM)
        return lock


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("verb", ["apply", "teardown"])
def test_a_signal_leaves_no_lock_behind(
    pod: Pod, state_dir: Path, monkeypatch: pytest.MonkeyPatch, verb: str, at: int
) -> None:
    """An agent, or whoever uses podwire as a library, would keep everybody else from the pod for as long as it runs.

    The first lock is that of the id, the second that of the namespace.
    """
    wired = Podwire.on(pod, state_dir)
    if verb == "teardown":
        wired.apply()
    had, taking = descriptors(), Taking(at)
    with monkeypatch.context() as patch:
        patch.setattr(LockFile, "take", taking)
        with pytest.raises(Interrupted, match=r"^interrupted by SIGTERM$"):
            wired.apply() if verb == "apply" else wired.teardown()
    assert taking.taken == at
    assert descriptors() == had
    at_once = evolve(wired, settings=evolve(wired.settings, lock_timeout=0.0))
    if verb == "apply":
        at_once.apply()
    at_once.teardown()
