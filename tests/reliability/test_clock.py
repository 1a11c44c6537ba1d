"""The wall's clock may be set to whatever it likes between two podwires: lifetimes and deadlines go by the boot's.

Nobody can set the wall's clock for one sandbox only (there are time namespaces for the other clocks, not for this one),
so podwire is started with a `sitecustomize` that shifts what Python says the time is. The clock of the boot is real,
and shifted in a time namespace.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reliability.conftest import MakeTrial
from tests.reliability.helpers_trial import Trial
from tests.support import Outcome, eventually
from tests.support.pods import also, dual_stack
from tests.support.preloaded import PYTHONPATH
from tests.support.processes import processes

HOUR, DAYS = 3600, 10 * 86400
ENDING = also(
    dual_stack,
    "ip addr add 10.5.0.1/24 valid_lft 3600 preferred_lft 1800 dev eth0",
    "ip addr add fd00:5::1/64 valid_lft 3600 preferred_lft 1800 dev eth0",
    "ip -6 route add 2001:db8::/64 via fd00:1:90::1 dev eth0 expires 3600",
)
At = Callable[..., Outcome]


@pytest.fixture
def at(tmp_path: Path) -> Callable[[Trial, float], At]:
    """Make what runs podwire when the wall's clock has been set: `at(trial, 3600)("list")`."""

    def make(trial: Trial, seconds: float) -> At:
        folder = tmp_path / f"clock {seconds:g}"
        folder.mkdir(exist_ok=True)
        code = f"import time\nreal = time.time\ntime.time = lambda: real() + {seconds}\n"
        (folder / "sitecustomize.py").write_text(code)
        env = {"PYTHONPATH": f"{folder}:{PYTHONPATH}"}
        return lambda *words: trial.cli.run(*words, env=env, through=("env",))

    return make


def least_left(trial: Trial) -> int:
    """Return how many seconds what ends by itself has to live, the least of all."""
    lines = trial.pod.inside.ip("addr show dev eth0") + trial.pod.inside.ip("-6 route show dev eth0")
    found = re.findall(r"valid_lft (\d+)sec|expires (\d+)sec", lines)
    assert len(found) >= 3, lines
    return min(int(first or second) for first, second in found)


def end_the_watcher(trial: Trial) -> None:
    """Kill the process that waits for the time to confirm to be over."""
    for pid, line in processes().items():
        if str(trial.state_dir) in line:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("seconds", [DAYS, -DAYS], ids=["set forward", "set back"])
def test_what_ends_by_itself_comes_back_with_what_it_has_left(
    make_trial: MakeTrial, at: Callable[[Trial, float], At], seconds: float
) -> None:
    """Whether the clock was set between plan and apply, or between apply and teardown."""
    trial = make_trial(ENDING)
    assert at(trial, seconds)("apply", trial.plan, "--yes").rc == 0
    applied_at = json.loads(trial.ok("list", "--json"))[0]["applied_at"]
    assert abs(applied_at - time.time() - seconds) < HOUR, "the clock is not shifted"
    assert at(trial, 2 * seconds)("teardown", trial.id, "--yes").rc == 0
    assert trial.changed() == ""
    assert 3000 < least_left(trial) <= 3600


def test_the_time_since_a_plan_was_made_is_known_by_what_has_run_down(make_trial: MakeTrial) -> None:
    """A plan is an hour old, its file says that it was made just now."""
    trial = make_trial(ENDING)
    for line in ("addr change 10.5.0.1/24", "addr change fd00:5::1/64"):
        trial.pod.inside.ip(f"{line} valid_lft 600 preferred_lft 300 dev eth0")
    assert trial.apply().rc == 0
    assert trial.teardown().rc == 0
    assert 0 < least_left(trial) <= 600


def test_in_a_time_namespace_the_uptime_is_still_the_machines(make_trial: MakeTrial) -> None:
    """Podwire in a container, and on the host, which see different uptimes."""
    trial = make_trial(ENDING)
    assert trial.apply().rc == 0
    elsewhere = ("unshare", "--time", "--boottime", str(DAYS), "--fork")
    assert trial.cli.run("teardown", trial.id, "--yes", through=elsewhere).rc == 0
    assert trial.changed() == ""
    assert 3000 < least_left(trial) <= 3600


def test_an_hour_forward_ends_no_time_to_confirm(trial: Trial, at: Callable[[Trial, float], At]) -> None:
    """Neither list nor recover takes it for overdue."""
    assert trial.podwire("apply", trial.plan, "--yes", "--confirm-within", "600").rc == 0
    assert json.loads(at(trial, HOUR)("list", "--json").out)[0]["state"] == "wired"
    assert at(trial, HOUR)("recover").rc == 0
    assert trial.state() == "wired"
    assert "the wiring is kept" in at(trial, HOUR)("confirm", trial.id).out
    end_the_watcher(trial)
    assert trial.teardown().rc == 0
    assert trial.changed() == ""


def test_an_hour_back_gives_no_more_time_to_confirm(trial: Trial, at: Callable[[Trial, float], At]) -> None:
    """The process that waits takes it back in time; where that was killed, it is known to be overdue."""
    assert at(trial, HOUR)("apply", trial.plan, "--yes", "--confirm-within", "0.5").rc == 0
    end_the_watcher(trial)
    eventually(lambda: trial.state() in ("half-done", None), "that it is overdue", seconds=20)
    trial.ok("recover")
    assert trial.state() is None
    assert trial.changed() == ""


def test_an_entry_of_an_earlier_podwire_is_read_by_the_wall(make_trial: MakeTrial) -> None:
    """It says nothing of uptimes."""
    trial = make_trial(ENDING)
    assert trial.apply().rc == 0
    path = trial.state_dir / "wirings" / f"{trial.id}.json"
    entry = json.loads(path.read_text())
    assert entry.pop("observed_uptime") > 0
    assert entry.pop("confirm_uptime") is None
    path.write_text(json.dumps(entry))
    assert trial.teardown().rc == 0
    assert trial.changed() == ""
    assert 3000 < least_left(trial) <= 3600
