"""apply --confirm-within: what nobody confirms is taken back by itself, whatever became of whoever applied it."""

from __future__ import annotations

import json
import os
import pty
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.reliability.conftest import MakeDesk
from tests.reliability.helpers_desk import ROOT, Desk, processes, see_them_end
from tests.reliability.helpers_faults import Faults
from tests.reliability.helpers_kill import Work, killed_at
from tests.support import Outcome, eventually
from tests.support.pods import dual_stack


def apply(desk: Desk, within: str, *more: str) -> Outcome:
    """Apply the plan, to be confirmed within that time."""
    return desk.podwire("apply", desk.plan, "--yes", "--confirm-within", within, *more)


def watchers(desk: Desk) -> list[int]:
    """Return the processes that wait for the time to be over, of this desk only."""
    return [pid for pid, line in processes().items() if str(desk.state_dir) in line and pid != os.getpid()]


def taken_back(desk: Desk) -> bool:
    """Say whether the wiring is gone, and all is as it was."""
    return desk.state() is None and desk.changed() == ""


def test_what_nobody_confirms_is_taken_back(make_desk: MakeDesk) -> None:
    """Not before the time; its log says why; confirming it afterwards is too late, and says so."""
    desk = make_desk(dual_stack)
    began = time.monotonic()
    outcome = apply(desk, "1.5")
    assert outcome.rc == 0, outcome
    assert f"podwire confirm {desk.id}" in outcome.out
    assert desk.state() == "wired"
    eventually(lambda: taken_back(desk), "that it is taken back", seconds=20)
    assert time.monotonic() - began > 1.5
    records = json.loads(desk.ok("log", desk.id, "--json"))
    assert "nobody confirmed within 1.5 s" in records[-1]["asked"]
    late = desk.podwire("confirm", desk.id)
    assert late.rc == 1, late
    assert "any more" in late.err
    assert late.err.count("\n") == 1


def test_what_is_confirmed_stays(desk: Desk) -> None:
    """Also after the time; to confirm it once more is no harm. The process that waited ends, and does nothing."""
    assert apply(desk, "1").rc == 0
    assert len(watchers(desk)) == 1
    assert "it stays wired" in desk.ok("confirm", desk.id)
    assert "not waiting" in desk.ok("confirm", desk.id)
    eventually(lambda: not watchers(desk), "the end of the one that waits", seconds=20)
    assert desk.state() == "wired"
    assert desk.teardown().rc == 0
    assert taken_back(desk)


def test_what_was_torn_down_and_wired_anew_is_another_wiring(desk: Desk) -> None:
    """The time of the first doesn't end the second, which nobody has to confirm."""
    assert apply(desk, "1").rc == 0
    assert desk.teardown().rc == 0
    assert desk.apply().rc == 0
    eventually(lambda: not watchers(desk), "the end of the one that waits", seconds=20)
    assert desk.state() == "wired"
    assert desk.teardown().rc == 0
    assert taken_back(desk)


def test_it_is_taken_back_although_the_terminal_is_gone(desk: Desk) -> None:
    """The terminal hangs up, and everything in the session and the process group of apply is killed."""
    before = processes()
    group, terminal = pty.fork()
    if group == 0:  # it leads a session of its own on that terminal, as a login shell does
        words = (sys.executable, "-m", "executor", "apply", str(desk.plan), "--yes", "--confirm-within", "2")
        env = os.environ | {"PYTHONPATH": str(ROOT), "PODWIRE_STATE_DIR": str(desk.state_dir)}
        shell = ["sh", "-c", '"$@"; kill -STOP $$', "sh", *words]
        os.execve("/bin/sh", shell, env)  # noqa: S606 -- this is the shell, in a fork
    _, status = os.waitpid(group, os.WUNTRACED)
    assert os.WIFSTOPPED(status), "the shell outlives apply, until its terminal hangs up"
    assert f"podwire confirm {desk.id}" in os.read(terminal, 65536).decode()
    os.close(terminal)
    os.killpg(group, signal.SIGKILL)
    os.waitpid(group, 0)
    assert desk.state() == "wired"
    assert len(watchers(desk)) == 1
    assert os.getsid(watchers(desk)[0]) != group
    eventually(lambda: taken_back(desk), "that it is taken back", seconds=20)
    see_them_end(before)


