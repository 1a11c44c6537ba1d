"""Each command fails in turn, programs vanish or hang, disks fill up: what is left is as it was, or can be."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.reliability.conftest import MakeTrial
from tests.reliability.helpers_faults import Faults
from tests.reliability.helpers_trial import Trial
from tests.support import Outcome, eventually, run
from tests.support.pods import Build, also, dual_stack, plain, two_links
from tests.support.processes import processes

ALL = os.environ.get("PODWIRE_KILLS") == "all"
NEIGHBOURS = (
    "ip neigh add 10.1.90.9 lladdr 0a:00:00:00:00:09 nud permanent dev eth0",
    "ip neigh add fd00:1:90::9 lladdr 0a:00:00:00:00:09 nud permanent dev eth0",
    "ip neigh add proxy 10.1.90.77 dev eth0",
)
PODS = [
    pytest.param(plain, id="one interface"),
    pytest.param(also(dual_stack, *NEIGHBOURS), id="dual stack with neighbours"),
    pytest.param(two_links, id="two interfaces"),
]


def sentence(outcome: Outcome) -> str:
    """Return the one sentence on standard error, and see that there is no more and no traceback."""
    assert outcome.err.startswith("podwire: "), outcome
    assert outcome.err.count("\n") == 1, outcome
    assert "Traceback" not in outcome.err
    assert "bug" not in outcome.err, outcome
    return outcome.err.removeprefix("podwire: ").rstrip("\n")


# --- each command in turn ---------------------------------------------------------------------------------------------


def in_turn(commands: list[str], build: Build) -> list[tuple[int, str]]:
    """Return the commands with their numbers; in CI only every third of two interfaces, which have each kind twice."""
    everything = list(enumerate(commands, 1))
    return everything if ALL or build is not two_links else everything[::3]


@pytest.mark.parametrize("action", ["fail", "late"])
@pytest.mark.parametrize("build", PODS)
def test_whichever_command_of_apply_fails_all_is_rolled_back(
    make_trial: MakeTrial, faults: Faults, build: Build, action: str
) -> None:
    """Status 3, the raw dump of before, and nothing is listed; `late`: the command had its effect all the same."""
    trial = make_trial(build)
    problems = []
    for number, command in in_turn(trial.commands(), build):
        if action == "late" and command.startswith("ip "):
            continue
        faults.plan(number, action)
        outcome = trial.apply(faults.env)
        left = trial.changed()
        if outcome.rc != 3 or left or trial.state() is not None or "is as it was" not in outcome.err:
            problems.append(f"{number}. {command}: {outcome}, {trial.state()}\n{left}")
            break
    assert problems == []
    faults.plan(0, action)
    assert trial.apply(faults.env).rc == 0
    assert faults.count() == len(trial.commands()), "the commands that were counted are not those of the plan"
    assert trial.teardown().rc == 0
    assert trial.changed() == ""


@pytest.mark.parametrize("build", PODS)
def test_whichever_command_of_teardown_fails_the_rest_is_done_and_once_more_finishes_it(
    make_trial: MakeTrial, faults: Faults, build: Build
) -> None:
    """Status 4 and the state kept, unless what failed came about by another command; then teardown or recover."""
    trial = make_trial(build)
    problems = []
    failed = 0
    for number, command in in_turn(trial.commands("reverse_commands"), build):
        assert trial.apply().rc == 0
        faults.plan(number, "fail")
        outcome = trial.teardown(faults.env)
        failed += outcome.rc == 4
        if (outcome.rc, trial.state()) not in ((4, "half-done"), (0, None)):
            problems.append(f"{number}. {command}: {outcome}, {trial.state()}")
        if outcome.rc == 0:
            trial.see_the_truth(outcome)
        if outcome.rc == 4:
            again = trial.teardown() if number % 2 else trial.podwire("recover")
            trial.see_the_truth(again)
            if again.rc != 0:
                problems.append(f"{number}. {command}, again: {again}")
        if trial.changed() or trial.state() is not None:
            problems.append(f"{number}. {command}: {outcome}, then {trial.state()}\n{trial.changed()}")
            break
    assert problems == []
    assert failed  # of how many nothing else does the work depends on which runs first: some run side by side


def test_an_ip_that_ends_in_the_middle_is_a_failed_command(trial: Trial, faults: Faults) -> None:
    """As by an argument that it cannot parse; a new one does the rest."""
    lines = trial.commands()
    for number in [at for at, line in enumerate(lines, 1) if line.startswith("ip ")][:: 1 if ALL else 3]:
        faults.plan(number, "end")
        assert trial.apply(faults.env).rc == 3
        assert trial.changed() == ""


def test_a_rollback_that_fails_too_goes_on_and_says_what_is_left(trial: Trial, faults: Faults) -> None:
    """Status 4; every other command of the rollback is run, and recover does the last one."""
    (faults.folder / "ebtables").write_text("#!/bin/sh\necho refused >&2\nexit 4\n")
    (faults.folder / "ebtables-restore").write_text(
        '#!/bin/sh\ninput=$(cat)\ncase "$input" in *-D*) echo refused >&2; exit 4;; esac\n'
        'printf "%s\\n" "$input" | /usr/sbin/ebtables-restore "$@"\n'
    )
    faults.plan(len(trial.commands()) - 1, "fail")  # the rules are there by then; that one isn't counted any more
    outcome = trial.apply(faults.env)
    assert outcome.rc == 4, outcome
    assert f"podwire recover {trial.id}" in sentence(outcome)
    assert trial.state() == "half-done"
    left = [line for line in trial.changed().splitlines()[2:] if line.startswith(("-", "+"))]
    assert left
    assert all(line.startswith("+nft: ") for line in left), left
    trial.ok("recover")
    assert trial.changed() == ""


# --- programs that misbehave ------------------------------------------------------------------------------------------


@contextmanager
def replaced(folder: Path, program: str, script: str) -> Iterator[dict[str, str]]:
    """Put a shell script in the place of a program, and yield the environment in which it is found."""
    folder.mkdir(exist_ok=True)
    path = folder / program
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    yield {"PATH": f"{folder}:{os.environ['PATH']}"}
    path.unlink()


# A child of its own keeps the output open: to kill only the program would not end it.
HANGS = "sleep 1000 & sleep 1000"
FLOODS = "head -c 100000 /dev/urandom"
FLOODS_ON = "exec yes '[{\"rubbish\": \x01'"


def test_an_apply_that_asks_nobody_plans_from_the_look_that_it_applies_by(trial: Trial, tmp_path: Path) -> None:
    """One look before and one after: what changes between planning and applying cannot make the plan stale."""
    looks = tmp_path / "looks"
    script = f'echo look >>{looks}; exec /usr/sbin/ebtables-save "$@"'
    with replaced(tmp_path / "watch", "ebtables-save", script) as env:
        assert trial.podwire("apply", "--result", trial.result, "--netns", trial.id, "--yes", env=env).rc == 0
        assert looks.read_text() == "look\nlook\n"
    assert trial.teardown().rc == 0
    assert trial.changed() == ""


@pytest.mark.parametrize("program", ["ip", "ebtables-save"])
@pytest.mark.parametrize("script", [HANGS, FLOODS, FLOODS_ON, "exit 9", "kill -9 $$"])
def test_programs_that_look_may_hang_flood_or_die_before_anything_is_changed(
    trial: Trial, tmp_path: Path, program: str, script: str
) -> None:
    """Status 1 and a sentence; what hangs is ended with its whole process group (no process is left)."""
    with replaced(tmp_path / "bad", program, script) as env:
        for words in (("facts", "--netns", trial.id), ("apply", trial.plan, "--yes")):
            outcome = trial.podwire(*words, "--timeout", "1", env=env)
            if program == "ip" or words[0] == "apply":
                assert outcome.rc == 1, outcome
                sentence(outcome)
    assert trial.changed() == ""
    assert trial.state() is None


@pytest.mark.parametrize("action", ["hang", "rubbish"])
@pytest.mark.parametrize("program", ["ip", "ebtables-restore"])
def test_a_command_that_hangs_or_floods_is_ended_and_all_is_rolled_back(
    trial: Trial, faults: Faults, program: str, action: str
) -> None:
    """After --timeout seconds, together with its children. They are enough for what rolls back, however busy it is."""
    before = processes()
    faults.plan(1, action, of=program)
    outcome = trial.podwire("apply", trial.plan, "--yes", "--timeout", "5", env=faults.env)
    assert outcome.rc == 3, outcome
    said = sentence(outcome)
    assert "did not end within 5 s" in said or (action == "rubbish" and " MiB" in said)
    assert {pid: line for pid, line in processes().items() if pid not in before and str(faults.folder) in line} == {}
    assert trial.changed() == ""


@pytest.mark.parametrize("action", ["hang", "rubbish"])
@pytest.mark.parametrize("program", ["ip", "ebtables-restore"])
def test_a_command_of_teardown_that_hangs_or_floods_is_ended_and_the_state_kept(
    trial: Trial, faults: Faults, program: str, action: str
) -> None:
    """Status 4, or 0 if its effect came about all the same; once more finishes it."""
    assert trial.apply().rc == 0
    faults.plan(1, action, of=program)
    outcome = trial.podwire("teardown", trial.id, "--yes", "--timeout", "1", env=faults.env)
    assert outcome.rc in (0, 4), outcome
    assert trial.state() == ("half-done" if outcome.rc == 4 else None)
    assert trial.teardown().rc == 0
    assert trial.changed() == ""


@pytest.mark.parametrize("program", ["ip", "ebtables-restore"])
def test_programs_that_vanish_in_the_middle_leave_what_recover_finishes(
    trial: Trial, tmp_path: Path, program: str
) -> None:
    """They are there when podwire looks for them, and gone for good a moment later: never status 1 or 0.

    ``ebtables-restore`` has begun by then, so that is missed only when something else fails.
    """
    hide = f'mount --bind /dev/null "$(realpath "$(command -v {program})")"'
    end_ip = ""  # the one that is open would do for the rest
    if program == "ip":
        end_ip = (
            "for pid in $(cat /proc/$PPID/task/*/children); do\n"
            'read name </proc/$pid/comm; [ "$name" != ip ] || kill -9 $pid\ndone'
        )
    then = 'printf "%s\\n" "$input" | /usr/sbin/sysctl "$@"' if program == "ip" else "exit 1"
    through = ("unshare", "--mount")
    with (
        replaced(tmp_path / "hiding", "sysctl", f"input=$(cat)\n{hide}\n{end_ip}\n{then}") as env,
        trial.started("apply", trial.plan, "--yes", env=env, through=through) as process,
    ):
        _, err = process.communicate(timeout=60)
    outcome = Outcome(process.returncode, "", err)
    assert outcome.rc == 4, outcome
    assert f"the program {program} is not installed" in sentence(outcome)
    assert trial.state() == "half-done"
    trial.ok("recover")
    assert trial.state() is None
    assert trial.changed() == ""


# --- files that cannot be written -------------------------------------------------------------------------------------


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """Mount a tmpfs of its own on a folder."""
    folder.mkdir(exist_ok=True)
    run(["mount", "-t", "tmpfs", "-o", f"mode=0700,{options}", "tmpfs", folder])
    try:
        yield
    finally:
        run(["umount", "--lazy", folder])


def fill(folder: Path, *, leave: int) -> None:
    """Fill a file system up to `leave` bytes."""
    found = os.statvfs(folder)
    (folder / "filler").write_bytes(b"x" * max(0, found.f_bavail * found.f_frsize - leave))


def fill_wholly(trial: Trial) -> None:
    """Fill the state directory, the last page of the open journal too."""
    fill(trial.state_dir, leave=0)
    with trial.journal.open("ab", buffering=0) as journal:
        try:
            while journal.write(b"\n"):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 -- anything else is a fault of this test


def test_a_full_disk_keeps_anything_from_being_changed(trial: Trial) -> None:
    """Nothing can be written down, so nothing is done: status 1."""
    with mounted(trial.state_dir, "size=64k"):
        fill(trial.state_dir, leave=0)
        outcome = trial.apply()
        assert outcome.rc == 1, outcome
        assert "No space left" in sentence(outcome)
        assert trial.changed() == ""


def test_a_disk_that_fills_up_during_apply_takes_all_back(trial: Trial) -> None:
    """Whenever that is: status 1 before the first command, 3 after it, and nothing is listed but what is there."""
    statuses = set()
    for kibibytes in range(0, 200, 8):
        with mounted(trial.state_dir, "size=512k"):
            fill(trial.state_dir, leave=kibibytes * 1024)
            outcome = trial.apply()
            statuses.add(outcome.rc)
            assert outcome.rc in (0, 1, 3), outcome
            if outcome.rc == 0:
                assert trial.state() == "wired"
                assert trial.teardown().rc in (0, 1)
                (trial.state_dir / "filler").unlink()
                assert trial.teardown().rc == 0
            assert trial.changed() == "", (kibibytes, outcome)
            assert trial.state() is None, (kibibytes, outcome)
        if outcome.rc == 0:
            break
    assert statuses == {0, 1, 3}


def test_a_disk_that_fills_up_during_teardown_keeps_the_state(trial: Trial) -> None:
    """Status 1 and nothing changed if that cannot be written down; with room again it is done."""
    statuses = set()
    for kibibytes in range(0, 120, 8):
        with mounted(trial.state_dir, "size=512k"):
            assert trial.apply().rc == 0
            fill(trial.state_dir, leave=kibibytes * 1024)
            outcome = trial.teardown()
            statuses.add(outcome.rc)
            assert trial.state() == {0: None, 1: "wired", 4: "half-done"}[outcome.rc], (kibibytes, outcome)
            (trial.state_dir / "filler").unlink()
            assert trial.teardown().rc == 0
            assert trial.changed() == ""
            if outcome.rc == 0:
                break
    assert statuses >= {0, 1}


def test_a_state_directory_that_cannot_be_written_keeps_anything_from_being_changed(trial: Trial) -> None:
    """apply, teardown and recover say so; looking still works."""
    with mounted(trial.state_dir, "size=1m"):
        run(["mount", "-o", "remount,ro", trial.state_dir])
        outcome = trial.apply()
        assert outcome.rc == 1, outcome
        assert "ead-only" in sentence(outcome) or "cannot be written" in sentence(outcome)
        run(["mount", "-o", "remount,rw", trial.state_dir])
        assert trial.apply().rc == 0
        run(["mount", "-o", "remount,ro", trial.state_dir])
        outcome = trial.teardown()
        assert outcome.rc == 1, outcome
        sentence(outcome)
        assert trial.state() == "wired"
        run(["mount", "-o", "remount,rw", trial.state_dir])
        assert trial.teardown().rc == 0
        assert trial.changed() == ""


@pytest.mark.parametrize("number", [1, 3, 6])
@pytest.mark.parametrize("verb", ["apply", "teardown", "recover"])
def test_a_disk_that_fills_up_while_a_command_runs(trial: Trial, faults: Faults, verb: str, number: int) -> None:
    """Apply is rolled back all the same; teardown and recover say that they stopped, and with room again finish."""
    with mounted(trial.state_dir, "size=512k"):
        words: tuple[str | Path, ...] = ("apply", trial.plan, "--yes")
        if verb != "apply":
            assert trial.apply().rc == 0
            words = ("teardown", trial.id, "--yes") if verb == "teardown" else ("recover", trial.id)
        if verb == "recover":
            faults.plan(1, "SIGTERM")
            assert trial.teardown(faults.env).rc == 4
        faults.plan(number, "wait")
        with trial.started(*words, env=faults.env) as process:
            eventually(lambda: faults.waiting, "the command", seconds=20)
            fill_wholly(trial)
            faults.release()
            _, err = process.communicate(timeout=60)
        outcome = Outcome(process.returncode, "", err)
        assert outcome.rc == (3 if verb == "apply" else 4), outcome
        assert "cannot be written" in sentence(outcome)
        assert trial.state() == (None if verb == "apply" else "half-done")
        (trial.state_dir / "filler").unlink()
        trial.ok("recover")
        assert trial.state() is None
        assert trial.changed() == ""


# --- a namespace that goes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["apply", "teardown"])
def test_a_namespace_that_is_deleted_in_the_middle(trial: Trial, faults: Faults, verb: str) -> None:
    """Podwire holds it open, so that its commands still go where it looked; then it is gone, and so is what it knew."""
    if verb == "teardown":
        assert trial.apply().rc == 0
    faults.plan(3, "wait")
    words = ("apply", trial.plan, "--yes") if verb == "apply" else ("teardown", trial.id, "--yes")
    with trial.started(*words, env=faults.env) as process:
        eventually(lambda: faults.waiting, "the third command", seconds=20)
        trial.pod.inside.delete()
        faults.release()
        _, err = process.communicate(timeout=60)
    assert process.returncode in (0, 3, 4), err
    assert "Traceback" not in err
    assert "bug" not in err
    assert trial.state() in (None, "gone")
    trial.ok("gc")
    assert trial.state() is None
    assert trial.teardown().rc == 0


def test_a_link_that_goes_in_the_middle_is_not_waited_for(trial: Trial, faults: Faults) -> None:
    """The host's end of the veth is deleted: nothing brings it back, all the rest is as it was, and nothing is kept."""
    faults.plan(3, "wait")
    with trial.started("apply", trial.plan, "--yes", env=faults.env) as process:
        eventually(lambda: faults.waiting, "the third command", seconds=20)
        trial.pod.host.ip(f"link del {trial.pod.host_end()}")
        faults.release()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert "eth0" in sentence(Outcome(3, "", err))
    trial.see_the_truth(Outcome(3, "", err))
    assert trial.state() is None
    assert json.loads(trial.pod.inside.ip("-j link show"))[1:] == []
    assert trial.pod.inside.run("ebtables-save").out == ""
