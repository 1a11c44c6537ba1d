"""list and log: what is wired here, and what was run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import MakeNamespace, Namespace
from tests.support.cli import Cli, sentence_in
from tests.support.pods import MAC, Pod, plain
from tests.support.ports import Port
from tests.support.preloaded import ROOT, Preloaded

LOG_KEYS = {"time", "id", "netns", "argv", "stdin", "rc", "stdout", "stderr", "duration_ms"}


def test_at_first_nothing_is_wired_and_nothing_was_run(cli: Cli) -> None:
    """Both say so, as documents too, and make nothing."""
    assert cli.ok("list") == "nothing is wired here\n"
    assert cli.ok("log").startswith("no matching commands")
    assert (cli.json("list"), cli.json("log")) == ([], [])
    assert cli.ok("log", "--format", "commands") == ""
    assert not cli.state_dir.exists()


def test_list_loads_no_third_party_where_nothing_is_wired(tmp_path: Path) -> None:
    """A host's monitoring may ask each minute, and most of the time would go into loading what is not needed."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from executor.cli import main; main(sys.argv[1:])"
    loaded = "print(sorted({'attr', 'jinja2', 'sh', 'typing', 'json'} & set(sys.modules)))"
    words = [sys.executable, "-I", "-S", "-c", f"{code}; {loaded}", "list", "--state-dir", str(tmp_path)]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    assert ran.stdout == "nothing is wired here\n[]\n"


def test_list_and_log_load_no_third_party(cli: Cli, pod: Pod) -> None:
    """What is recorded is read without the model and the templates, as long as nothing is planned."""
    cli.ok("apply", "--result", cli.result_of(pod), "--netns", pod.inside.name, "--yes")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from executor.cli import main; main(sys.argv[1:])"
    for verb, seldom in {
        "list": "'shutil', 'planner.formats'",
        "log": "'json.tool'",
    }.items():  # piped, list has no style
        loaded = f"print(sorted({{'attr', 'jinja2', 'sh', {seldom}}} & set(sys.modules)))"
        words = [sys.executable, "-I", "-S", "-c", f"{code}; {loaded}", verb, "--state-dir", str(cli.state_dir)]
        ran = subprocess.run(words, capture_output=True, text=True, check=True)
        assert pod.inside.name in ran.stdout
        assert ran.stdout.splitlines()[-1] == "[]"


def test_a_plan_of_a_plain_pod_loads_only_what_it_needs(cli: Cli, pod: Pod) -> None:
    """Most of the time of a first plan is loading: hardware, tc, what reads entries and what confirms a change wait."""
    seldom = (
        *("socket", "subprocess", "executor.state.record", "executor.operations.apply", "executor.observe.functions"),
        *(f"planner.kinds.{name}" for name in ("bpf", "driver", "qdisc", "tc_filter", "veth_end", "vf_link")),
        *("planner.wiring.tc", "planner.wiring.vf"),
    )
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from executor.cli import main; main(sys.argv[1:])"
    words = ["plan", "--result", str(cli.result_of(pod)), "--netns", pod.inside.name, "--state-dir", str(cli.state_dir)]
    look = f"print(sorted({set(seldom)!r} & set(sys.modules)))"
    argv = [sys.executable, "-I", "-c", f"{code}; {look}", *words]
    ran = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "to roll it back" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "[]"


def test_list_shows_each_wiring_and_its_state(cli: Cli, netns: MakeNamespace) -> None:
    """Wired or gone; half-done is shown by tests of failure and of recovery."""
    began = time.time()
    pods = [plain(netns("host"), netns(hint)) for hint in ("beta", "alpha")]
    for pod in pods:
        cli.ok("apply", "--result", cli.result_of(pod), "--netns", pod.inside.name, "--yes")
    pods[0].inside.delete()
    gone, wired = (pod.inside for pod in pods)
    rows = cli.json("list")
    assert [(row["id"], row["netns"], row["state"]) for row in rows] == [
        (wired.name, str(wired.path), "wired"),
        (gone.name, str(gone.path), "gone"),
    ]
    assert all({"id", "netns", "state", "applied_at"} <= row.keys() for row in rows)
    assert all(began < row["applied_at"] < time.time() for row in rows)
    heads, *lines = (line.split() for line in cli.ok("list").splitlines())
    assert heads == ["ID", "STATE", "APPLIED", "NAMESPACE"]
    assert [(line[0], line[1], line[-1]) for line in lines] == [
        (wired.name, "wired", str(wired.path)),
        (gone.name, "gone", str(gone.path)),
    ]


