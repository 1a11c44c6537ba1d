"""What others do to a wired link is drift: check says it, --fix puts it right, teardown brings back all there was."""

from __future__ import annotations

import json

import pytest

from tests.reliability.conftest import MakeTrial
from tests.reliability.helpers_faults import Faults
from tests.reliability.helpers_kill import Work, killed_at
from tests.reliability.helpers_trial import Trial
from tests.support import eventually
from tests.support.cli import ended
from tests.support.frames import arp_request
from tests.support.pods import HOST_MAC, dual_stack, only, two_links
from tests.support.ports import Port

BRIDGE_ADDRESS = "169.254.254.2"


def renamed(trial: Trial, old: str, new: str) -> None:
    """Rename a link without setting it down, so that its routes stay (Linux 6.2)."""
    trial.pod.inside.ip(f"link set dev {old} name {new}")


def change_names(trial: Trial) -> None:
    """Let eth0 and net1 have each other's name."""
    for old, new in (("eth0", "other"), ("net1", "eth0"), ("other", "net1")):
        renamed(trial, old, new)


def rules(trial: Trial) -> set[str]:
    """Return the rules of ebtables that are there."""
    return {line for line in trial.pod.inside.run("ebtables-save").out.splitlines() if line.startswith("-A ")}


def bridge_answers(trial: Trial) -> bool:
    """Say whether the pod network hears from the bridge itself, which the ebtables rules prevent."""
    with Port.on_tap(trial.pod.inside, "tap0") as vm, Port.on_link(trial.pod.host, "h-eth0") as wire:
        wire.send(arp_request(HOST_MAC, "169.254.254.9", BRIDGE_ADDRESS))
        vm.receive(lambda frame: str(frame).startswith(f"ARP who has {BRIDGE_ADDRESS}"))
        return any(str(frame).startswith(f"ARP {BRIDGE_ADDRESS} is at") for frame in wire.listen(0.3))


# --- links that are called otherwise ----------------------------------------------------------------------------------


def test_a_link_under_another_name_is_kept_apart_again(trial: Trial) -> None:
    """Rules match by the name: the renaming is drift, in one command that is shown, and afterwards nothing leaks."""
    assert trial.apply().rc == 0
    assert not bridge_answers(trial)
    applied = rules(trial)
    renamed(trial, "eth0", "eth7")
    assert bridge_answers(trial)
    outcome = trial.podwire("check", trial.id, "--json")
    assert outcome.rc == 2, outcome
    document = json.loads(outcome.out)
    assert [change["resource"]["kind"] for change in document["drift"]] == ["ebtables"]
    assert len(document["commands"]) == 1
    assert "3 of 3 rules missing" in trial.podwire("check", trial.id).out
    trial.ok("check", trial.id, "--fix", "--yes")
    assert not bridge_answers(trial)
    assert rules(trial) == {rule.replace("eth0", "eth7") for rule in applied}
    assert "no drift" in trial.ok("check", trial.id)


@pytest.mark.parametrize("repaired", [True, False], ids=["repaired", "as it is"])
@pytest.mark.parametrize("names", [("eth7",), ("eth7", "eth8"), ("eth7", "eth0")], ids="-".join)
def test_teardown_removes_the_rules_whatever_their_link_is_called(
    make_trial: MakeTrial, names: tuple[str, ...], *, repaired: bool
) -> None:
    """Those of the name that it had when it was wired, and when that was repaired, and no others."""
    trial = make_trial(dual_stack)
    assert trial.apply().rc == 0
    name = "eth0"
    for new in names:
        renamed(trial, name, new)
        name = new
        if repaired and new == "eth7":
            trial.ok("check", trial.id, "--fix", "--yes")
    outcome = trial.teardown()
    assert outcome.rc == 0, outcome
    assert "left alone" not in outcome.out
    if name != "eth0":
        assert "is as it was before" not in outcome.out
        renamed(trial, name, "eth0")
    assert trial.changed() == ""


def test_a_repair_of_the_rules_that_fails_is_rolled_back(trial: Trial, faults: Faults) -> None:
    """The rules are the former ones again, not both."""
    assert trial.apply().rc == 0
    applied = rules(trial)
    renamed(trial, "eth0", "eth7")
    faults.plan(1, "late", of="ebtables-restore")
    outcome = trial.podwire("check", trial.id, "--fix", "--yes", env=faults.env)
    assert outcome.rc == 3, outcome
    assert rules(trial) == applied


