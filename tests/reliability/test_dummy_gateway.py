"""The dummy gateway's real plugins, with a signal, a kill or another podwire at each step: nothing of it is left.

A script with the plugin's name calls the real plugin, and does as told before or after that.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from attrs import frozen

from tests.reliability.helpers_trial import Trial
from tests.support import Outcome, eventually, run
from tests.support.cli import ended
from tests.support.cni import PLUGINS

IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]], "dataDir": "{leases}"}
CONFLIST = {
    "cniVersion": "1.0.0",
    "name": "dummies",
    "plugins": [
        {"type": "ptp", "ipam": IPAM},
        {"type": "tuning", "sysctl": {"net.ipv4.conf.all.arp_ignore": "0"}},
    ],
}
# What happens to podwire, and whether before or after the real plugin has done its part.
_SCRIPT = """\
#!/bin/sh
input=$(cat)
act() {{ [ "$CNI_COMMAND/{name}/$1" = "$(cat {folder}/at 2>/dev/null)" ] || return 0
    case $(cat {folder}/action) in
    wait) touch {folder}/waiting; while ! [ -e {folder}/released ]; do sleep 0.01; done;;
    KILL) kill -KILL "$(cat {folder}/podwire)"; sleep 0.1;;
    *) kill -"$(cat {folder}/action)" "$(cat {folder}/podwire)";;
    esac; }}
act before
printf '%s' "$input" | {real}/{name}; status=$?
act after
exit $status
"""
STEPS = [f"ADD/{name}/{when}" for name in ("ptp", "tuning") for when in ("before", "after")]
SIGNALS = ["INT", "TERM", "HUP"]


@frozen
class Gateway:
    """A trial whose gateway is acquired by plugins that do as told."""

    trial: Trial
    folder: Path

    @property
    def words(self) -> tuple[str | Path, ...]:
        """The apply that acquires a gateway."""
        trial = self.trial
        options = ("--dummy-conflist", self.folder / "conflist.json", "--calico-subnet", "24", "--yes")
        return ("apply", "--result", trial.result, "--netns", trial.id, *options)

    @property
    def env(self) -> dict[str, str]:
        """The environment in which the plugins are found: scripts first, and the real host-local, which ptp calls."""
        return {"CNI_PATH": f"{self.folder}:{PLUGINS}"}

    def act(self, at: str, action: str) -> None:
        """Have the plugin do so at a step."""
        for name in ("waiting", "released"):
            (self.folder / name).unlink(missing_ok=True)
        (self.folder / "action").write_text(action)
        (self.folder / "at").write_text(at)

    def behave(self) -> None:
        """Do nothing any more."""
        (self.folder / "at").unlink(missing_ok=True)

    def apply(self) -> Outcome:
        """Apply, as a process that the plugins know."""
        through = ("sh", "-c", f'echo $$ >{self.folder}/podwire; exec "$@"', "sh")
        with self.trial.started(*self.words, env=self.env, through=through) as process:
            return ended(process)

    def left(self) -> list[str]:
        """Return what there is of a gateway: a lease, a namespace, a veth of the host, a note, a lock."""
        found = [path for path in (self.folder / "leases").rglob("10.77.*") if path.is_file()]
        found += Path("/run/netns").glob("podwire-*")
        found += (self.trial.state_dir / "dummies").glob("*")
        found += (self.trial.state_dir / "wirings").glob(".*")
        lines = run(["ip", "-4", "-o", "addr", "show", "to", "10.77.0.0/24"]).out.splitlines()
        return [*map(str, found), *lines]


@pytest.fixture
def gateway(trial: Trial, tmp_path: Path) -> Gateway:
    """Put scripts in front of the real plugins."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    for name in ("ptp", "tuning"):
        path = folder / name
        path.write_text(_SCRIPT.format(folder=folder, real=PLUGINS, name=name))
        path.chmod(0o755)
    text = json.dumps(CONFLIST).replace("{leases}", str(folder / "leases"))
    (folder / "conflist.json").write_text(text)
    return Gateway(trial, folder)


def test_without_a_signal_it_is_acquired_and_given_back(gateway: Gateway) -> None:
    """So that the others do not pass because nothing is ever acquired."""
    assert gateway.apply().rc == 0
    assert len(gateway.left()) >= 3
    assert gateway.trial.podwire("teardown", gateway.trial.id, "--yes", env=gateway.env).rc == 0
    assert gateway.left() == []
    assert gateway.trial.changed() == ""


@pytest.mark.parametrize("step", STEPS)
def test_a_signal_during_a_plugin_gives_back_what_was_acquired(gateway: Gateway, step: str) -> None:
    """Status 3, and the sentence says so; another signal while it is given back does not stop that."""
    name = SIGNALS[STEPS.index(step) % len(SIGNALS)]
    gateway.act(step, name)
    outcome = gateway.apply()
    assert outcome.rc == 3, outcome
    assert f"interrupted by SIG{name}" in outcome.err
    assert "was given back, and nothing else had been changed" in outcome.err
    assert outcome.err.count("\n") == 1
    assert gateway.left() == []
    assert gateway.trial.changed() == ""


