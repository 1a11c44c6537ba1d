"""What an earlier version stored is read, shown and rolled back: state entries, journals, plan files and facts.

Each folder in `stored/` is what that version left of one pod: `setup.sh` builds the pod as it was before; `entry.json`
is its state entry, less the plan, which is the one in `plan.json`; `journal.jsonl` holds the commands that were run. A
test builds the pod, runs the commands of the journal by hand, and lays the state out with this namespace's cookie, this
boot's id, and a time to confirm that is not over yet. All else is as it was stored.
"""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen

from executor.netns.namespace import Namespace as Opened
from executor.netns.namespace import boot_id
from planner.text.values import NetnsPath
from tests.support import Namespace, run
from tests.support.cli import Cli
from tests.support.dumps import Dump, difference, dump

STORED = Path(__file__).parent / "stored"
ID, HOST = "earlier", "earlier-host"
HALF_DONE = ("half-done-apply", "half-done-at-the-first-command", "half-done-teardown")
WIRED = tuple(sorted(folder.name for folder in STORED.iterdir() if folder.name not in HALF_DONE))
Json = dict[str, Any]


@frozen
class Earlier:
    """A pod that an earlier version wired, and what it stored."""

    pod: Namespace
    before: Dump = field(repr=False)
    cli: Cli
    folder: Path

    def journal(self) -> list[Json]:
        """Return the events of the journal."""
        return [json.loads(line) for line in (self.folder / "journal.jsonl").read_text().splitlines() if line]

    def commands(self) -> list[Json]:
        """Return the commands that were run, in their order."""
        return [event for event in self.journal() if event["event"] == "running"]

    def plan(self) -> Json:
        """Return the plan."""
        found: Json = json.loads((self.folder / "plan.json").read_text())
        return found

    def changed(self) -> str:
        """Return what is not as it was before the wiring."""
        return difference(self.before, dump(self.pod))


@pytest.fixture
def bare(case: str, cli: Cli) -> Iterator[Earlier]:
    """Build the pod as it was before it was wired; no state is there."""
    folder = STORED / case
    try:
        for line in (folder / "setup.sh").read_text().splitlines():
            run(shlex.split(line))
        pods = [Namespace(name) for name in (HOST, ID)]
        for pod in pods:
            pod.settle()
        yield Earlier(pods[1], dump(pods[1]), cli, folder)
    finally:
        for name in (HOST, ID):
            Namespace(name).delete()


@pytest.fixture
def earlier(bare: Earlier) -> Earlier:
    """Run what that version ran, and lay out what it stored."""
    for command in bare.commands():
        assert command["netns"] == str(bare.pod.path)
        bare.pod.run(*command["argv"], stdin=command["stdin"] or "")
    state = bare.cli.state_dir
    for name in ("wirings", "journal", "dummies"):
        (state / name).mkdir(mode=0o700, parents=True)
    state.chmod(0o700)
    with Opened.open(NetnsPath(str(bare.pod.path))) as opened:
        here = {"cookie": opened.cookie, "boot_id": boot_id()}
    entry = json.loads((bare.folder / "entry.json").read_text()) | here | {"plan": bare.plan()}
    if entry["confirm_by"] is not None:
        entry["confirm_by"] = time.time() + 3600
    (state / "wirings" / f"{ID}.json").write_text(json.dumps(entry))
    shutil.copy(bare.folder / "journal.jsonl", state / "journal" / f"{ID}.jsonl")
    return bare


@pytest.mark.parametrize("case", WIRED)
def test_a_wiring_of_an_earlier_version_is_listed_checked_and_taken_back(earlier: Earlier) -> None:
    """It is wired as wanted, without drift, planning again finds nothing to do, and teardown leaves what was before."""
    cli = earlier.cli
    assert [(row["id"], row["state"]) for row in cli.json("list")] == [(ID, "wired")]
    check = cli.run("check", ID)
    assert (check.rc, check.err) == (0, ""), check
    words = ("--result", earlier.folder / "result.json", "--netns", ID)
    options = ("--tap-owner", "1000:1000", "--tap-queues", "2", "--tap-vnet-hdr")
    again = cli.run("plan", *words, *(options if earlier.folder.name == "tap-options" else ()), "--detailed-exitcode")
    assert (again.rc, again.err) == (0, ""), again
    cli.ok("teardown", ID, "--yes")
    assert earlier.changed() == ""
    assert cli.json("list") == []