def test_two_links_that_have_changed_names_stay_apart(make_trial: MakeTrial) -> None:
    """The rules of both are there, whichever is called what: nothing is to be repaired."""
    trial = make_trial(two_links)
    assert trial.apply().rc == 0
    change_names(trial)
    outcome = trial.podwire("check", trial.id)
    assert outcome.rc == 0, outcome
    assert trial.teardown().rc == 0
    change_names(trial)
    assert trial.changed() == ""


def test_a_renamed_link_of_the_tc_wiring_is_no_drift(make_trial: MakeTrial) -> None:
    """Filters hang on the link itself, whatever it is called."""
    trial = make_trial(dual_stack)
    words = ("apply", "--result", trial.result, "--netns", trial.id, "--wiring", "tc", "--serve-dhcp", "--yes")
    trial.ok(*words)
    renamed(trial, "eth0", "eth7")
    outcome = trial.podwire("check", trial.id)
    assert outcome.rc == 0, outcome
    assert "eth0 is now called eth7" in outcome.out
    assert trial.teardown().rc == 0
    renamed(trial, "eth7", "eth0")
    assert trial.changed() == ""


def test_the_rules_of_another_wiring_in_the_namespace_are_left_alone(make_trial: MakeTrial) -> None:
    """Also where links of both have changed names, and their rules are worded alike."""
    trial = make_trial(two_links)
    for number, link in enumerate(("eth0", "net1")):
        one = dict(trial.pod.result["interfaces"][number])
        ips = [ip | {"interface": 0} for ip in trial.pod.result["ips"] if ip["interface"] == number]
        file = trial.cli.file(f"{link}.json", trial.pod.result | {"interfaces": [one], "ips": ips, "routes": []})
        trial.ok("apply", "--result", file, "--netns", trial.id, "--id", link, "--yes")
    change_names(trial)
    for link in ("eth0", "net1"):
        outcome = trial.podwire("check", link)
        assert outcome.rc == 0, outcome
    outcome = trial.podwire("teardown", "eth0", "--yes")
    assert (outcome.rc, "left alone" in outcome.out) == (0, False), outcome
    assert trial.podwire("check", "net1").rc == 0
    outcome = trial.podwire("teardown", "net1", "--yes")
    assert (outcome.rc, "left alone" in outcome.out) == (0, False), outcome
    assert rules(trial) == set()


# --- an apply that is carried on --------------------------------------------------------------------------------------


def test_forward_follows_the_link_under_the_name_that_it_has_now(make_trial: MakeTrial, faults: Faults) -> None:
    """The pod's other link got its name after podwire was killed, and is not touched. The preview shows the same."""
    trial = make_trial(only(two_links, "eth0"))
    other = trial.pod.inside.ip("-d addr show dev net1").replace("net1", "NAME")
    assert killed_at(Work(trial, "apply"), "after", 9, faults)
    change_names(trial)
    shown = trial.ok("recover", trial.id, "--forward", "--dry-run", "--format", "commands")
    assert "dev eth0" not in shown
    trial.ok("recover", trial.id, "--forward")
    assert "master br0" in trial.pod.inside.ip("link show dev net1")
    assert "no drift" in trial.ok("check", trial.id)
    assert trial.pod.inside.ip("-d addr show dev eth0").replace("eth0", "NAME") == other
    change_names(trial)
    assert trial.podwire("check", trial.id).rc == 2
    assert trial.teardown().rc == 0
    assert trial.changed() == ""


def test_a_link_of_others_under_the_name_of_a_wired_one_is_said_as_it_is(make_trial: MakeTrial) -> None:
    """What each of the two had it has: nothing else differs but what they are called."""
    trial = make_trial(only(two_links, "eth0"))
    assert trial.apply().rc == 0
    change_names(trial)
    said, *more = trial.ok("teardown", trial.id, "--yes").splitlines()
    assert "differs from its original state because of changes made outside podwire" in said
    assert {line.removeprefix(f"{trial.id}: ") for line in more} == {
        "eth0 is now called net1",
        "net1 is now called eth0",
    }
    change_names(trial)
    assert trial.changed() == ""


@pytest.mark.parametrize("number", [2, 9])
def test_forward_refuses_where_a_stranger_has_the_name(trial: Trial, faults: Faults, number: int) -> None:
    """The link was deleted: nothing is changed, and the way back is named and works."""
    assert killed_at(Work(trial, "apply"), "after", number, faults)
    trial.pod.inside.ip("link del dev eth0")
    trial.pod.inside.ip("link add eth0 address 02:ff:ff:ff:ff:01 type veth peer name x")
    trial.pod.inside.ip("link set dev eth0 up")
    trial.pod.inside.ip("addr add 10.1.90.99/24 dev eth0")
    stranger = trial.pod.inside.ip("-d addr show dev eth0") + trial.pod.inside.ip("route show dev eth0")
    for more in ((), ("--dry-run",)):
        said = trial.cli.refused("recover", trial.id, "--forward", *more)
        assert said.startswith(f"eth0 of {trial.id} was deleted, or moved to another namespace")
        assert f"podwire recover {trial.id}" in said
    assert trial.state() == "half-done"
    assert "eth0 is gone" in trial.ok("recover", trial.id)
    assert trial.pod.inside.ip("-d addr show dev eth0") + trial.pod.inside.ip("route show dev eth0") == stranger
    assert trial.state() is None


