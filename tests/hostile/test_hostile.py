"""Whatever podwire is fed with: status 1, one sentence, no traceback, and nothing is changed."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field

from executor.templates import load_templates
from planner.errors import InvalidInput
from planner.plan.plan import Plan, parse_plan, plan_to_json, with_changes
from tests.hostile.cases import CASES, FACTS_CHANGES, STATE_CHANGES, STATE_PLAN_CHANGES, Case, changed, lay_out, write
from tests.support import Namespace, Outcome
from tests.support.cli import Cli
from tests.support.dumps import Dump, difference, dump
from tests.support.pods import plain
from tests.support.preloaded import Preloaded

Json = dict[str, Any]


@define
class Target:
    """A pod that nothing may be changed in, the files that wire it, and the state entry that it once had."""

    inside: Namespace
    cli: Cli
    before: Dump = field(repr=False)
    glance: str = field(repr=False)
    entry: Json = field(repr=False)
    half_done: Json = field(repr=False)

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.cli.folder

    @property
    def plan(self) -> Json:
        """The plan that wires it."""
        return json.loads((self.folder / "plan").read_text())  # type: ignore[no-any-return]

    @property
    def facts(self) -> Json:
        """Its facts."""
        return json.loads((self.folder / "facts").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, preloaded: Preloaded) -> Iterator[Target]:
    """Make the pod once for all, wire it and roll it back."""
    cli = Cli(tmp_path_factory.mktemp("target"), preloaded)
    folder = cli.folder
    host, inside = Namespace.create("hostile-host"), Namespace.create("pod")
    try:
        pod = plain(host, inside)
        before = dump(inside)
        cli.file("result", pod.result)
        cli.ok("plan", "--result", folder / "result", "--netns", "pod", "-o", folder / "plan")
        cli.file("facts", cli.ok("facts", "--netns", "pod"))
        cli.ok("apply", folder / "plan", "--yes")
        entry = json.loads((folder / "state/wirings/pod.json").read_text())
        cli.ok("teardown", "pod", "--yes")
        assert difference(before, dump(inside)) == ""
        yield Target(inside, cli, before, glance(inside), entry, entry | {"status": "applying"})
        assert difference(before, dump(inside)) == ""
    finally:
        inside.delete()
        host.delete()


def tree(folder: Path) -> dict[str, object]:
    """Return what a folder holds; links aren't followed, and an empty journal says nothing."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path)] = path.readlink()
        elif path.is_file() and path.stat().st_size:
            found[str(path)] = (path.stat().st_size, path.stat().st_mtime_ns)
    return found


def see_that_it_is_refused(outcome: Outcome, says: str = "") -> None:
    """See that it is status 1, nothing on standard output, and one sentence without a traceback."""
    assert outcome.rc == 1, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("podwire: ")
    assert outcome.err.endswith("\n")
    assert outcome.err[:-1].isprintable(), outcome
    assert len(outcome.err) < 1500, outcome
    assert "Traceback" not in outcome.err
    assert "this is a bug" not in outcome.err
    assert says in outcome.err


def refuse(target: Target, words: list[str], folder: Path, env: dict[str, str], says: str = "") -> None:
    """Run it, and see that it is refused and that nothing has changed: neither pod, nor state, nor files."""
    cli = evolve(target.cli, folder=folder)
    files = tree(folder)
    guarded = [Path("/etc/passwd").stat().st_mtime_ns, sorted(Path("/run/netns").iterdir())]
    outcome = cli.run(*words, env=env)
    is_as_it_was = glance(target.inside) == target.glance
    if not is_as_it_was:  # or all the others would fail too
        cli.run("teardown", "pod", "--yes", env=env)
    see_that_it_is_refused(outcome, says)
    assert is_as_it_was, outcome
    assert tree(folder) == files
    assert guarded == [Path("/etc/passwd").stat().st_mtime_ns, sorted(Path("/run/netns").iterdir())]


def glance(inside: Namespace) -> str:
    """Return what a single `ip` tells of a namespace; the whole dump is compared when all is over."""
    questions = ("link show", "addr show", "route show table all", "neigh show nud permanent")
    return inside.run("ip", "-o", "-batch", "-", stdin="\n".join(questions)).out


