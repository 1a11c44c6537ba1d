"""apply --confirm-within: what nobody confirms is rolled back by itself, whatever became of whoever applied it."""

from __future__ import annotations

import json
import os
import pty
import signal
import time
from pathlib import Path

import pytest

from tests.reliability.conftest import MakeTrial
from tests.reliability.helpers_faults import Faults
from tests.reliability.helpers_kill import Work, killed_at, see_that_nobody_is_at_it
from tests.reliability.helpers_trial import Trial
from tests.support import Outcome, eventually
from tests.support.cli import PODWIRE
from tests.support.pods import dual_stack
from tests.support.processes import processes, see_them_end


def apply(trial: Trial, within: str, *more: str) -> Outcome:
    """Apply the plan, to be confirmed within that time."""
    return trial.podwire("apply", trial.plan, "--yes", "--confirm-within", within, *more)


def watchers(trial: Trial) -> list[int]:
    """Return the processes that wait for the time to be over, of this trial only."""
    return [pid for pid, line in processes().items() if str(trial.state_dir) in line]


def rolled_back(trial: Trial) -> bool:
    """Say whether the wiring is gone, and all is as it was."""
    return trial.state() is None and trial.changed() == ""


def test_what_nobody_confirms_is_rolled_back(make_trial: MakeTrial) -> None:
    """Not before the time; its log says why; confirming it afterwards is too late, and says so."""
    trial = make_trial(dual_stack)
    began = time.monotonic()
    outcome = apply(trial, "1.5")
    assert outcome.rc == 0, outcome
    assert f"podwire confirm {trial.id}" in outcome.out
    assert trial.state() == "wired"
    eventually(lambda: rolled_back(trial), "that it is rolled back", seconds=20)
    assert time.monotonic() - began > 1.5
    records = json.loads(trial.ok("log", trial.id, "--json"))
    assert "nobody confirmed within 1.5 s" in records[-1]["asked"]
    late = trial.podwire("confirm", trial.id)
    assert late.rc == 1, late
    assert "no longer wired" in late.err
    assert late.err.count("\n") == 1


def test_what_is_confirmed_stays(trial: Trial) -> None:
    """Also after the time; to confirm it once more is no harm. The process that waited ends, and does nothing."""
    assert apply(trial, "1").rc == 0
    assert len(watchers(trial)) == 1
    assert "the wiring is kept" in trial.ok("confirm", trial.id)
    assert "not waiting" in trial.ok("confirm", trial.id)
    eventually(lambda: not watchers(trial), "the end of the one that waits", seconds=20)
    assert trial.state() == "wired"
    assert trial.teardown().rc == 0
    assert rolled_back(trial)


def test_what_was_torn_down_and_wired_again_is_another_wiring(trial: Trial) -> None:
    """The time of the first doesn't end the second, which nobody has to confirm."""
    assert apply(trial, "1").rc == 0
    assert trial.teardown().rc == 0
    assert trial.apply().rc == 0
    eventually(lambda: not watchers(trial), "the end of the one that waits", seconds=20)
    assert trial.state() == "wired"
    assert trial.teardown().rc == 0
    assert rolled_back(trial)


def test_it_is_rolled_back_although_the_terminal_is_gone(trial: Trial) -> None:
    """The terminal hangs up, and everything in the session and the process group of apply is killed."""
    before = processes()
    group, terminal = pty.fork()
    if group == 0:  # it leads a session of its own on that terminal, as a login shell does
        words = (*PODWIRE, "apply", str(trial.plan), "--yes", "--confirm-within", "2")
        shell = ["sh", "-c", '"$@"; kill -STOP $$', "sh", *words]
        os.execve("/bin/sh", shell, trial.cli.environment)  # noqa: S606 -- this is the shell, in a fork
    _, status = os.waitpid(group, os.WUNTRACED)
    assert os.WIFSTOPPED(status), "the shell outlives apply, until its terminal hangs up"
    assert f"podwire confirm {trial.id}" in os.read(terminal, 65536).decode()
    os.close(terminal)
    os.killpg(group, signal.SIGKILL)
    os.waitpid(group, 0)
    assert trial.state() == "wired"
    assert len(watchers(trial)) == 1
    assert os.getsid(watchers(trial)[0]) != group
    eventually(lambda: rolled_back(trial), "that it is rolled back", seconds=20)
    see_them_end(before)


def test_an_apply_that_dies_in_the_middle_is_rolled_back_too(trial: Trial, faults: Faults) -> None:
    """Nobody is left to confirm it: the time runs from the first command."""
    faults.plan(5, "wait")
    words = ("apply", trial.plan, "--yes", "--confirm-within", "1.5")
    with trial.started(*words, env=faults.env) as process:
        eventually(lambda: faults.waiting, "the fifth command", seconds=20)
        process.kill()
        process.wait()
    assert trial.state() == "half-done"
    faults.release()
    eventually(lambda: rolled_back(trial), "that it is rolled back", seconds=20)


