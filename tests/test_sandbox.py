"""The sandbox that demo and tests run in keeps them off the machine, and takes everything down with it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests import sandbox
from tests.support import CommandFailed, MakeNamespace, Namespace, Outcome, eventually, run
from tests.support.processes import started
from tests.support.running import OUTSIDE

SANDBOX = [sys.executable, sandbox.__file__]


def sandboxed(script: str) -> Outcome:
    """Run a shell script in a sandbox of its own, within the one that the tests run in."""
    return run([*SANDBOX, "sh", "-c", script], check=False)


def ready(script: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """Start a shell script in a sandbox, and go on when it has said that it is ready."""
    return started([*SANDBOX, "sh", "-c", script], says="ready")


def is_running(*words: str) -> bool:
    """Whether some process has exactly this command line."""
    wanted = "\0".join(words).encode() + b"\0"
    return any(wanted == _command_line(process) for process in Path("/proc").glob("[0-9]*"))


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""


def test_inside_there_is_no_link_but_lo_and_no_namespace(netns: MakeNamespace) -> None:
    """What is outside can't be seen by name, and so can't be touched."""
    assert netns("outer").path.exists()
    assert sandboxed("ip -o link | grep -v ' lo:'; ls /run/netns /var/lib/podwire /var/lib/cni").out.split() == [
        "/run/netns:",
        "/var/lib/cni:",
        "/var/lib/podwire:",
    ]


def test_what_is_made_inside_is_not_seen_outside() -> None:
    """A namespace made inside stays inside, and ends with it."""
    assert sandboxed("ip netns add hidden && ls /run/netns") == Outcome(0, "hidden\n", "")
    assert not Namespace("hidden").path.exists()


def test_lo_is_up_inside() -> None:
    """Programs that talk to themselves can do so."""
    assert "LOWER_UP" in sandboxed("ip link show lo").out


def test_the_machines_namespaces_are_not_kept_inside(tmp_path: Path) -> None:
    """Nor hidden there: what podwire can't look at, it can't prove to be gone. On the machine they stay."""
    place = tmp_path / "a namespace"
    place.touch()
    inner = shlex.join([*SANDBOX, "cat", "/proc/self/mountinfo"])
    outside = f"cat /proc/self/mountinfo >{tmp_path}/outside"
    script = f"mount --bind /proc/self/ns/net '{place}'; {inner}; {outside}"
    inside = run(["unshare", "--mount", "sh", "-c", script]).out
    assert place.name.replace(" ", r"\040") in (tmp_path / "outside").read_text()
    assert " nsfs " not in inside


def test_directories_that_are_missing_appear_and_their_neighbours_stay(tmp_path: Path) -> None:
    """Only root could make them on the machine, and there they would stay: so the parent is laid out again."""
    script = (
        "mount -t tmpfs none /var/lib; cd /var/lib; mkdir kept; echo text >kept/file; ln -s kept link; echo x >plain"
    )
    look = "cat /var/lib/kept/file /var/lib/link/file /var/lib/plain; touch /var/lib/podwire/new; ls /var/lib"
    inner = shlex.join([*SANDBOX, "sh", "-c", look])
    outcome = run(["unshare", "--mount", "sh", "-c", f"({script}); {inner}; ls /var/lib >{tmp_path}/outside"])
    assert outcome.out.split() == ["text", "text", "x", "cni", "kept", "link", "plain", "podwire"]
    assert (tmp_path / "outside").read_text().split() == ["kept", "link", "plain"]


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_the_exit_status_is_handed_on(script: str, status: int) -> None:
    """A shell's way of saying it: 128 and the number, if a signal ended the command."""
    assert sandboxed(script).rc == status


