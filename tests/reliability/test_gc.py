"""What is forgotten, what is torn down at once, who holds a tap, and how a restarted runtime gets its taps back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from attrs import evolve

from executor.errors import HostError
from executor.netns.namespace import Namespace as Opened
from executor.settings import Settings
from executor.state.store import StateStore
from executor.taps.open import open_tap
from executor.taps.recover import Reopened, reopen
from executor.templates import load_templates
from planner.errors import Refused
from planner.text.values import InterfaceName, NetnsPath, PlanId
from tests.reliability.conftest import MakeTrial
from tests.reliability.helpers_faults import Faults
from tests.reliability.helpers_kill import Work, killed_at
from tests.reliability.helpers_trial import Trial
from tests.support import Namespace, Outcome
from tests.support.dumps import difference, dump
from tests.support.pods import dual_stack, plain, two_links
from tests.support.processes import started

# --- gc ---------------------------------------------------------------------------------------------------------------


def test_gc_forgets_what_belongs_to_a_namespace_that_is_gone(trial: Trial) -> None:
    """And says where the CNI plugin's own rules may have stayed; a second time there is nothing to do."""
    assert trial.apply().rc == 0
    assert "nothing to remove" in trial.ok("gc")
    assert trial.state() == "wired"
    trial.pod.inside.delete()
    assert trial.state() == "gone"
    said = trial.ok("gc")
    assert f"{trial.id}: record removed" in said
    assert "10.1.90.5" in said
    assert trial.state() is None
    assert json.loads(trial.ok("gc", "--json")) == []


def test_gc_forgets_what_is_damaged_where_it_says_what_may_be_left(trial: Trial) -> None:
    """Of before a restart: it is gone all the same, status 0, and what it says was done."""
    assert trial.apply().rc == 0
    path = trial.state_dir / "wirings" / f"{trial.id}.json"
    entry = json.loads(path.read_text())
    entry["plan"]["result"] = {"cniVersion": "1.0.0", "ips": "none"}
    path.write_text(json.dumps(entry | {"boot_id": "an-earlier-one"}))
    assert trial.ok("gc").splitlines() == [f"{trial.id}: record removed: its namespace no longer exists"]
    assert trial.state() is None


def test_gc_knows_a_namespace_by_what_it_is(trial: Trial) -> None:
    """Another one of the same name, and even of the same inode number, is another one, and is not touched."""
    assert trial.apply().rc == 0
    inode = trial.pod.inside.path.stat().st_ino
    trial.pod.inside.delete()
    again = [Namespace.create(trial.id)]
    try:
        for number in range(50):  # the kernel gives the number to the next one, or to one soon after
            if again[-1].path.stat().st_ino == inode:
                break
            again.append(Namespace.create(f"again{number}"))
        before = dump(again[0])
        assert trial.state() == "gone"
        assert json.loads(trial.ok("gc", "--json"))[0]["outcome"] == "gone"
        assert difference(before, dump(again[0])) == ""
    finally:
        for namespace in again[1:]:
            namespace.delete()


@pytest.mark.parametrize("key", ["boot_id", "cookie"])
def test_gc_forgets_what_was_wired_before_the_machine_was_started(trial: Trial, key: str) -> None:
    """The state outlives the machine, its namespaces don't: boot id and cookie tell."""
    assert trial.apply().rc == 0
    file = trial.state_dir / "wirings" / f"{trial.id}.json"
    kept = file.read_bytes()
    entry = json.loads(kept)
    entry[key] = "00000000-0000-0000-0000-000000000000" if key == "boot_id" else entry[key] + 1
    file.write_text(json.dumps(entry))
    trial.pod.settle()
    wired = dump(trial.pod.inside)
    assert trial.state() == "gone"
    assert "record removed" in trial.ok("gc")
    assert difference(wired, dump(trial.pod.inside)) == "", "what is not known to be ours was touched"
    file.write_bytes(kept)
    assert trial.teardown().rc == 0
    assert trial.changed() == ""


def test_gc_forgets_half_done_ones_too(trial: Trial, faults: Faults) -> None:
    """If their namespace is gone; else they are recover's."""
    assert killed_at(Work(trial, "apply"), "after", 5, faults)
    assert "nothing to remove" in trial.ok("gc")
    assert trial.state() == "half-done"
    trial.pod.inside.delete()
    trial.ok("gc")
    assert trial.state() is None


# --- teardown --all, and teardown twice -------------------------------------------------------------------------------


