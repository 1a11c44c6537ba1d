"""Many pods of one host at once, whose calls are killed at random: when the last DEL has come nothing is left.

More by hand: PODWIRE_PODS=100 PODWIRE_SEED=7 ./dev test tests/cni/test_many_pods.py
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cni.helpers_cni import BRIDGE, PLUGIN, Attached
from tests.conformance.trial import Subject, Trial, namespace, trial_of
from tests.support.cni import complete
from tests.support.dumps import dump, lasting_difference

PODS = int(os.environ.get("PODWIRE_PODS", "16"))
WORKERS = 8
_LONGEST = 3.0  # seconds within which a call is killed; with eight at once on two cores it takes some one and a half


def live(pod: Attached, dice: random.Random) -> None:
    """Let a pod come and go as a runtime does that is killed, and begins again: DEL is called until it succeeds."""
    for command in dice.choice([("ADD",), ("ADD", "ADD"), ("ADD", "DEL"), ("ADD", "DEL", "ADD")]):
        number = dice.choice([signal.SIGKILL, signal.SIGTERM, None])
        process = pod.started(command, wiring=("bridge", "tc")[dice.random() < 0.3])
        try:
            process.communicate(timeout=dice.uniform(0, _LONGEST) if number else 120)
        except subprocess.TimeoutExpired:
            process.send_signal(number or signal.SIGKILL)
            process.communicate(timeout=120)
    given = pod.trial.conf() if dice.random() < 0.5 else pod.conf()
    env = {"CNI_NETNS": ""} if dice.random() < 0.3 else {}
    for _ in range(3):
        answer = pod.trial.delete(given, env=env)
        if answer.ok:
            break
    assert answer.ok, answer
    assert lasting_difference(pod.before, pod.trial.pod) == ""


def one_pod(trial: Trial, state: Path, dice: random.Random) -> None:
    """Make a pod on the host of a trial, let it live, and have the plugins before podwire-cni take it away."""
    with namespace("pod") as inside:
        inside.ip("link set lo up")
        inside.sysctl("net/ipv6/conf/default/accept_dad", 0)
        own = Trial(trial.subject, trial.host, inside, trial.version)
        previous = own.prepare()
        assert previous is not None
        complete(inside, "eth0")
        live(Attached(own, previous, dump(inside), state), dice)
        own.prepare("DEL")


def test_many_pods_whose_calls_are_killed_leave_nothing(tmp_path: Path, rng: random.Random) -> None:
    """On the host, in the pods, and in the state directory."""
    state = tmp_path / "state"
    subject = Subject(PLUGIN, {"type": "podwire-cni", "stateDir": str(state)}, (BRIDGE,))
    with trial_of(subject, "1.0.0") as trial:
        trial.prepare()
        trial.prepare("DEL")
        trial.host.settle()
        before = dump(trial.host)
        with ThreadPoolExecutor(WORKERS) as workers:
            dice = [random.Random(rng.random()) for _ in range(PODS)]  # noqa: S311 -- a generator for each thread
            for done in [workers.submit(one_pod, trial, state, one) for one in dice]:
                done.result()
        assert lasting_difference(before, trial.host) == ""
        assert "10.1.90" not in trial.host.run("nft", "list", "ruleset").out
    for folder in ("wirings", "attachments", "dummies", "dhcp"):
        assert not list((state / folder).glob("*"))