def test_an_apply_that_takes_longer_is_not_disturbed(trial: Trial, faults: Faults) -> None:
    """What waits for the time also waits for the lock; then it is rolled back."""
    faults.plan(5, "wait")
    words = ("apply", trial.plan, "--yes", "--confirm-within", "0.5")
    with trial.started(*words, env=faults.env) as process:
        eventually(lambda: faults.waiting, "the fifth command", seconds=20)
        inode = trial.pod.inside.path.stat().st_ino
        eventually(
            lambda: any(has_open(pid, inode) for pid in watchers(trial) if pid != process.pid), "the other", seconds=20
        )
        assert process.poll() is None
        faults.release()
        assert process.wait(timeout=60) == 0
    eventually(lambda: rolled_back(trial), "that it is rolled back", seconds=20)


def has_open(pid: int, inode: int) -> bool:
    """Say whether a process has a file open."""
    try:
        return any(fd.stat().st_ino == inode for fd in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def see_that_it_is_half_done(trial: Trial) -> None:
    """See that nobody is told that it is wired, and that each is told what to do: status 1, nothing changed."""
    entry = (trial.state_dir / "wirings" / f"{trial.id}.json").read_bytes()
    wiring = ("--result", trial.result, "--netns", trial.pod.inside.path)
    for words in (
        ("plan", *wiring),
        ("apply", *wiring, "--yes"),
        ("apply", *wiring, "--id", "other", "--yes"),
        ("apply", trial.plan, "--yes"),
        ("check", trial.id),
        ("check", trial.id, "--fix", "--yes"),
        ("confirm", trial.id),
    ):
        assert trial.cli.refused(*words) == f"{trial.id} is half done: run podwire recover {trial.id} first", words
    assert (trial.state_dir / "wirings" / f"{trial.id}.json").read_bytes() == entry


def test_where_the_one_that_waits_was_killed_it_is_half_done(trial: Trial) -> None:
    """Once its time is over; recover rolls it back."""
    assert apply(trial, "0.7").rc == 0
    (watcher,) = watchers(trial)
    os.kill(watcher, signal.SIGKILL)
    assert trial.state() == "wired"
    eventually(lambda: trial.state() == "half-done", "the end of its time", seconds=20)
    see_that_it_is_half_done(trial)
    trial.ok("recover")
    assert rolled_back(trial)


def test_what_is_being_rolled_back_is_not_confirmed(trial: Trial) -> None:
    """It could not come back whole while the link is down; whoever tries again is not stopped by that."""
    assert apply(trial, "0.5").rc == 0
    trial.pod.inside.ip("link set eth0 down")
    eventually(lambda: '"outcome":"half-done"' in trial.journal.read_text(), "that it could not", seconds=20)
    see_that_it_is_half_done(trial)
    trial.pod.inside.ip("link set eth0 up")
    eventually(lambda: rolled_back(trial), "that it is rolled back", seconds=30)


def test_an_apply_that_was_killed_is_not_confirmed(trial: Trial, faults: Faults) -> None:
    """Nor finished once its time is over: it is rolled back."""
    faults.plan(5, "wait")
    with trial.started("apply", trial.plan, "--yes", "--confirm-within", "2", env=faults.env) as process:
        eventually(lambda: faults.waiting, "the fifth command", seconds=20)
        for pid in watchers(trial):
            os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()
    faults.release()
    see_that_nobody_is_at_it(trial)
    see_that_it_is_half_done(trial)
    time.sleep(2)
    assert "is as it was before" in trial.ok("recover", trial.id, "--forward")
    assert rolled_back(trial)


def test_what_went_with_its_namespace_is_not_confirmed(trial: Trial) -> None:
    """It does not stay wired."""
    assert apply(trial, "600").rc == 0
    trial.pod.inside.delete()
    try:
        said = trial.cli.refused("confirm", trial.id)
        assert said == f"the namespace of {trial.id} is gone: podwire gc removes its record"
    finally:
        for pid in watchers(trial):
            os.kill(pid, signal.SIGKILL)


def test_an_apply_that_fails_leaves_nobody_who_waits_for_long(trial: Trial, faults: Faults) -> None:
    """It was rolled back at once; when its time is over nothing happens to what is wired then."""
    faults.plan(4, "fail")
    outcome = trial.podwire("apply", trial.plan, "--yes", "--confirm-within", "1", env=faults.env)
    assert outcome.rc == 3, outcome
    assert rolled_back(trial)
    assert trial.apply().rc == 0
    eventually(lambda: not watchers(trial), "the end of the one that waits", seconds=20)
    assert trial.state() == "wired"
    assert trial.teardown().rc == 0


def test_a_namespace_that_goes_while_it_waits(trial: Trial) -> None:
    """There is nothing to roll back: it is forgotten."""
    assert apply(trial, "0.7").rc == 0
    trial.pod.inside.delete()
    eventually(lambda: not watchers(trial), "the end of the one that waits", seconds=20)
    assert trial.state() is None


@pytest.mark.parametrize("number", [5, 10])
def test_recover_of_a_killed_apply_keeps_it_waiting(trial: Trial, faults: Faults, number: int) -> None:
    """`recover --forward` finishes an apply; without a time to confirm there is nothing to wait for."""
    assert killed_at(Work(trial, "apply"), "after", number, faults)
    trial.ok("recover", "--forward")
    assert "not waiting" in trial.ok("confirm", trial.id)
    assert trial.teardown().rc == 0
    assert rolled_back(trial)