def test_teardown_all_takes_everything_back(make_trial: MakeTrial, faults: Faults) -> None:
    """Wired, half done and gone; one that fails doesn't keep the others from it, and the worst status counts."""
    trials = [make_trial(plain), make_trial(dual_stack), make_trial(plain), make_trial(plain)]
    cli = trials[0].cli
    for trial in trials[:3]:
        cli.ok("apply", trial.plan, "--yes")
    elsewhere = evolve(trials[3], cli=cli)
    assert killed_at(Work(elsewhere, "apply"), "after", 6, faults)
    trials[2].pod.inside.delete()
    faults.plan(3, "fail")  # of the first one: its MAC
    outcome = cli.run("teardown", "--all", "--yes", env=faults.env)
    assert outcome.rc == 4, outcome
    assert len(re.findall(r"could not be rolled back completely", outcome.err)) == 1
    assert [row["state"] for row in cli.json("list")] == ["half-done"]
    cli.ok("teardown", "--all", "--yes")
    assert cli.json("list") == []
    assert [trial.changed() for trial in (trials[0], trials[1], trials[3])] == ["", "", ""]


def test_many_are_torn_down_side_by_side(make_trial: MakeTrial) -> None:
    """Each is said in its order, and one that fails keeps no other from it."""
    trials = [make_trial(plain) for _ in range(10)]
    cli = trials[0].cli
    for trial in trials:
        cli.ok("apply", trial.plan, "--yes")
    damaged, *others = sorted(trials, key=lambda trial: trial.id)
    entry = cli.state_dir / "wirings" / f"{damaged.id}.json"
    whole = entry.read_text()
    entry.write_text("{")
    outcome = cli.run("teardown", "--all", "--yes")
    assert outcome.rc == 1, outcome
    assert outcome.err.startswith(f"podwire: {damaged.id}: ")
    assert [line.partition(":")[0] for line in outcome.out.splitlines()] == [trial.id for trial in others]
    entry.write_text(whole)
    cli.ok("teardown", "--all", "--yes")
    assert [trial.changed() for trial in trials] == [""] * len(trials)


def test_a_signal_among_many_begins_no_other(make_trial: MakeTrial, faults: Faults) -> None:
    """What has begun is finished, and the others are named."""
    trials = [make_trial(plain) for _ in range(10)]
    cli = trials[0].cli
    for trial in trials:
        cli.ok("apply", trial.plan, "--yes")
    faults.plan(2, "SIGINT")
    outcome = cli.run("teardown", "--all", "--yes", env=faults.env)
    left = cli.json("list")
    assert outcome.rc == 1
    assert {wiring["state"] for wiring in left} == {"wired"}
    assert 0 < len(left) < len(trials)
    names = ", ".join(wiring["id"] for wiring in left[:5])
    more = f" and {len(left) - 5} more" if len(left) > 5 else ""
    assert outcome.err == f"podwire: interrupted by SIGINT: {names}{more} left as before\n"
    assert len(outcome.out.splitlines()) == len(trials) - len(left)
    cli.ok("teardown", "--all", "--yes")
    assert [trial.changed() for trial in trials] == [""] * len(trials)


def test_teardown_twice_is_teardown_once(trial: Trial) -> None:
    """Also when links, addresses and rules have gone by somebody else's hand meanwhile."""
    assert trial.apply().rc == 0
    trial.pod.inside.ip("link del tap0")
    trial.pod.inside.run("ebtables", "-F")
    for _ in range(2):
        outcome = trial.teardown()
        assert outcome.rc == 0, outcome
        assert trial.changed() == ""


def test_what_others_added_since_is_left_alone_and_said(trial: Trial) -> None:
    """A rule in our chain, an address and a route: they stay, and all of ours goes."""
    assert trial.apply().rc == 0
    trial.pod.inside.run("ebtables", "-A", "FORWARD", "-p", "ARP", "-j", "ACCEPT")
    outcome = trial.teardown()
    assert (outcome.rc, outcome.err) == (0, ""), outcome
    assert "left alone" in outcome.out
    assert "-p ARP -j ACCEPT" in trial.pod.inside.run("ebtables-save").out
    trial.pod.inside.run("ebtables", "--init-table")
    assert trial.changed() == ""


# --- holders ----------------------------------------------------------------------------------------------------------

HOLDS = """\
import sys, time
from executor.netns.namespace import Namespace
from executor.taps.open import open_tap
with Namespace.open(sys.argv[1]) as namespace:
    open_tap(sys.argv[2], namespace=namespace)
print("open", flush=True)
sys.stdin.read()
"""


def vmm(trial: Trial, tap: str = "tap0") -> AbstractContextManager[subprocess.Popen[str]]:
    """Start a process, outside the namespace, that has a tap of it open; end it in the end."""
    return started([sys.executable, "-c", HOLDS, trial.pod.inside.path, tap], says="open", env=trial.cli.environment)


def test_a_tap_that_a_vmm_still_holds_is_said_by_process_and_name(trial: Trial) -> None:
    """It goes all the same: the VM has lost its network, and somebody should know."""
    assert trial.apply().rc == 0
    with vmm(trial) as process:
        outcome = trial.teardown()
        assert (outcome.rc, outcome.err) == (0, ""), outcome
        assert f"tap0 is open in process {process.pid} (python" in outcome.out
        assert trial.changed() == ""


