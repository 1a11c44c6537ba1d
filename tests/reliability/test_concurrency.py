"""Two podwires on one namespace, by whatever way they come to it, and fifty on fifty."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.reliability.helpers_faults import Faults
from tests.reliability.helpers_trial import Trial
from tests.support import Namespace, Outcome, eventually
from tests.support.cli import Cli, ended
from tests.support.dumps import difference, dump

MANY = 50
AT_ONCE = 10


@contextmanager
def process_inside(trial: Trial) -> Iterator[str]:
    """Start a process in the pod, and yield the path of its namespace: another one to the same place."""
    with subprocess.Popen(["nsenter", f"--net={trial.pod.inside.path}", "sleep", "1000"]) as process:
        try:
            path = f"/proc/{process.pid}/ns/net"
            inode = trial.pod.inside.path.stat().st_ino
            eventually(lambda: Path(path).stat().st_ino == inode, "the process in the pod")
            yield path
        finally:
            process.kill()


@contextmanager
def held(trial: Trial, faults: Faults, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Start podwire and hold it at its third command; it goes on at the end, or when `faults` are released."""
    faults.plan(3, "wait")
    with trial.started(*words, env=faults.env) as process:
        eventually(lambda: faults.waiting, "the command at which it is held", seconds=20)
        try:
            yield process
        finally:
            faults.release()


WAYS = [
    pytest.param(("--netns", "{name}"), "same", id="the same"),
    pytest.param(("--netns", "{name}", "--id", "other"), "same", id="another id"),
    pytest.param(("--netns", "{process}", "--id", "other"), "same", id="a process's path"),
    pytest.param(("--netns", "{process}", "--id", "other"), "another", id="a process's path, another state directory"),
    pytest.param(("--netns", "{name}"), "another", id="the same, another state directory"),
]


@pytest.mark.parametrize(("words", "state"), WAYS)
def test_of_two_applies_one_runs_and_the_other_waits(
    trial: Trial, faults: Faults, words: tuple[str, ...], state: str
) -> None:
    """Up to --lock-timeout; then it says which process has the namespace. Later it finds it wired, and refuses."""
    env = {"PODWIRE_STATE_DIR": str(trial.state_dir if state == "same" else trial.folder / "elsewhere")}
    with process_inside(trial) as process_path:
        where = [word.format(name=trial.id, process=process_path) for word in words]
        # Planned before the other began: only the lock, and then the stale plan, are in its way.
        plan = trial.folder / "other.plan"
        assert trial.podwire("plan", "--result", trial.result, *where, "-o", plan, env=env).rc == 0
        with held(trial, faults, "apply", trial.plan, "--yes") as first:
            began = time.monotonic()
            outcome = trial.podwire("apply", plan, "--yes", "--lock-timeout", "0.3", env=env)
            took = time.monotonic() - began
            assert outcome.rc == 1, outcome
            assert f"is in use by process {first.pid} (" in outcome.err
            assert outcome.err.count("\n") == 1
            assert took > 0.3
            with trial.started("apply", plan, "--yes", "--lock-timeout", "60", env=env) as second:
                # It waits: it has the namespace open by now, and has not ended.
                inode = trial.pod.inside.path.stat().st_ino
                eventually(lambda: has_open(second.pid, inode), "the second one at the lock", seconds=20)
                assert second.poll() is None
                faults.release()
                assert ended(first).rc == 0
                outcome = ended(second)
        assert outcome.rc == 1, outcome
        assert outcome.err.count("\n") == 1
    assert trial.teardown().rc == 0
    assert trial.changed() == ""


def has_open(pid: int, inode: int) -> bool:
    """Say whether a process has a file open."""
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if fd.stat().st_ino == inode:
                return True
        except OSError:
            continue
    return False