def filled(text: str, target: Target, folder: Path) -> str:
    """Put in the names of files, and of the namespace."""
    for name in ("result", "plan"):
        text = text.replace(f"{{{name}}}", str(target.folder / name))
    for name in ("f", "loop", "fifo", "folder", "state"):
        text = text.replace(f"{{{name}}}", str(folder / name))
    return text.replace("{netns}", "pod")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a folder with a link that leads to itself, a pipe that nobody writes to, and a folder."""
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    return tmp_path


def test_there_are_many() -> None:
    """At least 150, and no two of the same name."""
    assert len({case.id for case in CASES}) == len(CASES) > 400


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_hostile_input_is_refused(target: Target, place: Path, case: Case) -> None:
    """Each by itself."""
    for name, content in case.files.items():
        write(place / name, content)
    if case.prepare is not None:
        case.prepare(place / "state")
    words = [filled(word, target, place) for word in case.words]
    env = {name: filled(text, target, place) for name, text in case.env.items()}
    refuse(target, words, place, env, case.says)


# --- documents of podwire's own, edited -------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "value"), FACTS_CHANGES, ids=lambda value: str(value)[:40])
def test_edited_facts_are_refused(target: Target, place: Path, path: str, value: object) -> None:
    """By the path of what is wrong."""
    write(place / "f", changed(target.facts, path, value))
    words = ["plan", "--result", "{result}", "--netns", "pod", "--facts", "{f}"]
    refuse(target, [filled(word, target, place) for word in words], place, {})


@pytest.mark.parametrize("number", ["1e999", "-1e999"])
def test_numbers_that_become_infinite_are_refused(target: Target, place: Path, number: str) -> None:
    """JSON has no infinity, but Python reads one from this."""
    text = json.dumps(changed(target.facts, "observed_at", "NUMBER")).replace('"NUMBER"', number)
    write(place / "f", text)
    words = ["plan", "--result", "{result}", "--netns", "pod", "--facts", "{f}"]
    refuse(target, [filled(word, target, place) for word in words], place, {})
    lay_out(place / "state")
    for key in ("applied_at", "confirm_by"):
        text = json.dumps(changed(target.entry, key, "NUMBER")).replace('"NUMBER"', number)
        write(place / "state/wirings/pod.json", text)
        refuse(target, ["list"], place, {})
    line = '{"time":NUMBER,"event":"running","number":1,"argv":["ip"],"netns":null,"stdin":null}'.replace(
        "NUMBER", number
    )
    (place / "state/wirings/pod.json").unlink()
    write(place / "state/journal/pod.jsonl", line)
    assert evolve(target.cli, folder=place).json("log") == []


@pytest.mark.parametrize("time", [1e18, -1e18, 253402300800 * 1000])
def test_times_that_no_calendar_has_are_shown_or_refused(target: Target, place: Path, time: float) -> None:
    """Never a bug: list and log end with 0 or 1, and a sentence."""
    lay_out(place / "state")
    write(place / "state/wirings/pod.json", changed(target.entry, "applied_at", time))
    line = {"time": time, "event": "running", "number": 1, "argv": ["ip"], "netns": None, "stdin": None}
    write(place / "state/journal/pod.jsonl", json.dumps(line))
    for words in (["list"], ["log", "pod"], ["log"]):
        outcome = evolve(target.cli, folder=place).run(*words)
        assert "bug" not in outcome.err, outcome
        assert outcome.rc in (0, 1)


@pytest.mark.parametrize("verb", ["list", "teardown", "recover", "gc", "confirm", "apply"])
@pytest.mark.parametrize(("path", "value"), STATE_CHANGES, ids=lambda value: str(value)[:40])
def test_edited_state_is_refused(target: Target, place: Path, path: str, value: object, verb: str) -> None:
    """By whoever reads it; podwire never acts on an entry that it did not write."""
    lay_out(place / "state")
    write(place / "state/wirings/pod.json", changed(target.half_done, path, value))
    words = {
        "teardown": ["teardown", "pod", "--yes"],
        "confirm": ["confirm", "pod"],
        "apply": ["apply", str(target.folder / "plan"), "--yes"],
    }.get(verb, [verb])
    refuse(target, words, place, {})


@pytest.mark.parametrize("words", ["teardown pod --yes", "teardown --all --yes", "recover", "recover pod --forward"])
@pytest.mark.parametrize(("path", "value"), STATE_PLAN_CHANGES, ids=lambda value: str(value)[:40])
def test_an_edited_plan_in_the_state_is_refused(
    target: Target, place: Path, path: str, value: object, words: str
) -> None:
    """As one in a file is."""
    lay_out(place / "state")
    write(place / "state/wirings/pod.json", changed(target.half_done, path, value))
    refuse(target, words.split(), place, {})


@pytest.mark.parametrize(
    "text",
    ["\n", "\0" * 1000, "{", '{"event":', "hello\n", '"event"\n', "[[[[\n", "\x1b[2J\n", '{"event":"x"}\n' * 1000],
)
def test_torn_and_foreign_lines_of_a_journal_are_passed_over(place: Path, preloaded: Preloaded, text: str) -> None:
    """They are what a crash leaves."""
    lay_out(place / "state")
    write(place / "state/journal/pod.jsonl", text.encode())
    outcome = Cli(place, preloaded).run("log", "pod", "--json")
    assert (outcome.rc, outcome.err, json.loads(outcome.out)) == (0, "", [])


@pytest.mark.parametrize("form", ["text", "commands", "json"])
def test_a_log_does_not_reach_the_terminal_with_what_moves_its_cursor(
    place: Path, preloaded: Preloaded, form: str
) -> None:
    """Whatever is in the journal."""
    lay_out(place / "state")
    evil = "\x1b[2J\x1b]0;x\x07\r\x9b"
    lines: list[Json] = [
        {"time": 1, "event": "began", "verb": evil, "id": evil, "netns": evil, "asked": evil},
        {"time": 1, "event": "running", "number": 1, "argv": ["ip", evil], "netns": f"/run/{evil}", "stdin": evil},
        {"time": 1, "event": "ran", "number": 1, "rc": 0, "stdout": evil, "stderr": evil, "duration_ms": 1},
    ]
    write(place / "state/journal/pod.jsonl", "\n".join(map(json.dumps, lines)))
    outcome = Cli(place, preloaded).run("log", "--format", form)
    assert outcome.rc in (0, 1), outcome
    for sign in ("\x1b", "\x07", "\r", "\x9b"):
        assert sign not in outcome.out + outcome.err, form


# --- plan files -------------------------------------------------------------------------------------------------------


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every element of a document."""
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield (*path, key)
            yield from leaves(item, (*path, key))


