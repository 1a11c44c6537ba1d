"""A namespace is found, opened, entered and locked, whatever its path; and what is none is refused in a sentence."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from executor.errors import HostError, Locked, NamespaceGone
from executor.netns.namespace import Namespace, boot_id
from executor.netns.naming import default_id, resolve_netns
from executor.process.run import start_program
from planner.errors import InvalidInput
from planner.text.values import NetnsPath
from tests.executor.helpers_netns import ip, name_of, scratch_namespace
from tests.support import eventually
from tests.support.preloaded import ROOT
from tests.support.processes import descriptors, is_running

# What another podwire does, less the wiring: it takes the lock, starts a program in the namespace, and waits.
HOLDER = """
import sys
from executor.netns.naming import resolve_netns
from executor.netns.namespace import Namespace
from executor.process.run import start_program
with Namespace.open(resolve_netns(sys.argv[1])) as namespace, namespace.lock(0):
    with start_program(["sleep", "60"], namespace=namespace, stdin=None, timeout=60) as running:
        print(running.pid, flush=True)
        sys.stdin.read()
"""


@contextmanager
def another_podwire(path: NetnsPath) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a process that holds the lock, and yield it with the pid of the program that it runs."""
    argv = [sys.executable, "-c", HOLDER, path]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        program = int(process.stdout.readline())
        try:
            yield process, program
        finally:
            process.kill()
            process.wait()
            if is_running(program):
                os.kill(program, signal.SIGKILL)


@contextmanager
def process_in(path: NetnsPath) -> Iterator[NetnsPath]:
    """Run a process inside the namespace and yield the other path that it gives it."""
    with subprocess.Popen(["nsenter", f"--net={path}", "sleep", "60"]) as process:
        link = Path(f"/proc/{process.pid}/ns/net")
        try:
            eventually(lambda: link.stat().st_ino == Path(path).stat().st_ino, "the other namespace")
            yield NetnsPath(str(link))
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        pytest.param("pod1", "/run/netns/pod1", id="name"),
        pytest.param("/run/netns/pod1", "/run/netns/pod1", id="path"),
        pytest.param("/var/run/netns/pod1", "/var/run/netns/pod1", id="old path"),
        pytest.param("/proc/4242/ns/net", "/proc/4242/ns/net", id="process"),
    ],
)
def test_a_namespace_is_meant_by_its_name_or_its_path(text: str, path: str) -> None:
    """A word without a slash is a name under /run/netns, anything else an absolute path."""
    assert resolve_netns(text) == path


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "./pod1", "/run/netns/../x", "pod 1", "pod1\n", "/a;b", "/"])
def test_what_cannot_be_a_namespace_path_is_refused(text: str) -> None:
    """The error says what was given and what would be right, on one line."""
    with pytest.raises(InvalidInput, match=r"^netns: .* is neither a name .*\)$"):
        resolve_netns(text)


def test_the_id_of_a_wiring_is_the_name_of_its_namespace() -> None:
    """The base name serves if it is an id."""
    assert default_id(NetnsPath("/var/run/netns/cni-12ab")) == "cni-12ab"


@pytest.mark.parametrize("path", ["/proc/4242/ns/net", "/proc/self/ns/net", "/run/netns/-x", "/run/netns/a:b"])
def test_where_a_path_gives_no_id_one_is_asked_for(path: str) -> None:
    """`net` names no pod, and not every file name is an id: the message names the option."""
    with pytest.raises(InvalidInput, match=r"^id: .*--id"):
        default_id(NetnsPath(path))


def test_the_boot_id_is_a_uuid_that_stays() -> None:
    """Two readings in one boot are the same."""
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", boot_id())
    assert boot_id() == boot_id()


def test_a_namespace_has_one_cookie_by_whatever_path_it_is_opened(scratch_ns: NetnsPath) -> None:
    """The path under /run/netns and that of a process inside lead to the same namespace."""
    with process_in(scratch_ns) as other, Namespace.open(scratch_ns) as one, Namespace.open(other) as two:
        assert one.cookie == two.cookie > 0


def test_a_namespace_of_the_same_name_has_another_cookie() -> None:
    """A namespace that was deleted and made again is not the one that it was."""
    with scratch_namespace() as path:
        with Namespace.open(path) as namespace:
            before = namespace.cookie
        ip("netns", "delete", name_of(path))
        ip("netns", "add", name_of(path))
        with Namespace.open(path) as namespace:
            assert namespace.cookie != before


@pytest.mark.parametrize("path", ["/run/netns/pwt-never", "/proc/4194305/ns/net", "/proc/version/ns/net"])
def test_a_namespace_that_is_not_there_is_gone(path: str) -> None:
    """No such file, or no such process: the caller can tell this from every other failure."""
    with pytest.raises(NamespaceGone, match=f"^there is no network namespace at {path}$"):
        Namespace.open(NetnsPath(path))


def test_the_namespace_of_a_process_that_has_ended_is_gone() -> None:
    """A zombie has no namespace any more, though its directory is still there."""
    with subprocess.Popen(["true"]) as process:
        path = f"/proc/{process.pid}/ns/net"
        eventually(lambda: not is_running(process.pid), "its end")
        with pytest.raises(NamespaceGone):
            Namespace.open(NetnsPath(path))


