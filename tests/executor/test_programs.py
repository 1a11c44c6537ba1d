"""A program is found, run in its namespace, fed, timed and ended whole."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from executor.errors import TimedOut, Unusable
from executor.netns import Namespace
from executor.programs import find_program, run_program, start_program
from executor.reply import Reply
from tests.executor.helpers_netns import children, descriptors, eventually, is_running

Run = Callable[..., Reply]


@pytest.fixture
def run(namespace: Namespace) -> Run:
    """Return a function that runs a shell script in a scratch namespace, for at most `timeout` seconds."""

    def run_script(script: str, *, stdin: str | None = None, timeout: float = 10) -> Reply:
        return run_program(["sh", "-c", script], namespace=namespace, stdin=stdin, timeout=timeout)

    return run_script


def test_output_and_errors_are_kept_apart_with_the_status(run: Run) -> None:
    """What a log needs of a command."""
    reply = run("echo out; echo err >&2; exit 3")
    assert (reply.rc, reply.stdout, reply.stderr) == (3, "out\n", "err\n")
    assert not reply.ok
    assert 0 < reply.duration < 10


def test_a_program_ended_by_a_signal_has_that_for_its_status(run: Run) -> None:
    """As subprocess has it: the negative number."""
    assert run("kill -TERM $$").rc == -15


def test_standard_input_is_given_whole_and_ends(run: Run) -> None:
    """More than a pipe holds, with whatever letters."""
    text = "*filter ü\n" * 50_000
    assert run("cat", stdin=text).stdout == text


@pytest.mark.parametrize("stdin", [None, ""])
def test_without_input_standard_input_is_empty(run: Run, stdin: str | None) -> None:
    """Nobody waits for a terminal."""
    assert run("cat; echo end", stdin=stdin).stdout == "end\n"


def test_input_that_is_not_read_does_no_harm(run: Run) -> None:
    """A program may end before it has read everything, as ebtables-restore does at an error."""
    assert run("exit 2", stdin="x" * 1_000_000).rc == 2


def test_output_that_is_not_text_is_shown_as_well_as_possible(run: Run) -> None:
    """Never an exception: what cannot be decoded is replaced."""
    assert run(r"printf 'a\377b'").stdout == "a\ufffdb"


def test_a_program_runs_in_the_namespace_or_where_podwire_is(namespace: Namespace) -> None:
    """None is the host's."""
    show = ["readlink", "/proc/self/ns/net"]
    inside = run_program(show, namespace=namespace, stdin=None, timeout=10)
    outside = run_program(show, namespace=None, stdin=None, timeout=10)
    assert inside.stdout == f"net:[{Path(namespace.path).stat().st_ino}]\n"
    assert outside.stdout == f"{Path('/proc/self/ns/net').readlink()}\n"


