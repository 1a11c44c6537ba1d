"""A machine runs short of descriptors, memory or locks, or answers what cannot be: a sentence, and nothing is lost."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from pathlib import Path

import pytest

from tests.reliability.conftest import MakeTrial
from tests.reliability.helpers_trial import Trial
from tests.reliability.test_faults import replaced, sentence
from tests.support import Outcome, run
from tests.support.pods import Build, also, plain
from tests.support.preloaded import PYTHONPATH

# Python itself cannot start with less; with so many podwire does.
FEWEST, ENOUGH = 6, 64


def see_that_nothing_is_lost(trial: Trial, outcome: Outcome, wired: str | None, undone: str | None) -> None:
    """See that it is done, refused with nothing changed, or that its status says how it is; then have it undone."""
    if outcome.rc == 0:
        assert trial.state() == wired, outcome
    else:
        assert any(words in sentence(outcome) for words in ("Too many open files", "memory")), outcome
        assert trial.state() == {1: undone, 3: None, 4: "half-done"}[outcome.rc], outcome
    if trial.state() == "half-done":
        trial.ok("recover")


@pytest.mark.parametrize("limit", ["--nofile={}", "--as={}"])
def test_few_descriptors_and_little_memory(trial: Trial, limit: str, rng: random.Random) -> None:
    """Apply and teardown, with always the same amounts and with one that is drawn.

    With few descriptors neither begins what it could not roll back.
    """
    ends = {0, 1} if limit.startswith("--nofile") else {0, 1, 3, 4}
    if limit.startswith("--nofile"):
        amounts = [FEWEST, 12, 18, 20, 22, rng.randint(FEWEST, ENOUGH)]
    else:
        amounts = [megabytes * 1_000_000 for megabytes in (36, 56, rng.randint(30, 80))]
    for amount in amounts:
        through = ("prlimit", limit.format(amount))
        outcome = trial.cli.run("apply", trial.plan, "--yes", through=through)
        assert outcome.rc in ends, outcome
        see_that_nothing_is_lost(trial, outcome, wired="wired", undone=None)
        if trial.state() is None:
            assert trial.changed() == ""
            assert trial.apply().rc == 0
        outcome = trial.cli.run("teardown", trial.id, "--yes", through=through)
        assert outcome.rc in ends, outcome
        see_that_nothing_is_lost(trial, outcome, wired=None, undone="wired")
        assert trial.teardown().rc == 0
        assert trial.changed() == ""


@pytest.mark.parametrize("limit", ["--nofile=8", "--as=44000000"])
def test_a_runtime_is_told_to_try_again(trial: Trial, limit: str) -> None:
    """podwire-cni answers with an error object; that the machine runs short is not called a bug."""
    code = "import sys; from executor.cni import main; sys.exit(main())"
    argv = ["prlimit", limit, sys.executable, "-c", code]
    words = f"CNI_COMMAND=ADD CNI_CONTAINERID=c1 CNI_IFNAME=eth0 CNI_NETNS={trial.pod.inside.path}"
    conf = {"cniVersion": "1.0.0", "name": "pods", "type": "podwire-cni", "stateDir": str(trial.state_dir)}
    stdin = json.dumps(conf | {"prevResult": trial.pod.result})
    env = trial.cli.environment | dict(word.split("=") for word in words.split())
    outcome = run(argv, stdin=stdin, env=env, check=False)
    assert outcome.rc == 1, outcome
    assert json.loads(outcome.out)["code"] != 199, outcome
    assert trial.changed() == ""


def where(code: str, trial: Trial, *words: str | Path) -> Outcome:
    """Run podwire in a process of its own in which `code` has been run first: for what cannot be had for real."""
    folder = trial.folder / "before"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(code)
    return trial.cli.run(*words, env={"PYTHONPATH": f"{folder}:{PYTHONPATH}"}, through=("env",))


def test_a_kernel_without_locks_to_give(trial: Trial) -> None:
    """ENOLCK, which cannot be had for real: flock(2) is replaced in podwire's own process."""
    code = (
        "import errno, fcntl\ndef flock(*_): raise OSError(errno.ENOLCK, 'No locks available')\nfcntl.flock = flock\n"
    )
    outcome = where(code, trial, "apply", trial.plan, "--yes")
    assert outcome.rc == 1, outcome
    assert "No locks available" in sentence(outcome)
    assert trial.changed() == ""


FEW_THREADS = """\
import _thread
start, left = _thread.start_new_thread, {most}
def limited(*given):
    global left
    left -= 1
    if left < 0:
        raise RuntimeError("can't start new thread")
    return start(*given)
_thread.start_new_thread = limited
"""


@pytest.mark.parametrize("most", [0, 2, 4, 6, 9])
def test_few_threads(trial: Trial, most: int) -> None:
    """Root has no limit of its own that could be set here: starting one fails in podwire's own process."""
    outcome = where(FEW_THREADS.format(most=most), trial, "apply", trial.plan, "--yes")
    see_that_nothing_is_lost(trial, outcome, wired="wired", undone=None)
    if trial.state() is None:
        assert trial.changed() == ""
        assert trial.apply().rc == 0
    outcome = where(FEW_THREADS.format(most=most), trial, "teardown", trial.id, "--yes")
    see_that_nothing_is_lost(trial, outcome, wired=None, undone="wired")
    assert trial.teardown().rc == 0
    assert trial.changed() == ""


