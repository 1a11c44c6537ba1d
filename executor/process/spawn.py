"""A child process: in a group of its own, with the descriptors that it must hold.

What ``ip`` sessions and single programs have in common: where a program is found, what it inherits, and that it ends.
"""

from __future__ import annotations

import fcntl
import functools
import os
import resource
import select
import shutil
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from executor.errors import HostError
from executor.netns.namespace import Namespace
from executor.process.posix_spawn import spawn
from executor.trust.files import weak_spot
from executor.trust.privileges import hand_on, has
from planner.text.values import shown_path

# Debian's packages. ebtables is in iptables: the package of that name has only the legacy one, which podwire refuses.
_PACKAGES = {
    "sh": "dash",
    "tee": "coreutils",
    "ip": "iproute2",
    "bridge": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "sysctl": "procps",
}

# What Python ignores, so that its children would (and SIGCHLD, which the process that started podwire may have
# ignored).
_NOT_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD)

# The nice value of what is started ahead.
_AHEAD = 10

# How long a killed process may take to go. It goes at once, unless the kernel itself hangs in it.
_DYING = 2.0


def find_program(name: str) -> str:
    """Return the path of the program called ``name``, looking in PATH and then where Debian keeps such programs.

    Relative directories, and what another user could have put there, are ignored. Raises HostError, which names the
    package that it comes in.
    """
    path = _path()
    found = _found_before.get((name, path))
    if found is None or not os.access(found, os.X_OK):
        found = _found_before[name, path] = _look_for(name)
    return found


# By name and PATH: an operation asks a dozen times, and each time some ten places would be checked.
_found_before: dict[tuple[str, str], str] = {}


def forget_programs() -> None:
    """Look up every program again: this process is where other files are at the same paths (mount_namespaces(7))."""
    _found_before.clear()
    _safe_path.cache_clear()


def which(name: str) -> str | None:
    """Return the path of a program that nobody else could have put there, as ``find_program`` looks for it, or None."""
    # Not resolved: what a program is may hang on the name that it is called by, as with ebtables.
    return next((program for program in _programs(name) if not is_weak(program)), None)


def _look_for(name: str) -> str:
    found = which(name)
    if found is None:
        package = "iptables" if name.startswith("ebtables") else _PACKAGES.get(name, name)
        weak = next(_programs(name), None)
        passed = f"; {shown_path(weak)} was ignored: another user could have put it there" if weak else ""
        raise HostError(f"the program {name} is not installed: on Debian it comes with the package {package}{passed}")
    return found


def _programs(name: str) -> Iterator[str]:
    for directory in _directories(_path()):
        if found := shutil.which(name, path=directory):
            yield str(Path(found).absolute())


def _path() -> str:
    return os.environ.get("PATH") or os.defpath


def is_weak(path: str) -> bool:
    """Say whether somebody else could put another program, or folder of programs, there."""
    try:
        return weak_spot(Path(path)) is not None
    except OSError:
        return True


def _directories(path: str) -> list[str]:
    """Return the folders of a PATH, but not those that mean another one wherever podwire is started."""
    # A user's PATH often lacks the directories of the system's programs, and so does sudo's or a daemon's.
    return [directory for directory in (*path.split(os.pathsep), "/usr/sbin", "/sbin") if directory.startswith("/")]


@functools.lru_cache(1)
def _safe_path(path: str) -> str:
    return os.pathsep.join(directory for directory in _directories(path) if not is_weak(directory))


def program_environment() -> dict[str, str]:
    """Return the environment of every program: nothing that the user has set changes what it does or says."""
    return {"PATH": _safe_path(_path()), "LC_ALL": "C"}


def limit_output(pid: int, most: int) -> None:
    """Have the kernel end a program that writes more than ``most`` bytes to a file (setrlimit(2), RLIMIT_FSIZE)."""
    with suppress(OSError):  # it has ended
        soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        if soft == resource.RLIM_INFINITY or soft > most:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, hard))