def edited(plan: Json, path: tuple[str | int, ...]) -> Json:
    """Return the plan with one element changed into another of its type."""
    found = copy.deepcopy(plan)
    target: Any = found
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = other(target[path[-1]])
    return found


def other(value: Any) -> Any:
    """Return another value, as alike as can be."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, str):
        return value[:-1] + ("1" if value[-1:] != "1" else "2")
    if isinstance(value, list):
        return value[:-1] if value else ["1"]
    if isinstance(value, dict):
        return dict(list(value.items())[:-1]) if value else {"a": 1}
    return "1"


def with_checksum(plan: Json) -> Json:
    """Return the plan with the checksum that it should have."""
    rest = {key: value for key, value in plan.items() if key != "checksum"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return rest | {"checksum": f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"}


def read(plan: Json) -> Plan | str:
    """Return the plan that a document holds, or the sentence that refuses it, as `show` reads one."""
    try:
        return parse_plan(json.dumps(plan).encode(), load_templates())
    except InvalidInput as error:
        return str(error)


def test_a_plan_edited_anywhere_is_refused(target: Target, place: Path) -> None:
    """Each element of the document: its checksum is wrong. One in fifty by the command, which says so in one line."""
    plan = target.plan
    everywhere = list(leaves(plan))
    accepted = []
    for number, path in enumerate(everywhere):
        document = edited(plan, path)
        said = read(document)
        if not isinstance(said, str) or "\n" in said:
            accepted.append(path)
        if number % 50 == 0:
            write(place / "f", document)
            outcome = evolve(target.cli, folder=place).run("show", place / "f")
            assert (outcome.rc, outcome.err) == (1, f"podwire: {said}\n"), outcome
    assert accepted == []
    assert len(everywhere) > 300


def test_a_plan_edited_anywhere_with_its_checksum_made_again_runs_nothing_else(target: Target) -> None:
    """It is refused, or its commands, both ways, are those of before: what was edited is for people or VMMs."""
    plan = target.plan
    problems = []
    accepted = set()
    for path in leaves(plan):
        found = read(with_checksum(edited(plan, path)))
        if isinstance(found, str):
            problems += [(path, found)] if "\n" in found else []
            continue
        shown = plan_to_json(found)
        accepted.add(path[0])
        if any(shown[key] != plan[key] for key in ("id", "netns", "commands", "reverse_commands")):
            problems.append((path, "accepted"))
    assert problems == []
    # A change's reason is for people; a ``before`` that is rendered no otherwise is compared with what is there.
    assert accepted <= {"result", "options", "chosen", "interfaces", "facts", "changes", "checksum"}


def remade(target: Target, change: Callable[[Plan], Plan]) -> Json:
    """Return a plan that somebody made with podwire's own functions: all of it agrees, but it is another one."""
    templates = load_templates()
    plan = parse_plan((target.folder / "plan").read_bytes(), templates)
    return plan_to_json(change(plan))