@pytest.mark.parametrize(("step", "verb"), list(zip(STEPS, ("recover", "gc", "teardown", "recover"), strict=True)))
def test_what_a_kill_during_a_plugin_leaves_is_found(gateway: Gateway, step: str, verb: str) -> None:
    """It was written down before the first plugin ran; a plugin that goes on is waited for."""
    gateway.act(step, "KILL")
    gateway.apply()
    gateway.behave()
    assert gateway.left() != []
    words = (verb, gateway.trial.id, "--yes") if verb == "teardown" else (verb,)
    outcome = gateway.trial.podwire(*words, env=gateway.env)
    assert outcome.rc == 0, outcome
    assert "its dummy gateway, which no wiring used, was given back" in outcome.out
    assert gateway.left() == []
    assert gateway.trial.changed() == ""


def test_a_recovery_from_cron_takes_nothing_from_an_apply_that_runs(gateway: Gateway) -> None:
    """Nor do gc and teardown: they wait for the id, and say who has it."""
    gateway.act("ADD/tuning/before", "wait")
    with gateway.trial.started(*gateway.words, env=gateway.env) as process:
        eventually((gateway.folder / "waiting").exists, "the second plugin", seconds=20)
        for words in (("recover",), ("gc",), ("teardown", gateway.trial.id, "--yes")):
            outcome = gateway.trial.podwire(*words, "--lock-timeout", "0.1", env=gateway.env)
            assert outcome.rc == 1, outcome
            assert f"is in use by process {process.pid} (" in outcome.err
        (gateway.folder / "released").touch()
        assert ended(process).rc == 0
    assert gateway.trial.podwire("teardown", gateway.trial.id, "--yes", env=gateway.env).rc == 0
    assert gateway.left() == []


def test_the_gateway_of_a_wiring_whose_entry_is_lost_is_left_to_it(gateway: Gateway) -> None:
    """Whatever is asked for: it would be taken from a pod that is wired."""
    trial = gateway.trial
    assert gateway.apply().rc == 0
    there, wired = gateway.left(), trial.changed()
    (trial.state_dir / f"wirings/{trial.id}.json").unlink()
    for words in (("gc",), ("teardown", trial.id, "--yes"), ("teardown", "--all", "--yes"), ("recover", "--dry-run")):
        trial.podwire(*words, env=gateway.env)
        assert (gateway.left(), trial.changed()) == (there, wired), words
    assert "its state entry was restored" in trial.podwire("recover", env=gateway.env).out
    assert (gateway.left(), trial.changed()) == (there, wired)
    assert trial.podwire("teardown", trial.id, "--yes", env=gateway.env).rc == 0
    assert gateway.left() == []
    assert trial.changed() == ""


def test_what_a_killed_podwire_left_running_is_waited_for(gateway: Gateway) -> None:
    """Its plugin holds the id: to give back beside it would leave a lease."""
    gateway.act("ADD/ptp/before", "wait")
    with gateway.trial.started(*gateway.words, env=gateway.env) as process:
        eventually((gateway.folder / "waiting").exists, "the first plugin", seconds=20)
        process.kill()
        process.wait()
    outcome = gateway.trial.podwire("recover", "--lock-timeout", "0.1", env=gateway.env)
    assert outcome.rc == 1, outcome
    assert "left running by" in outcome.err
    gateway.behave()
    (gateway.folder / "released").touch()
    assert gateway.trial.podwire("recover", env=gateway.env).rc == 0
    assert gateway.left() == []


def test_what_a_killed_podwire_half_wrote_goes_with_gc(trial: Trial) -> None:
    """And the files of its locks; whole files, of whatever name, are let be."""
    assert trial.apply().rc == 0
    wirings, locks = trial.state_dir / "wirings", trial.folder / "locks"
    locks.mkdir(mode=0o700)
    for path in (wirings / f".{trial.id}.json.4242.1", wirings / ".other.json.4242", locks / "netns-7"):
        path.write_text("half")
    (wirings / "note.txt").write_text("whole")
    assert "nothing to remove" in trial.ok("gc", env={"PODWIRE_RUN_DIR": str(locks)})
    assert sorted(path.name for path in wirings.iterdir()) == ["note.txt", f"{trial.id}.json"]
    assert list(locks.iterdir()) == []
    assert trial.teardown().rc == 0


def test_a_namespace_that_is_there_already_is_not_taken(gateway: Gateway) -> None:
    """Nor removed: it is somebody else's."""
    path = Path("/run/netns") / f"podwire-{gateway.trial.id}"
    run(["ip", "netns", "add", path.name])
    try:
        outcome = gateway.apply()
        assert outcome.rc == 1, outcome
        assert f"{path} already exists" in outcome.err
        assert path.exists()
    finally:
        run(["ip", "netns", "del", path.name])
    assert gateway.left() == []


def test_a_gateway_that_cannot_be_given_back_is_said_and_recovered(gateway: Gateway) -> None:
    """Status 4: the plugin's DEL fails; then recover."""
    real = (gateway.folder / "ptp").read_text()
    (gateway.folder / "ptp").write_text(real.replace("input=", '[ "$CNI_COMMAND" = ADD ] || exit 7\ninput=', 1))
    gateway.act("ADD/tuning/before", "TERM")
    outcome = gateway.apply()
    assert outcome.rc == 4, outcome
    assert f"podwire recover {gateway.trial.id}" in outcome.err
    (gateway.folder / "ptp").write_text(real)
    assert gateway.trial.podwire("recover", env={**gateway.env, "PATH": os.environ["PATH"]}).rc == 0
    assert gateway.left() == []
