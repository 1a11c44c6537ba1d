"""Completion and the man page: what shells and readers are told is what the parser knows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from executor.cli import main
from executor.cli.commands import COMMANDS
from executor.cli.manual import manual_page

PAGE = Path(__file__).parents[2] / "docs" / "podwire.8"


def complete(capsys: pytest.CaptureFixture[str], *words: str, state_dir: Path | None = None) -> list[str]:
    """Return the candidates for the last of ``words``."""
    where = [] if state_dir is None else ["--state-dir", str(state_dir)]
    assert main(["complete", *where, "--", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_first_word_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Every command is offered, and what shells ask is not."""
    assert set(complete(capsys, "")) == {*COMMANDS, "--help", "--version"}
    assert complete(capsys, "tear") == ["teardown"]


def test_options_and_their_words_are_offered(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the command that was typed, and the formats that it has."""
    assert complete(capsys, "plan", "--tap") == [
        "--tap-name",
        "--tap-owner",
        "--tap-queues",
        "--tap-vnet-hdr",
    ]
    assert complete(capsys, "show", "--format", "s") == ["script", "svg"]
    assert complete(capsys, "list", "--format", "") == ["json", "text"]


def test_ids_are_offered_where_one_is_wanted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Those of the state directory; a file left by an editor is none."""
    (tmp_path / "wirings").mkdir()
    for name in ("pod1.json", "web2.json", ".web2.json.swp"):
        (tmp_path / "wirings" / name).touch()
    assert complete(capsys, "teardown", "", state_dir=tmp_path) == ["pod1", "web2"]
    assert complete(capsys, "log", "w", state_dir=tmp_path) == ["web2"]


def test_what_is_there_already_is_not_offered_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One ID; behind ``--`` stands a program, which the shell knows; options before the command are passed over."""
    (tmp_path / "wirings").mkdir()
    (tmp_path / "wirings" / "pod1.json").touch()
    for words in (("log", "pod1", ""), ("teardown", "--yes", "pod1", ""), ("exec", "pod1", "--", "")):
        assert complete(capsys, *words, state_dir=tmp_path) == []
    assert complete(capsys, "--json", "teardown", "--timeout", "3", "", state_dir=tmp_path) == ["pod1"]
    for where in (["--state-dir", str(tmp_path), "check"], ["check", f"--state-dir={tmp_path}"]):
        assert complete(capsys, *where, "") == ["pod1"]
    assert complete(capsys, "--json", "tear") == complete(capsys, "--format", "json", "tear") == ["teardown"]
    assert complete(capsys, "--format", "h") == ["html"]
    assert "--yes" in complete(capsys, "--json", "teardown", "--")


def test_words_of_other_commands_and_of_values_are_offered(capsys: pytest.CaptureFixture[str]) -> None:
    """Of help, completion and guest --version; bash takes ``--wiring=tc`` apart, the others don't."""
    assert complete(capsys, "help", "tear") == ["teardown"]
    assert complete(capsys, "completion", "") == ["bash", "fish", "zsh"]
    assert complete(capsys, "guest", "pod1", "--version", "") == ["1", "2"]
    assert complete(capsys, "plan", "--wiring", "=") == ["bridge", "tc"]
    assert complete(capsys, "plan", "--wiring", "=", "t") == ["tc"]
    assert complete(capsys, "plan", "--wiring=t") == ["--wiring=tc"]


ZSH = """
fpath=({folder} $fpath); autoload -Uz compinit; compinit -D -u; podwire() {{ {python} -m executor "$@"; }}
compadd() {{ shift; print -rl -- "$@" }}
_files() {{ print files }}
words=(podwire tear); CURRENT=2; $_comps[podwire]
"""
FISH = "function podwire; {python} -m executor $argv; end; podwire completion fish | source; complete -C 'podwire {}'"


def test_zsh_completes_from_the_first_time_on() -> None:
    """As it is packaged, the file is the function."""
    folder = PAGE.parents[1] / "executor" / "cli" / "completions"
    assert run_shell("zsh", "-fc", ZSH.format(folder=folder, python=sys.executable)) == "teardown\n"


def test_fish_offers_files_only_where_podwire_knows_nothing() -> None:
    """Beside commands and formats they are in the way."""
    lines = {typed: FISH.replace("{}", typed).format(python=sys.executable) for typed in ("tear", "apply docs/podw")}
    assert run_shell("fish", "-c", lines["tear"]).split("\t")[0] == "teardown\n"
    assert "docs/podwire.8" in run_shell("fish", "-c", lines["apply docs/podw"])


def run_shell(*words: str) -> str:
    """Run a shell in the checkout, and return what it prints."""
    ran = subprocess.run(words, capture_output=True, text=True, check=False, cwd=PAGE.parents[1], timeout=60)
    assert ran.stderr == ""
    return ran.stdout


def test_nonsense_has_no_candidates(capsys: pytest.CaptureFixture[str]) -> None:
    """And no error: somebody is still typing."""
    assert complete(capsys, "nonsense", "--x") == []


def test_bash_takes_its_script_and_completes_with_it() -> None:
    """The real bash, with podwire's answers: it fills in what it was asked."""
    typed = (
        'source <("$0" -m executor completion bash); COMP_WORDS=(podwire tear); COMP_CWORD=1; '
        'podwire() { "$python" -m executor "$@"; }; python="$0"; _podwire; echo "${COMPREPLY[*]}"'
    )
    script = subprocess.run(
        ["bash", "-c", typed, sys.executable],
        capture_output=True,
        text=True,
        check=False,
        cwd=PAGE.parents[1],
        timeout=60,
    )
    assert (script.stdout, script.stderr) == ("teardown\n", "")


def test_the_man_page_in_the_repository_is_current() -> None:
    """``./dev man`` writes it again."""
    assert PAGE.read_text(encoding="utf-8") == manual_page()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_part_in_the_man_page(name: str) -> None:
    """With its options and an example, as --help has them."""
    part = manual_page().split(f'.SS "podwire {name}"')[1].split(".SS ")[0]
    assert f"podwire {name}" in part.replace("\\-", "-")
