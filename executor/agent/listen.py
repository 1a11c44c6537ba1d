"""The agent's socket: handed over by systemd (sd_listen_fds(3)), or made here. Only root can reach it."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from executor.agent.protocol import SOCKET
from executor.errors import HostError, Locked
from executor.netns.lock import LockFile, run_dir
from executor.trust.files import for_us_alone
from planner.errors import Refused
from planner.text.values import shown, shown_path

# The first descriptor that systemd hands over (sd_listen_fds(3), SD_LISTEN_FDS_START).
_FIRST_HANDED_OVER = 3
_BACKLOG = 512


@contextmanager
def listening() -> Iterator[tuple[socket.socket, tuple[int, ...]]]:
    """Yield the socket to accept from, and other descriptors that are the agent's alone: its children close them.

    Raises Refused if an agent is running already, HostError if the socket cannot be made or is not root's alone.
    """
    handed_over = _handed_over()
    if handed_over is not None:
        with handed_over:
            yield handed_over, ()
        return
    path = run_dir() / SOCKET
    try:
        lock = LockFile.take("agent", 0, "the agent's socket")
    except Locked:
        raise Refused(f"an agent is listening on {path} already") from None
    with lock:
        with _made(path) as own:
            yield own, (lock.fd,)
        path.unlink(missing_ok=True)


def _handed_over() -> socket.socket | None:
    """Return the socket that systemd has opened for this process, None if it has none."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or count in ("", "0"):
        return None
    if count != "1":
        raise HostError(f"LISTEN_FDS: the agent takes one socket, and was started with {shown(count)}")
    try:
        os.set_inheritable(_FIRST_HANDED_OVER, False)  # noqa: FBT003  a positional parameter of os
        found = socket.socket(fileno=_FIRST_HANDED_OVER)
        is_listening = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise HostError(f"LISTEN_FDS: what was handed over is no socket: {error.strerror}") from None
    if found.family != socket.AF_UNIX or found.type != socket.SOCK_STREAM or not is_listening:
        raise HostError("LISTEN_FDS: the agent takes a listening stream socket of the Unix domain")
    name = found.getsockname()
    if not isinstance(name, str) or not name:  # abstract, or without a name: no mode keeps anybody from it
        raise HostError("LISTEN_FDS: the agent takes a socket in the file system, which has an owner and a mode")
    _refuse_what_others_reach(Path(name))
    return found


def _refuse_what_others_reach(path: Path) -> None:
    """Raise HostError unless only root can connect (unix(7): that takes a way to the socket, and writing to it)."""
    for place in (path, path.parent):
        try:
            found = place.lstat()
        except OSError as error:
            raise HostError(f"the agent's socket {shown_path(path)}: {error.strerror}") from None
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise HostError(
                f"the agent's socket {shown_path(path)} can be reached by others: mode 0600, in a folder of mode"
                " 0700, both root's"
            )


def _made(path: Path) -> socket.socket:
    """Return a new socket, in place of one that an agent which was killed has left."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.connect(str(path))
        raise Refused(f"somebody is listening on {path} already: systemctl status podwire-agent.socket")
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with for_us_alone():
            path.unlink(missing_ok=True)
            made.bind(str(path))
            made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        why = error.strerror or error
        raise HostError(f"the agent's socket {shown_path(path)} cannot be made: {why}") from None
    return made