def test_a_command_that_does_not_exist_is_named() -> None:
    """With the shell's own status for it."""
    assert run([*SANDBOX, "no-such-command"], check=False) == Outcome(
        127, "", "sandbox: no-such-command: No such file or directory\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_signals_are_handed_on(number: signal.Signals) -> None:
    """The command decides what it does about them."""
    with ready(f"trap 'exit 9' {number.value}; echo ready; while :; do sleep 0.01; done") as process:
        process.send_signal(number)
        assert process.wait(10) == 9


def test_what_the_command_leaves_running_ends_with_it() -> None:
    """Even a process that has gone into a session of its own."""
    assert sandboxed("setsid sleep 1234.5 >/dev/null 2>&1 & exit 3").rc == 3
    eventually(lambda: not is_running("sleep", "1234.5"), "the end of what was left running")


def test_a_killed_sandbox_takes_everything_along() -> None:
    """Nothing can be handed on then; the kernel ends all that is inside."""
    with ready("setsid sleep 2345.6 >/dev/null & echo ready; exec sleep 2345.7 >/dev/null") as process:
        eventually(lambda: is_running("sleep", "2345.6") and is_running("sleep", "2345.7"), "both running")
        process.kill()
    eventually(lambda: not is_running("sleep", "2345.6") and not is_running("sleep", "2345.7"), "the end of both")


def test_without_root_and_user_namespaces_it_says_what_is_missing() -> None:
    """One sentence with the command that helps."""
    if run(["unshare", "--user", "true"], check=False).rc != 0:
        pytest.skip("it takes a user namespace to try it")
    lacking = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *SANDBOX, "true"]
    script = f"echo 0 >/proc/sys/user/max_user_namespaces && exec {shlex.join(lacking)}"
    assert run(["unshare", "--user", "--map-root-user", "sh", "-c", script], check=False) == Outcome(
        1,
        "",
        "sandbox: it takes root or user namespaces, and here there is neither: run it as root, "
        "or allow them, as root: sysctl -w user.max_user_namespaces=10000\n",
    )


def test_without_the_tun_device_it_says_what_is_missing() -> None:
    """No tap can be made then, and every test would fail in its own way."""
    script = f"mount -t tmpfs none /dev/net && exec {shlex.join([*SANDBOX, 'true'])}"
    assert run(["unshare", "--mount", "sh", "-c", script], check=False) == Outcome(
        1, "", "sandbox: /dev/net/tun is missing, so there are no taps; as root: modprobe tun\n"
    )


def test_helpers_refuse_to_work_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable alone is not enough: it has to name the namespace that one is in."""
    assert sandbox.inside()
    monkeypatch.setenv(sandbox.VARIABLE, "net:[1]")
    assert not sandbox.inside()
    with pytest.raises(CommandFailed, match=f"^{OUTSIDE}$"):
        run(["true"])
    monkeypatch.delenv(sandbox.VARIABLE)
    assert not sandbox.inside()


def test_tests_outside_are_refused_before_they_do_anything() -> None:
    """Those of the pure planner excepted: they may run anywhere, and by plain pytest."""
    argv = ["-m", "pytest", "-p", "no:cacheprovider", "--quiet", "tests/test_support.py", "-k", "eventually"]
    outside = {name: value for name, value in os.environ.items() if name != sandbox.VARIABLE}
    outcome = run([sys.executable, *argv], env=outside, check=False)
    assert OUTSIDE in outcome.out
    assert "1 error" in outcome.out
    assert run([sys.executable, *argv]).rc == 0


def test_the_netns_fixture_takes_namespaces_down_after_a_failure(tmp_path: Path) -> None:
    """A test that fails half way leaves nothing to the next."""
    failing = tmp_path / "test_failing.py"
    failing.write_text('def test_it(netns):\n    netns("left")\n    assert False\n')
    options = ["--rootdir=.", "-p", "tests.conftest", "-p", "no:cacheprovider", "--quiet"]
    outcome = run([sys.executable, "-m", "pytest", *options, failing], env=dict(os.environ), check=False)
    assert "1 failed" in outcome.out
    assert not list(Path("/run/netns").glob("left*"))
