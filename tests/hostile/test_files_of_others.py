"""What belongs to other users, or could be put there by them, is neither carried out, nor loaded, nor followed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from executor.errors import HostError, TimedOut
from executor.netns.namespace import Namespace
from executor.process.ip_batch import IpBatch
from executor.process.others import OpenFiles
from executor.process.run import run_program
from executor.process.run_by_sh import run_by_sh
from executor.process.spawn import find_program, program_environment, which
from executor.templates import load_templates
from executor.trust.files import weak_spot
from planner.text.values import NetnsPath
from tests.support.cli import Cli
from tests.support.dumps import difference, dump
from tests.support.pods import Pod
from tests.support.running import run

SOMEBODY = 1234


def give_away(path: Path) -> None:
    """Make something somebody else's."""
    try:
        os.lchown(path, SOMEBODY, SOMEBODY)
    except OSError:
        pytest.skip("in this user namespace root is the only user")


def _open_folder(folder: Path) -> Path:
    folder.chmod(0o777)
    return folder / "in/state"


def _group_folder(folder: Path) -> Path:
    folder.chmod(0o770)
    return folder / "state"


def _sticky_link(folder: Path) -> Path:
    (folder / "real").mkdir(mode=0o700)
    (folder / "link").symlink_to("real")
    give_away(folder / "link")
    folder.chmod(0o1777)
    return folder / "link/state"


def _their_folder(folder: Path) -> Path:
    (folder / "theirs").mkdir(mode=0o755)
    give_away(folder / "theirs")
    return folder / "theirs/in/state"


def _their_state(folder: Path) -> Path:
    (folder / "state").mkdir(mode=0o700)
    give_away(folder / "state")
    return folder / "state"


def _open_state(folder: Path) -> Path:
    (folder / "state").mkdir(mode=0o700)
    (folder / "state").chmod(0o777)
    return folder / "state"


def _their_part(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "state").mkdir(mode=0o700)
        (folder / "state" / name).mkdir(mode=0o700)
        give_away(folder / "state" / name)
        return folder / "state"

    return make


PARTS = ("wirings", "dummies", "journal", "dhcp", "attachments")
UNSAFE: dict[str, Callable[[Path], Path]] = {
    "below a folder open to all": _open_folder,
    "below a folder of a group": _group_folder,
    "by somebody else's link": _sticky_link,
    "below somebody else's folder": _their_folder,
    "somebody else's": _their_state,
    "open to all": _open_state,
    **{
        f"somebody else's {name}": _their_part(name)
        for name in ("wirings", "dummies", "journal", "dhcp", "attachments")
    },
}


@pytest.mark.parametrize("where", UNSAFE)
def test_a_state_directory_that_others_can_get_at_is_refused_by_every_command(
    pod: Pod, cli: Cli, tmp_path: Path, where: str
) -> None:
    """Whether it is there or would be made; nothing is made in it."""
    folder = tmp_path / "place"
    folder.mkdir(mode=0o755)
    state = UNSAFE[where](folder)
    before, wiring = dump(pod.inside), cli.wiring(pod)
    there = sorted(folder.rglob("*"))
    for words in (
        ("list",), ("log",), ("gc",), ("recover",), ("check", "--all"), ("teardown", "--all", "--yes"), ("show", "x"),
        ("confirm", "x"), ("plan", *wiring), ("apply", *wiring, "--yes"), ("teardown", "--netns", "pod", "-y"),
    ):  # fmt: skip
        said = cli.refused(*words, "--state-dir", str(state))
        assert "another user" in said, (words, said)
    assert sorted(folder.rglob("*")) == there
    assert difference(before, dump(pod.inside)) == ""