def test_a_wiring_is_shown_by_its_id(cli: Cli, pod: Pod, result: Path) -> None:
    """What is wired, for whom, since when, what its guest is told, who has it open, and whether it drifted."""
    name = pod.inside.name
    assert f"{name} was never wired here" in cli.refused("show", name)
    began = time.time()
    cli.ok("apply", "--result", result, "--netns", name, "--yes")
    lines = cli.ok("show", name).splitlines()
    assert lines[0].startswith(f"{name} · {pod.inside.path} · bridge wiring · wired, applied ")
    assert "the VM opens tap0 for eth0, by br0" in lines
    assert "guest of tap0: addresses 10.1.90.5/24" in lines
    assert lines[-1] == "no drift: everything is as it was applied"
    with Port.on_tap(pod.inside, "tap0"):
        (holder,) = cli.json("show", name)["holders"]
        assert (holder["tap"], holder["pid"]) == ("tap0", os.getpid())
    pod.inside.ip("link set br0 down")
    document = cli.json("show", name)
    assert (document["state"], document["drift"], document["wiring"]) == ("wired", 1, "bridge")
    assert began < document["applied_at"] < time.time()
    assert document["interfaces"][0]["guest"]["mac"] == MAC
    assert cli.ok("show", name).splitlines()[-1] == f"1 drifted: podwire check {name}"
    assert "back to before the wiring" in cli.ok("show", name, "--reverse").splitlines()[0]
    assert cli.ok("show", name, "--format", "svg").startswith("<svg")
    pod.inside.delete()
    assert "· gone, applied" in cli.ok("show", name)


def test_a_wide_list_has_the_taps(cli: Cli, pod: Pod, result: Path) -> None:
    """With the link and the guest's MAC."""
    cli.ok("apply", "--result", result, "--netns", pod.inside.name, "--yes")
    heads, line = cli.ok("list", "-o", "wide").splitlines()
    assert heads.split()[-2:] == ["WIRING", "VM"]
    assert line.endswith(f"bridge  tap0 for eth0 ({MAC})")
    (row,) = cli.json("list")
    assert (row["wiring"], row["taps"]) == ("bridge", [{"tap": "tap0", "link": "eth0", "mac": MAC}])
    with cli.on_terminal("list", "-o", "wide", env={"COLUMNS": "80", "NO_COLOR": "1"}) as terminal:
        shown = terminal.end()[1].splitlines()
    assert all(len(each) <= 80 for each in shown)
    assert " ".join(shown[1:]).split() == line.split() if len(shown) > 2 else shown[1] == line
    assert cli.ok("list", "--color", "always").startswith("\x1b[1mID")


def test_a_wiring_that_is_to_be_confirmed_is_shown_as_one(cli: Cli, pod: Pod) -> None:
    """Until when, and by which command: in show, list and their documents; confirmed, it is like any other."""
    name, began = pod.inside.name, time.time()
    cli.ok("apply", *cli.wiring(pod), "--yes", "--confirm-within", "600")
    sentence = re.compile(rf"rolled back at \d\d:\d\d:\d\d unless: podwire confirm {name}")
    assert sentence.fullmatch(cli.ok("show", name).splitlines()[-2])
    assert sentence.fullmatch(cli.ok("list").splitlines()[-1].removeprefix(f"{name}: "))
    for document in (cli.json("show", name), cli.json("list")[0]):
        assert began + 600 <= document["confirm_by"] <= time.time() + 600
    cli.ok("confirm", name)
    assert "confirm" not in cli.ok("show", name) + cli.ok("list")
    assert cli.json("show", name)["confirm_by"] is cli.json("list")[0]["confirm_by"] is None


def test_list_knows_the_state_directory_by_option_and_by_variable(cli: Cli, pod: Pod, result: Path) -> None:
    """The option wins."""
    other = cli.folder / "other"
    cli.ok("apply", "--result", result, "--netns", pod.inside.name, "--yes", "--state-dir", other)
    assert cli.ok("list") == "nothing is wired here\n"
    assert pod.inside.name in cli.ok("list", "--state-dir", other)
    assert pod.inside.name in cli.ok("list", env={"PODWIRE_STATE_DIR": str(other)})


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory, preloaded: Preloaded) -> Iterator[tuple[Cli, Pod]]:
    """Wire a pod and roll it back, once for all tests that read the log of it."""
    cli = Cli(tmp_path_factory.mktemp("past"), preloaded)
    with ExitStack() as stack:
        pod = plain(*(Namespace.create(f"past-{hint}") for hint in ("host", "pod")))
        for namespace in (pod.host, pod.inside):
            stack.callback(namespace.delete)
        cli.ok("apply", "--result", cli.result_of(pod), "--netns", pod.inside.name, "--yes")
        cli.ok("teardown", pod.inside.name, "--yes")
        yield cli, pod


