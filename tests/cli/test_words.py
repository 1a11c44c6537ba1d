"""Words that people try: understood, or the word that was meant is named. Next steps that work as they are printed."""

from __future__ import annotations

import json
import os
import pwd
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from executor.netns.namespace import Namespace
from executor.taps.open import open_tap
from planner.text.values import InterfaceName, NetnsPath
from tests.support import eventually
from tests.support.cli import Cli, sentence_in, tree
from tests.support.pods import Pod

MEANT = {
    "destroy": (["destroy", "pod1"], "there is no command 'destroy': did you mean podwire teardown?"),
    "status": (["status"], "there is no command 'status': did you mean podwire list?"),
    "a slip": (["aply"], "there is no command 'aply': did you mean podwire apply?"),
    "capitals": (["List"], "there is no command 'List': did you mean podwire list?"),
    "a slip in an option": (["plan", "--rsult", "r"], "'--rsult' is unknown here: did you mean --result?"),
    "another tool's option": (["apply", "pod1.plan", "--force"], "'--force' is unknown here: did you mean --yes?"),
    "one dash": (["plan", "-out=x"], "'-out=x' is unknown here: did you mean --output?"),
    "a value run together": (["plan", "-ox"], "'-ox' is unknown here"),
    "to roll back": (["rollback", "pod1"], "there is no command 'rollback': did you mean podwire teardown?"),
    "an option before the command": (
        ["--netns=pod1", "plan", "--result", "r"],
        "'--netns=pod1' comes after the command: podwire plan --netns … (see podwire --help)",
    ),
    "a slip before the command": (["--verson"], "'--verson' is unknown here: did you mean --version?"),
    "the version": (["-V"], "'-V' is unknown here: did you mean --version?"),
    "an option's value alone": (["plan", "r"], "'r' is unknown here: did you mean --result 'r'?"),
    "the next one's": (["plan", "--result", "r", "pod1"], "'pod1' is unknown here: did you mean --netns 'pod1'?"),
    "an option's value behind another's": (
        ["facts", "--format", "json", "pod1"],
        "'pod1' is unknown here: did you mean",
    ),
    "a wiring to list": (["list", "pod1"], "'pod1' is unknown here: did you mean podwire show 'pod1'?"),
    "a word too many": (["gc", "--force", "pod1"], "'pod1' is unknown here (see podwire gc --help)"),
    "no file": (["apply", "pod1", "-y"], "there is no file 'pod1': without a stored plan, use --result and --netns"),
    "neither file nor wiring": (["show", "pod1.plan"], "there is no file 'pod1.plan', and pod1.plan was never wired"),
    "no such help": (["help", "nothing"], "there is no command 'nothing': "),
}


@pytest.mark.parametrize(("words", "sentence"), MEANT.values(), ids=MEANT)
def test_what_was_meant_is_named(cli: Cli, words: list[str], sentence: str) -> None:
    """And nothing is done, nor written."""
    assert cli.refused(*words).startswith(sentence)
    assert [path.name for path in cli.folder.iterdir()] == []


def test_documents_are_told_apart(cli: Cli, pod: Pod, result: Path) -> None:
    """Each is called what it is where another is wanted, with the option that takes it."""
    plan, words = cli.folder / "pod1.plan", ("plan", "--netns", pod.inside.name, "--result")
    cli.ok(*words, result, "-o", plan)
    facts = cli.file("facts.json", cli.ok("facts", "--netns", pod.inside.name))
    assert cli.refused(*words, plan).startswith(
        "result: this is a podwire plan; pass it to podwire apply or podwire show"
    )
    assert cli.refused(*words, facts) == "result: this is the output of podwire facts; pass it with --facts"
    for command in ("show", "apply"):
        assert cli.refused(command, result).startswith("plan: this is a CNI result, not a plan; ")
        assert cli.refused(command, facts).startswith("plan: this is the output of podwire facts, not a plan; ")


def test_help_is_a_word_too(cli: Cli) -> None:
    """The same page as the option's."""
    assert cli.ok("help", "plan") == cli.ok("plan", "--help")
    assert cli.ok("help") == cli.ok("--help")


