"""A program is found, run in its namespace, fed, timed and ended whole."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from executor.errors import HostError, TimedOut
from executor.netns.namespace import Namespace
from executor.process.prestarted import PrestartedProcess
from executor.process.result import CommandResult, one_line
from executor.process.run import find_program, run_program, start_program
from executor.process.run_by_sh import run_by_sh
from tests.support import eventually
from tests.support.processes import children, descriptors, is_running

Run = Callable[..., CommandResult]


@pytest.fixture
def run(namespace: Namespace) -> Run:
    """Return a function that runs a shell script in a scratch namespace, for at most `timeout` seconds."""

    def run_script(script: str, *, stdin: str | None = None, timeout: float = 10) -> CommandResult:
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
    """The lock is on the namespace's descriptor; a program outside the namespace can be given it too.

    While it starts, the dynamic loader has descriptors of its own.
    """
    expected = {0, 1, 2, namespace.fd} if holds else {0, 1, 2}
    with start_program(
        ["sleep", "60"],
        namespace=namespace if inside else None,
        stdin=None,
        timeout=60,
        pass_fds=[namespace.fd] if told else [],
    ) as running:
        eventually(lambda: Path(f"/proc/{running.pid}/comm").read_text() == "sleep\n", "its start")
        held = Path(f"/proc/{running.pid}/fd")
        eventually(lambda: {int(entry.name) for entry in held.iterdir()} == expected, f"descriptors {expected}")


def test_a_program_that_takes_too_long_is_killed_with_all_that_it_started(run: Run, tmp_path: Path) -> None:
    """The whole process group: a grandchild would go on changing things."""
    with pytest.raises(TimedOut, match=r"^sh did not end within 0\.5 s and was killed$"):
        run(f"sleep 60 & echo $! > {tmp_path}/pid; wait", timeout=0.5)
    grandchild = int((tmp_path / "pid").read_text())
    eventually(lambda: not is_running(grandchild), "its end")
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
    eventually(lambda: threading.active_count() == 1, "the end of the thread")


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
    monkeypatch.setattr("executor.process.spawn._found_before", {})
    with pytest.raises(HostError, match=rf"^the program {program} is not installed: .* the package {package}$"):
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
    with pytest.raises(HostError, match=r"cannot be started: .*Exec format error"):
        run_program([str(program)], namespace=None, stdin=None, timeout=10)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("RTNETLINK answers:\n  File exists\n", "RTNETLINK answers: File exists"),
        ("\x1b[2Jgone\x07 \u202e", "?[2Jgone? ?"),
        ("", ""),
        ("x" * 500, "x" * 500),
        ("x" * 10**6, "x" * 499 + "…"),
    ],
)
def test_what_a_program_says_is_made_fit_for_a_sentence(text: str, line: str) -> None:
    """It may print without end, or write to the terminal of whoever reads it."""
    assert one_line(text) == line


# --- started ahead ----------------------------------------------------------------------------------------------------


@pytest.fixture
def ready(namespace: Namespace, tmp_path: Path) -> Iterator[PrestartedProcess]:
    """Start a program ahead that says what it read, and leaves a file only if that was something."""
    script = f'read line || exit 0; echo $$ >{tmp_path}/done; echo "got $line"'
    program = PrestartedProcess(["sh", "-c", script], namespace=namespace, timeout=10)
    yield program
    program.close()


def test_a_program_started_ahead_waits_for_its_input(ready: PrestartedProcess, tmp_path: Path) -> None:
    """And answers as any other."""
    eventually(lambda: children() != set(), "its start")
    assert not (tmp_path / "done").exists()
    with ready.feed("*filter\n") as running:
        reply = running.result()
    assert (reply.rc, reply.stdout, reply.stderr) == (0, "got *filter\n", "")
    assert 0 < reply.duration < 10


def test_a_program_started_ahead_that_gets_nothing_does_nothing(ready: PrestartedProcess, tmp_path: Path) -> None:
    """If podwire refuses after all; if it is killed the pipe ends just so."""
    ready.close()
    ready.close()
    assert children() == set()
    assert not (tmp_path / "done").exists()


def test_a_program_that_ended_before_its_input_says_so_itself(namespace: Namespace) -> None:
    """Its own status and words, not a broken pipe."""
    ready = PrestartedProcess(["sh", "-c", "echo gone >&2; exit 3"], namespace=namespace, timeout=10)
    eventually(lambda: not any(map(is_running, children())), "its end")
    with ready.feed("x\n") as running:
        reply = running.result()
    assert (reply.rc, reply.stderr) == (3, "gone\n")


@pytest.mark.parametrize(
    ("stdin", "takes"), [(None, False), ("", False), ("x\n", True), ("x" * 4096, True), ("x" * 4097, False)]
)
def test_only_what_a_pipe_holds_is_taken(stdin: str | None, takes: bool) -> None:  # noqa: FBT001
    """More might come in pieces, or block whoever writes it (pipe(7), PIPE_BUF)."""
    assert PrestartedProcess.takes(stdin) is takes


def may_raise_priorities() -> bool:
    """Say whether a process's nice value may be made smaller again: that takes CAP_SYS_NICE in the host itself."""
    with subprocess.Popen(["nice", "-n", "1", "sleep", "60"]) as process:
        try:
            eventually(lambda: os.getpriority(os.PRIO_PROCESS, process.pid) == 1, "its priority")
            os.setpriority(os.PRIO_PROCESS, process.pid, 0)
        except PermissionError:
            return False
        finally:
            process.kill()
    return True


