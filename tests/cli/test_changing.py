"""apply and teardown: what they do, what they say, and with which status they end."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support import run
from tests.support.cli import Cli, tree
from tests.support.dumps import difference, dump
from tests.support.pods import Pod
from tests.support.ports import Port

FAILING = "echo 'the table is locked' >&2; exit 4"


@pytest.fixture
def plan(cli: Cli, pod: Pod, result: Path) -> Path:
    """Store the plan that wires the pod, and return the file."""
    file = cli.folder / "pod.plan"
    cli.ok("plan", "--result", result, "--netns", pod.inside.name, "-o", file)
    return file


@pytest.fixture
def wired(cli: Cli, pod: Pod, plan: Path) -> str:
    """Wire the pod, and return the id."""
    cli.ok("apply", plan, "--yes")
    return pod.inside.name


@pytest.fixture
def shared_table(cli: Cli, pod: Pod, plan: Path, result: Path) -> Path:
    """Store a plan for a pod that has an ebtables rule of somebody else's, so that the table can't simply go."""
    pod.inside.run("ebtables", "-A", "FORWARD", "-j", "CONTINUE")
    cli.ok("plan", "--result", result, "--netns", pod.inside.name, "-o", plan)
    return plan


def fails_on(real: str, marks: str) -> str:
    """Return the script of a wrapper that fails if its input has one of these marks, and else does what it should.

    Its words count as input too.
    """
    look = f'input=$(cat); case "$* $input" in {marks}) {FAILING};; esac'
    return f'{look}; printf "%s\\n" "$input" | /usr/sbin/{real} "$@"'


# --- done -------------------------------------------------------------------------------------------------------------


def test_a_stored_plan_is_applied_and_rolled_back_exactly(cli: Cli, pod: Pod, plan: Path) -> None:
    """What is said tells the user what comes next: which tap to open, and to tear down before the plugin's DEL."""
    name, before = pod.inside.name, dump(pod.inside)
    first, *told, last = cli.ok("apply", plan, "--yes").splitlines()
    assert first.startswith(f"wired {name}: ")
    assert first.endswith("; the VM opens tap0")
    assert "guest of tap0: addresses 10.1.90.5/24" in told
    assert last == f"before calling the CNI plugin's DEL, run: podwire teardown {name}"
    assert "master br0" in pod.inside.ip("link show eth0")
    assert cli.ok("teardown", name, "--yes").startswith(f"{name}: {pod.inside.path} is as it was before (")
    assert difference(before, dump(pod.inside)) == ""


def test_a_result_is_planned_and_applied_in_one(cli: Cli, pod: Pod, result: Path) -> None:
    """And once more is nothing to do."""
    arguments = ("apply", "--result", result, "--netns", pod.inside.path, "--id", "vm-7", "--yes")
    assert cli.ok(*arguments).startswith("wired vm-7: ")
    assert "alias podwire:vm-7" in pod.inside.ip("link show tap0")
    assert cli.ok(*arguments) == "vm-7 is already wired as requested: nothing to do\n"


def test_how_it_ended_is_a_document_too(cli: Cli, pod: Pod, plan: Path) -> None:
    """With what a VM runtime needs to go on."""
    name = pod.inside.name
    applied = cli.json("apply", plan, "--yes")
    assert (applied["id"], applied["outcome"]) == (name, "wired")
    assert applied["interfaces"][0]["name"] == "tap0"
    torn = cli.json("teardown", name, "--yes")
    assert (torn["id"], torn["outcome"], torn["notes"]) == (name, "restored", [])
    assert torn["commands"] > 0
    assert cli.json("teardown", name, "--yes")["outcome"] == "nothing"


def test_teardown_can_be_looked_at_first(cli: Cli, pod: Pod, wired: str) -> None:
    """Every format, and nothing is done by it."""
    before, state = dump(pod.inside), tree(cli.state_dir)
    assert "teardown" in cli.ok("teardown", wired, "--dry-run").splitlines()[0]
    lines = cli.ok("teardown", wired, "--dry-run", "--format", "commands").replace(" && ", "\n").splitlines()
    assert all("nsenter" in line for line in lines)
    assert cli.ok("teardown", wired, "--dry-run", "--format", "script").startswith("#!/usr/bin/env bash\n")
    commands = cli.json("teardown", wired, "--dry-run")["commands"]
    assert len(commands) == len(lines)
    assert difference(before, dump(pod.inside)) == ""
    assert tree(cli.state_dir) == state


def test_teardown_of_what_is_torn_down_is_done(cli: Cli, wired: str) -> None:
    """However often."""
    cli.ok("teardown", wired, "--yes")
    for _ in range(2):
        assert cli.ok("teardown", wired, "--yes") == f"{wired}: already torn down\n"
    assert cli.ok("teardown", wired, "--dry-run") == f"{wired}: already torn down\n"