@pytest.mark.parametrize("index", range(3))
def test_a_plan_whose_before_is_not_what_is_there_is_refused(target: Target, place: Path, index: int) -> None:
    """Although its commands, digest and checksum are right."""

    def change(plan: Plan) -> Plan:
        inverted = plan.changes[index].inverse()
        changes = (*plan.changes[:index], inverted, *plan.changes[index + 1 :])
        return with_changes(plan, changes, load_templates())

    write(place / "f", remade(target, change))
    (place / "f").chmod(0o600)
    refuse(target, ["apply", str(place / "f"), "--yes"], place, {})


def test_a_plan_for_another_namespace_is_refused_there(target: Target, place: Path) -> None:
    """Its path is that of a namespace which is not what it was made from."""
    elsewhere = Namespace.create("hostile-elsewhere")
    try:
        text = (target.folder / "plan").read_text().replace("/run/netns/pod", str(elsewhere.path))
        write(place / "f", with_checksum(json.loads(text)))
        (place / "f").chmod(0o600)
        before = dump(elsewhere)
        refuse(target, ["apply", str(place / "f"), "--yes"], place, {})
        assert difference(before, dump(elsewhere)) == ""
    finally:
        elsewhere.delete()


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o777])
def test_a_plan_that_others_can_write_is_refused_unless_told(target: Target, place: Path, mode: int) -> None:
    """Told so, it goes on to the next question: here, that there is cannot ask for confirmation without a terminal."""
    write(place / "f", target.plan)
    (place / "f").chmod(mode)
    refuse(target, ["apply", str(place / "f"), "--yes"], place, {}, "--allow-untrusted-plan")
    refuse(
        target,
        ["apply", str(place / "f"), "--allow-untrusted-plan"],
        place,
        {},
        "cannot ask for confirmation without a terminal",
    )


def test_a_plan_that_belongs_to_somebody_else_is_refused_unless_told(target: Target, place: Path) -> None:
    """Also through a link of one's own."""
    write(place / "f", target.plan)
    (place / "f").chmod(0o600)
    try:
        os.chown(place / "f", 1234, -1)
    except OSError:
        pytest.skip("in this user namespace root is the only user")
    (place / "mine").symlink_to("f")
    for name in ("f", "mine"):
        refuse(target, ["apply", str(place / name), "--yes"], place, {}, "--allow-untrusted-plan")
        refuse(
            target,
            ["apply", str(place / name), "--allow-untrusted-plan"],
            place,
            {},
            "cannot ask for confirmation without a terminal",
        )