def test_the_log_has_every_command_with_what_became_of_it(past: tuple[Cli, Pod]) -> None:
    """In the order in which they were run; those of the plan, and those of the rollback."""
    cli, pod = past
    records = cli.json("log")
    assert records == cli.json("log", pod.inside.name)
    assert all(record.keys() >= LOG_KEYS for record in records)
    assert {record["id"] for record in records} == {pod.inside.name}
    assert {(record["netns"], record["rc"]) for record in records} == {(str(pod.inside.path), 0)}
    assert [record["time"] for record in records] == sorted(record["time"] for record in records)
    assert all(record["duration_ms"] > 0 for record in records)
    programs = {record["argv"][0] for record in records}
    assert programs >= {"ip", "ebtables-restore", "sysctl"}
    restore = next(record for record in records if record["argv"][0] == "ebtables-restore")
    assert restore["stdin"].startswith("*filter\n-I INPUT -i eth0 -j DROP\n")
    assert {record["verb"] for record in records} == {"apply", "teardown"}


def test_the_log_as_text_says_when_where_and_how_it_went(past: tuple[Cli, Pod]) -> None:
    """A heading for each operation with what was asked, then a line a command, with its input and output."""
    cli, pod = past
    lines = cli.ok("log").splitlines()
    day = time.strftime("%Y-%m-%d", time.gmtime())
    heads = [line for line in lines if line and not line.startswith(" ")]
    assert [head.split("  ", 1)[1] for head in heads] == [
        f"apply {pod.inside.name} in {pod.inside.path}",
        f"teardown {pod.inside.name} in {pod.inside.path}",
    ]
    assert all(head.startswith(day) for head in heads)
    assert any(line.startswith(f"    podwire teardown {pod.inside.name} --yes") for line in lines)
    assert any(" ok " in line and line.endswith("ip link set dev eth0 master br0") for line in lines)
    assert "      | -I INPUT -i eth0 -j DROP" in lines


def test_the_log_as_commands_can_be_run_again(past: tuple[Cli, Pod]) -> None:
    """One line each, without a word around it; they are valid, and end if they began."""
    cli, pod = past
    before = pod.inside.ip("addr show eth0")
    commands = cli.ok("log", pod.inside.name, "--format", "commands")
    records = cli.json("log")
    assert len(commands.splitlines()) == len(records)
    pod.host.run("sh", "-e", stdin=commands)
    assert pod.inside.ip("addr show eth0") == before


def test_the_log_can_begin_with_the_newest(past: tuple[Cli, Pod]) -> None:
    """In every format."""
    cli, pod = past
    assert cli.json("log", pod.inside.name, "--reverse") == cli.json("log")[::-1]
    forward = cli.ok("log", "--format", "commands").splitlines()
    assert cli.ok("log", "--reverse", "--format", "commands").splitlines() == forward[::-1]
    first = next(line for line in cli.ok("log", "--reverse").splitlines() if line and not line.startswith(" "))
    assert " teardown " in first


def test_the_log_keeps_what_a_failed_command_said(cli: Cli, pod: Pod, result: Path) -> None:
    """Status and output of a command that made apply fail; what it printed cannot move the cursor of a terminal."""
    script = r"printf 'out\n'; printf 'a\033[31m\nb\n' >&2; exit 4"
    broken = cli.wrapper("ebtables-restore", script)
    cli.refused("apply", "--result", result, "--netns", pod.inside.name, "--yes", env=broken, status=3)
    failed = [record for record in cli.json("log") if record["rc"] != 0]
    assert [(record["rc"], record["stdout"], record["stderr"]) for record in failed] == [
        (4, "out\n", "a\x1b[31m\nb\n"),
    ]
    text = cli.ok("log")
    assert " rc 4 " in text
    assert "      > out\n      ! a�[31m\n      ! b\n" in text
    assert "\x1b" not in text


def test_the_log_of_an_id_that_was_never_used_is_refused(past: tuple[Cli, Pod]) -> None:
    """It may be a slip of the pen."""
    cli, _ = past
    assert cli.refused("log", "never").startswith("id: no command was ever run for never")


def test_a_torn_last_line_is_passed_over(past: tuple[Cli, Pod]) -> None:
    """Of a process that was killed while it wrote."""
    cli, pod = past
    records = cli.json("log")
    journal = next(cli.state_dir.glob("journal/*"))
    with journal.open("a") as file:
        file.write('{"time":17000000')
    assert cli.json("log", pod.inside.name) == records