def test_teardown_of_what_was_never_seen_is_refused(cli: Cli) -> None:
    """It may be a slip of the pen."""
    assert cli.refused("teardown", "pod1", "--yes") == "id: pod1 was never wired here; podwire list shows what is"
    assert not cli.state_dir.exists()


def test_teardown_where_the_namespace_is_gone_is_done(cli: Cli, pod: Pod, wired: str) -> None:
    """It says so, with --dry-run too, and forgets it."""
    pod.inside.delete()
    gone = f"{wired}: its namespace is gone, so nothing is left to roll back\n"
    assert cli.ok("teardown", wired, "--dry-run") == gone
    assert cli.ok("list") != "nothing is wired here\n"
    assert cli.ok("teardown", wired, "--yes") == gone
    assert cli.ok("list") == "nothing is wired here\n"


def test_another_namespace_of_that_name_counts_as_gone(cli: Cli, pod: Pod, wired: str) -> None:
    """And is left alone."""
    pod.inside.delete()
    again = type(pod.inside).create(pod.inside.name)
    again.ip("link add br0 type bridge")
    before = dump(again)
    assert "is gone" in cli.ok("teardown", wired, "--yes")
    assert difference(before, dump(again)) == ""


def test_everything_can_be_torn_down_at_once(cli: Cli, pod: Pod, wired: str) -> None:
    """Without anything to do it says so."""
    assert f"{wired}: " in cli.ok("teardown", "--all", "--yes")
    assert "master" not in pod.inside.ip("link show eth0")
    assert cli.ok("teardown", "--all", "--yes") == "nothing is wired here\n"
    assert "either the ID of a wiring, or --netns, or --all" in cli.refused("teardown", "--yes")
    assert "either the ID of a wiring, or --netns, or --all" in cli.refused("teardown", wired, "--all", "--yes")


# --- refused: status 1, nothing changed -------------------------------------------------------------------------------


def test_without_a_terminal_and_without_yes_it_is_refused(cli: Cli, pod: Pod, plan: Path) -> None:
    """Nobody is asked, so nobody can have agreed."""
    before = dump(pod.inside)
    assert "cannot ask for confirmation without a terminal" in cli.refused("apply", plan)
    assert "cannot ask for confirmation without a terminal" in cli.refused("apply", plan, stdin="yes\n")
    assert difference(before, dump(pod.inside)) == ""
    cli.ok("apply", plan, "--yes")
    pod.settle()
    wired = dump(pod.inside)
    assert "cannot ask for confirmation without a terminal" in cli.refused("teardown", pod.inside.name)
    assert difference(wired, dump(pod.inside)) == ""


def test_a_stored_reverse_is_refused(cli: Cli, pod: Pod, plan: Path) -> None:
    """It is no wiring, wherever it is applied; what rolls one back is named."""
    back = cli.file("back.plan", cli.ok("show", plan, "--reverse", "--json"))
    assert cli.ok("show", back).splitlines()[0].endswith("back to before the wiring")
    before = dump(pod.inside)
    said = cli.refused("apply", back, "--yes")
    assert said.endswith(f"run podwire teardown {pod.inside.name}")
    assert dump(pod.inside) == before


def test_a_stale_plan_is_refused_and_says_what_differs(cli: Cli, pod: Pod, plan: Path) -> None:
    """The resource, by name."""
    pod.inside.ip("addr add 10.1.90.7/24 dev eth0")
    before = dump(pod.inside)
    said = cli.refused("apply", plan, "--yes")
    assert "the plan is stale: " in said
    assert "10.1.90.7/24 on eth0 did not exist when the plan was made" in said
    assert difference(before, dump(pod.inside)) == ""


def test_a_plan_of_somebody_elses_is_refused(cli: Cli, pod: Pod, plan: Path) -> None:
    """By its owner or its mode; read, it can be nevertheless, and taken if one says so."""
    before = dump(pod.inside)
    for mode in (0o620, 0o602, 0o666):
        plan.chmod(mode)
        assert "another user" in cli.refused("apply", plan, "--yes")
    plan.chmod(0o644)
    try:
        os.chown(plan, 65534, 65534)
    except OSError:
        plan.chmod(0o622)  # in a user namespace root is the only user
    assert "--allow-untrusted-plan" in cli.refused("apply", plan, "--yes")
    assert "another user" in cli.refused("apply", "/dev/stdin", "--yes", through=("sh", "-c", f'"$@" <{plan}', "sh"))
    assert difference(before, dump(pod.inside)) == ""
    assert "bridge wiring" in cli.ok("show", plan)
    cli.ok("apply", plan, "--yes", "--allow-untrusted-plan")