def test_what_is_started_ahead_gives_way_until_it_is_waited_for(namespace: Namespace, ready: PrestartedProcess) -> None:
    """It would take time from what is waited for now."""
    eventually(lambda: [os.getpriority(os.PRIO_PROCESS, waiting) for waiting in children()] == [10], "its priority")
    if not may_raise_priorities():
        pytest.skip("a nice value may not be made smaller in this user namespace, so it stays")
    with ready.feed("x\n") as running:
        running.result()
    program = start_program(
        ["sh", "-c", "while [ $(cut -d' ' -f19 /proc/$$/stat) != 0 ]; do :; done"],
        namespace=namespace,
        stdin=None,
        timeout=10,
        is_ahead=True,
    )
    with program as running:
        assert running.result().rc == 0


def test_a_program_that_is_not_there_cannot_be_started_ahead(namespace: Namespace) -> None:
    """The same sentence, and nothing is left open."""
    before = descriptors()
    with pytest.raises(HostError, match=r"^the program no-such-program is not installed"):
        PrestartedProcess(["no-such-program"], namespace=namespace, timeout=10)
    assert descriptors() == before


# --- in whatever process podwire finds itself -------------------------------------------------------------------------


def in_a_process(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, which may do to itself what it likes."""
    head = """
import os, signal, sys
from executor.errors import HostError
from executor.process.run import run_program, start_program
def run(script):
    return run_program(["sh", "-c", script], namespace=None, stdin="in", timeout=10)
"""
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-c", head + script], capture_output=True, text=True, check=False, cwd=root, timeout=60
    )


def test_a_program_gets_its_streams_where_our_own_are_closed() -> None:
    """Then the files that it is to read and write have the numbers 0, 1 and 2, in any order."""
    script = """
said = os.dup(1)
for fd in (0, 1, 2):
    os.close(fd)
reply = run("cat; echo err >&2; ls /proc/self/fd | wc -l")
os.write(said, repr((reply.rc, reply.stdout, reply.stderr)).encode())
"""
    assert in_a_process(script).stdout == "(0, 'in4\\n', 'err\\n')"


def test_signals_that_we_block_or_ignore_work_in_a_program() -> None:
    """It would be deaf to whoever wants to end it."""
    script = """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print(run("kill -TERM $$; echo deaf").rc, run("kill -PIPE $$; echo deaf").rc)
"""
    assert in_a_process(script).stdout == "-15 -13\n"


def test_nothing_is_run_by_a_process_that_would_not_learn_how_it_ends() -> None:
    """The kernel throws exit statuses away if SIGCHLD is ignored (waitpid(2))."""
    script = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
try:
    run("touch /tmp/never")
except HostError as error:
    print(error)
"""
    done = in_a_process(script)
    assert done.stdout == "this process ignores SIGCHLD, so podwire could not learn how a program ended\n"


def test_a_status_that_somebody_else_took_is_said_to_be_lost() -> None:
    """It is not invented; and the id, which may be another's by now, is not killed."""
    script = """
running = start_program(["true"], namespace=None, stdin=None, timeout=10)
with running:
    os.waitpid(running.pid, 0)
    try:
        running.result()
    except HostError as error:
        print(str(error).replace(str(running.pid), "N"))
"""
    done = in_a_process(script)
    assert done.stdout == "the exit status of process N is lost: something else waited for it\n"


def test_a_fork_of_ours_starts_programs_too() -> None:
    """As multiprocessing makes them: each process has its own children."""
    script = """
before = run("echo before").stdout
pid = os.fork()
if pid == 0:
    os._exit(7 if run("echo inside").stdout == "inside\\n" else 1)
print(before.strip(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), run("echo after").stdout.strip())
"""
    assert in_a_process(script).stdout == "before 7 after\n"


def test_where_no_descriptor_is_left_it_says_so_and_nothing_runs() -> None:
    """One sentence, and no process that nobody watches."""
    script = """
import resource
running = start_program(["sleep", "60"], namespace=None, stdin=None, timeout=10)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 3, 64))
try:
    start_program(["sleep", "60"], namespace=None, stdin=None, timeout=10)
except HostError as error:
    print(error)
running.close()
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no child")
"""
    said, left = in_a_process(script).stdout.splitlines()
    assert said.endswith("/sleep cannot be started: Too many open files")
    assert left == "no child"


def test_whichever_descriptor_is_the_last_none_stays_open() -> None:
    """Of what was opened before it; an agent, which stays, would have ever fewer."""
    script = """
import resource
from executor.netns.namespace import Namespace
from executor.process.ip_process import IpProcess
from executor.process.prestarted import PrestartedProcess
def opened():
    return sorted(os.listdir("/proc/self/fd"))
with Namespace.open("/proc/self/ns/net") as here:
    run("true")
    for start in (lambda: PrestartedProcess(["cat"], namespace=here, timeout=10), lambda: IpProcess(here, ())):
        start().close()
        before = opened()
        for more in range(1, 12):
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, before)) + more, limits[1]))
            try:
                start().close()
                print("started")
            except (OSError, HostError) as error:
                print(str(error).partition("open files")[1])
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            assert opened() == before, (more, opened(), before)
"""
    ran = in_a_process(script)
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.splitlines()
    assert said[0] == said[11] == "open files"
    assert said[10] == said[21] == "started"


# --- by sh ------------------------------------------------------------------------------------------------------------


def test_sh_runs_what_is_no_hot_path_with_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams apart, the status, and an environment of a path and a language."""
    monkeypatch.setenv("CNI_COMMAND", "ADD")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    reply = run_by_sh(["sh", "-c", "cat; env; echo err >&2; exit 3"], stdin="in\n", timeout=10)
    words = set(reply.stdout.split()) - {f"PWD={Path.cwd()}", "_=/usr/bin/env", "SHLVL=0"}
    assert words == {"in", "PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C"}
    assert (reply.rc, reply.stderr) == (3, "err\n")
    assert run_by_sh(["sh", "-c", "kill -TERM $$"], stdin=None, timeout=10).rc == -15


def test_what_sh_runs_is_killed_with_all_that_it_started_when_it_takes_too_long(tmp_path: Path) -> None:
    """And what it leaves running does not keep it from being answered."""
    with pytest.raises(TimedOut, match=r"^sh did not end within 0\.5 s and was killed$"):
        run_by_sh(["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; wait"], stdin=None, timeout=0.5)
    grandchild = int((tmp_path / "pid").read_text())
    eventually(lambda: not is_running(grandchild), "its end")
    reply = run_by_sh(["sh", "-c", "sleep 60 & echo $!"], stdin=None, timeout=30)
    os.kill(int(reply.stdout), 9)
    assert reply.duration < 10


def test_what_sh_cannot_start_is_said_in_a_sentence(tmp_path: Path) -> None:
    """As of any other program. In a process of its own, since sh does not collect the fork that could not."""
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF but not really")
    program.chmod(0o755)
    script = f"""
from executor.process.run_by_sh import run_by_sh
try:
    run_by_sh(["{program}"], stdin=None, timeout=10)
except HostError as error:
    print(error)
"""
    said = in_a_process(script).stdout
    assert said.startswith(f"{program} cannot be started: ")
    assert "Exec format error" in said