def test_a_folder_for_all_in_which_each_has_his_own_leads_to_ours(pod: Pod, cli: Cli, tmp_path: Path) -> None:
    """As /tmp does; and what is missing on the way is made so that it is safe, whatever the umask."""
    folder = tmp_path / "place"
    folder.mkdir()
    folder.chmod(0o1777)
    state = folder / "made/for/us"
    words = ["apply", *cli.wiring(pod), "--yes", "--state-dir", str(state)]
    outcome = cli.run(*words, through=("sh", "-c", 'umask 000; exec "$@"', "sh"))
    assert (outcome.rc, outcome.err) == (0, "")
    made = [path for path in (folder / "made", *(folder / "made").rglob("*")) if path.stat().st_mode & 0o022]
    assert made == []
    cli.ok("teardown", pod.inside.name, "--yes", "--state-dir", str(state))


def test_the_way_is_looked_at_link_by_link(tmp_path: Path) -> None:
    """As the kernel follows it."""
    safe = tmp_path / "safe"
    safe.mkdir()
    (tmp_path / "link").symlink_to("safe/../safe")
    assert weak_spot(tmp_path / "link/not/there") is None
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "detour").symlink_to(tmp_path / "open/../safe")
    assert weak_spot(tmp_path / "detour/x") == tmp_path / "open"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="Too many levels"):
        weak_spot(tmp_path / "loop")
    assert weak_spot(Path("/tmp")) == Path("/tmp")  # noqa: S108 -- it is for all, and nothing is made there


# --- plans and conflists ----------------------------------------------------------------------------------------------


@pytest.fixture
def writer() -> Iterator[Callable[[Path, bytes], None]]:
    """Write to pipes until somebody reads, or the test is over."""
    pipes: list[Path] = []
    threads: list[Thread] = []

    def start(path: Path, content: bytes) -> None:
        pipes.append(path)
        threads.append(Thread(target=write_all, args=(path, content)))
        threads[-1].start()

    def write_all(path: Path, content: bytes) -> None:
        with suppress(BrokenPipeError):  # nobody wanted it
            path.write_bytes(content)

    yield start
    for path in pipes:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # whoever still waits for a reader has one
        for thread in threads:
            while thread.is_alive():
                os.read(fd, 1 << 20)
        os.close(fd)


@pytest.mark.parametrize("why", ["owner", "mode"])
def test_a_plan_from_somebody_elses_pipe_is_not_carried_out(
    pod: Pod, cli: Cli, tmp_path: Path, writer: Callable[[Path, bytes], None], why: str
) -> None:
    """Nor from one that others can write to; one's own is read, and that of the shell."""
    plan, pipe, before = tmp_path / "plan", tmp_path / "pipe", dump(pod.inside)
    cli.ok("plan", *cli.wiring(pod), "-o", plan)
    os.mkfifo(pipe, 0o600)
    writer(pipe, plan.read_bytes())
    if why == "owner":
        give_away(pipe)
    else:
        pipe.chmod(0o622)
    assert "--allow-untrusted-plan" in cli.refused("apply", str(pipe), "--yes")
    assert difference(before, dump(pod.inside)) == ""
    own = cli.run(through=("bash", "-c", f'exec "$@" apply <(cat {plan}) --dry-run', "bash"))
    assert (own.rc, own.err) == (0, "")


def test_a_conflist_of_somebody_elses_runs_no_plugin(pod: Pod, cli: Cli) -> None:
    """Its plugins would run as root."""
    conflist = cli.file("conflist", {"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge"}]})
    give_away(conflist)
    words = ["apply", *cli.wiring(pod), "--dummy-conflist", conflist, "--yes"]
    assert "is owned or writable by another user" in cli.refused(*words)
    conflist.chmod(0o666)
    os.chown(conflist, 0, 0)
    assert "is owned or writable by another user" in cli.refused(*words)


