"""What ``podwire-cni`` runs: it has the agent do the work, or does it itself, with the same result.

Until it has asked it loads next to nothing: ``socket``, ``signal`` and ``re`` would each cost half of what Python takes
to start, and ``os`` a tenth, so their parts in C are used. What the agent cannot be asked, or does not answer, is done
here; the work can be repeated at any point of it, and waits until an earlier one has let go
(executor.cni.attachments).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what signal wraps
import _socket
import posix
import sys

from executor.agent.protocol import (
    MAX_ANSWER,
    MAX_REQUEST,
    BrokenFrame,
    frame,
    greeting,
    read_frame,
    socket_path,
    variables_to_bytes,
)
from executor.version import __version__

# Seconds for the agent to be there, and to answer: no honest request takes that long.
_GREETING_WITHIN = 2.0
_ANSWER_WITHIN = 60.0
_LONGEST = 86400.0  # that a clock can count; more is as good as no limit
_VERBS = (b"ADD", b"DEL", b"CHECK", b"GC", b"STATUS")
_NAMESPACES = ("/proc/self/ns/net", "/proc/self/ns/mnt")
_STOPPING = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)
_CREDENTIALS = 12  # struct ucred: pid, uid, gid (unix(7))


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def run() -> NoReturn:
    """Do what ``main`` does, and end this process.

    All is written by then, and to take the interpreter apart would be a seventh of what asking the agent costs.
    """
    posix._exit(main())  # noqa: SLF001  its name in os as well


def main() -> int:
    """Answer a runtime by the agent, or else by this process; return the exit status. It never raises."""
    if None in (sys.stdin, sys.stdout, sys.stderr):  # closed: the agent's socket would take its place
        from executor.cli.output import open_closed  # noqa: PLC0415  hardly any runtime does that

        open_closed()
    given = None
    if posix.environ.get(b"CNI_COMMAND") in _VERBS:
        agent = _connected()
        if agent is not None:
            given = _read_all()
            answer = _asked(agent, given)
            if answer is not None:
                return _passed_on(*answer)
    return _done_here(given)


def _done_here(given: bytes | None) -> int:
    """Do the work in this process. To look for cycles while it loads takes a tenth of the time."""
    import gc  # noqa: PLC0415  the agent needs none of it

    gc.disable()
    try:
        from executor.cni import main as do_it  # noqa: PLC0415
    except (OSError, ImportError, MemoryError) as error:  # a module that cannot be opened is not found
        return _not_loaded(error)
    return do_it(given)


def _not_loaded(error: Exception) -> int:
    """Answer a runtime while nothing more can be loaded, not even what writes JSON."""
    why = getattr(error, "strerror", None) or "a part of it cannot be read, or there is not enough memory"
    message = f"podwire-cni cannot be loaded: {why}"
    _write(1, f'{{"cniVersion": "1.1.0", "code": 11, "msg": "{message}"}}\n'.encode())
    _write(2, f"{message}\n".encode())
    return 1


def _connected() -> _socket.socket | None:
    """Return a connection to an agent, None if there is none that root runs."""
    try:
        agent = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    except OSError:  # there are no descriptors left
        return None
    try:
        agent.settimeout(_GREETING_WITHIN)
        agent.connect(socket_path(posix.environ))
        peer = agent.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS)
        if int.from_bytes(peer[4:8], sys.byteorder) == posix.geteuid():
            return agent
    except OSError:  # also if it is stopped, and its queue is full
        pass
    agent.close()
    return None


def _read_all() -> bytes:
    """Return standard input, up to a byte more than any configuration may have."""
    most = 32 * 1024 * 1024 + 1  # planner.text.document.MAX_BYTES
    chunks = []
    try:
        while most > 0 and (chunk := posix.read(0, min(most, 1024 * 1024))):
            chunks.append(chunk)
            most -= len(chunk)
    except OSError:  # a closed one: the plugin says so
        pass
    return b"".join(chunks)


def _asked(agent: _socket.socket, given: bytes) -> list[bytes] | None:
    """Return what the agent answers: status, output and errors. None if it does not, for whatever reason."""
    request = frame(variables_to_bytes(posix.environ), given)
    if len(request) > MAX_REQUEST:
        agent.close()
        return None
    stopped: list[int] = []

    def stop(number: int, _frame: object) -> None:
        stopped.append(number)
        try:  # noqa: SIM105  contextlib is not loaded
            agent.shutdown(_socket.SHUT_WR)
        except OSError:  # it has gone: nothing is to be stopped
            pass

    before = [(number, _signal.signal(number, stop)) for number in _STOPPING]
    try:
        answer = _answer_to(agent, request)
    finally:
        agent.close()
        for number, handler in before:
            _signal.signal(number, handler)
    if answer is None and stopped:
        _signal.signal(stopped[0], _signal.SIG_DFL)
        posix.kill(posix.getpid(), stopped[0])
    return answer


def _answer_to(agent: _socket.socket, request: bytes) -> list[bytes] | None:
    try:
        if agent.recv(64) != greeting(__version__):
            return None
        _send(agent, request)
        agent.settimeout(_answer_within())
        return read_frame(agent.recv, 3, MAX_ANSWER)
    except (OSError, BrokenFrame):
        return None


def _send(agent: _socket.socket, request: bytes) -> None:
    """Send a request, and with its first part the namespaces that this process is in."""
    opened = [posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC) for path in _NAMESPACES]
    try:
        numbers = b"".join([fd.to_bytes(4, sys.byteorder) for fd in opened])
        sent = agent.sendmsg([request], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)])
        if sent < len(request):  # sending nothing would fail if it has answered already
            agent.sendall(request[sent:])
    finally:
        for fd in opened:
            posix.close(fd)


def _answer_within() -> float:
    try:
        return min(_LONGEST, max(0.001, float(posix.environ.get(b"PODWIRE_AGENT_TIMEOUT") or _ANSWER_WITHIN)))
    except ValueError:
        return _ANSWER_WITHIN


def _passed_on(status: bytes, out: bytes, err: bytes) -> int:
    """Print what the agent answered and return its status, or 1 if a runtime does not get the answer."""
    _write(2, err)
    why = _write(1, out)
    if why is None:
        return int(status)
    _write(2, f"podwire-cni: standard output cannot be written: {why.strerror}\n".encode())
    return 1


def _write(fd: int, text: bytes) -> OSError | None:
    """Write all of a text; return why that cannot be."""
    try:
        while text:
            text = text[posix.write(fd, text) :]
    except OSError as error:
        return error
    return None
