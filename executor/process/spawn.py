"""A child process: in a group of its own, with the descriptors that it must hold.

What ``ip`` sessions and single programs have in common: where a program is found, what it inherits, and that it ends.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from executor.errors import HostError
from executor.netns.namespace import Namespace
from executor.process.launching import reap_process, start_process

# Debian's packages. ebtables is in iptables: the package of that name has only the legacy one, which podwire refuses.
_PACKAGES = {"ip": "iproute2", "bridge": "iproute2", "nft": "nftables", "nsenter": "util-linux", "sysctl": "procps"}

# The nice value of what is started ahead.
_AHEAD = 10

# How long a killed process may take to go. It goes at once, unless the kernel itself hangs in it.
_DYING = 2.0


def find_program(name: str) -> str:
    """Return the path of the program called ``name``, looking in PATH and then where Debian keeps such programs.

    Raises HostError, which names the package that it comes in.
    """
    path = _search_path()
    found = _found_before.get((name, path))
    if found is None or not os.access(found, os.X_OK):
        found = _found_before[name, path] = _look_for(name, path)
    return found


# By name and PATH: an operation asks a dozen times, and each time some ten places would be looked at.
_found_before: dict[tuple[str, str], str] = {}


def _look_for(name: str, path: str) -> str:
    found = shutil.which(name, path=path)
    if found is None:
        package = "iptables" if name.startswith("ebtables") else _PACKAGES.get(name, name)
        raise HostError(f"the program {name} is not installed: on Debian it comes with the package {package}")
    # Not resolved: what a program is may hang on the name that it is called by, as with ebtables.
    return str(Path(found).absolute())


def _search_path() -> str:
    # A user's PATH often lacks the directories of the system's programs, and so does sudo's or a daemon's.
    return os.pathsep.join([os.environ.get("PATH") or os.defpath, "/usr/sbin", "/sbin"])


class ChildProcess:
    """A program that was started, and is to be reaped. Not for use by several threads."""

    def __init__(self, started: Callable[[], int]) -> None:
        self._started = started
        self._pid = 0
        self._failure: HostError | None = None
        self._pidfd = -1
        self._ended = select.poll()

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
        so that it shares the lock. ``streams`` are the descriptors for its standard input, output and error. It
        returns at once. With ``is_ahead`` nobody waits for it yet: it gives way to whatever else wants to run, until
        ``raise_priority`` is called. Raises HostError if the program is not installed; other errors come later.
        """
        kept = set(pass_fds)
        program = [find_program(argv[0]), *argv[1:]]
        if namespace is not None:
            kept.add(namespace.fd)
            program = [find_program("nsenter"), f"--net=/proc/self/fd/{namespace.fd}", *program]

        nice = _AHEAD if is_ahead else 0
        return cls(start_process(program, path=_search_path(), streams=streams, kept=sorted(kept), nice=nice))

    @property
    def pid(self) -> int:
        """The id of the process, which is that of its group too. Raises HostError where it could not be started."""
        if self._failure is not None:
            raise self._failure
        if not self._pid:
            try:
                self._pid = self._started()
            except HostError as failure:
                self._failure = failure
                raise
            # Readable as soon as the process ends (pidfd_open(2)).
            with suppress(ProcessLookupError):  # the launcher was killed, and somebody else has collected its children
                self._pidfd = os.pidfd_open(self._pid)
                self._ended.register(self._pidfd, select.POLLIN)
        return self._pid

    def raise_priority(self) -> None:
        """Let a process that was started ahead run like any other. Raises HostError as ``pid`` does."""
        with suppress(OSError):  # it has ended
            os.setpriority(os.PRIO_PROCESS, self.pid, 0)

    @property
    def ended_fd(self) -> int:
        """What becomes readable when the process ends, -1 where that cannot be told. Raises as ``pid`` does."""
        return self._pidfd if self.pid else -1

    def wait(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for the process to end; say whether it has. Raises HostError as ``pid`` does."""
        return bool(self.pid) and (self._pidfd < 0 or bool(self._ended.poll(max(0.0, seconds) * 1000)))

    def reap(self) -> int:
        """Collect the process, which has ended; return its exit status (-N for signal N)."""
        status = reap_process(self.pid)
        self._release()
        return status

    def kill(self) -> bool:
        """Kill the whole process group and collect the process; say whether that worked.

        It does not where the kernel hangs in a system call of it; then nobody can end it.
        """
        try:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            ended = self.wait(_DYING)
            if ended:
                self.reap()
        except HostError:  # it was never started, or nobody is left to ask
            ended = True
        self._release()
        return ended

    def _release(self) -> None:
        if self._pidfd >= 0:
            self._ended.unregister(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