@pytest.mark.parametrize("case", HALF_DONE)
@pytest.mark.parametrize("forward", [False, True], ids=["back", "forward"])
def test_what_an_earlier_version_left_half_done_is_recovered(earlier: Earlier, *, forward: bool) -> None:
    """Back to what was before; or on to the end: of apply the whole wiring, which is then torn down."""
    cli = earlier.cli
    assert [row["state"] for row in cli.json("list")] == ["half-done"]
    assert f"podwire recover {ID}" in cli.refused("apply", earlier.folder / "plan.json", "--yes")
    cli.ok("recover", *(("--forward",) if forward else ()))
    if forward and earlier.folder.name != "half-done-teardown":
        assert [row["state"] for row in cli.json("list")] == ["wired"]
        assert cli.run("check", ID).rc == 0
        cli.ok("teardown", ID, "--yes")
    assert earlier.changed() == ""
    assert cli.json("list") == []


@pytest.mark.parametrize("case", ["dual-stack", "half-done-teardown"])
def test_the_log_of_an_earlier_version_is_shown(earlier: Earlier) -> None:
    """Each command that it ran, in each format."""
    cli = earlier.cli
    shown = [record["argv"] for record in cli.json("log", ID)]
    assert shown == [command["argv"] for command in earlier.commands()]
    for form in ("text", "commands", "script", "html"):
        text = cli.ok("log", ID, "--format", form)
        for words in (command["argv"] for command in earlier.commands() if command["argv"][0] == "ip"):
            assert words[-1] in text, (form, words)


@pytest.mark.parametrize("case", ["to-be-confirmed"])
def test_what_waits_to_be_confirmed_can_be(earlier: Earlier) -> None:
    """Its token is the one in the state entry."""
    assert "the wiring is kept" in earlier.cli.ok("confirm", ID)
    entry = json.loads((earlier.cli.state_dir / "wirings" / f"{ID}.json").read_text())
    assert (entry["confirm_by"], entry["confirm_token"]) == (None, None)


@pytest.mark.parametrize("case", WIRED)
def test_a_plan_file_of_an_earlier_version_is_shown_applied_and_taken_back(bare: Earlier) -> None:
    """Its commands, both ways, are those that are run."""
    cli, stored = bare.cli, bare.plan()
    file = cli.file("plan.json", (bare.folder / "plan.json").read_text())
    file.chmod(0o600)
    shown = cli.json("show", file)
    for key in ("id", "netns", "commands", "reverse_commands", "interfaces"):
        assert shown[key] == stored[key]
    cli.ok("apply", file, "--yes")
    ran = sorted(record["argv"] for record in cli.json("log", ID))
    assert ran == sorted(command["argv"] for command in stored["commands"])
    cli.ok("teardown", ID, "--yes")
    assert bare.changed() == ""


@pytest.mark.parametrize("case", WIRED)
def test_facts_of_an_earlier_version_are_planned_with(bare: Earlier) -> None:
    """What is there before is the same, and so are the changes, their order, and what is run for them.

    Links are made sooner now, and what is set before they go up by one program.
    """
    words = ("--result", bare.folder / "result.json", "--netns", ID, "--facts", bare.folder / "facts.json")
    plan = bare.cli.json("plan", *words)
    stored = bare.plan()
    assert [change["resource"] for change in plan["changes"]] == [change["resource"] for change in stored["changes"]]
    now, then = ({tuple(command["argv"][:3]) for command in one["commands"]} for one in (plan, stored))
    assert now == then