class ChildProcess:
    """A program that was started, and is to be reaped. Not for use by several threads."""

    def __init__(self, pid: int) -> None:
        """Take charge of a child of ours, which leads a process group of its own."""
        self.pid = pid
        # Readable as soon as the process ends (pidfd_open(2)); -1 once it was collected.
        self.ended_fd = os.pidfd_open(pid)
        self._ended = select.poll()
        self._ended.register(self.ended_fd, select.POLLIN)

    @classmethod
    def start(
        cls,
        argv: Sequence[str],
        *,
        namespace: Namespace | None,
        streams: tuple[int, int, int],
        pass_fds: Iterable[int] = (),
        is_ahead: bool = False,
    ) -> Self:
        """Start ``argv`` in ``namespace`` (None: where we are); equals ``nsenter --net=NETNS argv``.

        The child gets PATH and LC_ALL=C for an environment, and of our descriptors ``pass_fds`` and the namespace's,
        so that it shares the lock. ``streams`` are the descriptors for its standard input, output and error. With
        ``is_ahead`` nobody waits for it yet: it gives way to whatever else wants to run, until ``raise_priority`` is
        called. Raises HostError if the program is not installed or cannot be started.
        """
        kept = set(pass_fds)
        program = [find_program(argv[0]), *argv[1:]]
        if namespace is not None:
            kept.update(namespace.inherited)
            program = [find_program("nsenter"), f"--net=/proc/self/fd/{namespace.fd}", *program]
        hand_on()
        pid = _spawn(program, streams, kept)
        try:
            child = cls(pid)
        except OSError as error:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise HostError(
                f"{argv[0]} was started but cannot be watched, so it was killed: {error.strerror}"
            ) from None
        if is_ahead and has("CAP_SYS_NICE"):  # else it could not be raised again
            child._set_nice(_AHEAD)
        return child

    def raise_priority(self) -> None:
        """Let a process that was started ahead run like any other."""
        self._set_nice(0)

    def wait(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for the process to end; say whether it has."""
        return self.ended_fd < 0 or bool(self._ended.poll(max(0.0, seconds) * 1000))

    def reap(self) -> int:
        """Collect the process, which has ended; return its exit status (-N for signal N).

        Raises HostError if somebody else in this process has collected it.
        """
        self._release()
        try:
            return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:
            raise HostError(f"the exit status of process {self.pid} is lost: something else waited for it") from None

    def kill(self) -> bool:
        """Kill the whole process group and collect the process; say whether that worked.

        It does not if the kernel hangs in a system call of it; then nobody can end it.
        """
        with suppress(ChildProcessError, ProcessLookupError):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # still ours, or its id may be reused
            os.killpg(self.pid, signal.SIGKILL)
        ended = self.wait(_DYING)
        if ended:
            with suppress(HostError):
                self.reap()
        self._release()
        return ended

    def _set_nice(self, value: int) -> None:
        with suppress(OSError):  # it has ended, or a nice value may not be made smaller here
            os.setpriority(os.PRIO_PROCESS, self.pid, value)

    def _release(self) -> None:
        if self.ended_fd >= 0:
            self._ended.unregister(self.ended_fd)
            os.close(self.ended_fd)
            self.ended_fd = -1


def _spawn(program: list[str], streams: Sequence[int], kept: Iterable[int]) -> int:
    """Start ``program`` (its file, then its arguments) by posix_spawn(3) and return its process id.

    No fork: that would copy the tables of all our memory, and run what other threads have left half done. It leads a
    process group of its own, so that Ctrl-C does not reach it and all that it starts can be killed.
    """
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        raise HostError("this process ignores SIGCHLD, so podwire could not learn how a program ended")
    try:
        with _above_streams(streams) as copies:
            return spawn(
                program,
                program_environment(),
                duplicates=[*((fd, number) for number, fd in enumerate(copies)), *((fd, fd) for fd in kept)],
                closed=[fd for fd in _inheritable() if fd not in kept],
                default_signals=_NOT_IGNORED,
            )
    except OSError as error:
        raise HostError(f"{program[0]} cannot be started: {error.strerror}") from None


@contextmanager
def _above_streams(fds: Sequence[int]) -> Iterator[list[int]]:
    """Yield copies of descriptors, none of which is 0, 1 or 2: these are replaced one after the other."""
    copies: list[int] = []
    try:
        for fd in fds:
            copies.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3))  # noqa: PERF401  closed if one of them fails
        yield copies
    finally:
        for fd in copies:
            os.close(fd)


def _inheritable() -> list[int]:
    """Return the descriptors above 2 that a child would inherit, which others have opened or left to us."""
    found = []
    most = os.sysconf("SC_OPEN_MAX")
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if fd > 2 and os.get_inheritable(fd):
                if fd < most:
                    found.append(fd)
                else:  # from before the limit was set: posix_spawn refuses to close what it takes for no descriptor
                    os.set_inheritable(fd, False)  # noqa: FBT003  it takes no keyword
        except OSError:  # that of the listing itself
            continue
    return found
