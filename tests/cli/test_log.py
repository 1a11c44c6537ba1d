"""log: choosing, following, and journals that grew."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import pytest

from executor.log.follow import FollowedJournals
from executor.process.result import CommandResult
from executor.state import rotation
from executor.state.events import Began, Ran, Running
from executor.state.journal import Journal, read_logs
from planner.plan.render import Command
from planner.text.values import NetnsPath, PlanId
from tests.support import eventually
from tests.support.cli import Cli
from tests.support.pods import Pod

NETNS = NetnsPath("/run/netns/pod1")
ID = PlanId("pod1")


@pytest.fixture
def run_twice(cli: Cli, pod: Pod, result: Path) -> str:
    """Apply and roll back, and return the id."""
    cli.ok("apply", "--result", result, "--netns", pod.inside.name, "--yes")
    cli.ok("teardown", pod.inside.name, "--yes")
    return pod.inside.name


def test_it_is_chosen_by_time(cli: Cli, run_twice: str) -> None:
    """A time ago, or a moment."""
    everything = cli.json("log", run_twice)
    assert cli.json("log", "--since", "1h") == everything
    assert cli.json("log", "--since", "2999-01-01") == []
    assert "neither an age" in cli.refused("log", "--since", "yesterday")


def test_it_is_chosen_by_namespace_and_failure(cli: Cli, pod: Pod, run_twice: str) -> None:
    """Nothing failed here; another namespace had nothing."""
    assert cli.json("log", "--netns", pod.inside.name) == cli.json("log", run_twice)
    assert cli.json("log", "--netns", "elsewhere") == []
    assert cli.json("log", "--failed") == []


def test_it_says_who_asked(cli: Cli, run_twice: str) -> None:
    """The command line, and whose it was: under sudo the person's."""
    record = cli.json("log", run_twice)[0]
    assert record["asked"].startswith("podwire apply --result ")
    assert "(by " in record["asked"]


@pytest.mark.parametrize("moment", ["1e308", "-1e308", "-1", "253402300800"])
def test_a_time_that_is_on_no_calendar_is_shown_all_the_same(cli: Cli, run_twice: str, moment: str) -> None:
    """Somebody's clock, or disk, was wrong."""
    journal = cli.state_dir / f"journal/{run_twice}.jsonl"
    count = len(cli.json("log"))
    journal.write_text(re.sub(r'"time":[0-9.]+', f'"time":{moment}', journal.read_text()))
    for form in ("text", "commands", "script", "html"):
        assert "ip " in cli.ok("log", "--format", form)
    assert len(cli.json("log")) == count


def test_it_is_shown_as_a_page_and_as_a_script(cli: Cli, run_twice: str) -> None:
    """Whole documents of their kinds."""
    assert cli.ok("log", run_twice, "--format", "html").startswith("<!DOCTYPE html>")
    assert cli.ok("log", run_twice, "--format", "script").startswith("#!/usr/bin/env bash")


def test_following_shows_what_is_run_from_now_on(cli: Cli, pod: Pod, result: Path) -> None:
    """Until somebody interrupts; that is no failure."""
    with cli.started("log", "--follow", "--format", "commands") as following:
        assert following.stdout is not None
        cli.ok("apply", "--result", result, "--netns", pod.inside.name, "--yes")
        line = following.stdout.readline()
        assert f"nsenter --net={pod.inside.path} " in line
        following.send_signal(signal.SIGINT)
        assert eventually(lambda: following.poll() is not None, "the end of the following podwire", seconds=60)
        assert following.returncode == 0
    assert "--follow" in cli.refused("log", "--follow", "--format", "html")


def test_following_on_a_terminal_waits_for_no_pager(cli: Cli, run_twice: str) -> None:
    """What comes from now on would wait until somebody leaves it; without --follow it is used."""
    used = cli.folder / "used"
    small = {"LINES": "5", "PODWIRE_PAGER": f"touch {used}"}
    with cli.on_terminal("log", "--follow", env=small) as terminal:
        assert f"apply {run_twice} in" in terminal.type(f"teardown {run_twice} in", "\x03")
        assert terminal.end()[0] == 0
    assert not used.exists()
    with cli.on_terminal("log", env=small) as terminal:
        assert terminal.end()[0] == 0
    assert used.exists()


def test_following_begins_with_the_last_and_goes_on_with_what_is_new(cli: Cli, pod: Pod, run_twice: str) -> None:
    """What --tail leaves out does not come after it, and the head of an operation stands once over its commands."""
    before = cli.ok("log", "--format", "commands").splitlines()
    with cli.started("log", "--follow", "--tail", "2", "--format", "commands") as following:
        assert following.stdout is not None
        lines = [following.stdout.readline().rstrip("\n") for _ in range(2)]
        cli.ok("apply", *cli.wiring(pod), "--yes")
        lines += [following.stdout.readline().rstrip("\n") for _ in range(2)]
    assert lines == [*before[-2:], *cli.ok("log", run_twice, "--format", "commands").splitlines()[len(before) :][:2]]


