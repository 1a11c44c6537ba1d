"""tc wiring breaks and is killed like any other: what was done is rolled back, or finished."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.reliability.helpers_faults import Faults
from tests.reliability.helpers_kill import Work, killed_at
from tests.reliability.helpers_trial import Trial
from tests.support import MakeNamespace
from tests.support.cli import Cli
from tests.support.pods import also, dual_stack

# Somebody else's qdisc and filter, on a link without a queue: what is to stay, and what is to come back.
BESIDE = also(
    dual_stack,
    "tc qdisc add dev eth0 clsact",
    "tc filter add dev eth0 ingress protocol all pref 7 u32 match u32 0 0 flowid 1:9",
    "ip link set dev eth0 txqueuelen 0",
)
NO_QUEUE = also(dual_stack, "ip link set dev eth0 txqueuelen 0")


@pytest.fixture(params=[BESIDE, NO_QUEUE], ids=["beside others", "no queue"])
def trial(request: pytest.FixtureRequest, netns: MakeNamespace, cli: Cli) -> Trial:
    """Return a pod to try podwire on, planned with tc."""
    return Trial.on(request.param(netns("host"), netns("pod")), cli, "--wiring", "tc")


def instants(trial: Trial, key: str = "commands") -> Iterator[tuple[int, str]]:
    """Yield each command with the instants at it: a batch of tc may be half done."""
    for number in range(1, len(trial.commands(key)) + 1):
        for when in ("before", "during", "after"):
            yield number, when


def test_apply_killed_at_each_command_is_rolled_back(trial: Trial, faults: Faults) -> None:
    """Or finished, every other time."""
    work = Work(trial, "apply")
    for count, (number, when) in enumerate(instants(trial)):
        assert killed_at(work, when, number, faults), (number, when)
        if count % 2:
            trial.ok("recover", "--forward")
            trial.ok("check", trial.id)
            trial.ok("teardown", trial.id, "--yes")
        else:
            trial.ok("recover")
        assert trial.changed() == "", (number, when)
        assert trial.state() is None


def test_teardown_killed_at_each_command_is_finished(trial: Trial, faults: Faults) -> None:
    """By recover."""
    work = Work(trial, "teardown")
    for number, when in instants(trial, "reverse_commands"):
        assert trial.apply().rc == 0
        assert killed_at(work, when, number, faults), (number, when)
        trial.ok("recover")
        assert trial.changed() == "", (number, when)


def test_a_batch_that_fails_half_way_is_rolled_back(trial: Trial) -> None:
    """Somebody takes the preference meanwhile: what the same tc did before that goes again."""
    trial.pod.inside.run("tc", "qdisc", "add", "dev", "eth0", "ingress", check=False)
    outcome = trial.apply()
    assert outcome.rc in (0, 1)
    if outcome.rc == 0:
        trial.ok("teardown", trial.id, "--yes")
        assert trial.changed() == ""
    else:
        assert "stale" in outcome.err