def test_a_plan_is_written_in_the_place_of_a_file_and_never_through_a_link(pod: Pod, cli: Cli, tmp_path: Path) -> None:
    """Another name of the file that was there keeps what was in it; a pipe or a device is not waited for."""
    target, link, plan, name = (tmp_path / one for one in ("target", "link", "plan", "other-name"))
    target.write_text("precious")
    link.symlink_to(target)
    old = json.dumps({"version": 1, "changes": [], "checksum": "old"})  # of a plan, which alone is replaced
    plan.write_text(old)
    plan.chmod(0o666)
    name.hardlink_to(plan)
    os.mkfifo(tmp_path / "pipe")
    words = ("plan", *cli.wiring(pod), "-o")
    for place in (link, tmp_path / "pipe", Path("/dev/null"), tmp_path / "no/folder", tmp_path):
        assert "cannot be written" in cli.refused(*words, str(place))
    assert (target.read_text(), link.readlink()) == ("precious", target)
    cli.ok(*words, str(plan))
    assert (name.read_text(), plan.stat().st_mode & 0o777, plan.stat().st_nlink) == (old, 0o600, 1)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    cli.ok("apply", plan, "--yes")
    cli.ok("teardown", pod.inside.name, "--yes")


# --- code -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have the templates in a folder of the test; return where they are kept compiled."""
    folder = tmp_path / "templates"
    shutil.copytree(Path(__file__).parents[2] / "templates", folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr("executor.templates._directory", lambda: folder)
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    before = os.umask(0)
    yield folder / "__pycache__"
    os.umask(before)


def render() -> None:
    """Load the templates anew and compile, or load, each."""
    templates = load_templates.__wrapped__()
    for name in templates._environment.list_templates():  # noqa: SLF001 -- as any command that needs it would
        templates._environment.get_template(name)  # noqa: SLF001


def test_compiled_templates_are_for_nobody_else_whatever_the_umask(cache: Path) -> None:
    """They are code."""
    render()
    kept = list(cache.iterdir())
    assert kept
    assert cache.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}


def _each(change: Callable[[Path], None]) -> Callable[[Path], None]:
    def make(cache: Path) -> None:
        for path in list(cache.iterdir()):
            change(path)

    return make


def _as_link(path: Path) -> None:
    path.symlink_to(path.rename(path.parent.parent / path.name))