def test_options_of_every_command_may_come_first(cli: Cli) -> None:
    """With their values, joined or not."""
    assert cli.json("list") == json.loads(cli.ok("list", "-o", "json")) == []
    for words in (["--json"], ["--format", "json"], ["--format=json"], ["--state-dir", "elsewhere", "--json"]):
        assert json.loads(cli.ok(*words, "list")) == []


def test_short_options_may_be_run_together(cli: Cli, pod: Pod, result: Path) -> None:
    """-yq: wired, and not a word about it; -v: each command on standard error."""
    name = pod.inside.name
    assert cli.ok("apply", "--result", result, "--netns", name, "-yq") == ""
    outcome = cli.run("teardown", name, "-y", "-v")
    assert outcome.rc == 0
    commands = [record["argv"] for record in cli.json("log", name) if record["verb"] == "teardown"]
    said = re.findall(r"^ +\d+  (.*)  \d+\.\d ms$", outcome.err, re.MULTILINE)
    assert sorted(said) == sorted(map(shlex.join, commands))


def test_apply_can_be_looked_at_first(cli: Cli, pod: Pod, result: Path) -> None:
    """As teardown can."""
    words = ("--result", result, "--netns", pod.inside.name)
    assert cli.ok("apply", *words, "-n").splitlines()[0].startswith(f"podwire plan {pod.inside.name} ")
    assert len(cli.json("apply", *words, "--dry-run")["commands"]) > 0
    assert cli.json("list") == []


def test_colours_are_as_wished(cli: Cli, pod: Pod, result: Path) -> None:
    """Also if standard output is no terminal, and none if it is one."""
    words = ("plan", "--result", result, "--netns", pod.inside.name)
    assert "\x1b[" in cli.ok(*words, "--color", "always")
    assert "\x1b[" not in cli.ok(*words)
    with cli.on_terminal(*words, "--color", "never", "--summary") as terminal:
        status, said = terminal.end()
    assert (status, "\x1b[3" in said, "to roll it back" in said) == (0, False, True)


def test_a_namespace_is_named_by_a_process(cli: Cli, pod: Pod) -> None:
    """Either way, once; a number that is no namespace's name leads there."""
    inside = ("nsenter", f"--net={pod.inside.path}", "sleep", "60")
    with subprocess.Popen(inside, stdout=subprocess.DEVNULL) as process:
        eventually(lambda: Path(f"/proc/{process.pid}/ns/net").stat().st_ino == pod.inside.path.stat().st_ino, "sleep")
        links = cli.json("facts", "--pid", str(process.pid))["links"]
        process.kill()
    assert links == cli.json("facts", "--netns", pod.inside.name)["links"]
    assert "--pid: not allowed with argument --netns" in cli.refused("facts", "--netns", "pod1", "--pid", "1")
    assert cli.refused("facts", "--pid", "x") == "--pid: 'x' is not a process ID (see podwire facts --help)"
    assert cli.refused("facts", "--netns", "4194303").endswith(
        "; for the namespace of process 4194303 use --pid 4194303"
    )


def test_the_owner_of_taps_may_be_a_name(cli: Cli, pod: Pod, result: Path) -> None:
    """Of this machine; for another one it has to be a number."""
    words = ("plan", "--result", result, "--netns", pod.inside.name)
    daemon = pwd.getpwnam("daemon")
    assert cli.json(*words, "--tap-owner", "daemon:daemon")["options"]["tap_owner"] == daemon.pw_uid
    assert (
        cli.refused(*words, "--tap-owner", "nobody-here") == "--tap-owner: there is no user or group nobody-here here"
    )
    facts = cli.file("facts.json", cli.ok("facts", "--netns", pod.inside.name))
    assert "give numbers" in cli.refused(*words, "--facts", facts, "--tap-owner", "daemon")


def test_the_log_takes_the_times_that_it_prints(cli: Cli, pod: Pod, result: Path) -> None:
    """Those of its text, and those of its script; and it may be cut."""
    name = pod.inside.name
    cli.ok("apply", "--result", result, "--netns", name, "--yes")
    everything = cli.json("log", name)
    first = cli.ok("log", name)[:19]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", first)
    assert cli.json("log", name, "--since", first) == everything
    stamp = re.findall(r"^# (\d{4}-.* UTC) ", cli.ok("log", name, "--format", "script"), re.MULTILINE)[-1]
    late = cli.json("log", name, "--since", stamp)
    assert (late[-1], everything[0] in late) == (everything[-1], False)
    assert cli.json("log", name, "--tail", "2") == everything[-2:]


