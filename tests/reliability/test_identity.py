"""A wiring is found by what its namespace is: no path, no other user and no clock makes podwire lose it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests import sandbox
from tests.reliability.helpers_faults import Faults
from tests.reliability.helpers_kill import Work, killed_at
from tests.reliability.helpers_trial import Trial
from tests.support import MakeNamespace, Outcome, eventually, run
from tests.support.dumps import difference, dump


@contextmanager
def process_in(trial: Trial) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process in the pod, as a VMM does that somebody started there."""
    with subprocess.Popen(["nsenter", f"--net={trial.pod.inside.path}", "sleep", "600"]) as process:
        try:
            own = Path("/proc/self/ns/net").readlink()
            eventually(lambda: Path(f"/proc/{process.pid}/ns/net").readlink() != own, "that it is in the pod")
            yield process
        finally:
            process.kill()


def apply_at(trial: Trial, path: str | Path) -> Outcome:
    """Apply by a path of the namespace."""
    return trial.podwire("apply", "--result", trial.result, "--netns", path, "--id", trial.id, "--yes")


def by_a_process_that_ends(trial: Trial, undo: ExitStack) -> None:
    """Wire by /proc/PID/ns/net of one of two processes, which then ends."""
    first, _ = undo.enter_context(process_in(trial)), undo.enter_context(process_in(trial))
    assert apply_at(trial, f"/proc/{first.pid}/ns/net").rc == 0
    first.kill()
    first.wait()


def hidden_by_a_mount(trial: Trial, undo: ExitStack) -> None:
    """Mount something over /run/netns, while a process lives in the pod."""
    undo.enter_context(process_in(trial))
    assert trial.apply().rc == 0
    run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"])
    undo.callback(run, ["umount", "/run/netns"])


def by_a_link_that_moves(trial: Trial, undo: ExitStack) -> None:
    """Wire by a symlink, which then leads to another namespace."""
    link = trial.folder / "link"
    link.symlink_to(trial.pod.inside.path)
    assert apply_at(trial, link).rc == 0
    link.unlink()
    link.symlink_to(trial.pod.host.path)
    del undo


def behind_a_plain_file(trial: Trial, undo: ExitStack) -> None:
    """Unmount the namespace and leave the file that it was mounted on; a process lives on in it."""
    undo.enter_context(process_in(trial))
    assert trial.apply().rc == 0
    run(["umount", str(trial.pod.inside.path)])
    undo.callback(trial.pod.inside.path.unlink)


def kept_by_a_mount_elsewhere(trial: Trial, undo: ExitStack) -> None:
    """Mount the namespace at a second place, and delete the first."""
    other = trial.folder / "other"
    other.touch()
    run(["mount", "--bind", str(trial.pod.inside.path), str(other)])
    undo.callback(run, ["umount", str(other)])
    assert trial.apply().rc == 0
    trial.pod.inside.delete()


LOST = [
    by_a_process_that_ends,
    hidden_by_a_mount,
    by_a_link_that_moves,
    behind_a_plain_file,
    kept_by_a_mount_elsewhere,
]
Lose = Callable[[Trial, ExitStack], None]


def of_an_earlier_podwire(trial: Trial) -> None:
    """Leave out of the record what earlier versions did not write: the kernel can't be asked for the namespace then."""
    path = trial.state_dir / "wirings" / f"{trial.id}.json"
    record = json.loads(path.read_text())
    del record["inode"]
    path.write_text(json.dumps(record))


RECORDS = pytest.mark.parametrize("spoil", [None, of_an_earlier_podwire], ids=["handles", "no handles"])
Spoil = Callable[[Trial], None] | None