def test_what_is_wired_already_is_not_wired_again(cli: Cli, plan: Path, result: Path, wired: str) -> None:
    """Neither by its old plan, nor under another id; each says what to do."""
    advice = f"run podwire teardown {wired} first"
    assert cli.refused("apply", plan, "--yes") == f"{wired} is already wired: {advice}"
    said = cli.refused("apply", "--result", result, "--netns", wired, "--id", "other", "--yes")
    assert said == f"eth0 is already wired, as {wired}: {advice}"
    assert "not recorded here" in cli.refused(
        "plan", "--result", result, "--netns", wired, "--state-dir", cli.folder / "elsewhere"
    )


@pytest.mark.parametrize(
    "option",
    ["--netns=pod1", "--id=x", "--tap-owner=5", "--tap-queues=2", "--tap-vnet-hdr", "--dhcp-address=169.254.9.2"],
)
def test_what_a_stored_plan_says_itself_cannot_be_said_again(cli: Cli, plan: Path, option: str) -> None:
    """An option that was silently ignored would be worse."""
    said = cli.refused("apply", plan, option, "--yes")
    assert said == f"apply: {option.partition('=')[0]} is part of a stored plan; give it to podwire plan"


@pytest.mark.parametrize("program", ["ip", "nsenter", "ebtables-restore", "sysctl"])
def test_a_program_that_is_missing_is_named_before_anything_is_changed(
    cli: Cli, pod: Pod, result: Path, program: str
) -> None:
    """With the package that it comes in."""
    before = dump(pod.inside)
    hide = f'mount --bind /dev/null "$(realpath "$(command -v {program})")" && exec "$@"'
    through = ("unshare", "--mount", "/bin/sh", "-c", hide, "sh")
    said = cli.refused("apply", "--result", result, "--netns", pod.inside.name, "--yes", through=through)
    assert "is not installed: on Debian it comes with the package" in said
    assert difference(before, dump(pod.inside)) == ""


@pytest.mark.parametrize("words", [("--dry-run",), ("--dry-run", "--json"), ()], ids=["dry run", "json", "no answer"])
def test_a_plan_that_apply_would_refuse_is_not_shown_first(
    cli: Cli, pod: Pod, plan: Path, words: tuple[str, ...]
) -> None:
    """Neither as a dry run nor before the question, to which yes would be the wrong answer; nothing is made by that."""
    pod.inside.ip("link set eth0 mtu 1400")
    with cli.on_terminal("apply", plan, *words) as terminal:
        status, said = terminal.end()
    assert status == 1
    assert "the plan is stale: link eth0" in said
    assert "ip link add" not in said
    assert not cli.state_dir.exists()
    pod.inside.ip("link set eth0 mtu 1500")
    cli.ok("apply", plan, "--yes")
    state = tree(cli.state_dir)
    assert "is already wired: run podwire teardown" in cli.run("apply", plan, *words).err
    pod.inside.delete()
    assert "no network namespace at" in cli.run("apply", plan, *words).err
    assert tree(cli.state_dir) == state


@pytest.mark.parametrize("form", ["commands", "script", "markdown", "html", "svg"])
def test_a_format_of_plans_is_for_a_dry_run(cli: Cli, pod: Pod, plan: Path, wired: str, form: str) -> None:
    """What is really done is said as text or JSON; asked for anything else nothing is done."""
    before = dump(pod.inside)
    refusal = f"--format {form}: this format is for a plan, so it needs --dry-run"
    for words in (("apply", plan, "--yes"), ("teardown", wired, "--yes"), ("recover", wired)):
        assert cli.refused(*words, "--format", form) == refusal
    assert difference(before, dump(pod.inside)) == ""
    reverse = cli.ok("teardown", wired, "--dry-run", "--format", form)
    cli.ok("teardown", wired, "--yes")
    assert cli.ok("apply", plan, "--dry-run", "--format", form) == cli.ok("show", plan, "--format", form)
    assert reverse != ""


def test_where_nothing_would_be_run_a_page_is_empty(cli: Cli, wired: str) -> None:
    """What is said is for people, and so is not in what a shell or a browser gets."""
    for words, said in {
        ("recover", "--dry-run"): "nothing to recover: no wiring is half done",
        ("recover", wired, "--dry-run"): f"{wired}: nothing to recover: it is not half done",
        ("teardown", "--all", "--dry-run", "--state-dir", str(cli.folder)): "nothing is wired here",
    }.items():
        for form in ("commands", "html"):
            outcome = cli.run(*words, "--format", form)
            assert (outcome.rc, outcome.out, outcome.err) == (0, "", f"podwire: {said}\n")
        assert cli.ok(*words) == f"{said}\n"


