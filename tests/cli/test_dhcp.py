"""dhcp: who serves, and that it ends and comes back with the wiring. That guests are served is in tests/guests."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

import podwire
from executor.settings import Settings
from executor.state.store import StateStore
from tests.support import eventually
from tests.support.cli import Cli
from tests.support.pods import Pod
from tests.support.processes import is_running


@pytest.fixture
def wired(cli: Cli, pod: Pod) -> Iterator[str]:
    """Wire the pod so that its guest can be served, and roll it back."""
    name = pod.inside.name
    cli.ok("apply", *cli.wiring(pod), "--serve-dhcp", "--yes")
    yield name
    if pod.inside.path.exists():
        cli.ok("teardown", name, "--yes")


def processes(cli: Cli, plan_id: str) -> list[int]:
    """Return the server's process, and those that it has started."""
    record = json.loads((cli.state_dir / "dhcp" / f"{plan_id}.json").read_text())
    return [process["pid"] for process in record["processes"]]


def ended(pids: list[int]) -> bool:
    """Say whether none of them is running any more."""
    return not any(map(is_running, pids))


def test_a_wiring_that_was_not_made_for_it_is_refused(cli: Cli, pod: Pod) -> None:
    """The pod network could serve the guest as well."""
    name = pod.inside.name
    assert "was never wired here" in cli.refused("dhcp", name)
    cli.ok("apply", *cli.wiring(pod), "--yes")
    assert f"{name} was wired without --serve-dhcp" in cli.refused("dhcp", name, "--daemon")


def test_teardown_ends_it(cli: Cli, wired: str) -> None:
    """With all that it has started, and says so."""
    said = cli.ok("dhcp", wired, "--daemon")
    assert said == f"{wired}: eth0 is served 10.1.90.5/24\n"
    serving = processes(cli, wired)
    assert len(serving) == 2
    assert not any(map(ended, [[pid] for pid in serving]))
    assert f"{wired}: stopped serving its guest" in cli.ok("teardown", wired, "--yes")
    eventually(lambda: ended(serving), "the end of what served", seconds=20)
    assert not (cli.state_dir / "dhcp" / f"{wired}.json").exists()


def test_there_is_one_server(cli: Cli, wired: str) -> None:
    """A second one is refused, and names the first."""
    cli.ok("dhcp", wired, "--daemon")
    assert f"{wired} is already served by process {processes(cli, wired)[0]}" in cli.refused("dhcp", wired)
    assert f"{wired} is already served" in cli.refused("dhcp", wired, "--daemon")


@pytest.mark.parametrize("text", ["", "garbage", "{}", '{"processes": [{"pid": "x"}]}'], ids=repr)
def test_a_record_that_names_nobody_keeps_nothing_from_ending(cli: Cli, wired: str, text: str) -> None:
    """Who has it locked is the server: it is named, and ended by teardown with all that it has started."""
    cli.ok("dhcp", wired, "--daemon")
    pids = processes(cli, wired)
    (cli.state_dir / "dhcp" / f"{wired}.json").write_text(text)
    assert f"{wired} is already served by process {pids[0]}" in cli.refused("dhcp", wired, "--daemon")
    cli.ok("teardown", wired, "--yes")
    assert ended(pids)


def test_what_was_killed_is_started_again_by_recover(cli: Cli, wired: str) -> None:
    """And the dnsmasq that it left behind is ended."""
    cli.ok("dhcp", wired, "--daemon")
    before = processes(cli, wired)
    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: ended(before[:1]), "the end of the server")
    assert cli.ok("recover", "--dry-run") == f"{wired}: its guest would be served again\n"
    assert cli.ok("recover") == f"{wired}: its guest is served again\n{wired}: eth0 is served 10.1.90.5/24\n"
    eventually(lambda: ended(before), "the end of what it left behind", seconds=20)
    assert not any(map(ended, [[pid] for pid in processes(cli, wired)]))
    assert cli.ok("recover") == "nothing to recover: no wiring is half done\n"


