"""Arguments that are wrong, help, and how little is loaded before anything is done."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import pytest

from tests.support import run
from tests.support.cli import PODWIRE, Cli, tree

JYTHON = "org"  # of org.python.core, which the standard library's copy asks for in vain

# Each command with everything it needs, so that only what is put in beside that is wrong.
WHOLE = {
    "facts": ("--netns", "pod1"),
    "plan": ("--result", "result.json", "--netns", "pod1"),
    "show": ("pod1.plan",),
    "apply": ("pod1.plan",),
    "teardown": ("pod1",),
    "list": (),
    "log": ("pod1",),
    "recover": ("pod1",),
    "check": ("pod1",),
    "confirm": ("pod1",),
    "dhcp": ("pod1",),
    "exec": ("pod1", "true"),
    "taps": ("pod1", "--socket", "taps.sock"),
    "gc": (),
    "guest": ("pod1.plan",),
    "completion": ("bash",),
}
COMMANDS = tuple(WHOLE)
# It needs no argument to begin, and stays.
STAYS = ("agent",)

MISSING = {
    "facts": "missing: --netns or --pid",
    "plan": "missing: --result, --netns or --pid",
    "show": "missing: ID|PLAN",
    "apply": "apply: give either a plan file, or --result and --netns",
    "teardown": "teardown: give either the ID of a wiring, or --netns, or --all",
    "check": "check: give either the ID of a wiring, or --all",
    "confirm": "missing: ID",
    "dhcp": "missing: ID",
    "exec": "missing: ID, PROGRAM",
    "taps": "missing: ID, --socket",
    "guest": "missing: ID|PLAN",
    "completion": "missing: SHELL",
}

WRONG = {
    "no command": ([], "a command is missing: facts, plan, "),
    "an unknown command": (["frobnicate"], "there is no command 'frobnicate': facts, plan, "),
    "an unknown option before the command": (["--verbose", "list"], "'--verbose' is unknown here (see podwire --help)"),
    "a folder for the agent": (
        ["agent", "--state-dir", "x"],
        "'--state-dir' is unknown here (see podwire agent --help)",
    ),
    "an option's value is missing": (["plan", "--result"], "--result: a value is missing (see podwire plan --help)"),
    "a value if there is none": (["list", "--json=yes"], "--json: it takes no value, but was given 'yes'"),
    "an unknown format": (["log", "--format", "yaml"], "--format: 'yaml' is not one of text, commands, "),
    "a format of another command": (["list", "--format", "script"], "--format: 'script' is not one of text, json"),
    "no time": (["facts", "--netns", "pod1", "--timeout", "soon"], "--timeout: 'soon' is not a time (such as 30,"),
    "time that is no number": (["facts", "--netns", "pod1", "--timeout", "nan"], "--timeout: 'nan' is not a time"),
    "time that runs backwards": (["facts", "--netns", "pod1", "--timeout", "-1"], "--timeout: '-1' is not a time"),
    "time without end": (["facts", "--netns", "pod1", "--timeout", "inf"], "--timeout: 'inf' is not a time"),
    "no time at all": (
        ["facts", "--netns", "pod1", "--timeout", "0"],
        "--timeout: '0' is not a positive time",
    ),
    "an abbreviated option": (
        ["plan", "--res", "r", "--netns", "pod1"],
        "'--res' is unknown here: did you mean --result?",
    ),
    "a line end": (["list", "a\nb"], r"'a\nb' is unknown here"),
    "what moves a terminal's cursor": (["list", "\x1b[2J"], r"'\x1b[2J' is unknown here"),
    "bytes that are no text": (["list", "\udcff"], r"'\udcff' is unknown here"),
    "a very long word": (["list", "x" * 100_000], "'xxxx"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_refused(cli: Cli, command: str) -> None:
    """In a sentence that names it and says where to look."""
    said = cli.refused(command, *WHOLE[command], "--nonsense")
    assert said == f"'--nonsense' is unknown here (see podwire {command} --help)"


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "exec"])
def test_an_argument_too_many_is_refused(cli: Cli, command: str) -> None:
    """The same way; of several the first. What exec runs may have any number."""
    words = [*WHOLE[command], "surplus", "and more"]
    said = cli.refused(command, *words)
    meant = ": did you mean podwire show 'surplus'?" if command == "list" else ""
    assert said == f"'surplus' is unknown here{meant} (see podwire {command} --help)" or "either" in said


@pytest.mark.parametrize(("command", "sentence"), MISSING.items(), ids=MISSING)
def test_a_missing_argument_is_named(cli: Cli, command: str, sentence: str) -> None:
    """And nothing is made of what is there."""
    assert cli.refused(command).startswith(sentence)
    assert tree(cli.state_dir) == {}


@pytest.mark.parametrize(("words", "sentence"), WRONG.values(), ids=WRONG)
def test_wrong_usage_is_refused(cli: Cli, words: list[str], sentence: str) -> None:
    """One sentence on one line, whatever was typed."""
    through = ("env",) if any(word.startswith("\udcff") for word in words) else ()
    assert cli.refused(*words, through=through).startswith(sentence)


# --- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_explains_itself(cli: Cli, command: str, option: str) -> None:
    """With an example, in less than a screen's width; other arguments don't matter."""
    text = cli.ok(command, *WHOLE[command], option)
    assert text.startswith(f"usage: podwire {command} [-h]")
    assert f"\n  podwire {command} " in text.replace(f"podwire {command}\n", f"podwire {command} \n")
    assert "--state-dir DIR" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_help_lists_commands_and_exit_statuses(cli: Cli) -> None:
    """Each with a few words."""
    text = cli.ok("--help")
    assert set(re.findall(r"^    ([a-z]+)(?=  +\S|$)", text, re.MULTILINE)) == {*COMMANDS, *STAYS}
    for command in COMMANDS:
        assert re.search(rf"^    {command}\s+\S+ \S+", text, re.MULTILINE), command
    for status in range(5):
        assert re.search(rf"^  {status}  \S+", text, re.MULTILINE), status


def test_the_examples_of_the_help_are_right(cli: Cli) -> None:
    """Their options are known to the command: they are refused for their files and ids, not for their usage."""
    for command in COMMANDS:
        examples = re.findall(r"^  podwire (.*)$", cli.ok(command, "--help"), re.MULTILINE)
        assert examples, command
        for example in examples:
            outcome = cli.run(*re.split(r" [|>] |   #", example)[0].split())
            assert "--help" not in outcome.err, example


def test_the_version_is_said(cli: Cli) -> None:
    """As the packages have it."""
    assert re.fullmatch(r"podwire \d+\.\d+\.\d+\n", cli.ok("--version"))


# --- what is loaded ---------------------------------------------------------------------------------------------------


def modules_loaded(cli: Cli, *words: str) -> set[str]:
    """Return the names of all modules that a run has loaded beside those that Python loads for itself."""
    return _loaded(cli, [*PODWIRE, *words]) - _loaded(cli, [sys.executable, "-c", "pass"])


def _loaded(cli: Cli, argv: Sequence[str]) -> set[str]:
    outcome = run(argv, env=cli.environment | {"PYTHONPROFILEIMPORTTIME": "1"})
    return {line.rsplit("|", 1)[1].strip() for line in outcome.err.splitlines() if line.startswith("import time:")}


def third_party(modules: set[str]) -> set[str]:
    """Return the packages among these modules that come neither with Python nor with podwire."""
    packages = {name.partition(".")[0] for name in modules}
    return {name for name in packages - {*sys.stdlib_module_names, "executor", "planner", JYTHON} if name[0] != "_"}


@pytest.mark.parametrize(
    "words", [["--version"], ["--help"], *([command, "--help"] for command in COMMANDS)], ids=" ".join
)
def test_help_and_version_load_no_third_party(cli: Cli, words: list[str]) -> None:
    """Nor half of the standard library."""
    modules = modules_loaded(cli, *words)
    assert third_party(modules) == set()
    assert not modules & {"typing", "json", "asyncio", "subprocess", "ipaddress"}


@pytest.mark.parametrize("words", [["list"], ["log"], ["list", "--json"]], ids=" ".join)
def test_looking_loads_neither_templates_nor_programs(cli: Cli, words: list[str]) -> None:
    """They are what takes long to load."""
    modules = modules_loaded(cli, *words)
    assert third_party(modules) <= {"attr", "attrs"}
    assert not modules & {"asyncio", "planner.plan.render", "executor.process.ip_batch"}


@pytest.mark.parametrize("words", ["list --json --format text", "--json log --format=text"])
def test_two_formats_contradict_each_other(cli: Cli, words: str) -> None:
    """Whichever is meant, the other one is not; the same one twice is."""
    outcome = cli.run(*words.split())
    assert (outcome.rc, "--json and --format text: give one of them" in outcome.err) == (1, True)
    assert cli.ok(*words.replace("text", "json").split()) == "[]\n"


def test_a_namespace_that_is_needed_is_named_in_two_ways(cli: Cli) -> None:
    """In the line of usage too; and an option alone is no command."""
    assert "(--netns NETNS | --pid PID)" in cli.ok("facts", "--help")
    assert "[--netns NETNS | --pid PID]" in " ".join(cli.ok("log", "--help").split())
    assert "only commands that were run in this namespace" in cli.ok("log", "--help")
    assert "a command is missing: facts, plan, " in cli.run("--json").err
    for words in (("exec", "pod1", "--json", "true"), ("completion", "bash", "--json")):
        assert "'--json' is unknown here" in cli.run(*words).err