def test_a_dry_run_says_who_would_notice_it(cli: Cli, pod: Pod, wired: str) -> None:
    """As the question does; in a document it has no place."""
    with Port.on_tap(pod.inside, "tap0"):
        assert cli.ok("teardown", wired, "--dry-run").splitlines()[-1].endswith("): it will lose its network")
        outcome = cli.run("teardown", wired, "--dry-run", "--json")
    assert json.loads(outcome.out)["id"] == wired
    assert outcome.err.endswith("): it will lose its network\n")


# --- failed: status 3 and 4 -------------------------------------------------------------------------------------------


def test_apply_that_fails_is_rolled_back(cli: Cli, pod: Pod, plan: Path) -> None:
    """Status 3, the command and what it said; the namespace is what it was, and can be wired once all is well."""
    before = dump(pod.inside)
    said = cli.refused("apply", plan, "--yes", env=cli.wrapper("ebtables-restore", FAILING), status=3)
    assert said.startswith("ebtables-restore --noflush failed: the table is locked; ")
    assert said.endswith(f"what was done was rolled back, {pod.inside.path} is as it was")
    assert difference(before, dump(pod.inside)) == ""
    assert cli.ok("list") == "nothing is wired here\n"
    cli.ok("apply", plan, "--yes")


def test_apply_that_fails_and_cannot_be_rolled_back_whole_is_half_done(cli: Cli, pod: Pod, shared_table: Path) -> None:
    """Status 4, what is left and what to do; that then works."""
    name, before = pod.inside.name, dump(pod.inside)
    cli.wrapper("ebtables-restore", fails_on("ebtables-restore", "*-D*"))
    broken = cli.wrapper("sysctl", fails_on("sysctl", "*br0*"))
    said = cli.refused("apply", shared_table, "--yes", env=broken, status=4)
    assert "the table is locked" in said
    assert f"podwire recover {name}" in said
    assert cli.json("list")[0]["state"] == "half-done"
    assert f"run podwire recover {name} first" in cli.refused("apply", shared_table, "--yes")
    assert cli.ok("recover").startswith(f"{name}: {pod.inside.path} is as it was before the wiring")
    assert difference(before, dump(pod.inside)) == ""


def test_teardown_that_fails_goes_on_and_keeps_the_state(cli: Cli, pod: Pod, shared_table: Path) -> None:
    """Status 4; all the rest is as it was, and once more finishes it."""
    name, before = pod.inside.name, dump(pod.inside)
    cli.ok("apply", shared_table, "--yes")
    broken = cli.wrapper("ebtables-restore", fails_on("ebtables-restore", "*-D*"))
    said = cli.refused("teardown", name, "--yes", env=broken, status=4)
    assert f"podwire recover {name}" in said
    assert "10.1.90.5/24" in pod.inside.ip("addr show eth0")
    assert "tap0" not in pod.inside.ip("link show")
    assert cli.json("list")[0]["state"] == "half-done"
    cli.ok("teardown", name, "--yes")
    assert difference(before, dump(pod.inside)) == ""


def test_teardown_by_the_namespace(cli: Cli, pod: Pod, wired: str) -> None:
    """By its name or path; also if it is gone, or another one is there under that name."""
    assert "nothing is wired in /run/netns/elsewhere" in cli.refused("teardown", "--netns", "elsewhere", "--yes")
    assert cli.json("teardown", "--netns", pod.inside.path, "--yes")[0]["outcome"] == "restored"
    assert "nothing is wired in" in cli.refused("teardown", "--netns", wired, "--yes")


def test_teardown_by_a_namespace_that_is_gone(cli: Cli, pod: Pod, wired: str) -> None:
    """What is recorded of it is forgotten."""
    pod.inside.delete()
    assert "its namespace is gone" in cli.ok("teardown", "--netns", wired, "--yes")
    assert cli.json("list") == []


def test_teardown_by_a_path_means_what_is_there_now(cli: Cli, pod: Pod, wired: str) -> None:
    """Another namespace under the name is not the one that was wired, which lives on under another name."""
    other = pod.inside.path.with_name(f"{wired}-moved")
    other.touch()
    run(["mount", "--bind", str(pod.inside.path), str(other)])
    try:
        pod.inside.delete()
        again = type(pod.inside).create(wired)
        assert f"nothing is wired in {again.path}" in cli.refused("teardown", "--netns", wired, "--yes")
        assert cli.json("teardown", "--netns", other, "--yes")[0]["outcome"] == "restored"
    finally:
        run(["ip", "netns", "del", other.name])