def test_next_steps_work_as_they_are(cli: Cli, pod: Pod, result: Path) -> None:
    """They name the file that was written, and the state directory that was."""
    name, elsewhere = pod.inside.name, cli.folder / "other state"
    file = cli.folder / "a plan"
    said = cli.ok("plan", "--result", result, "--netns", name, "-o", file)
    step = re.search(r"podwire show (.*) --reverse", said)
    assert step is not None
    assert shlex.split(step[1]) == [str(file)]
    said = cli.ok("apply", file, "--yes", "--state-dir", elsewhere)
    step = re.search(r"^before calling the CNI plugin's DEL, run: podwire (.*)$", said, re.MULTILINE)
    assert step is not None
    assert cli.ok(*shlex.split(step[1]), "--yes").startswith(f"{name}: ")
    assert cli.json("list", "--state-dir", elsewhere) == []
    assert f"podwire list --state-dir '{elsewhere}' shows" in cli.refused("teardown", "pod9", "--state-dir", elsewhere)


def test_errors_are_documents_where_documents_are_wanted(cli: Cli) -> None:
    """Beside the sentence: what kind it is, and the exit status."""
    for words, kind in (
        (["teardown", "pod9", "--yes"], "invalid-input"),
        (["facts", "--netns", "pod9"], "namespace-gone"),
        (["plan", "--nonsense"], "usage"),
    ):
        outcome = cli.run(*words, "--json")
        document = json.loads(outcome.out)
        assert (outcome.rc, document["exit_status"], document["kind"]) == (1, 1, kind)
        assert document["error"] == sentence_in(outcome.err)


def test_who_has_a_tap_open_is_said_before_it_goes(cli: Cli, pod: Pod, result: Path) -> None:
    """A VM would lose its network: that is known before the answer, not after it."""
    name = pod.inside.name
    cli.ok("apply", "--result", result, "--netns", name, "--yes")
    with Namespace.open(NetnsPath(str(pod.inside.path))) as namespace:
        held = open_tap(InterfaceName("tap0"), namespace=namespace)
    try:
        with cli.on_terminal("teardown", name) as terminal:
            shown = terminal.answer("to continue: ", "no")
            terminal.end()
    finally:
        for descriptor in held:
            os.close(descriptor)
    assert f"tap0 is open in process {os.getpid()} (" in shown
    assert "): it will lose its network" in shown


def test_times_have_the_same_units_everywhere(cli: Cli) -> None:
    """Seconds, minutes, hours and days; a limit is at most a day."""
    for time in ("1", "1.5", "90s", "2m", "1h", "1.5h"):
        assert cli.ok("recover", "--lock-timeout", time) == "nothing to recover: no wiring is half done\n"
        if time[-1].isalpha():
            assert cli.json("log", "--since", time) == []
    for time in ("2d", "-1", "1w", "h", "nan", "1e9s"):
        assert "is not a time (such as 30, 1.5, 2m or 1h)" in cli.refused("recover", f"--lock-timeout={time}")
    for time in ("90", "1e300d", "nans", "-1h"):
        assert "is neither an age" in cli.refused("log", f"--since={time}")


def test_what_is_not_there_is_said_of_a_folder_that_was_named(cli: Cli) -> None:
    """A slip of the pen looks like a host where nothing is wired; the default folder is made by the first apply."""
    typo = cli.folder / "typo"
    for words, said in {
        ("list",): "nothing is wired here",
        ("log",): "no matching commands",
        ("recover",): "nothing to recover: no wiring is half done",
        ("teardown", "--all", "--yes"): "nothing is wired here",
        ("check", "--all"): "nothing is wired here",
        ("gc",): "nothing to remove: no namespace is known to be gone",
    }.items():
        assert cli.ok(*words) == f"{said}\n"
        assert cli.ok(*words, "--state-dir", typo) == f"{said}: there is no state directory '{typo}'\n"
    assert not typo.exists()


