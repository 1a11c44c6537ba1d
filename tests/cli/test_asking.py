"""On a terminal podwire shows what it would do and asks; it goes on only after "yes"."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Cli
from tests.support.dumps import difference, dump
from tests.support.pods import Pod

QUESTION = 'Type "yes" to continue: '
REFUSAL = "podwire: not confirmed; nothing was changed\n"


@pytest.fixture
def plan(cli: Cli, pod: Pod, result: Path) -> Path:
    """Store the plan that wires the pod, and return the file."""
    file = cli.folder / "pod.plan"
    cli.ok("plan", "--result", result, "--netns", pod.inside.name, "-o", file)
    return file


def test_yes_goes_on(cli: Cli, pod: Pod, plan: Path) -> None:
    """Of apply and of teardown; each shows its own plan before it asks."""
    before, name = dump(pod.inside), pod.inside.name
    with cli.on_terminal("apply", plan) as terminal:
        shown = terminal.answer(QUESTION, "yes")
        status, said = terminal.end()
    assert (status, "bridge wiring" in shown, f"Do this in {pod.inside.path}? " in shown) == (0, True, True)
    assert f"wired {name}: " in said
    with cli.on_terminal("teardown", name) as terminal:
        shown = terminal.answer(QUESTION, "yes")
        status, said = terminal.end()
    assert (status, "teardown" in shown, f"Roll this back in {pod.inside.path}? " in shown) == (0, True, True)
    assert "is as it was before" in said
    assert difference(before, dump(pod.inside)) == ""


@pytest.mark.parametrize("answer", ["no", "", "y", "YES", "yes please", "ja", "\x1b[A", "\xff"], ids=ascii)
def test_anything_else_changes_nothing(cli: Cli, pod: Pod, plan: Path, answer: str) -> None:
    """Status 1."""
    before = dump(pod.inside)
    with cli.on_terminal("apply", plan) as terminal:
        terminal.answer(QUESTION, answer)
        status, said = terminal.end()
    assert (status, said.endswith(REFUSAL)) == (1, True), said
    assert difference(before, dump(pod.inside)) == ""
    assert not cli.state_dir.exists()


@pytest.mark.parametrize(
    ("key", "refusal"),
    [("\x04", REFUSAL), ("\x03", "podwire: interrupted; nothing was changed\n")],
    ids=["end of input", "interrupt"],
)
def test_leaving_the_question_changes_nothing(cli: Cli, pod: Pod, plan: Path, key: str, refusal: str) -> None:
    """What is said is on a line of its own."""
    before = dump(pod.inside)
    with cli.on_terminal("apply", plan) as terminal:
        terminal.type(QUESTION, key)
        status, said = terminal.end()
    assert (status, said.endswith(f"\n{refusal}")) == (1, True), said
    assert difference(before, dump(pod.inside)) == ""


def test_a_teardown_that_is_not_agreed_to_leaves_it_wired(cli: Cli, pod: Pod, plan: Path) -> None:
    """With --all too."""
    cli.ok("apply", plan, "--yes")
    pod.settle()
    wired = dump(pod.inside)
    for words in (("teardown", pod.inside.name), ("teardown", "--all")):
        with cli.on_terminal(*words) as terminal:
            terminal.answer(QUESTION, "no")
            status, said = terminal.end()
        assert (status, said.endswith("not confirmed; nothing was changed\n")) == (1, True)
    assert difference(wired, dump(pod.inside)) == ""
    assert cli.json("list")[0]["state"] == "wired"


def test_with_yes_nobody_is_asked(cli: Cli, plan: Path) -> None:
    """On a terminal either."""
    with cli.on_terminal("apply", plan, "--yes") as terminal:
        status, said = terminal.end()
    assert (status, QUESTION in said, said.startswith("wired ")) == (0, False, True)


def test_where_there_is_nothing_to_do_nobody_is_asked(cli: Cli, pod: Pod, result: Path) -> None:
    """The namespace is wired as wanted."""
    arguments = ("apply", "--result", result, "--netns", pod.inside.name)
    cli.ok(*arguments, "--yes")
    with cli.on_terminal(*arguments) as terminal:
        status, said = terminal.end()
    assert (status, said) == (0, f"{pod.inside.name} is already wired as requested: nothing to do\n")