# --- links that are set down ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wiring", ["bridge", "tc"])
def test_a_wired_link_that_is_down_is_drift(trial: Trial, wiring: str) -> None:
    """The VM hears nothing then, though the link was up before and no change says that it is. The repair sets it up."""
    words = ("apply", "--result", trial.result, "--netns", trial.id, "--wiring", wiring, "--yes")
    trial.ok(*words)
    trial.pod.inside.ip("link set eth0 down")
    outcome = trial.podwire("check", trial.id)
    assert outcome.rc == 2, outcome
    assert "eth0  down, was applied as up" in outcome.out
    again = trial.podwire(*words)
    assert (again.rc, again.err.count("\n")) == (1, 1), again
    assert "is already wired but has drifted" in again.err
    trial.ok("check", trial.id, "--fix", "--yes")
    assert "no drift" in trial.ok("check", trial.id)
    assert "state UP" in trial.pod.inside.ip("link show dev eth0")
    trial.ok(*words)


@pytest.mark.parametrize("number", [5, 99], ids=["in the middle", "at the end"])
def test_an_apply_is_not_done_while_the_link_is_down(trial: Trial, faults: Faults, number: int) -> None:
    """Somebody set it down meanwhile. What cannot come back on a link that is down does when it is up."""
    number = min(number, len(trial.commands()))
    faults.plan(number, "wait")
    with trial.started("apply", trial.plan, "--yes", env=faults.env) as process:
        eventually(lambda: faults.waiting, "the command", seconds=20)
        trial.pod.inside.ip("link set eth0 down")
        faults.release()
        outcome = ended(process)
    assert outcome.rc == 4, outcome
    assert "in the meantime link eth0 was flags" in outcome.err
    trial.pod.inside.ip("link set eth0 up")
    trial.ok("recover")
    assert trial.changed() == ""


def test_an_apply_that_is_carried_on_sets_the_link_up(trial: Trial, faults: Faults) -> None:
    """It went down after podwire was killed. The preview shows it."""
    assert killed_at(Work(trial, "apply"), "after", 12, faults)
    trial.pod.inside.ip("link set eth0 down")
    up = "ip link set dev eth0 up"
    assert up in trial.ok("recover", trial.id, "--forward", "--dry-run", "--format", "commands")
    trial.ok("recover", trial.id, "--forward")
    assert "no drift" in trial.ok("check", trial.id)


# --- what is added to links -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["10.1.90.5/24", "10.1.90.99/24", "fd00:1:90::99/64"])
def test_a_route_goes_before_the_address_that_it_hangs_on(make_trial: MakeTrial, address: str) -> None:
    """Whichever of the two the pod had before: with an address the kernel takes its routes."""
    trial = make_trial(dual_stack)
    assert trial.apply().rc == 0
    gateway = "fd00:1:90::1" if ":" in address else "10.1.90.1"
    trial.pod.inside.ip(f"addr add {address} dev eth0")
    trial.pod.inside.ip(f"route add default via {gateway} dev eth0")
    assert trial.podwire("check", trial.id).rc == 2
    trial.ok("check", trial.id, "--fix", "--yes")
    assert "no drift" in trial.ok("check", trial.id)
    assert trial.teardown().rc == 0
    assert trial.changed() == ""


def test_a_repair_of_what_was_added_that_fails_is_rolled_back(make_trial: MakeTrial, faults: Faults) -> None:
    """The address is there again before the route that needs it."""
    trial = make_trial(dual_stack)
    assert trial.apply().rc == 0
    trial.pod.inside.ip("addr add 10.1.90.99/24 dev eth0")
    trial.pod.inside.ip("route add default via 10.1.90.1 dev eth0")
    trial.pod.inside.ip("link set tap0 down")
    drifted = trial.pod.inside.ip("addr show dev eth0") + trial.pod.inside.ip("route")
    faults.plan(3, "fail")
    outcome = trial.podwire("check", trial.id, "--fix", "--yes", env=faults.env)
    assert outcome.rc == 3, outcome
    assert trial.pod.inside.ip("addr show dev eth0") + trial.pod.inside.ip("route") == drifted