def test_a_damaged_entry_is_said_in_one_sentence(cli: Cli, pod: Pod, result: Path) -> None:
    """Whatever somebody did to the file."""
    name = pod.inside.name
    cli.ok("apply", "--result", result, "--netns", name, "--yes")
    entry = next(cli.state_dir.glob("wirings/*"))
    whole = entry.read_text()
    for text in ("", "{", "[]", whole[:-40], whole.replace('"cookie":', '"cookies":'), json.dumps({"version": 99})):
        entry.write_text(text)
        assert name in cli.refused("list")
        assert name in cli.refused("teardown", name, "--yes")
    entry.write_text(whole)
    cli.ok("teardown", name, "--yes")


def test_a_damaged_entry_hides_no_other(cli: Cli, pod: Pod, result: Path) -> None:
    """The others are listed, recovered and collected, and can be wired; the damaged one is named, with status 1."""
    name = pod.inside.name
    damaged = cli.state_dir / "wirings" / "broken.json"
    cli.ok("apply", "--result", result, "--netns", name, "--yes")
    damaged.write_text("{")
    for verb in ("list", "recover", "gc"):
        done = cli.run(verb)
        assert done.rc == 1
        assert "broken is not JSON" in sentence_in(done.err)
    listed = cli.run("list", "--json")
    broken, whole = json.loads(listed.out)
    assert (broken["id"], broken["state"], broken["netns"], broken["applied_at"]) == ("broken", "damaged", None, None)
    assert broken["problem"] in listed.err
    assert (whole["id"], whole["state"], whole["problem"]) == (name, "wired", None)
    cli.ok("teardown", name, "--yes")
    cli.ok("apply", "--result", result, "--netns", name, "--yes")
    cli.ok("teardown", name, "--yes")


def test_a_refused_apply_leaves_nothing(cli: Cli, pod: Pod, result: Path) -> None:
    """No journal either, so that a slip of the pen is still one."""
    name = pod.inside.name
    plan = cli.folder / "pod.plan"
    cli.ok("plan", "--result", result, "--netns", name, "-o", plan)
    pod.inside.ip("link set eth0 mtu 1400")
    assert "stale" in cli.refused("apply", plan, "--yes")
    assert [path.name for path in cli.state_dir.rglob("*") if path.is_file()] == []
    assert "was never wired here" in cli.refused("teardown", name, "--yes")


def test_what_rolls_a_wiring_back_is_what_a_teardown_would_run(cli: Cli, pod: Pod) -> None:
    """Links that were renamed are called what they are called now, in every format."""
    name = pod.inside.name
    cli.ok("apply", *cli.wiring(pod), "--yes")
    for line in ("set eth0 down", "set eth0 name eth7", "set eth7 up"):
        pod.inside.ip(f"link {line}")
    for form in ("text", "commands", "json"):
        shown = cli.ok("show", name, "--reverse", "--format", form)
        assert shown == cli.ok("teardown", name, "--dry-run", "--format", form)
        assert "eth7" in shown
    pod.inside.delete()
    assert "is gone" in cli.ok("show", name, "--reverse")


def test_a_container_is_named_by_its_first_digits(cli: Cli, pod: Pod) -> None:
    """As crictl names it, by every command that takes an ID; an ambiguous one is refused, and no other name guessed."""
    container = "c0ffee" + "0123456789" * 5
    first = f"{container}aaaaaaaa-eth0"
    cli.ok("apply", *cli.wiring(pod), "--yes", "--id", first)
    for words in (
        ("show", "c0ffee0"),
        ("check", "c0ffee"),
        ("log", "c0ffee"),
        ("guest", "c0ffee"),
        ("recover", "c0ffee"),
    ):
        assert cli.ok(*words) == cli.ok(words[0], first)
    assert cli.ok("exec", "c0ffee", "--", "echo", "{tap0}") == "tap0\n"
    for none in ("c0ffe", "c0ffef", "C0FFEE"):
        assert f"{none} was never wired here" in cli.refused("check", none)
    second = f"{container}bbbbbbbb-eth0"
    (cli.state_dir / f"journal/{second}.jsonl").write_text("")
    assert cli.refused("check", "c0ffee") == f"id: c0ffee could be {first} or {second}"
    assert cli.ok("teardown", f"{container}a", "--yes").startswith(f"{first}: ")
    cli.ok("apply", *cli.wiring(pod), "--yes", "--id", "abcdef10")
    assert "abcdef1 was never wired here" in cli.refused("teardown", "abcdef1", "--yes")