TAMPERED: dict[str, Callable[[Path], None]] = {
    "files of somebody else": _each(give_away),
    "files that others can write": _each(lambda path: path.chmod(0o666)),
    "a folder of somebody else": give_away,
    "a folder that others can write to": lambda cache: cache.chmod(0o777),
    "links": _each(_as_link),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_compiled_templates_that_others_could_have_written_are_not_loaded(
    cache: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """They are compiled again."""
    loaded: list[object] = []
    monkeypatch.setattr("executor.templates._code_in", lambda kept, _: loaded.append(kept))
    render()
    assert not loaded
    render()
    assert loaded  # those that are safe are
    loaded.clear()
    TAMPERED[how](cache)
    render()
    assert not loaded


def test_a_folder_of_programs_that_others_can_write_to_is_passed_over(
    pod: Pod, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So are a program that others can write, somebody else's folder, and one that is relative to where one is."""
    ran, evil = tmp_path / "ran", tmp_path / "evil"
    places = {name: evil / name for name in ("open", "theirs", "file", "below/bin", "relative")}
    for path in places.values():
        path.mkdir(parents=True)
        for name in ("ip", "nsenter", "ebtables-save", "only-here", "sysctl", "env", "less"):
            (path / name).write_text(f'#!/bin/sh\ntouch {ran}\nexec /sbin/{name} "$@"\n')
            (path / name).chmod(0o777 if path == places["file"] else 0o755)
    places["open"].chmod(0o777)
    give_away(places["theirs"])
    (evil / "below").chmod(0o777)
    monkeypatch.chdir(places["relative"])
    way = ":".join(["", ".", "../relative", *(str(places[name]) for name in ("open", "theirs", "file", "below/bin"))])
    environment = {"PATH": f"{way}:{os.environ['PATH']}"}
    for words in (("apply", *cli.wiring(pod), "--yes"), ("teardown", pod.inside.name, "--yes")):
        cli.ok(*words, env=environment)
    assert not ran.exists()
    monkeypatch.setenv("PATH", environment["PATH"])
    assert which("only-here") is None
    with pytest.raises(HostError, match=r"not installed: .*'.*evil/open/only-here' was ignored: another user"):
        find_program("only-here")
    handed_on = set(program_environment()["PATH"].split(":"))
    assert handed_on.isdisjoint(
        {"", ".", "../relative", *(str(places[name]) for name in ("open", "theirs", "below/bin"))}
    )
    assert str(places["file"]) in handed_on  # it is the file that is not safe


def test_a_pager_may_not_do_more_than_show(cli: Cli, tmp_path: Path) -> None:
    """less(1), LESSSECURE: no shell, no other file."""
    pager = tmp_path / "pager"
    pager.write_text('#!/bin/sh\necho "LESSSECURE=$LESSSECURE"\n')
    pager.chmod(0o755)
    lines = "".join(
        f'{{"event":"running","number":1,"time":{at},"argv":["ip"],"netns":null,"stdin":null}}\n' for at in range(200)
    )
    (cli.state_dir / "journal").mkdir(parents=True)
    (cli.state_dir / "journal/pod.jsonl").write_text(lines)
    with cli.on_terminal("log", env={"PODWIRE_PAGER": str(pager)}) as terminal:
        assert terminal.end() == (0, "LESSSECURE=1\n")


def test_what_is_made_is_for_us_alone_to_write_whatever_the_umask() -> None:
    """Python's compiled modules, too."""
    code = "import os, sys; os.umask(0); import executor.cli as c; "
    code += "c.main(['--version']); print(os.umask(0))"
    assert run([sys.executable, "-c", code]).out.splitlines()[-1] == str(0o022)


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_a_program_that_prints_without_end_is_ended(pod: Pod, cli: Cli) -> None:
    """By the kernel, at 32 MiB: nobody waits for the time to be over, and memory is left for others."""
    said = cli.refused("apply", *cli.wiring(pod), "--yes", env=cli.wrapper("ebtables-save", "exec yes"))
    assert "it printed more than 32 MiB, and was ended" in said
    for stream in ("", ">&2"):
        for ended in (
            run_program(["sh", "-c", f"exec yes {stream}"], namespace=None, stdin=None, timeout=60),
            run_by_sh(["sh", "-c", f"exec yes {stream}"], stdin=None, timeout=60),
        ):
            assert (ended.ok, ended.stdout, ended.stderr) == (False, "", "it printed more than 32 MiB, and was ended")


def test_an_ip_whose_line_never_ends_is_ended(pod: Pod, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for while it goes on."""
    monkeypatch.setenv("PATH", cli.wrapper("ip", "exec cat /dev/zero")["PATH"])
    with (
        Namespace.open(NetnsPath(str(pod.inside.path))) as namespace,
        IpBatch(namespace, timeout=60) as batch,
        pytest.raises(TimedOut, match=r"^ip link show printed more than 64 MiB in .* and was killed$"),
    ):
        batch.run(["ip", "link", "show"])


def test_a_process_with_very_many_files_is_not_looked_at_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left out is known."""
    many = [os.dup(0) for _ in range(200)]
    try:
        files = OpenFiles()
        assert len(list(files.of(os.getpid()))) > 200
        assert files.saw_all
        monkeypatch.setattr("executor.process.others._MOST_OF_ONE", 100)
        assert (len(list(files.of(os.getpid()))), files.saw_all) == (100, False)
        monkeypatch.setattr("executor.process.others._SECONDS", -1.0)
        late = OpenFiles()
        assert (list(late.of_all()), late.saw_all) == ([], False)
    finally:
        for fd in many:
            os.close(fd)