def test_the_environment_is_a_path_and_a_language(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the user has set changes what a program does or says."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("EBTABLES_SAVE_COUNTER", "yes")
    assert set(run("exec env").stdout.split()) - {f"PWD={Path.cwd()}"} == {
        "PATH=/usr/bin:/bin:/usr/sbin:/sbin",
        "LC_ALL=C",
    }


@pytest.fixture
def inheritable_file() -> Iterator[None]:
    """Have a descriptor open that every program would inherit, were it not closed."""
    with Path(os.devnull).open("rb") as opened:
        fcntl.fcntl(opened, fcntl.F_SETFD, 0)
        yield


@pytest.mark.parametrize(
    ("inside", "told", "holds"),
    [
        pytest.param(True, False, True, id="in the namespace"),
        pytest.param(False, True, True, id="outside, told to"),
        pytest.param(False, False, False, id="outside"),
    ],
)
@pytest.mark.usefixtures("inheritable_file")
def test_a_program_holds_what_it_must_and_nothing_else(
    namespace: Namespace, *, inside: bool, told: bool, holds: bool
) -> None:
    """The lock is on the namespace's descriptor; a program outside the namespace can be given it too."""
    with start_program(
        ["sleep", "60"],
        namespace=namespace if inside else None,
        stdin=None,
        timeout=60,
        pass_fds=[namespace.fd] if told else [],
    ) as running:
        assert eventually(lambda: Path(f"/proc/{running.pid}/comm").read_text() == "sleep\n")
        held = {int(entry.name) for entry in Path(f"/proc/{running.pid}/fd").iterdir()}
    assert held == {0, 1, 2, namespace.fd} if holds else {0, 1, 2}


def test_a_program_that_takes_too_long_is_killed_with_all_that_it_started(run: Run, tmp_path: Path) -> None:
    """The whole process group: a grandchild would go on changing things."""
    with pytest.raises(TimedOut, match=r"^sh did not end within 0\.5 s and was killed$"):
        run(f"sleep 60 & echo $! > {tmp_path}/pid; wait", timeout=0.5)
    grandchild = int((tmp_path / "pid").read_text())
    assert eventually(lambda: not is_running(grandchild))
    assert children() == set()


def test_a_program_that_leaves_another_one_behind_is_still_answered(run: Run) -> None:
    """Its status and output are there soon, though the other one keeps the pipe open."""
    reply = run("sleep 60 & echo $!", timeout=30)
    os.kill(int(reply.stdout), 9)
    assert reply.rc == 0
    assert reply.duration < 10


def test_two_programs_run_side_by_side(namespace: Namespace, tmp_path: Path) -> None:
    """Each waits for the other, so one after the other they would never end."""
    os.mkfifo(tmp_path / "here")
    os.mkfifo(tmp_path / "there")
    first = ["sh", "-c", f"echo one > {tmp_path}/here; cat {tmp_path}/there"]
    second = ["sh", "-c", f"cat {tmp_path}/here; echo two > {tmp_path}/there"]
    with (
        start_program(first, namespace=namespace, stdin=None, timeout=10) as one,
        start_program(second, namespace=namespace, stdin=None, timeout=10) as two,
    ):
        assert (one.result().stdout, two.result().stdout) == ("two\n", "one\n")


def test_a_program_ends_with_its_block(namespace: Namespace) -> None:
    """Whatever goes wrong between start and result, nothing is left running."""
    with (
        pytest.raises(KeyError),
        start_program(["sleep", "60"], namespace=namespace, stdin=None, timeout=60) as running,
    ):
        raise KeyError
    assert not is_running(running.pid)
    assert children() == set()


def test_nothing_is_left_behind(run: Run) -> None:
    """No thread, no zombie, no descriptor."""
    before = descriptors()
    for _ in range(5):
        run("cat; echo x >&2", stdin="x" * 100_000)
        with pytest.raises(TimedOut):
            run("sleep 60", timeout=0.1)
    assert children() == set()
    assert descriptors() == before
    assert eventually(lambda: threading.active_count() == 1)


@pytest.mark.parametrize(
    ("program", "package"),
    [
        ("nsenter", "util-linux"),
        ("ip", "iproute2"),
        ("bridge", "iproute2"),
        ("ebtables", "iptables"),
        ("ebtables-restore", "iptables"),
        ("sysctl", "procps"),
        ("nft", "nftables"),
    ],
)
def test_a_missing_program_is_named_with_its_package(
    program: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What to install, not just what is missing."""
    monkeypatch.setattr("shutil.which", lambda *_args, **_keywords: None)
    monkeypatch.setattr("executor.child._found_before", {})
    with pytest.raises(Unusable, match=rf"^the program {program} is not installed: .* the package {package}$"):
        find_program(program)


def test_the_systems_programs_are_found_without_their_directory_in_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's users have no /usr/sbin in theirs."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_program("ip") in {"/usr/sbin/ip", "/sbin/ip"}


def test_a_file_that_cannot_be_run_is_unusable(tmp_path: Path) -> None:
    """One sentence with the system's reason."""
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF but not really")
    program.chmod(0o755)
    with pytest.raises(Unusable, match=r"cannot be started: .*Exec format error"):
        run_program([str(program)], namespace=None, stdin=None, timeout=10)
