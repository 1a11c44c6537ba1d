"""A wired link is the pod's wherever it has been, and one that others put in its place is left alone."""

from __future__ import annotations

import re

import pytest

from tests.reliability.conftest import MakeTrial
from tests.reliability.helpers_faults import Faults
from tests.reliability.helpers_kill import Work, killed_at
from tests.reliability.helpers_trial import Trial
from tests.support import MakeNamespace, Namespace
from tests.support.pods import dual_stack

WIRINGS = pytest.mark.parametrize("wiring", ["bridge", "tc"])


@pytest.fixture
def trial(make_trial: MakeTrial, wiring: str) -> Trial:
    """Make a pod whose interface is eth0, and a plan to wire it."""
    trial = make_trial(dual_stack)
    trial.ok("plan", "--result", trial.result, "--netns", trial.id, "--wiring", wiring, "-o", trial.plan)
    return trial


@pytest.fixture
def wired(trial: Trial) -> Trial:
    """Wire the pod."""
    assert trial.apply().rc == 0
    return trial


def shown(inside: Namespace, link: str) -> set[str]:
    """Return the lines that `ip` shows of a link, its addresses and the routes by it, without the link's number."""
    addresses = inside.ip(f"addr show dev {link}") + inside.ip(f"route show table all dev {link}")
    text = re.sub(r"^\d+: ", "", addresses + inside.ip(f"-6 route show table all dev {link}"))
    return set(text.replace(link, "eth0").splitlines())


def move_there_and_back(inside: Namespace, other: Namespace, name: str) -> None:
    """Move eth0 to a namespace in which its number is taken, and back under a name."""
    number = inside.ip("-o link show dev eth0").split(":")[0]
    other.ip(f"link add taken index {number} type bridge")
    inside.ip(f"link set eth0 netns {other.name}")
    other.ip(f"link set eth0 name {name} netns {inside.name}")
    assert inside.ip(f"-o link show dev {name}").split(":")[0] != number
    inside.ip(f"link set {name} up")
    inside.settle()


@pytest.mark.parametrize("wiring", ["bridge"])
@pytest.mark.parametrize("name", ["eth0", "back0"])
def test_a_link_that_was_moved_away_and_came_back_gets_all_back(trial: Trial, netns: MakeNamespace, name: str) -> None:
    """Under another number, and perhaps another name: nothing of it is anybody else's."""
    inside = trial.pod.inside
    before = shown(inside, "eth0")
    assert trial.apply().rc == 0
    move_there_and_back(inside, netns("other"), name)
    outcome = trial.teardown()
    assert outcome.rc == 0, outcome
    assert "is gone" not in outcome.out
    trial.pod.settle()
    assert before <= shown(inside, name)
    assert trial.state() is None


@pytest.mark.parametrize("wiring", ["bridge"])
def test_a_link_with_another_name_and_mac_is_known_by_its_other_end(trial: Trial) -> None:
    """Nothing else but its number is as it was, which another link may bring as well."""
    inside = trial.pod.inside
    before = shown(inside, "eth0")
    assert trial.apply().rc == 0
    inside.ip("link set eth0 down name foo0 address 02:11:22:33:44:55")
    inside.ip("link set foo0 up")
    assert trial.teardown().rc == 0
    trial.pod.settle()
    assert before <= shown(inside, "foo0")


@WIRINGS
def test_a_new_link_with_the_old_number_and_name_is_left_alone(wired: Trial) -> None:
    """Its other end is another one."""
    inside, host = wired.pod.inside, wired.pod.host
    number = inside.ip("-o link show dev eth0").split(":")[0]
    inside.ip("link del eth0")
    inside.ip(f"link add eth0 index {number} address 0a:58:0a:01:5a:99 type veth peer name new0 netns {host.name}")
    host.ip("link set new0 up")
    inside.ip("link set eth0 up")
    inside.ip("addr add 10.1.90.99/24 dev eth0")
    inside.ip("route add default via 10.1.90.1")
    inside.settle()
    before = shown(inside, "eth0")
    outcome = wired.teardown()
    assert outcome.rc == 0, outcome
    assert "eth0 is gone" in outcome.out
    inside.settle()
    assert shown(inside, "eth0") == before


def make_strangers(inside: Namespace) -> set[str]:
    """Make a bridge and a tap of podwire's names, and return what is shown of them."""
    inside.ip("tuntap add tap0 mode tap user 1000")
    inside.ip("link add br0 type bridge")
    inside.ip("addr add 192.168.77.1/24 dev br0")
    inside.ip("link set br0 up")
    inside.ip("link set tap0 up")
    inside.settle()
    return strangers(inside)


def strangers(inside: Namespace) -> set[str]:
    """Return what is shown of a bridge and a tap."""
    return shown(inside, "br0") | shown(inside, "tap0") | {inside.ip("-o -d link show type tun")}


@pytest.mark.parametrize("wiring", ["bridge"])
def test_links_of_others_in_the_place_of_those_that_were_made_stay(wired: Trial) -> None:
    """Somebody has deleted the bridge and the tap, and made his own of the same names."""
    inside = wired.pod.inside
    inside.ip("link del tap0")
    inside.ip("link del br0")
    made = make_strangers(inside)
    outcome = wired.teardown()
    assert outcome.rc == 0, outcome
    assert strangers(inside) == made
    assert "link/ether 0a:58:0a:01:5a:05" in inside.ip("link show dev eth0")
    assert "10.1.90.5/24" in inside.ip("addr show dev eth0")


@pytest.mark.parametrize("wiring", ["bridge"])
def test_links_of_others_stay_if_apply_was_killed_before_it_made_any(trial: Trial, faults: Faults) -> None:
    """What it would have made has no marks yet, and neither have those."""
    assert killed_at(Work(trial, "apply"), "before", 1, faults)
    made = make_strangers(trial.pod.inside)
    trial.ok("recover")
    assert strangers(trial.pod.inside) == made
    assert trial.state() is None


@WIRINGS
def test_links_with_an_alias_of_somebodys_are_ours_all_the_same(wired: Trial, wiring: str) -> None:
    """By the MAC that was drawn for them: it is drift, and they go at last."""
    inside = wired.pod.inside
    for link in ["tap0", *(["br0"] if wiring == "bridge" else [])]:
        inside.run("ip", "link", "set", link, "alias", "vm nic")
    drifted = wired.podwire("check", wired.id, "--json")
    assert drifted.rc == 2, drifted
    assert "alias" in drifted.out
    assert wired.teardown().rc == 0
    assert wired.changed() == ""


@WIRINGS
def test_a_tap_that_is_somewhere_else_is_not_passed_over_in_silence(wired: Trial) -> None:
    """Whether it was moved or deleted cannot be seen from the pod."""
    wired.pod.inside.ip(f"link set tap0 netns {wired.pod.host.name}")
    said = wired.ok("teardown", wired.id, "--yes")
    assert "tap0 no longer existed: it was deleted, or moved to another namespace" in said
    assert wired.changed() == ""