def test_a_followed_journal_is_read_once(tmp_path: Path) -> None:
    """Also if it is put behind the others meanwhile; what has begun is told when it is over."""
    path = tmp_path / "pod1.jsonl"
    followed = FollowedJournals(lambda: {ID: path})

    def new() -> list[str]:
        return [record.argv[-1] for record in followed.new(lambda problem: pytest.fail(str(problem)))]

    assert new() == []
    write_command(path, "c0")
    assert new() == ["c0"]
    path.write_bytes(b"x" * path.stat().st_size)  # whoever reads it again finds nothing in it, or too much
    rotation.rotate(path)
    command = Command(("ip", "link", "show", "c1"), NETNS, None, ())
    with Journal.open(path) as journal:
        journal.listen(Began("apply", ID, NETNS, "a test"))
        journal.listen(Running(1, command))
        assert new() == []
        journal.listen(Ran(1, command, CommandResult(0, "", "", 0.001)))
    assert (new(), new()) == (["c1"], [])
    with path.open("a") as file:
        file.write('{"event": "be')
        file.flush()
        assert new() == []
        file.write('gan", "time": 1, "verb": "apply", "asked": "a test"}\n')
    write_command(path, "c2")
    assert new() == ["c2"]


def test_on_a_terminal_it_is_as_wide_as_that(cli: Cli, run_twice: str) -> None:
    """A command goes on behind a backslash; piped, each is on a line of its own."""
    with cli.on_terminal("log", run_twice, env={"COLUMNS": "80", "NO_COLOR": "1"}) as terminal:
        status, shown = terminal.end()
    assert status == 0
    assert all(len(line) <= 80 or " " not in line.strip() for line in shown.splitlines())
    assert " \\\n        " in shown
    assert " \\\n" not in cli.ok("log", run_twice)


def test_in_colours_what_failed_is_seen(cli: Cli, pod: Pod) -> None:
    """Its status, and what it said."""
    broken = cli.wrapper("ebtables-restore", "cat >/dev/null; echo no room >&2; exit 1")
    assert cli.run("apply", *cli.wiring(pod), "--yes", env=broken).rc == 3
    shown = cli.ok("log", "--color", "always")
    assert "\x1b[31mrc 1 \x1b[0m" in shown
    assert "\x1b[31m      ! no room\x1b[0m" in shown
    assert "\x1b" not in cli.ok("log")


def write_command(path: Path, word: str) -> None:
    """Journal one command."""
    command = Command(("ip", "link", "show", word), NETNS, None, ())
    with Journal.open(path) as journal:
        journal.listen(Began("apply", ID, NETNS, "a test"))
        journal.listen(Running(1, command))
        journal.listen(Ran(1, command, CommandResult(0, "", "", 0.001)))


def test_a_full_journal_is_put_behind_the_others_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to as many files as are kept; then the oldest commands go, in one piece."""
    monkeypatch.setattr("executor.state.journal.MOST_BYTES", 1)
    path = tmp_path / "pod1.jsonl"
    for number in range(4):
        write_command(path, f"c{number}")
    assert [record.argv[-1] for record in read_logs({ID: path})] == ["c0", "c1", "c2", "c3"]
    for number in range(4, 20):
        write_command(path, f"c{number}")
    assert [record.argv[-1] for record in read_logs({ID: path})] == ["c15", "c16", "c17", "c18", "c19"]
    assert len(rotation.with_older(path)) == len(list(tmp_path.iterdir())) == 5


def test_a_rotated_journal_is_not_taken_for_another_id(cli: Cli) -> None:
    """An id may end in a number after a dot."""
    folder = cli.state_dir / "journal"
    folder.mkdir(parents=True)
    for name in ("pod.jsonl", "pod.jsonl.1", "pod.1.jsonl"):
        line = {
            "event": "running",
            "number": 1,
            "time": time.time(),
            "argv": ["ip", name],
            "netns": None,
            "stdin": None,
        }
        (folder / name).write_text(json.dumps(line) + "\n")
    assert sorted(record["argv"][1] for record in cli.json("log", "pod")) == ["pod.jsonl", "pod.jsonl.1"]
    assert [record["argv"][1] for record in cli.json("log", "pod.1")] == ["pod.1.jsonl"]


def test_what_was_run_in_one_go_stays_together(cli: Cli, pod: Pod, result: Path) -> None:
    """The same command line twice within a second makes two operations, in every format that shows them."""
    name = pod.inside.name
    for _ in range(2):
        cli.ok("apply", "--result", result, "--netns", name, "--yes")
        cli.ok("teardown", name, "--yes")
    operations = list(dict.fromkeys(record["operation"] for record in cli.json("log", name)))
    assert len(operations) == 4
    assert all(operation.startswith(f"{name}@") for operation in operations)
    assert cli.ok("log", name, "--format", "html").count("<h2") == 4
    assert cli.ok("log", name, "--format", "script").count("\n# --- ") == 4
    assert cli.ok("log", name).count("podwire apply --result") == 2


def test_an_operation_goes_on_in_the_next_file_of_its_journal(tmp_path: Path) -> None:
    """What a full journal began is known when its next file is read."""
    path = tmp_path / "pod1.jsonl"
    command = Command(("ip", "link"), NETNS, None, ())
    with Journal.open(path) as journal:
        journal.listen(Began("apply", ID, NETNS, "podwire apply"))
        journal.listen(Running(1, command))
    rotation.rotate(path)
    with Journal.open(path) as journal:
        journal.listen(Ran(1, command, CommandResult(0, "", "", 0.1)))
    (record,) = read_logs({ID: path})
    assert (record.rc, record.verb, record.operation[:5]) == (0, "apply", "pod1@")