def test_a_teardown_waits_for_an_apply_and_an_apply_for_a_teardown(trial: Trial, faults: Faults) -> None:
    """Then each does what it should: what it finds is what the other left."""
    with held(trial, faults, "apply", trial.plan, "--yes") as first:
        outcome = trial.podwire("teardown", trial.id, "--yes", "--lock-timeout", "0.2")
        assert outcome.rc == 1, outcome
        assert f"is in use by process {first.pid} (" in outcome.err
        with trial.started("teardown", trial.id, "--yes", "--lock-timeout", "60") as second:
            faults.release()
            assert ended(first).rc == 0
            assert ended(second).rc == 0
    assert trial.state() is None
    assert trial.changed() == ""
    assert trial.apply().rc == 0
    with held(trial, faults, "teardown", trial.id, "--yes") as first:
        outcome = trial.podwire("apply", trial.plan, "--yes", "--lock-timeout", "0.2")
        assert outcome.rc == 1, outcome
        with trial.started("apply", trial.plan, "--yes", "--lock-timeout", "60") as second:
            faults.release()
            assert ended(first).rc == 0
            outcome = ended(second)
    assert outcome.rc in (0, 1), outcome
    if outcome.rc == 0:
        assert trial.teardown().rc == 0
    assert trial.changed() == ""
    assert trial.state() is None


def test_recover_waits_for_an_apply_that_runs_and_leaves_it_alone(trial: Trial, faults: Faults) -> None:
    """What is not dead is not to be rolled back."""
    with held(trial, faults, "apply", trial.plan, "--yes") as first:
        assert trial.state() == "half-done"
        outcome = trial.podwire("recover", "--lock-timeout", "0.2")
        assert outcome.rc == 1, outcome
        assert f"is in use by process {first.pid} (" in outcome.err
        with trial.started("recover", "--lock-timeout", "60") as second:
            inode = trial.pod.inside.path.stat().st_ino
            eventually(lambda: has_open(second.pid, inode), "the second one at the lock", seconds=20)
            faults.release()
            assert ended(first).rc == 0
            assert ended(second).rc == 0
    assert trial.state() == "wired"
    assert trial.teardown().rc == 0
    assert trial.changed() == ""


def test_many_at_once_on_one_namespace_never_run_side_by_side(trial: Trial, tmp_path: Path) -> None:
    """Applies, teardowns and recovers under two ids: a command that finds another one running would say so."""
    folder = tmp_path / "watch"
    folder.mkdir()
    script = folder / "sysctl"
    script.write_text(
        # One that was started ahead does nothing before it gets its input.
        f'#!/bin/sh\ninput=$(cat)\n[ -n "$input" ] || exit 0\n'
        f"mkdir {folder}/busy || echo overlap >>{folder}/overlaps\nsleep 0.02\n"
        f'echo "$input" | /usr/sbin/sysctl "$@"\n'
        f"status=$?\nrmdir {folder}/busy\necho ran >>{folder}/runs\nexit $status\n"
    )
    script.chmod(0o755)
    env = {"PATH": f"{folder}:{os.environ['PATH']}"}
    apply: list[str | Path] = ["apply", "--result", trial.result, "--netns", trial.id, "--yes"]
    words: list[list[str | Path]] = [
        apply,
        ["teardown", trial.id, "--yes"],
        [*apply, "--id", "other"],
        ["teardown", "other", "--yes"],
    ]

    def one(number: int) -> Outcome:
        with trial.started(*words[number % len(words)], "--lock-timeout", "60", env=env) as process:
            return ended(process)

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(one, range(8)))
    assert all(outcome.rc in (0, 1) for outcome in outcomes), outcomes
    assert all("Traceback" not in outcome.err and "bug" not in outcome.err for outcome in outcomes), outcomes
    assert any(outcome.rc == 0 for outcome in outcomes)
    assert (folder / "runs").exists()
    assert not (folder / "overlaps").exists()
    trial.ok("teardown", "--all", "--yes")
    assert trial.changed() == ""


def test_one_id_for_two_namespaces_at_once(trial: Trial, faults: Faults, tmp_path: Path) -> None:
    """The id is taken too: the second waits, is refused then, and its namespace is not touched."""
    other = Namespace.create("pod-other")
    try:
        build(other)
        other.settle()
        before = dump(other)
        result = tmp_path / "other.json"
        result.write_text(json.dumps(result_of(other)))
        with held(trial, faults, "apply", trial.plan, "--yes") as first:
            words = ("apply", "--result", result, "--netns", other.name, "--id", trial.id, "--yes")
            outcome = trial.podwire(*words, "--lock-timeout", "0.2")
            assert outcome.rc == 1, outcome
            assert f"id {trial.id}" in outcome.err
            with trial.started(*words) as second:
                with pytest.raises(subprocess.TimeoutExpired):
                    second.wait(timeout=0.5)
                faults.release()
                assert ended(first).rc == 0
                outcome = ended(second)
        assert outcome.rc == 1, outcome
        assert f"{trial.id} is already wired" in outcome.err
        assert difference(before, dump(other)) == ""
        assert trial.state() == "wired"
        assert trial.teardown().rc == 0
        assert trial.changed() == ""
    finally:
        other.delete()


