"""Starting programs through the launcher (launcher.py), which ``sh`` starts when the first program is wanted.

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
from typing import Any

from executor.errors import HostError

_MOST_ANSWER = 4096
_STARTING = threading.Lock()
# In the place of a request's number: why the launcher could not be started.
_NOT_STARTED = "-"
_SPEC: Any = __spec__  # its loader reads what lies beside this file, in a zipapp too (PEP 302)


def start_process(
    program: Sequence[str], *, path: str, streams: Sequence[int], kept: Sequence[int], nice: int = 0
) -> Callable[[], int]:
    """Have ``program`` (its file, then its arguments) started, leader of a process group of its own.

    ``path`` is its PATH, ``streams`` are the descriptors for its standard input, output and error, ``kept`` those that
    it inherits under their own numbers; ``nice`` is what it begins with (setpriority(2)). Returns at once; the function
    returned waits for the process id, or raises HostError where it cannot be started.
    """
    file, *arguments = program
    numbers = " ".join(map(str, kept))
    launcher = _launcher()
    asked = launcher.ask(("start", file, numbers, path, str(nice), file, *arguments), (*streams, *kept))

    def pid() -> int:
        answer = launcher.answer_to(asked)
        if answer.startswith("!"):
            raise HostError(f"{file} cannot be started: {answer[1:]}")
        return int(answer)

    return pid


def reap_process(pid: int) -> int:
    """Return the exit status of a process that has ended, -N for signal N. To be called once.

    Of one that an earlier launcher started, which was killed, nobody knows it: then it is that of the same end.
    """
    launcher = _launcher()
    answer = launcher.answer_to(launcher.ask(("reap", str(pid)), ()))
    return -signal.SIGKILL if answer.startswith("!") else int(answer)


def prepare() -> None:
    """Start the launcher now, so that the first program does not wait for it. Raises HostError."""
    _launcher()


def prepare_meanwhile() -> None:
    """Start the launcher while whoever calls this goes on, to load modules: a fork of this process loads ``sh``.

    Loading it takes 35 ms, which would otherwise take turns with loading the rest. Where ``sh`` is loaded already, or
    there are other threads, which a fork might hurt, the first program starts the launcher. It also says what went
    wrong here.
    """
    process = os.getpid()
    if process not in _launchers and "sh" not in sys.modules and threading.active_count() == 1:
        _launchers[process] = _Launcher(_start_in_a_fork)


# By process: a fork, which has another id, gets its own.
_launchers: dict[int, _Launcher] = {}


def _launcher() -> _Launcher:
    process = os.getpid()
    with _STARTING:
        if process not in _launchers:
            _launchers[process] = _Launcher(_start_with_sh)
        return _launchers[process]


class _Launcher:
    """Our end of the socket to the launcher. Threads take turns."""

    def __init__(self, start: Callable[[socket.socket], int]) -> None:
        """Have the launcher started by ``start``, which returns the id of a child of ours that does it, or 0."""
        self._turn = threading.Lock()
        self._asked = 0
        self._answers: dict[str, str] = {}
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        atexit.register(self._control.close)
        with theirs:
            self._starter = start(theirs)

    def ask(self, words: Sequence[str], descriptors: Sequence[int]) -> str:
        """Send one request; return the number by which it is answered."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        with self._turn:
            self._asked += 1
            number = str(self._asked)
            try:
                self._control.sendmsg(["\0".join((number, *words)).encode()], rights)
            except OSError as error:
                self._receive()  # its last words, which say more
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
        if self._starter and os.waitpid(self._starter, os.WNOHANG)[0]:
            self._starter = 0
        number, _, text = answer.decode().partition("\0")
        if number == _NOT_STARTED:
            _launchers.clear()
            raise HostError(text)
        self._answers[number] = text

    def _lost(self, why: str | None) -> HostError:
        _launchers.clear()
        return HostError(f"the process that starts programs for podwire does not answer ({why}): try again")


def _start_in_a_fork(control: socket.socket) -> int:
    """Start the launcher from a fork of this process; return the id of that."""
    child = os.fork()
    if child == 0:
        try:
            os.setsid()  # no Ctrl-C is for it
            _start_with_sh(control)
        except HostError as error:
            control.send(f"{_NOT_STARTED}\0{error}".encode())
        except BaseException as error:  # noqa: BLE001  the other process is told
            control.send(f"{_NOT_STARTED}\0programs cannot be started: {error}".encode())
        finally:
            os._exit(0)
    return child


def _start_with_sh(control: socket.socket) -> int:
    import sh  # noqa: PLC0415  it takes 35 ms, of this process only where nobody had time to fork

    if not sys.executable:
        raise HostError("this Python does not say where its interpreter is, and podwire starts programs with it")
    source = _SPEC.loader.get_data(f"{os.path.dirname(__file__)}/launcher.py").decode()
    # A descriptor for standard input is taken as for the others, but sh's types don't say so.
    try:
        start: Any = sh.Command(sys.executable)
        with open(os.devnull, "wb") as nowhere:
            # It forks and ends: what goes on is nobody's child, and of sh no thread stays. In a session of its own, so
            # that neither Ctrl-C nor the end of a terminal reaches it, or what it starts.
            streams = {"_in": control.fileno(), "_out": nowhere.fileno(), "_err": nowhere.fileno()}
            start("-I", "-S", "-c", source, _new_session=True, _tty_out=False, **streams)
    except (OSError, sh.CommandNotFound, sh.ForkException, sh.ErrorReturnCode) as error:
        reason = str(error).strip().splitlines()[-1]
        raise HostError(f"{sys.executable} cannot be started: {reason}") from None
    return 0