def test_a_tap_of_the_same_name_in_another_namespace_is_not_meant(make_trial: MakeTrial) -> None:
    """Every pod has a tap0."""
    one, other = make_trial(plain), make_trial(plain)
    assert one.apply().rc == 0
    assert other.apply().rc == 0
    with vmm(other):
        outcome = one.teardown()
        assert outcome.rc == 0, outcome
        assert "is open in" not in outcome.out
    assert other.teardown().rc == 0


# --- reopening --------------------------------------------------------------------------------------------------------


def reopened(trial: Trial) -> Reopened:
    """Do what a runtime does after its restart."""
    settings = Settings(StateStore(trial.state_dir), load_templates())
    entry = settings.store.load(PlanId(trial.id))
    assert entry is not None
    return reopen(entry, settings)


def test_after_a_restart_the_network_is_rebuilt_and_its_taps_are_open_again(make_trial: MakeTrial) -> None:
    """What the plan said of the interfaces, with a descriptor for each tap; then nobody else can have them."""
    trial = make_trial(two_links)
    assert trial.apply().rc == 0
    found = reopened(trial)
    try:
        planned = json.loads(trial.plan.read_text())["interfaces"]
        assert [(one.name, one.mac, one.mtu) for one in found.network.interfaces] == [
            (one["name"], one["mac"], one["mtu"]) for one in planned
        ]
        assert [(tap.name, len(tap.fds), tap.holder) for tap in found.taps] == [("tap0", 1, None), ("tap1", 1, None)]
        with Opened.open(NetnsPath(str(trial.pod.inside.path))) as namespace, pytest.raises(HostError, match="in use"):
            open_tap(InterfaceName("tap0"), namespace=namespace)
        assert "LOWER_UP" in trial.pod.inside.ip("link show tap0")
    finally:
        found.close()
    assert trial.teardown().rc == 0
    assert trial.changed() == ""


def test_taps_that_a_vmm_holds_are_left_to_it(make_trial: MakeTrial) -> None:
    """The other one is opened."""
    trial = make_trial(two_links)
    assert trial.apply().rc == 0
    with vmm(trial) as process:
        found = reopened(trial)
        try:
            held, free = found.taps
            assert held.holder is not None
            assert (held.holder.pid, held.fds) == (process.pid, ())
            assert (free.holder, len(free.fds)) == (None, 1)
        finally:
            found.close()
    assert trial.teardown().rc == 0


def _a_bridge_instead(pod: Namespace) -> None:
    pod.ip("link del tap0")
    pod.ip("link add tap0 type bridge")


def _a_tun_instead(pod: Namespace) -> None:
    pod.ip("link del tap0")
    pod.ip("tuntap add dev tap0 mode tun")


SPOILT: list[tuple[Callable[[Namespace], object], str]] = [
    (_a_bridge_instead, "recorded as a tap and is not one"),
    (_a_tun_instead, "recorded as a tap and is not one"),
    (lambda pod: pod.ip("link del tap0"), "is no longer in"),
    (lambda pod: pod.ip("link del eth0"), "is no longer in"),
    (lambda pod: pod.ip("link set tap0 nomaster"), "is no longer a port of br0"),
]


@pytest.mark.parametrize(("spoil", "why"), SPOILT, ids=["a bridge", "a tun", "no tap", "no link", "no port"])
def test_what_is_not_as_it_was_recorded_is_an_error(
    trial: Trial, spoil: Callable[[Namespace], object], why: str
) -> None:
    """Each says what, and what rolls back the rest."""
    assert trial.apply().rc == 0
    spoil(trial.pod.inside)
    with pytest.raises(Refused, match=why) as refused:
        reopened(trial)
    assert f"podwire teardown {trial.id}" in str(refused.value)


def test_no_descriptor_stays_open_where_one_tap_cannot_be_opened(make_trial: MakeTrial) -> None:
    """All or nothing: the first tap is closed when the second one is not as it should be."""
    trial = make_trial(two_links)
    assert trial.apply().rc == 0
    before = len(list(Path("/proc/self/fd").iterdir()))
    trial.pod.inside.ip("link del tap1")
    trial.pod.inside.ip("tuntap add dev tap1 mode tap multi_queue")
    trial.pod.inside.ip("link set tap1 master br1")
    with pytest.raises(HostError, match="tap1"):
        reopened(trial)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    with Opened.open(NetnsPath(str(trial.pod.inside.path))) as namespace:
        for fd in open_tap(InterfaceName("tap0"), namespace=namespace):
            os.close(fd)


def test_recover_says_that_nothing_is_to_be_done_where_all_is_well(trial: Trial) -> None:
    """A wired namespace is no half-done one."""
    assert trial.apply().rc == 0
    trial.pod.settle()
    wired = dump(trial.pod.inside)
    outcome: Outcome = trial.podwire("recover")
    assert outcome.rc == 0
    assert difference(wired, dump(trial.pod.inside)) == ""
    assert trial.state() == "wired"
    assert trial.teardown().rc == 0