# --- fifty ------------------------------------------------------------------------------------------------------------


def build(namespace: Namespace) -> None:
    """Make what a plugin leaves, in one go; the other end of the veth stays in the namespace."""
    lines = (
        "link set lo up",
        "link add eth0 address 0a:58:0a:01:5a:05 type veth peer name outer address 0a:58:0a:01:5a:01",
        "link set outer up",
        "link set eth0 up",
        "addr add 10.1.90.5/24 dev eth0",
        "addr add fd00:1:90::5/64 dev eth0 nodad",
        "route add default via 10.1.90.1 dev eth0",
        "route add ::/0 via fd00:1:90::1 dev eth0",
    )
    namespace.sysctl("net/ipv6/conf/default/accept_dad", 0)
    namespace.run("ip", "-batch", "-", stdin="\n".join(lines))


def result_of(namespace: Namespace) -> dict[str, object]:
    """Return what the plugin would have answered."""
    interface = {"name": "eth0", "mac": "0a:58:0a:01:5a:05", "sandbox": str(namespace.path)}
    ips = [{"interface": 0, "address": address} for address in ("10.1.90.5/24", "fd00:1:90::5/64")]
    return {"cniVersion": "1.0.0", "interfaces": [interface], "ips": ips, "routes": [], "dns": {}}


@pytest.fixture
def fifty() -> Iterator[list[Namespace]]:
    """Make fifty pods, and take them down."""
    namespaces = []
    try:
        for number in range(MANY):
            namespaces.append(Namespace.create(f"many{number}"))
            build(namespaces[-1])
        yield namespaces
    finally:
        for namespace in namespaces:
            namespace.delete()


def test_fifty_namespaces_at_once_are_all_right(fifty: list[Namespace], cli: Cli) -> None:
    """From fifty processes and one state directory, ten at a time; every one is wired, and rolled back exactly."""
    before = {namespace.name: dump(namespace) for namespace in fifty}

    def wire(namespace: Namespace) -> Outcome:
        result = cli.file(f"{namespace.name}.json", result_of(namespace))
        return cli.run("apply", "--result", result, "--netns", namespace.name, "--yes", through=("env",))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        began = time.monotonic()
        outcomes = list(pool.map(wire, fifty))
        wired_in = time.monotonic() - began
        assert [outcome for outcome in outcomes if (outcome.rc, outcome.err) != (0, "")] == []
        rows = cli.json("list")
        assert {(row["id"], row["state"]) for row in rows} == {(namespace.name, "wired") for namespace in fifty}
        began = time.monotonic()
        outcomes = list(pool.map(lambda pod: cli.run("teardown", pod.name, "--yes", through=("env",)), fifty))
        unwired_in = time.monotonic() - began
        assert [outcome for outcome in outcomes if (outcome.rc, outcome.err) != (0, "")] == []
    # For docs/reliability.md; `pytest -rP` shows it.
    print(f"{MANY}, {AT_ONCE} at a time: wired in {wired_in:.1f} s, rolled back in {unwired_in:.1f} s")  # noqa: T201
    assert cli.json("list") == []
    for namespace in fifty:
        assert difference(before[namespace.name], dump(namespace)) == "", namespace.name


def test_the_one_that_holds_a_namespace_is_named_by_its_id_and_program(trial: Trial, faults: Faults) -> None:
    """So that somebody can look at it, or end it."""
    with held(trial, faults, "apply", trial.plan, "--yes") as first:
        outcome = trial.podwire("teardown", trial.id, "--yes", "--lock-timeout", "0")
        found = re.search(r"is in use by process (\d+) \((.+?)\); try again", outcome.err)
        assert found, outcome
        assert int(found[1]) == first.pid
        assert found[2] == Path(f"/proc/{first.pid}/comm").read_text().strip()
        faults.release()
        assert ended(first).rc == 0
    assert trial.teardown().rc == 0