# --- as processes -----------------------------------------------------------------------------------------------------

PROCESSES: list[tuple[str, list[str], dict[str, str]]] = [
    ("ascii locale", ["teardown", "ä", "--yes"], {"LC_ALL": "C", "PYTHONUTF8": "0"}),
    ("unknown locale", ["teardown", "a b", "--yes"], {"LC_ALL": "xx_YY.nothing"}),
    ("odd encoding", ["teardown", "ä", "--yes"], {"PYTHONIOENCODING": "ascii"}),
    ("no path", ["apply", "--result", "{result}", "--netns", "no-such", "--yes"], {"PATH": ""}),
    ("hostile path", ["apply", "--result", "{result}", "--netns", "no-such", "--yes"], {"PATH": "\n:.:/nowhere"}),
    ("odd time zone", ["teardown", "a b", "--yes"], {"TZ": "../../etc/passwd"}),
    ("columns", ["apply", "--format", "x"], {"COLUMNS": "9" * 50}),
    ("negative columns", ["apply", "--format", "x"], {"COLUMNS": "-5"}),
    ("term", ["teardown", "a b"], {"TERM": "\x1b[2J"}),
    ("home", ["teardown", "a b"], {"HOME": "/nowhere"}),
]


@pytest.mark.parametrize(("name", "words", "env"), PROCESSES, ids=[name for name, _, _ in PROCESSES])
def test_a_hostile_environment_changes_nothing(
    target: Target, place: Path, name: str, words: list[str], env: dict[str, str]
) -> None:
    """As a process of its own, since Python itself looks there when it starts."""
    del name
    cli = evolve(target.cli, folder=place)
    argv = [filled(word, target, place) for word in words]
    see_that_it_is_refused(cli.run(*argv, env=os.environ | env, through=(shutil.which("env") or "env",)))
    assert not (place / "state").exists()
    assert difference(target.before, dump(target.inside)) == ""


@pytest.mark.parametrize("bytes_", [b"\xff\xfe", b"a\xc3", b"\x80\n"])
def test_arguments_that_are_no_text_are_refused(target: Target, place: Path, bytes_: bytes) -> None:
    """They reach Python as lone surrogates."""
    word = os.fsdecode(bytes_)
    cli = evolve(target.cli, folder=place)
    for words in (["teardown", word], ["show", word], ["facts", "--netns", word], [word]):
        see_that_it_is_refused(cli.run(*words, through=("env",)))
    assert difference(target.before, dump(target.inside)) == ""


ANSWERS = {
    "rubbish": "head -c 100000 /dev/urandom",
    "endless": "exec yes",
    "nothing": "true",
    "a failure": 'echo \'{"code": 7, "msg": "no"}\'; exit 1',
    "no address": 'echo \'{"cniVersion": "1.0.0", "ips": []}\'',
    "an evil address": 'echo \'{"cniVersion": "1.0.0", "ips": [{"address": "1.2.3.4/24; reboot"}]}\'',
    "deep": "printf '[%.0s' $(seq 20000)",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_plugin_answers_is_not_trusted(target: Target, place: Path, name: str) -> None:
    """The dummy's namespace is taken down again, and the plugin's DEL was called."""
    plugins = place / "plugins"
    plugins.mkdir()
    script = plugins / "evil"
    script.write_text(
        f'#!/bin/sh\n[ "$CNI_COMMAND" = ADD ] || {{ echo DEL >>{place}/called; exit 0; }}\n{ANSWERS[name]}\n'
    )
    script.chmod(0o755)
    write(place / "f", {"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "evil"}]})
    words = ["apply", "--result", "{result}", "--netns", "pod", "--dummy-conflist", "{f}", "--yes", "--timeout", "1"]
    argv = [filled(word, target, place) for word in words]
    see_that_it_is_refused(evolve(target.cli, folder=place).run(*argv, env={"CNI_PATH": str(plugins)}))
    assert (place / "called").read_text() == "DEL\n"
    assert not Path("/run/netns/podwire-pod").exists()
    assert list((place / "state/dummies").iterdir()) == []
    assert difference(target.before, dump(target.inside)) == ""
