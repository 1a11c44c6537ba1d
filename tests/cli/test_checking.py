"""check: what drifted, and putting it right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import Cli
from tests.support.dumps import difference, dump
from tests.support.pods import Pod

# What somebody does to a wired namespace, and what check must name.
DRIFTS = {
    "tap down": ("link set tap0 down", "link", "tap0"),
    "bridge gone": ("link del br0", "link", "br0"),
    "bridge otherwise": ("link set dev br0 type bridge mcast_snooping 1", "link", "br0"),
    "port released": ("link set dev eth0 nomaster", "master", "eth0"),
    "old MAC": ("link set dev eth0 address 02:00:00:00:77:77", "mac", "eth0"),
    "an address came": ("addr add 10.1.90.77/24 dev eth0", "address", "eth0"),
    "a route came": ("route add 10.9.0.0/16 dev eth0", "route", ""),
    "the bridge lost its address": ("addr del 169.254.254.2/24 dev br0", "link", "br0"),
}


@pytest.fixture
def wired(cli: Cli, pod: Pod, result: Path) -> str:
    """Wire the pod, and return the id."""
    cli.ok("apply", "--result", result, "--netns", pod.inside.name, "--yes")
    return pod.inside.name


def test_what_was_just_applied_has_not_drifted(cli: Cli, wired: str) -> None:
    """Exit status 0, and words that say so."""
    assert "no drift" in cli.ok("check", wired)
    assert cli.json("check", wired)["drift"] == []


@pytest.mark.parametrize("drift", DRIFTS)
def test_drift_is_named_and_repaired(cli: Cli, pod: Pod, wired: str, drift: str) -> None:
    """Exit status 2; the repair that is shown is the one that is made, and teardown still brings everything back."""
    command, kind, name = DRIFTS[drift]
    pod.settle()  # the bridge notices its carrier a moment later
    as_applied = dump(pod.inside)
    pod.inside.ip(command)
    outcome = cli.run("check", wired, "--json")
    document = json.loads(outcome.out)
    assert outcome.rc == 2
    named = {(change["resource"]["kind"], *_names(change["resource"])) for change in document["drift"]}
    assert any(found[0] == kind and name in found for found in named), named
    shown = [command["argv"] for command in document["commands"]]
    cli.ok("check", wired, "--fix", "--yes")
    log = [record["argv"] for record in cli.json("log", wired) if record["verb"] == "check --fix"]
    assert sorted(log) == sorted(shown)
    assert "no drift" in cli.ok("check", wired)
    pod.settle()
    if "gone" not in drift:  # a link that was made again has other numbers
        assert difference(as_applied, dump(pod.inside)) == ""


def _names(resource: dict[str, str]) -> tuple[str, ...]:
    return (resource.get("link", ""), resource.get("name", ""))


def test_rules_that_went_come_back(cli: Cli, pod: Pod, wired: str) -> None:
    """All of them, in front."""
    pod.inside.run("ebtables", "-D", "INPUT", "-i", "eth0", "-j", "DROP")
    assert cli.run("check", wired).rc == 2
    cli.ok("check", wired, "--fix", "--yes")
    assert "-i eth0 -j DROP" in pod.inside.run("ebtables-save").out


def test_a_drifted_wiring_is_rolled_back_whole(cli: Cli, pod: Pod, result: Path) -> None:
    """Teardown looks at each resource: it needs no repair first."""
    before = dump(pod.inside)
    cli.ok("apply", "--result", result, "--netns", pod.inside.name, "--yes")
    pod.inside.ip("link set dev eth0 nomaster")
    pod.inside.ip("link del tap0")
    cli.ok("teardown", pod.inside.name, "--yes")
    assert difference(before, dump(pod.inside)) == ""


def test_without_a_terminal_a_repair_needs_yes(cli: Cli, pod: Pod, wired: str) -> None:
    """Nothing is changed."""
    pod.inside.ip("link set tap0 down")
    assert "--yes" in cli.refused("check", wired, "--fix")
    assert cli.run("check", wired).rc == 2


def test_what_is_not_wired_cannot_drift(cli: Cli, wired: str) -> None:
    """An id never seen, and one that was rolled back."""
    assert "never wired" in cli.refused("check", "elsewhere")
    cli.ok("teardown", wired, "--yes")
    assert "no longer wired" in cli.refused("check", wired)


def test_a_link_that_is_gone_is_said_and_nothing_is_made_up_of_it(cli: Cli, pod: Pod, wired: str) -> None:
    """No MAC, no master: there is no link that could have one. No repair brings it back, and none is tried."""
    pod.inside.ip("link del eth0")
    outcome = cli.run("check", wired)
    assert outcome.rc == 2
    assert "  - eth0  the link is gone\n" in outcome.out
    assert not {"mac", "master", "mode"} & set(outcome.out.split())
    document = json.loads(cli.run("check", wired, "--json").out)
    assert document["gone"] == ["eth0"]
    assert cli.refused("check", wired, "--fix", "--yes").startswith(f"eth0 of {wired} is gone")
    assert {record["verb"] for record in cli.json("log", wired)} == {"apply"}


def test_all_wirings_are_checked(cli: Cli, pod: Pod, wired: str) -> None:
    """Exit status 2 if any has drifted; one that cannot be checked keeps none from it."""
    assert cli.ok("check", "--all") == f"{wired}: no drift\n"
    (cli.state_dir / "wirings" / "broken.json").write_text("{")
    pod.inside.ip("link set dev tap0 down")
    outcome = cli.run("check", "--all", "--json")
    broken, drifted = json.loads(outcome.out)
    assert (outcome.rc, broken["id"], broken["kind"]) == (2, "broken", "invalid-input")
    assert (drifted["id"], [change["resource"]["name"] for change in drifted["drift"]]) == (wired, ["tap0"])
    assert "broken: state entry broken" in outcome.err


def test_nothing_is_wired_so_nothing_drifts(cli: Cli) -> None:
    """A new host is well."""
    assert cli.ok("check", "--all") == "nothing is wired here\n"
    assert cli.json("check", "--all") == []


def test_what_is_found_can_be_collected(cli: Cli, pod: Pod, wired: str) -> None:
    """In Prometheus' text format: each metric with HELP and TYPE, a sample a line."""
    pod.inside.ip("link set dev tap0 down")
    outcome = cli.run("check", "--all", "--format", "prometheus")
    assert outcome.rc == 2
    lines = outcome.out.splitlines()
    assert {line for line in lines if not line.startswith("#")} == {
        "podwire_wirings 1",
        f'podwire_wiring_checked{{id="{wired}"}} 1',
        f'podwire_drifted_resources{{id="{wired}"}} 1',
    }
    names = {line.split("{")[0].split()[0] for line in lines if not line.startswith("#")}
    for word in ("HELP", "TYPE"):
        assert {line.split()[2] for line in lines if line.startswith(f"# {word} ")} == names