@RECORDS
@pytest.mark.parametrize("lose", LOST, ids=lambda lose: lose.__name__.replace("_", " "))
def test_a_namespace_that_lives_elsewhere_is_rolled_back_there(trial: Trial, lose: Lose, spoil: Spoil) -> None:
    """It is listed as wired, checked, kept by gc, and torn down by another way to the same namespace."""
    with ExitStack() as undo:
        facts = undo.enter_context(process_in(trial))
        lose(trial, undo)
        if spoil is not None:
            spoil(trial)
        host = dump(trial.pod.host) if lose is by_a_link_that_moves else None
        assert trial.state() == "wired"
        assert "nothing to remove" in trial.ok("gc")
        assert "no drift" in trial.ok("check", trial.id)
        said = trial.ok("teardown", trial.id, "--yes")
        assert "nothing is left to roll back" not in said
        assert trial.state() is None
        dumped = run(["nsenter", f"--net=/proc/{facts.pid}/ns/net", "ip", "-br", "addr"]).out
        assert "10.1.90.5/24" in dumped
        assert "tap0" not in dumped
        if host is not None:
            assert difference(host, dump(trial.pod.host)) == ""


@RECORDS
def test_the_preview_names_where_the_namespace_lives_now(trial: Trial, spoil: Spoil) -> None:
    """Its commands can be run by hand."""
    with ExitStack() as undo:
        by_a_process_that_ends(trial, undo)
        trial.pod.inside.delete()
        if spoil is not None:
            spoil(trial)
        lines = trial.ok("teardown", trial.id, "--dry-run", "--format", "commands").splitlines()
        paths = {word for line in lines for word in line.split() if word.startswith("--net=")}
        (path,) = paths
        assert Path(path.removeprefix("--net=")).exists()
        trial.ok("teardown", trial.id, "--yes")


@RECORDS
def test_an_apply_that_died_is_recovered_where_its_namespace_lives(trial: Trial, faults: Faults, spoil: Spoil) -> None:
    """Like any other."""
    with process_in(trial) as process:
        assert killed_at(Work(trial, "apply"), "after", 6, faults)
        trial.pod.inside.delete()
        if spoil is not None:
            spoil(trial)
        assert trial.state() == "half-done"
        trial.ok("recover")
        assert trial.state() is None
        link = Path(f"/proc/{process.pid}/ns/net")
        assert "10.1.90.5/24" in run(["nsenter", f"--net={link}", "ip", "-br", "addr"]).out


def test_a_namespace_without_process_or_path_is_never_called_gone(trial: Trial) -> None:
    """Only its hidden mount keeps it alive: it is rolled back if the kernel can open it, else kept."""
    assert trial.apply().rc == 0
    run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"])
    try:
        assert trial.state() == "wired"
        outcome = trial.teardown()
    finally:
        run(["umount", "/run/netns"])
    assert outcome.rc in (0, 1), outcome
    assert (trial.state() is None) == (outcome.rc == 0)
    assert trial.teardown().rc == 0
    eventually(lambda: trial.changed() == "", "that all is as it was")


def test_without_handles_a_hidden_mount_is_kept(trial: Trial) -> None:
    """One sentence, status 1, and the record stays."""
    assert trial.apply().rc == 0
    of_an_earlier_podwire(trial)
    run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"])
    try:
        assert "the record is kept" in trial.cli.refused("teardown", trial.id, "--yes")
        assert "nothing to remove" in trial.ok("gc")
        assert trial.state() == "wired"
    finally:
        run(["umount", "/run/netns"])
    assert trial.teardown().rc == 0
    eventually(lambda: trial.changed() == "", "that all is as it was")


def test_what_cannot_be_proven_is_not_gone(trial: Trial) -> None:
    """In a process namespace of its own, which nobody vouches for, podwire sees a part of the machine only."""
    assert trial.apply().rc == 0
    trial.pod.inside.delete()
    of_an_earlier_podwire(trial)
    alone = {sandbox.VOUCHED: ""}
    assert json.loads(trial.ok("list", "--json", env=alone))[0]["state"] == "wired"
    assert "nothing to remove" in trial.ok("gc", env=alone)
    assert "the record is kept" in trial.cli.refused("teardown", trial.id, "--yes", env=alone)
    assert trial.state() == "gone"
    assert "gone" in trial.ok("teardown", trial.id, "--yes")
    assert trial.state() is None


# --- locks ------------------------------------------------------------------------------------------------------------

