"""recover: after `kill -9` in the middle, back to what it was, or on to the end."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.support import eventually
from tests.support.cli import Cli, tree
from tests.support.dumps import Dump, difference, dump
from tests.support.pods import Pod

# What reads its input may have been started long before it is its turn.
HANG = """\
input=$(cat)
case "$* $input" in *{mark}*) echo $$ >{pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 60;; esac
printf '%s\\n' "$input" | /usr/sbin/{program} "$@"
"""


@pytest.fixture
def before(pod: Pod) -> Dump:
    """Take down how the pod is before anything is done to it."""
    return dump(pod.inside)


@pytest.fixture
def plan(cli: Cli, pod: Pod, result: Path, before: Dump) -> Path:
    """Store the plan that wires the pod, and return the file."""
    del before
    file = cli.folder / "pod.plan"
    cli.ok("plan", "--result", result, "--netns", pod.inside.name, "-o", file)
    return file


def kill_in_the_middle(cli: Cli, *words: str | Path, program: str = "ebtables-restore", mark: str = "") -> int:
    """Run podwire up to a program that hangs, and kill podwire there; return the id of the program, which hangs on."""
    pid_file = cli.folder / "hangs"
    pid_file.unlink(missing_ok=True)
    env = cli.wrapper(program, HANG.format(mark=mark, pid_file=pid_file, program=program))
    with cli.started(*words, "--yes", env=env) as process:
        eventually(pid_file.exists, f"{program} being run", seconds=20)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    return int(pid_file.read_text())


@pytest.fixture
def half_applied(cli: Cli, pod: Pod, plan: Path) -> str:
    """Kill an apply in the middle, and the program that it was waiting for; return the id."""
    os.kill(kill_in_the_middle(cli, "apply", plan), signal.SIGKILL)
    return pod.inside.name


@pytest.fixture
def half_torn_down(cli: Cli, pod: Pod, plan: Path) -> str:
    """Kill a teardown in the middle, and the program that it was waiting for; return the id."""
    cli.ok("apply", plan, "--yes")
    os.kill(kill_in_the_middle(cli, "teardown", pod.inside.name), signal.SIGKILL)
    return pod.inside.name


def test_what_a_kill_left_is_half_done(cli: Cli, pod: Pod, half_applied: str, before: Dump) -> None:
    """It is shown by list and log; plan and apply refuse it, and say what to do."""
    assert difference(before, dump(pod.inside)) != ""
    assert cli.json("list")[0]["state"] == "half-done"
    died = {record["argv"][0]: record["duration_ms"] for record in cli.json("log") if record["rc"] is None}
    assert died["ebtables-restore"] is None
    assert " died " in cli.ok("log")
    advice = f"{half_applied} is half done: run podwire recover {half_applied} first"
    for verb in ("plan", "apply"):
        assert cli.refused(verb, "--result", cli.folder / "result.json", "--netns", half_applied) == advice


def test_recover_takes_it_back(cli: Cli, pod: Pod, half_applied: str, before: Dump) -> None:
    """Exactly; and then there is nothing to recover any more."""
    said = cli.ok("recover", half_applied)
    assert said.startswith(f"{half_applied}: {pod.inside.path} is as it was before the wiring (")
    assert difference(before, dump(pod.inside)) == ""
    assert cli.ok("recover") == "nothing to recover: no wiring is half done\n"
    assert "nothing to recover" in cli.ok("recover", half_applied)
    assert cli.ok("list") == "nothing is wired here\n"
    assert cli.json("log")[-1]["verb"] == "recover"


def test_recover_can_finish_it(cli: Cli, pod: Pod, plan: Path, half_applied: str, before: Dump) -> None:
    """As the plan says: the same MACs, and after its teardown the pod is what it was."""
    assert cli.ok("recover", "--forward").startswith(f"{half_applied}: {pod.inside.path} is wired (")
    assert cli.json("list")[0]["state"] == "wired"
    planned = json.loads(plan.read_text())
    assert planned["chosen"]["macs"][0] in pod.inside.ip("link show eth0")
    assert cli.json("plan", "--result", cli.folder / "result.json", "--netns", half_applied)["changes"] == []
    cli.ok("teardown", half_applied, "--yes")
    assert difference(before, dump(pod.inside)) == ""


@pytest.mark.usefixtures("half_applied")
@pytest.mark.parametrize("options", [[], ["--forward"]], ids=["back", "forward"])
def test_recover_can_be_looked_at_first(cli: Cli, pod: Pod, options: list[str]) -> None:
    """It shows what would be run, and runs nothing."""
    middle, state = dump(pod.inside), tree(cli.state_dir)
    text = cli.ok("recover", *options, "--dry-run")
    assert ("teardown" in text.splitlines()[0]) is not bool(options)
    lines = cli.ok("recover", *options, "--dry-run", "--format", "commands").splitlines()
    assert all("nsenter" in line for line in lines)
    assert any("-I INPUT" in line for line in lines) is bool(options)
    assert difference(middle, dump(pod.inside)) == ""
    assert tree(cli.state_dir) == state


@pytest.mark.parametrize("options", [[], ["--forward"]], ids=["back", "forward"])
def test_a_teardown_that_was_killed_is_finished_both_ways(
    cli: Cli, pod: Pod, half_torn_down: str, before: Dump, options: list[str]
) -> None:
    """Back is where the wiring began, and forward is where the teardown ends: the same."""
    assert cli.json("list")[0]["state"] == "half-done"
    cli.ok("recover", half_torn_down, *options)
    assert difference(before, dump(pod.inside)) == ""
    assert cli.ok("list") == "nothing is wired here\n"


def test_with_the_bridge_half_made(cli: Cli, pod: Pod, plan: Path, before: Dump) -> None:
    """It is there, without its settings."""
    os.kill(kill_in_the_middle(cli, "apply", plan, program="sysctl", mark="br0/accept_ra"), signal.SIGKILL)
    assert "br0" in pod.inside.ip("link")
    cli.ok("recover")
    assert difference(before, dump(pod.inside)) == ""


def test_teardown_takes_back_what_is_half_done_too(cli: Cli, pod: Pod, half_applied: str, before: Dump) -> None:
    """It is the same rollback."""
    cli.ok("teardown", half_applied, "--yes")
    assert difference(before, dump(pod.inside)) == ""


def test_as_long_as_the_last_command_runs_nobody_else_changes_anything(
    cli: Cli, pod: Pod, plan: Path, before: Dump
) -> None:
    """A killed podwire may have left a program that is still at it; it is named."""
    hanging = kill_in_the_middle(cli, "apply", plan)
    said = cli.refused("recover", "--lock-timeout", "0")
    assert f"process {hanging} (sleep)" in said
    assert "try again" in said
    os.kill(hanging, signal.SIGKILL)
    cli.ok("recover")
    assert difference(before, dump(pod.inside)) == ""


def test_recover_of_a_namespace_that_is_gone_is_done(cli: Cli, pod: Pod, half_applied: str) -> None:
    """It says so, and forgets it."""
    pod.inside.delete()
    gone = f"{half_applied}: its namespace is gone, so nothing is left to roll back\n"
    assert cli.ok("recover", "--dry-run") == gone
    assert cli.ok("recover", "--forward") == gone
    assert cli.ok("list") == "nothing is wired here\n"


def test_what_is_half_done_and_lost_is_put_back_and_rolled_back(
    cli: Cli, pod: Pod, half_torn_down: str, before: Dump
) -> None:
    """The journal has a copy of its entry, and knows that it was on its way back."""
    (cli.state_dir / f"wirings/{half_torn_down}.json").unlink()
    assert "is lost" in cli.refused("teardown", half_torn_down, "--yes")
    said = cli.ok("recover", half_torn_down)
    assert "is as it was before" in said
    assert "its state entry was restored from the copy in the journal: it is half done" in said
    assert difference(before, dump(pod.inside)) == ""


def test_recover_leaves_alone_what_is_wired(cli: Cli, pod: Pod, plan: Path) -> None:
    """And says that there is nothing to do; an id never seen is refused."""
    cli.ok("apply", plan, "--yes")
    pod.settle()
    wired = dump(pod.inside)
    assert cli.ok("recover") == "nothing to recover: no wiring is half done\n"
    assert "nothing to recover" in cli.ok("recover", pod.inside.name, "--forward")
    assert difference(wired, dump(pod.inside)) == ""
    assert cli.refused("recover", "pod9") == "id: pod9 was never wired here; podwire list shows what is"


def test_how_recovery_ended_is_a_document_too(cli: Cli, half_applied: str) -> None:
    """A list if no id was given, one outcome if there was."""
    assert [(outcome["id"], outcome["outcome"]) for outcome in cli.json("recover")] == [(half_applied, "restored")]
    assert cli.json("recover") == []
    assert cli.json("recover", half_applied)["outcome"] == "nothing"


def slow_rules(cli: Cli, *, seconds: float) -> tuple[Path, dict[str, str]]:
    """Return a file that is there as soon as ebtables-restore is at work, which takes so long, and the environment."""
    started, given = cli.folder / "started", cli.folder / "given"
    at_work = f'touch {started}; sleep {seconds}; exec /usr/sbin/ebtables-restore "$@" <{given}'
    return started, cli.wrapper("ebtables-restore", f"cat >{given}; {at_work}")  # it is started ahead


def test_recover_does_not_take_back_what_is_being_applied(cli: Cli, pod: Pod, plan: Path) -> None:
    """It waits until that has ended, and then there is nothing half done."""
    started, slow = slow_rules(cli, seconds=1.5)
    with cli.started("apply", plan, "--yes", env=slow) as process:
        eventually(started.exists, "ebtables-restore being run", seconds=20)
        cli.run("recover")
        assert process.wait() == 0, process.communicate()
    assert cli.json("list")[0]["state"] == "wired"
    assert "master br0" in pod.inside.ip("link show eth0")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_in_the_middle_takes_everything_back(
    cli: Cli, pod: Pod, plan: Path, before: Dump, number: signal.Signals
) -> None:
    """After the command that is running; status 3."""
    started, slow = slow_rules(cli, seconds=0.5)
    with cli.started("apply", plan, "--yes", env=slow) as process:
        eventually(started.exists, "ebtables-restore being run", seconds=20)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (3, "")
    assert err == (
        f"podwire: interrupted by {number.name}; what was done was rolled back, {pod.inside.path} is as it was\n"
    )
    assert difference(before, dump(pod.inside)) == ""


def test_a_command_that_takes_too_long_is_ended_and_all_is_rolled_back(
    cli: Cli, pod: Pod, plan: Path, before: Dump
) -> None:
    """`--timeout` says how long is too long: so long that a busy machine's other commands end."""
    slow = cli.wrapper("ebtables-restore", "grep -q -e -D || exec sleep 60")
    said = cli.refused("apply", plan, "--yes", "--timeout", "2.5", env=slow, status=3)
    assert "did not end within 2.5 s" in said
    assert difference(before, dump(pod.inside)) == ""


@pytest.mark.parametrize("how", ["half_applied", "half_torn_down"])
def test_what_is_half_done_is_given_to_no_vm(cli: Cli, request: pytest.FixtureRequest, how: str) -> None:
    """Its tap may not be there, or lead nowhere; what its guest would be told is said with that."""
    name = request.getfixturevalue(how)
    refusal = f"{name} is half done: run podwire recover {name} first"
    for words in (("exec", name, "--", "true"), ("taps", name, "--socket", "taps"), ("dhcp", name)):
        assert cli.refused(*words) == refusal
    outcome = cli.run("guest", name, "--format", "kernel")
    assert (outcome.rc, outcome.out[:3], outcome.err) == (0, "ip=", f"podwire: {refusal}\n")
    shown = cli.ok("show", name)
    assert "the VM opens" not in shown
    assert shown.endswith(f"half done: podwire recover {name}\n")