@pytest.mark.parametrize("path", ["/proc/self/ns/mnt", "/etc/passwd", "/etc", "/dev/null", "/proc/version"])
def test_what_is_not_a_network_namespace_is_refused(path: str) -> None:
    """Another kind of namespace, a file, a directory, a device: one sentence, and nothing is left open."""
    before = descriptors()
    with pytest.raises(HostError, match=f"^{path} is not a network namespace$"):
        Namespace.open(NetnsPath(path))
    assert descriptors() == before


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    """Nothing is opened before it is known to be a regular file."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(HostError, match="is not a network namespace"):
        Namespace.open(NetnsPath(str(tmp_path / "fifo")))


def test_a_function_runs_inside_the_namespace_and_the_caller_stays_outside(namespace: Namespace) -> None:
    """A socket made inside sees the links inside; the calling thread never moves."""
    ip("-n", name_of(namespace.path), "link", "add", "only-here", "type", "bridge")
    here = Path("/proc/self/ns/net").readlink()

    assert "only-here" in {name for _, name in namespace.call(socket.if_nameindex)}

    assert Path("/proc/thread-self/ns/net").readlink() == here
    assert "only-here" not in {name for _, name in socket.if_nameindex()}
    assert threading.active_count() == 1


def test_what_a_function_raises_inside_reaches_the_caller(namespace: Namespace) -> None:
    """The very exception, not a report of it."""
    error = KeyError("inside")

    def fail() -> None:
        raise error

    with pytest.raises(KeyError) as caught:
        namespace.call(fail)
    assert caught.value is error


def test_closing_twice_closes_nothing_else(scratch_ns: NetnsPath) -> None:
    """The number of the descriptor may belong to somebody else by then."""
    namespace = Namespace.open(scratch_ns)
    number = namespace.fd
    namespace.close()
    reader, writer = os.pipe()
    try:
        assert number in (reader, writer)
        namespace.close()
        os.fstat(number)
    finally:
        os.close(reader)
        os.close(writer)


def test_the_descriptor_is_not_inherited_by_chance(namespace: Namespace) -> None:
    """Only programs that podwire starts in the namespace are to hold it, and its lock."""
    assert not os.get_inheritable(namespace.fd)
    with namespace.lock(0):
        pass
    assert not os.get_inheritable(namespace.fd)


def test_the_lock_excludes_by_every_path_and_is_given_back(scratch_ns: NetnsPath) -> None:
    """Who opens the namespace through a process meets the same lock as who opens it by name."""
    with process_in(scratch_ns) as other, Namespace.open(scratch_ns) as one, Namespace.open(other) as two:
        with (
            one.lock(0),
            pytest.raises(Locked, match=f"^{other} is in use by process {os.getpid()} "),
            two.lock(0),
        ):
            pass
        with two.lock(0), pytest.raises(Locked), one.lock(0):
            pass
        with one.lock(0):
            pass


def test_the_lock_is_waited_for_as_long_as_was_said(scratch_ns: NetnsPath) -> None:
    """Not shorter, and hardly longer."""
    with Namespace.open(scratch_ns) as one, Namespace.open(scratch_ns) as two, one.lock(0):
        started = time.monotonic()
        with pytest.raises(Locked), two.lock(0.2):
            pass
        assert 0.2 <= time.monotonic() - started < 2


def test_who_waits_gets_the_lock_when_it_is_free(scratch_ns: NetnsPath) -> None:
    """The waiting ends with the holder's work, not with the time allowed."""
    with Namespace.open(scratch_ns) as one, Namespace.open(scratch_ns) as two:
        waiting, got = threading.Event(), threading.Event()

        def wait_for_it() -> None:
            waiting.set()
            with two.lock(30):
                got.set()

        with one.lock(0):
            thread = threading.Thread(target=wait_for_it)
            thread.start()
            assert waiting.wait(5)
            assert not got.is_set()
        assert got.wait(5)
        thread.join()


def test_the_holder_of_the_lock_is_named(scratch_ns: NetnsPath) -> None:
    """The message says which process it is, so that somebody can look at it."""
    with another_podwire(scratch_ns) as (process, _), Namespace.open(scratch_ns) as namespace:
        with pytest.raises(Locked) as caught, namespace.lock(0):
            pass
        assert re.search(rf" is in use by process {process.pid} \(python[0-9.]*\); try again", str(caught.value))


def test_a_program_holds_the_lock_of_a_podwire_that_was_killed(scratch_ns: NetnsPath) -> None:
    """After kill -9 the lock lasts as long as the command that was left running, which is named; then it is free."""
    with another_podwire(scratch_ns) as (process, program), Namespace.open(scratch_ns) as namespace:
        process.kill()
        process.wait()
        assert is_running(program)
        eventually(lambda: Path(f"/proc/{program}/comm").read_text() == "sleep\n", "nsenter's start of the program")
        with (
            pytest.raises(Locked, match=rf"by process {program} \(sleep\), left running by .* is gone"),
            namespace.lock(0),
        ):
            pass

        os.kill(program, signal.SIGKILL)
        with namespace.lock(10):
            pass


def test_leaving_the_lock_does_not_unlock_for_a_program_that_still_runs(scratch_ns: NetnsPath) -> None:
    """The lock is as long as the last change that may still happen."""
    with Namespace.open(scratch_ns) as one, Namespace.open(scratch_ns) as two:
        with one.lock(0):
            running = start_program(["sleep", "60"], namespace=one, stdin=None, timeout=60)
        with (
            running,
            pytest.raises(Locked, match=rf"by process {running.pid} \((sleep|nsenter)\)|by process {os.getpid()} "),
            two.lock(0),
        ):
            pass
        with two.lock(10):
            pass
