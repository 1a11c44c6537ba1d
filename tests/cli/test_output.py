"""What is printed, whoever reads it: a terminal, a pipe, a program, or nobody."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support import Namespace
from tests.support.cli import Cli, ended, sentence_in
from tests.support.dumps import difference, dump
from tests.support.pods import Pod, plain

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
DOCUMENTS = {
    "facts": "facts --netns {netns}",
    "show": "show {plan}",
    "show reverse": "show {plan} --reverse",
    "list": "list",
    "log": "log",
    "log of one": "log {netns}",
    "log reverse": "log --reverse",
    "teardown dry-run": "teardown {netns} --dry-run",
    "teardown all dry-run": "teardown --all --dry-run",
    "recover": "recover",
    "recover of one": "recover {netns}",
    "gc": "gc",
}


@pytest.fixture
def plan(cli: Cli, pod: Pod, result: Path) -> Path:
    """Store the plan that wires the pod, and return the file."""
    file = cli.folder / "pod.plan"
    cli.ok("plan", "--result", result, "--netns", pod.inside.name, "-o", file)
    return file


# --- colours ----------------------------------------------------------------------------------------------------------


def on_terminal(cli: Cli, plan: Path, **env: str) -> str:
    """Return what `podwire show` shows on a terminal."""
    with cli.on_terminal("show", plan, env=env) as terminal:
        status, shown = terminal.end()
    assert status == 0
    return shown


def test_a_terminal_gets_colours_and_nothing_else_does(cli: Cli, plan: Path) -> None:
    """They are all that differs, and come only in pairs."""
    plain, coloured = cli.ok("show", plan), on_terminal(cli, plan, COLUMNS="300")
    assert "\x1b" not in plain
    assert COLOUR.sub("", coloured) == plain
    marks = COLOUR.findall(coloured)
    assert {"\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[1m", "\x1b[2m"} <= set(marks)
    assert marks[1::2] == ["\x1b[0m"] * (len(marks) // 2)


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "TERM=dumb"])
def test_colours_can_be_declined(cli: Cli, plan: Path, env: dict[str, str]) -> None:
    """By https://no-color.org, and by a terminal that knows none."""
    assert on_terminal(cli, plan, COLUMNS="300", **env) == cli.ok("show", plan)


def test_an_empty_no_color_declines_nothing(cli: Cli, plan: Path) -> None:
    """So says https://no-color.org."""
    assert COLOUR.search(on_terminal(cli, plan, NO_COLOR=""))


# --- formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["commands", "script", "json", "markdown", "html", "svg"])
def test_documents_are_the_same_in_every_locale(cli: Cli, plan: Path, form: str) -> None:
    """A page says that it is UTF-8, a picture is nothing else; only text is in what the terminal has."""
    poor = {"PYTHONIOENCODING": "ascii"}
    with cli.started("show", plan, "--format", form, env=poor) as process:
        assert ended(process).out == cli.ok("show", plan, "--format", form)
    with cli.started("show", plan, env=poor) as process:
        assert " ? " in ended(process).out


def test_commands_are_lines_that_stand_alone(cli: Cli, pod: Pod, plan: Path) -> None:
    """One physical line each, with its nsenter, its input in front; as many as the plan has, and in its order."""
    lines = cli.ok("show", plan, "--format", "commands").splitlines()
    commands = json.loads(plan.read_text())["commands"]
    assert len(lines) == len(commands)
    for line, command in zip(lines, commands, strict=True):
        assert f"nsenter --net={pod.inside.path} {command['argv'][0]}" in line
        assert line.startswith("nsenter" if command["stdin"] is None else "printf '%s\\n' ")


def test_commands_run_by_hand_do_what_apply_does(cli: Cli, pod: Pod, plan: Path) -> None:
    """Forwards and, from the reverse, back: in a twin of the pod, which takes its place."""
    cli.ok("apply", plan, "--yes")
    pod.settle()  # the bridge notices its carrier a moment later
    applied = dump(pod.inside)
    pod.inside.delete()
    pod.host.delete()
    twin = plain(Namespace.create(pod.host.name), Namespace.create(pod.inside.name))
    before = dump(twin.inside)
    twin.host.run("sh", "-e", stdin=cli.ok("show", plan, "--format", "commands"))
    twin.settle()
    assert difference(applied, dump(twin.inside)) == ""
    twin.host.run("sh", "-e", stdin=cli.ok("show", plan, "--reverse", "--format", "commands"))
    twin.settle()  # nobody has waited for the end of address detection
    assert difference(before, dump(twin.inside)) == ""


def test_the_script_does_it_by_itself_and_refuses_a_second_time(cli: Cli, pod: Pod, plan: Path) -> None:
    """It looks first, and its reverse rolls it back."""
    before = dump(pod.inside)
    script = cli.file("do.sh", cli.ok("show", plan, "--format", "script"))
    back = cli.file("undo.sh", cli.ok("show", plan, "--reverse", "--format", "script"))
    pod.host.run("bash", str(script))
    assert "master br0" in pod.inside.ip("link show eth0")
    again = pod.host.run("bash", str(script), check=False)
    assert (again.rc, "refused" in again.err) == (1, True)
    pod.host.run("bash", str(back))
    assert difference(before, dump(pod.inside)) == ""


