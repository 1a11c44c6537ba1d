"""Starting programs through the launcher (executor.launcher), which ``sh`` starts when the first program is wanted.

There is one in a process, and it ends with the process. Programs come from it with the user, the root directory and
the mounts that the process had when it asked for the first.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
import threading
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib import resources
from typing import Any

import sh

from executor.errors import Unusable

_MOST_ANSWER = 4096
_STARTING = threading.Lock()


def start_process(
    program: Sequence[str], *, path: str, streams: Sequence[int], kept: Sequence[int], nice: int = 0
) -> Callable[[], int]:
    """Have ``program`` (its file, then its arguments) started, leader of a process group of its own.

    ``path`` is its PATH, ``streams`` are the descriptors for its standard input, output and error, ``kept`` those that
    it inherits under their own numbers; ``nice`` is what it begins with (setpriority(2)). Returns at once; the function
    returned waits for the process id, or raises Unusable where it cannot be started.
    """
    file, *arguments = program
    numbers = " ".join(map(str, kept))
    launcher = _launcher(os.getpid())
    asked = launcher.ask(("start", file, numbers, path, str(nice), file, *arguments), (*streams, *kept))

    def pid() -> int:
        answer = launcher.answer_to(asked)
        if answer.startswith("!"):
            raise Unusable(f"{file} cannot be started: {answer[1:]}")
        return int(answer)

    return pid


def reap_process(pid: int) -> int:
    """Return the exit status of a process that has ended, -N for signal N. To be called once.

    Of one that an earlier launcher started, which was killed, nobody knows it: then it is that of the same end.
    """
    launcher = _launcher(os.getpid())
    answer = launcher.answer_to(launcher.ask(("reap", str(pid)), ()))
    return -signal.SIGKILL if answer.startswith("!") else int(answer)


def prepare() -> None:
    """Start the launcher now, so that the first program does not wait for it. Raises Unusable."""
    _launcher(os.getpid())


def prepare_meanwhile() -> None:
    """Start the launcher on a thread, while whoever calls this has something else to do."""

    def work() -> None:
        with suppress(Unusable):  # the first program will say so
            prepare()

    threading.Thread(target=work, name="launcher", daemon=True).start()


def _launcher(process: int) -> _Launcher:
    """Return the launcher of this process; a fork of it, which has another id, gets its own."""
    with _STARTING:
        return _launcher_of(process)


@cache
def _launcher_of(_process: int) -> _Launcher:
    return _Launcher()


class _Launcher:
    """Our end of the socket to the launcher. Threads take turns."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._asked = 0
        self._answers: dict[str, str] = {}
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        atexit.register(self._control.close)
        with theirs, open(os.devnull, "wb") as nowhere:
            _start_with_sh(theirs.fileno(), nowhere.fileno())

    def ask(self, words: Sequence[str], descriptors: Sequence[int]) -> str:
        """Send one request; return the number by which it is answered."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        with self._turn:
            self._asked += 1
            number = str(self._asked)
            try:
                self._control.sendmsg(["\0".join((number, *words)).encode()], rights)
            except OSError as error:
                raise self._lost(error.strerror) from None
        return number

    def answer_to(self, number: str) -> str:
        """Wait for the answer to a request; those to others that come before it are kept for them."""
        with self._turn:
            while number not in self._answers:
                self._receive()
            return self._answers.pop(number)

    def _receive(self) -> None:
        try:
            answer = self._control.recv(_MOST_ANSWER)
        except OSError as error:
            raise self._lost(error.strerror) from None
        if not answer:
            raise self._lost("it has ended")
        number, _, text = answer.decode().partition("\0")
        self._answers[number] = text

    def _lost(self, why: str | None) -> Unusable:
        _launcher_of.cache_clear()
        return Unusable(f"the process that starts programs for podwire does not answer ({why}): try again")


def _start_with_sh(control: int, nowhere: int) -> None:
    if not sys.executable:
        raise Unusable("this Python does not say where its interpreter is, and podwire starts programs with it")
    source = resources.files("executor").joinpath("launcher.py").read_text(encoding="utf-8")
    # A descriptor for standard input is taken as for the others, but sh's types don't say so.
    try:
        start: Any = sh.Command(sys.executable)
        # It forks and ends: what goes on is nobody's child, and of sh no thread stays. In a session of its own, so that
        # neither Ctrl-C nor the end of a terminal reaches it, or what it starts.
        start("-I", "-S", "-c", source, _new_session=True, _tty_out=False, _in=control, _out=nowhere, _err=nowhere)
    except (OSError, sh.CommandNotFound, sh.ForkException, sh.ErrorReturnCode) as error:
        reason = str(error).strip().splitlines()[-1]
        raise Unusable(f"{sys.executable} cannot be started: {reason}") from None