def test_an_apply_that_dies_in_the_middle_is_taken_back_too(desk: Desk, faults: Faults) -> None:
    """Nobody is left to confirm it: the time runs from the first command."""
    faults.plan(5, "wait")
    words = ("apply", desk.plan, "--yes", "--confirm-within", "1.5")
    with desk.started(*words, env=faults.env) as process:
        eventually(lambda: faults.waiting, "the fifth command", seconds=20)
        process.kill()
        process.wait()
    assert desk.state() == "half-done"
    faults.release()
    eventually(lambda: taken_back(desk), "that it is taken back", seconds=20)


def test_an_apply_that_takes_longer_is_not_disturbed(desk: Desk, faults: Faults) -> None:
    """What waits for the time also waits for the lock; then it is taken back."""
    faults.plan(5, "wait")
    words = ("apply", desk.plan, "--yes", "--confirm-within", "0.5")
    with desk.started(*words, env=faults.env) as process:
        eventually(lambda: faults.waiting, "the fifth command", seconds=20)
        inode = desk.pod.inside.path.stat().st_ino
        eventually(
            lambda: any(has_open(pid, inode) for pid in watchers(desk) if pid != process.pid), "the other", seconds=20
        )
        assert process.poll() is None
        faults.release()
        assert process.wait(timeout=60) == 0
    eventually(lambda: taken_back(desk), "that it is taken back", seconds=20)


def has_open(pid: int, inode: int) -> bool:
    """Say whether a process has a file open."""
    try:
        return any(fd.stat().st_ino == inode for fd in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def test_where_the_one_that_waits_was_killed_it_is_half_done(desk: Desk) -> None:
    """Once its time is over; recover takes it back."""
    assert apply(desk, "0.7").rc == 0
    (watcher,) = watchers(desk)
    os.kill(watcher, signal.SIGKILL)
    assert desk.state() == "wired"
    eventually(lambda: desk.state() == "half-done", "the end of its time", seconds=20)
    outcome = desk.podwire("plan", "--result", desk.result, "--netns", desk.id)
    assert outcome.rc in (0, 1), outcome
    desk.ok("recover")
    assert taken_back(desk)


def test_an_apply_that_fails_leaves_nobody_who_waits_for_long(desk: Desk, faults: Faults) -> None:
    """It was taken back at once; when its time is over nothing happens to what is wired then."""
    faults.plan(4, "fail")
    outcome = desk.podwire("apply", desk.plan, "--yes", "--confirm-within", "1", env=faults.env)
    assert outcome.rc == 3, outcome
    assert taken_back(desk)
    assert desk.apply().rc == 0
    eventually(lambda: not watchers(desk), "the end of the one that waits", seconds=20)
    assert desk.state() == "wired"
    assert desk.teardown().rc == 0


def test_a_namespace_that_goes_while_it_waits(desk: Desk) -> None:
    """There is nothing to take back: it is forgotten."""
    assert apply(desk, "0.7").rc == 0
    desk.pod.inside.delete()
    eventually(lambda: not watchers(desk), "the end of the one that waits", seconds=20)
    assert desk.state() is None


@pytest.mark.parametrize("number", [5, 10])
def test_recover_of_a_killed_apply_keeps_it_waiting(desk: Desk, faults: Faults, number: int) -> None:
    """`recover --forward` finishes an apply; without a time to confirm there is nothing to wait for."""
    assert killed_at(Work(desk, "apply"), "after", number, faults)
    desk.ok("recover", "--forward")
    assert "not waiting" in desk.ok("confirm", desk.id)
    assert desk.teardown().rc == 0
    assert taken_back(desk)