def test_gc_says_where_it_could_not_look(trial: Trial) -> None:
    """Status 1, and nothing is forgotten: it is not said that any namespace is there, or gone."""
    assert trial.apply().rc == 0
    outcome = where(FEW_THREADS.format(most=0), trial, "gc")
    assert (outcome.rc, outcome.out) == (1, ""), outcome
    assert sentence(outcome).startswith(f"{trial.id}: there is not enough memory for another thread")
    assert trial.state() == "wired"
    assert trial.teardown().rc == 0


# --- answers that cannot be -------------------------------------------------------------------------------------------

# In front of ip: an answer to a question that begins with "addr show" is called interrupted, as often as the file says.
INTERRUPTED = """\
#!{python} -IS
import os, subprocess, sys, threading
if "-batch" not in sys.argv:
    os.execv({real!r}, sys.argv)
argv, pipe = [{real!r}, *sys.argv[1:]], subprocess.PIPE
child = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT)
asked = []

def forward():
    for line in sys.stdin.buffer:
        asked.append(line)
        child.stdin.write(line)
        child.stdin.flush()
    child.stdin.close()

threading.Thread(target=forward, daemon=True).start()
answered = 0
for line in child.stdout:
    if b'Object "./' in line:
        answered += 1
        times = int(open({times!r}).read())
        if times and asked[2 * answered - 2].startswith(b"addr show"):
            open({times!r}, "w").write(str(times - 1))
            line = line.replace(b'Object "./', b'\\nDump was interrupted and may be inconsistent.\\nObject "./')
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
sys.exit(child.wait())
"""


def test_a_dump_that_is_interrupted_is_asked_for_again(trial: Trial, tmp_path: Path) -> None:
    """A few times; one that never comes whole is a refusal."""
    folder = tmp_path / "bad"
    folder.mkdir()
    times = folder / "times"
    real = shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    script = folder / "ip"
    script.write_text(INTERRUPTED.format(python=Path(sys.executable).resolve(), real=real, times=str(times)))
    script.chmod(0o755)
    env = {"PATH": f"{folder}:{os.environ['PATH']}"}
    times.write_text("1000")
    outcome = trial.apply(env)
    assert outcome.rc == 1, outcome
    assert "change faster than they can be read" in sentence(outcome)
    assert 1000 - int(times.read_text()) < 20
    for words in (("apply", trial.plan, "--yes"), ("teardown", trial.id, "--yes")):
        times.write_text("4")
        assert trial.podwire(*words, env=env).rc == 0
        assert times.read_text() == "0"
    assert trial.changed() == ""


# Without anybody else's rule the table goes with podwire's, which the kernel itself says: then nothing is left.
OTHERS_RULE = also(plain, "ebtables -A FORWARD -p 0x88cc -j DROP")


@pytest.mark.parametrize(
    ("build", "verb", "status"),
    [(plain, "apply", 3), (plain, "teardown", 0), (OTHERS_RULE, "apply", 4), (OTHERS_RULE, "teardown", 4)],
    ids=["apply", "teardown", "apply beside a rule", "teardown beside a rule"],
)
def test_an_ebtables_save_that_prints_nothing_is_not_believed(
    make_trial: MakeTrial, tmp_path: Path, build: Build, verb: str, status: int
) -> None:
    """It ends with 0, and the kernel has the table: rules that cannot be looked at are not taken for gone."""
    trial, folder, restored = make_trial(build), tmp_path / "bad", tmp_path / "restored"
    silent = f"[ -e {restored} ] || exec /usr/sbin/ebtables-save"
    noted = f'/usr/sbin/ebtables-restore "$@"; status=$?; touch {restored}; exit $status'
    if verb == "teardown":
        assert trial.apply().rc == 0
        restored.touch()
    with replaced(folder, "ebtables-save", silent) as env, replaced(folder, "ebtables-restore", noted):
        words: tuple[str | Path, ...] = ("apply", trial.plan) if verb == "apply" else ("teardown", trial.id)
        outcome = trial.podwire(*words, "--yes", env=env)
    assert outcome.rc == status, outcome
    if status == 4:
        assert "ebtables-save prints nothing of the ebtables filter table" in sentence(outcome)
        assert trial.state() == "half-done"
        trial.ok("recover")
    assert trial.state() is None
    assert trial.changed() == ""


@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_a_runtime_that_has_too_few_threads_is_told_to_try_again(trial: Trial, verb: str) -> None:
    """That a namespace cannot be looked into does not mean that nobody can find it: nothing is forgotten."""
    wired = call_plugin(trial, "ADD")
    assert wired.rc == 0, wired
    outcome = call_plugin(trial, verb, FEW_THREADS.format(most=0))
    assert outcome.rc == 1, outcome
    assert json.loads(outcome.out)["code"] in (11, 103), outcome
    (row,) = trial.cli.json("list")
    assert row["state"] == "wired"
    assert call_plugin(trial, "DEL").rc == 0
    assert trial.changed() == ""


def call_plugin(trial: Trial, verb: str, first: str = "") -> Outcome:
    """Call podwire-cni for the pod, in a process in which the code `first` is run first."""
    argv = [sys.executable, "-c", f"{first}\nimport sys; from executor.cni import main; sys.exit(main())"]
    conf: dict[str, object] = {"cniVersion": "1.1.0", "name": "pods", "type": "podwire-cni"}
    conf |= {"stateDir": str(trial.state_dir), "prevResult": trial.pod.result | {"cniVersion": "1.1.0"}}
    names = {"CNI_COMMAND": verb}
    if verb == "GC":
        conf["cni.dev/valid-attachments"] = []
    else:
        names |= {"CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_NETNS": str(trial.pod.inside.path)}
    return run(argv, stdin=json.dumps(conf), env=trial.cli.environment | names, check=False)
