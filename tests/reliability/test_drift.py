"""What others do to a wired link is drift: check says it, --fix puts it right, teardown brings back all there was."""

from __future__ import annotations

import json

import pytest

from tests.reliability.conftest import MakeTrial
from tests.reliability.helpers_faults import Faults
from tests.reliability.helpers_trial import Trial
from tests.support.frames import arp_request
from tests.support.pods import HOST_MAC, dual_stack, two_links
from tests.support.ports import Port

BRIDGE_ADDRESS = "169.254.254.2"


def renamed(trial: Trial, old: str, new: str) -> None:
    """Rename a link without setting it down, so that its routes stay (Linux 6.2)."""
    trial.pod.inside.ip(f"link set dev {old} name {new}")


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
    for old, new in (("eth0", "other"), ("net1", "eth0"), ("other", "net1")):
        renamed(trial, old, new)
    outcome = trial.podwire("check", trial.id)
    assert outcome.rc == 0, outcome
    assert trial.teardown().rc == 0
    for old, new in (("eth0", "other"), ("net1", "eth0"), ("other", "net1")):
        renamed(trial, old, new)
    assert trial.changed() == ""


def test_a_renamed_link_of_the_tc_wiring_is_no_drift(make_trial: MakeTrial) -> None:
    """Filters hang on the link itself, whatever it is called."""
    trial = make_trial(dual_stack)
    words = ("apply", "--result", trial.result, "--netns", trial.id, "--wiring", "tc", "--serve-dhcp", "--yes")
    trial.ok(*words)
    renamed(trial, "eth0", "eth7")
    outcome = trial.podwire("check", trial.id)
    assert outcome.rc == 0, outcome
    assert "eth0 is called eth7 now" in outcome.out
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
    for old, new in (("eth0", "other"), ("net1", "eth0"), ("other", "net1")):
        renamed(trial, old, new)
    for link in ("eth0", "net1"):
        outcome = trial.podwire("check", link)
        assert outcome.rc == 0, outcome
    outcome = trial.podwire("teardown", "eth0", "--yes")
    assert (outcome.rc, "left alone" in outcome.out) == (0, False), outcome
    assert trial.podwire("check", "net1").rc == 0
    outcome = trial.podwire("teardown", "net1", "--yes")
    assert (outcome.rc, "left alone" in outcome.out) == (0, False), outcome
    assert rules(trial) == set()