@pytest.mark.parametrize("line", DOCUMENTS.values(), ids=DOCUMENTS)
def test_json_is_the_same_as_format_json(cli: Cli, pod: Pod, plan: Path, line: str) -> None:
    """Everywhere; one document, in ASCII, so that no encoding can spoil it."""
    cli.ok("apply", plan, "--yes")
    words = [word.format(netns=pod.inside.name, plan=plan) for word in line.split()]
    short, long = cli.ok(*words, "--json"), cli.ok(*words, "--format", "json")
    assert short.isascii()
    assert without_time(short) == without_time(long)


def without_time(text: str) -> object:
    """Return a document less what moves by itself."""
    document = json.loads(text)
    if isinstance(document, dict):
        return {key: value for key, value in document.items() if key not in {"observed_at", "duration_ms"}}
    return document


# --- whoever reads ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["show {plan}", "show {plan} --json", "--help", "log --json"])
def test_a_reader_may_have_enough(cli: Cli, plan: Path, words: str) -> None:
    """A pipe to `head -1`, or one that nobody reads at all, is no failure."""
    line = 'set -o pipefail; "$@" | {reader}'
    for reader in ("head -1 >/dev/null", "true", "exec <&-"):
        through = ("bash", "-c", line.format(reader=reader), "bash")
        outcome = cli.run(*words.format(plan=plan).split(), through=through)
        assert (outcome.rc, outcome.err) == (0, ""), reader


@pytest.mark.parametrize("words", ["show {plan}", "list", "log", "--help", "--version", "plan --help"])
def test_a_full_disk_is_said(cli: Cli, plan: Path, words: str) -> None:
    """Status 1: what was asked for was not got."""
    through = ("bash", "-c", '"$@" >/dev/full', "bash")
    said = cli.refused(*words.format(plan=plan).split(), through=through)
    assert said == "standard output cannot be written: No space left on device"


def test_a_change_that_was_made_is_not_called_a_failure_for_its_output(cli: Cli, pod: Pod, plan: Path) -> None:
    """Status 0 and a sentence: whoever believed in status 1 would take nothing back."""
    outcome = cli.run("apply", plan, "--yes", through=("bash", "-c", '"$@" >/dev/full', "bash"))
    assert outcome.rc == 0
    assert {sentence_in(f"{line}\n") for line in outcome.err.splitlines()} == {
        "standard output cannot be written: No space left on device"
    }
    assert cli.json("list")[0]["state"] == "wired"
    outcome = cli.run("teardown", pod.inside.name, "--yes", "--json", through=("bash", "-c", '"$@" >/dev/full', "bash"))
    assert outcome.rc == 0
    assert cli.json("list") == []


def test_a_complaint_that_nobody_reads_changes_no_status(cli: Cli, pod: Pod, plan: Path) -> None:
    """Neither that of what was done, with each command said, nor that of a refusal."""
    through = ("bash", "-c", '"$@" 2>/dev/full', "bash")
    assert cli.run("apply", plan, "--yes", "--verbose", through=through).rc == 0
    assert cli.run("apply", cli.folder / "none", "--yes", through=through).rc == 1
    assert cli.run("teardown", pod.inside.name, "--yes", "--verbose", through=through).rc == 0
    assert cli.run("list", "--none", through=through).rc == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_harm_nothing(cli: Cli, pod: Pod, plan: Path, closed: str) -> None:
    """Least of all a file that would be opened in their place."""
    stored = plan.read_bytes()
    through = ("bash", "-c", f'"$@" {closed}', "bash")
    is_lost = "2" not in closed.partition(">&-")[0] and ">&-" in closed  # as on a full disk
    assert cli.run("show", plan, through=through).rc == int(is_lost)
    assert cli.run("apply", plan, "--yes", through=through).rc == 0
    assert cli.run("apply", plan, through=through).rc == 1
    assert cli.run("teardown", pod.inside.name, "--yes", through=through).rc == 0
    assert cli.run("plan", "--result", "-", "--netns", pod.inside.name, "-o", plan, through=through).rc == 1
    assert plan.read_bytes() == stored


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "utf-16"])
def test_any_encoding_will_do(cli: Cli, plan: Path, encoding: str) -> None:
    """What it lacks becomes a question mark."""
    through = (
        "env",
        f"PYTHONIOENCODING={encoding}",
        "LC_ALL=C",
        "sh",
        "-c",
        f'"$@" | iconv -f {encoding} -t utf-8',
        "sh",
    )
    outcome = cli.run("show", plan, through=through)
    assert (outcome.rc, outcome.err) == (0, "")
    assert "master none ? br0" in outcome.out or encoding == "utf-16"