def test_a_folder_that_was_removed_under_podwire_is_said_to_be_gone(cli: Cli) -> None:
    """Nothing else of the machine is missing."""
    (cli.folder / "here").mkdir()
    through = ("sh", "-c", f'cd {cli.folder}/here && rmdir ../here && exec "$@"', "sh")
    said = cli.refused("list", "--state-dir", "relative", through=through)
    assert said == "the current directory no longer exists: change to another one"


def test_a_mark_at_the_beginning_of_a_document_is_passed_over(cli: Cli, pod: Pod) -> None:
    """Editors of another system put it there."""
    marked = cli.folder / "marked.json"
    marked.write_bytes(b"\xef\xbb\xbf" + json.dumps(pod.result).encode())
    assert cli.json("plan", "--result", marked, "--netns", pod.inside.name)["changes"]
    facts = cli.file("facts", "")
    said = cli.refused("plan", "--result", marked, "--netns", pod.inside.name, "--facts", facts)
    assert said == f"the facts '{facts}' are empty"


def test_what_went_well_need_not_be_said(cli: Cli, pod: Pod) -> None:
    """By check, confirm and gc either; and recover takes the --yes that others want."""
    name = pod.inside.name
    cli.ok("apply", *cli.wiring(pod), "--yes", "--confirm-within", "1h")
    assert cli.ok("confirm", name, "--quiet") == ""
    assert cli.ok("confirm", name, "-q") == f"{name}: it was not waiting to be confirmed\n"
    assert cli.ok("check", name, "-q") == cli.ok("check", "--all", "-q") == ""
    assert cli.ok("gc", "--quiet") == cli.ok("recover", "--yes", "--quiet") == ""
    pod.inside.ip("link set br0 down")
    assert "br0" in cli.run("check", name, "-q").out
    assert cli.ok("check", name, "--fix", "--yes", "-q") == ""


def test_gc_can_be_looked_at_first(cli: Cli, pod: Pod) -> None:
    """What it would forget is still there then."""
    name = pod.inside.name
    cli.ok("apply", *cli.wiring(pod), "--yes")
    assert cli.ok("gc", "--dry-run") == "nothing to remove: no namespace is known to be gone\n"
    pod.inside.delete()
    state = tree(cli.state_dir)
    assert cli.ok("gc", "-n") == f"{name}: its record would be removed: its namespace no longer exists\n"
    assert tree(cli.state_dir) == state
    assert cli.ok("gc").startswith(f"{name}: record removed: its namespace no longer exists")


def test_a_dry_run_can_be_short(cli: Cli, pod: Pod) -> None:
    """As a plan can, both ways."""
    assert "ip link" not in cli.ok("apply", *cli.wiring(pod), "--dry-run", "--summary")
    cli.ok("apply", *cli.wiring(pod), "--yes")
    short = cli.ok("teardown", pod.inside.name, "--dry-run", "--summary")
    assert ("ip link" in short, "3 to remove" in short) == (False, True)


def test_the_document_of_a_repair_has_what_was_repaired(cli: Cli, pod: Pod) -> None:
    """And nothing that drifted, since nothing does; whoever repairs is not told how."""
    name = pod.inside.name
    cli.ok("apply", *cli.wiring(pod), "--yes")
    pod.inside.ip("link set br0 down")
    assert f"(podwire check {name} --fix)" in cli.run("check", name).out
    with cli.on_terminal("check", name, "--fix") as terminal:
        assert "--fix)" not in terminal.answer("continue: ", "no")
        terminal.end()
    assert cli.refused("check", name, "--fix").endswith("use --yes, or run without --fix")
    document = cli.json("check", name, "--fix", "--yes")
    assert (document["outcome"], document["drift"], len(document["repaired"])) == ("repaired", [], 1)


def test_a_wiring_is_named_once_in_a_sentence(cli: Cli, pod: Pod) -> None:
    """Also where several are looked at."""
    name = pod.inside.name
    cli.ok("apply", *cli.wiring(pod), "--yes")
    entry = cli.state_dir / f"wirings/{name}.json"
    entry.write_text(
        entry.read_text()
        .replace('"status":"wired"', '"status":"applying"')
        .replace('"status": "wired"', '"status": "applying"')
    )
    assert cli.run("check", "--all").err == f"podwire: {name} is half done: run podwire recover {name} first\n"