HOLD = """
import fcntl, os, sys
os.setgid(65534); os.setuid(65534)
with open(sys.argv[1], "rb") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_nobody_else_can_lock_a_namespace(trial: Trial) -> None:
    """Any user may open its file and lock that, which podwire doesn't care about."""
    words = [sys.executable, "-c", HOLD, str(trial.pod.inside.path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        try:
            assert trial.podwire("apply", trial.plan, "--yes", "--lock-timeout", "0").rc == 0
            assert trial.podwire("teardown", trial.id, "--yes", "--lock-timeout", "0").rc == 0
        finally:
            other.kill()
    assert trial.changed() == ""


@pytest.mark.parametrize("spoil", ["mode", "link", "file"])
def test_a_folder_of_locks_that_others_can_get_at_is_refused(trial: Trial, spoil: str) -> None:
    """One sentence, and nothing is changed."""
    folder = trial.folder / "locks"
    if spoil == "mode":
        folder.mkdir()
        folder.chmod(0o777)
    elif spoil == "link":
        (trial.folder / "there").mkdir(mode=0o700)
        folder.symlink_to(trial.folder / "there")
    else:
        folder.touch()
    outcome = trial.apply(env={"PODWIRE_RUN_DIR": str(folder)})
    assert (outcome.rc, outcome.err.count("\n")) == (1, 1), outcome
    assert "lock directory" in outcome.err
    assert trial.changed() == ""


@pytest.mark.parametrize("made_by", ["podwire", "kubelet"])
def test_the_folder_of_locks_is_roots_alone_and_left_empty(trial: Trial, made_by: str) -> None:
    """Whatever the umask, and whoever made it."""
    folder = trial.folder / "locks"
    if made_by == "kubelet":
        folder.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        assert trial.apply(env={"PODWIRE_RUN_DIR": str(folder)}).rc == 0
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o7777 == 0o700
    assert list(folder.iterdir()) == []
    assert trial.teardown().rc == 0


def test_the_watcher_tries_again_until_it_has_taken_the_change_back(trial: Trial, faults: Faults) -> None:
    """A command of it fails the first time."""
    words = ("apply", trial.plan, "--yes", "--confirm-within", "1")
    assert trial.podwire(*words, env=faults.env).rc == 0
    faults.plan(2, "fail")
    eventually(lambda: trial.state() is None and trial.changed() == "", "that it is rolled back", seconds=30)
    assert faults.count() > 2
    assert '"outcome":"half-done"' in trial.journal.read_text()


# --- the host's own namespace -----------------------------------------------------------------------------------------


def test_the_hosts_own_namespace_is_refused_by_whatever_path(trial: Trial, netns: MakeNamespace) -> None:
    """A name under /run/netns may lead there as well."""
    place = netns("own").path
    run(["umount", str(place)])
    run(["mount", "--bind", "/proc/1/ns/net", str(place)])
    for path in (str(place), f"/proc/{os.getpid()}/ns/net"):
        for verb in ("plan", "apply"):
            yes = ("--yes",) if verb == "apply" else ()
            words = (verb, "--result", trial.result, "--netns", path, "--id", "own", *yes)
            outcome = trial.podwire(*words)
            assert outcome.rc == 1, outcome
            assert "the host's own network namespace" in outcome.err
            assert "the host's own" not in trial.podwire(*words, "--allow-host-netns").err


def test_a_stored_plan_is_not_applied_to_the_hosts_own_namespace(trial: Trial) -> None:
    """Its path may lead elsewhere by now."""
    with process_in(trial) as process:
        run(["umount", str(trial.pod.inside.path)])
        run(["mount", "--bind", "/proc/1/ns/net", str(trial.pod.inside.path)])
        outcome = trial.apply()
        assert outcome.rc == 1, outcome
        assert "the host's own network namespace" in outcome.err
        del process


# --- links ------------------------------------------------------------------------------------------------------------


def rename(trial: Trial, name: str, new: str) -> None:
    """Rename a link, down and up again."""
    for line in (f"link set {name} down", f"link set {name} name {new}", f"link set {new} up"):
        trial.pod.inside.ip(line)


def back_under_its_name(trial: Trial, new: str) -> str:
    """Name the link eth0 again, and return what is not as it was before but its routes, which went with that."""
    shown = trial.pod.inside.ip(f"-br addr show dev {new}")
    assert "10.1.90.5/24" in shown
    assert "default via 10.1.90.1" in trial.pod.inside.ip(f"route show dev {new}")
    trial.pod.inside.ip(f"link set {new} down")
    trial.pod.inside.ip(f"link set {new} name eth0")
    trial.pod.inside.ip("link set eth0 up")
    trial.pod.inside.ip("route replace default via 10.1.90.1 dev eth0")
    eventually(lambda: trial.changed() == "", "that all is as it was")
    return shown


def test_a_renamed_link_is_followed(trial: Trial) -> None:
    """It gets all that it had under the name that it has now, and nobody says that all is as it was before."""
    assert trial.apply().rc == 0
    rename(trial, "eth0", "eth0-nic")
    said = trial.ok("teardown", trial.id, "--yes")
    assert "is as it was before" not in said
    assert "eth0-nic" in said
    assert trial.state() is None
    back_under_its_name(trial, "eth0-nic")


def test_a_stranger_under_the_name_of_a_renamed_link_is_not_touched(trial: Trial) -> None:
    """It keeps its MAC, and gets no address."""
    assert trial.apply().rc == 0
    rename(trial, "eth0", "eth0-nic")
    trial.pod.inside.ip("link add eth0 address 02:ff:ff:ff:ff:01 type veth peer name x")
    assert trial.podwire("check", trial.id).rc in (0, 2)
    assert trial.podwire("check", trial.id, "--fix", "--yes").rc == 0
    assert "02:ff:ff:ff:ff:01" in trial.pod.inside.ip("link show eth0")
    trial.ok("teardown", trial.id, "--yes")
    assert "02:ff:ff:ff:ff:01" in trial.pod.inside.ip("link show eth0")
    assert trial.pod.inside.ip("addr show dev eth0").count("inet ") == 0
    trial.pod.inside.ip("link del eth0")
    back_under_its_name(trial, "eth0-nic")


def test_a_stranger_under_the_name_of_a_link_that_is_gone_is_not_touched(trial: Trial) -> None:
    """The link was deleted; it is said, and what came under its name is let be."""
    assert trial.apply().rc == 0
    trial.pod.inside.ip("link del eth0")
    trial.pod.inside.ip("link add eth0 address 02:ff:ff:ff:ff:01 type veth peer name x")
    before = trial.pod.inside.ip("addr show dev eth0")
    said = trial.ok("teardown", trial.id, "--yes")
    assert "eth0 is gone" in said
    assert "is as it was before" not in said
    assert trial.pod.inside.ip("addr show dev eth0") == before


def test_a_link_that_is_renamed_in_the_middle_of_apply_is_rolled_back(trial: Trial, faults: Faults) -> None:
    """Status 3, and it has its address under its new name."""
    faults.plan(6, "wait")
    with trial.started("apply", trial.plan, "--yes", env=faults.env) as process:
        eventually(lambda: faults.waiting, "the sixth command", seconds=20)
        rename(trial, "eth0", "eth0-nic")
        faults.release()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert "is as it was" not in said
    back_under_its_name(trial, "eth0-nic")


def test_a_renamed_tap_and_bridge_go_too(trial: Trial) -> None:
    """They are known by their alias and MAC."""
    assert trial.apply().rc == 0
    rename(trial, "tap0", "mine")
    rename(trial, "br0", "bridge")
    assert trial.teardown().rc == 0
    assert trial.changed() == ""


def test_what_others_added_to_a_wired_link_is_said(trial: Trial) -> None:
    """Their address and MTU stay: the sentence is not that all is as it was before."""
    assert trial.apply().rc == 0
    trial.pod.inside.ip("addr add 10.99.0.1/24 dev eth0")
    trial.pod.inside.ip("link set eth0 mtu 1400")
    said = trial.ok("teardown", trial.id, "--yes")
    assert "is as it was before" not in said
    assert "address 10.99.0.1/24 on eth0" in said
    assert "mtu 1500 and is mtu 1400" in said
    trial.pod.inside.ip("addr del 10.99.0.1/24 dev eth0")
    trial.pod.inside.ip("link set eth0 mtu 1500")
    assert trial.changed() == ""