def test_recoveries_side_by_side_do_not_fail_for_each_other(cli: Cli, wired: str) -> None:
    """One starts it, and the others say that another podwire has."""
    cli.ok("dhcp", wired, "--daemon")
    for pid in processes(cli, wired):
        with suppress(ProcessLookupError):  # it has ended with the other
            os.kill(pid, signal.SIGKILL)
    with ExitStack() as stack:
        recoveries = [stack.enter_context(cli.started("recover", wired)) for _ in range(4)]
        assert [one.wait(60) for one in recoveries] == [0] * 4
    assert not ended(processes(cli, wired))


def test_what_was_killed_is_started_again_by_hand(cli: Cli, wired: str) -> None:
    """As it was the first time; what was left behind is ended."""
    cli.ok("dhcp", wired, "--daemon")
    before = processes(cli, wired)
    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: ended(before[:1]), "the end of the server")
    assert cli.ok("dhcp", wired, "--daemon") == f"{wired}: eth0 is served 10.1.90.5/24\n"
    eventually(lambda: ended(before), "the end of what it left behind", seconds=20)
    assert not any(map(ended, [[pid] for pid in processes(cli, wired)]))


def test_a_dnsmasq_that_ends_is_started_again(cli: Cli, wired: str) -> None:
    """By the server, which goes on."""
    cli.ok("dhcp", wired, "--daemon")
    server, first = processes(cli, wired)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: processes(cli, wired) not in ([server, first], [server]), "another dnsmasq", seconds=20)
    assert processes(cli, wired)[0] == server


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_the_foreground_a_signal_ends_it(cli: Cli, wired: str, number: signal.Signals) -> None:
    """It is what was asked for, and no failure."""
    with cli.started("dhcp", wired) as process:
        assert process.stdout
        assert process.stdout.readline() == f"{wired}: eth0 is served 10.1.90.5/24\n"
        serving = processes(cli, wired)
        process.send_signal(number)
        assert process.wait(20) == 0
    eventually(lambda: ended(serving), "the end of what served", seconds=20)


def test_it_ends_with_the_namespace(cli: Cli, pod: Pod, wired: str) -> None:
    """Which it would keep alive otherwise."""
    cli.ok("dhcp", wired, "--daemon")
    serving = processes(cli, wired)
    pod.inside.delete()
    eventually(lambda: ended(serving), "the end of what served", seconds=20)


def test_the_library_has_it(cli: Cli, wired: str) -> None:
    """By a process of its own."""
    assert podwire.dhcp(wired, settings=Settings(StateStore(cli.state_dir))) == ("eth0 is served 10.1.90.5/24",)


def test_that_nobody_serves_the_guest_yet_is_said(cli: Cli, pod: Pod) -> None:
    """By apply, which says what is next, by show and check; then show says who does."""
    name = pod.inside.name
    serve = f"podwire dhcp {name} --daemon"
    words = ("apply", *cli.wiring(pod), "--serve-dhcp", "--yes")
    assert f"to serve its guest, run: {serve}\n" in cli.ok(*words)
    assert cli.ok(*words).splitlines()[1:] == [f"to serve its guest, run: {serve}"]
    assert f"its guest is not served: {serve}\n" in cli.ok("show", name)
    assert f"  its guest is not served: {serve}\n" in cli.ok("check", name)
    assert cli.json("check", name)["notes"] == [f"its guest is not served: {serve}"]
    document = cli.json("show", name)
    assert (document["served"], document["served_by"]) == (False, None)
    cli.ok("dhcp", name, "--daemon")
    document = cli.json("show", name)
    assert (document["served"], document["served_by"]) == (True, processes(cli, name)[0])
    assert f"its guest is served by process {document['served_by']}\n" in cli.ok("show", name)
    assert serve not in cli.ok(*words) + cli.ok("check", name)
    cli.ok("teardown", name, "--yes")
    cli.ok("apply", *cli.wiring(pod), "--yes")
    assert cli.json("show", name)["served"] is None
    assert "served" not in cli.ok("show", name)
