"""Requests, in a child of the agent: it does what podwire-cni does for its caller, in its caller's namespaces.

All that a request brings is data: the configuration, the variables that the plugin reads, and the two namespaces that
its caller is in, so that paths mean to the child what they mean there. Nothing of it is kept for the next.
"""

from __future__ import annotations

import array
import ctypes
import io
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.machinery import BuiltinImporter, FrozenImporter
from typing import NoReturn

from executor.agent.protocol import MAX_REQUEST, BrokenFrame, frame, read_frame, variables_from_bytes
from executor.cni import main as do_it
from executor.cni.call import Call
from executor.netns.handle import libc
from executor.process.spawn import forget_programs
from planner.text.values import shown

# Seconds for a request to be there whole, and for its answer to be taken.
TRANSFER_WITHIN = 5.0
# By what the caller sends, in this order: /proc/PID/ns/net and /proc/PID/ns/mnt (namespaces(7), <linux/sched.h>).
_NAMESPACES = {"net": 0x4000_0000, "mnt": 0x0002_0000}
_ITS_OWN = ("/proc/self/", "/proc/thread-self/")
_FOLDERS = ("PODWIRE_STATE_DIR", "PODWIRE_RUN_DIR")
_LONGEST_NAME = 200


class _Declined(BaseException):
    """It is not for the agent to do this: the caller does it itself."""


class _CallerLeft(BaseException):
    """Nobody waits for the answer any more: nothing must be begun."""


def work(channel: socket.socket, closing: Callable[[], None], say: Callable[[str], None]) -> NoReturn:
    """Do the requests that come over ``channel``, and end this process when that ends.

    To be called in a process that was forked for it and has no other thread. ``closing`` lets go of what is not its
    own; ``say`` gets the result of each request.
    """
    try:
        closing()
        _become_a_process_of_its_own()
        with suppress(OSError):  # the agent has ended
            while connection := _next(channel):
                with connection:
                    answer = _served(connection, say)
                    with suppress(OSError):  # the agent was killed
                        channel.send(b".")  # before the caller knows, who may come again at once
                    with suppress(OSError):  # nobody takes it
                        connection.sendall(answer)
    except BaseException:  # noqa: BLE001  whatever it is: the agent goes on, and the caller does the work itself
        with suppress(OSError):
            os.write(2, f"podwire agent: {traceback.format_exc()}".encode())
    finally:
        os._exit(0)


def _become_a_process_of_its_own() -> None:
    """Take signals as podwire-cni does; a Ctrl-C that is meant for the agent does not come here."""
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _next(channel: socket.socket) -> socket.socket | None:
    """Return the next connection, None if there will be none."""
    said, fds, _, _ = socket.recv_fds(channel, 1, 1, socket.MSG_CMSG_CLOEXEC)
    return socket.socket(fileno=fds[0]) if said else None


def _served(connection: socket.socket, say: Callable[[str], None]) -> bytes:
    """Do the request that comes over ``connection``; return what to answer, which is nothing if it was not done."""
    began = time.monotonic()
    answer = b""
    os.environ.clear()  # of the request before
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            status, out, err = _answer(connection)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what comes now was meant for this request
        answer, how = frame(status, out, err), f"status {status.decode()}"
    except _CallerLeft:
        how = "caller disconnected"
    except (_Declined, BrokenFrame, OSError) as error:
        how = f"left to podwire-cni: {error}"
    what = (os.environ.get(name, "") for name in ("CNI_COMMAND", "CNI_CONTAINERID", "CNI_IFNAME"))
    say(f"{shown(' '.join(what), _LONGEST_NAME)}: {how}, {1000 * (time.monotonic() - began):.0f} ms")
    return answer


def _answer(connection: socket.socket) -> tuple[bytes, bytes, bytes]:
    with _received(connection) as (variables, given, namespaces):
        os.environ.clear()
        os.environb.update(variables)
        _refuse_what_only_it_can_name()
        _enter(namespaces)

        def begin(call: Call) -> None:
            if _has_left(connection):
                raise _CallerLeft
            if call.conf.options.serve_dhcp and call.verb != "DEL":
                raise _Declined("the server of a guest is to outlive the agent")

        return _captured(lambda: do_it(given, begin=begin))


@contextmanager
def _received(connection: socket.socket) -> Iterator[tuple[dict[bytes, bytes], bytes, list[int]]]:
    """Yield the variables, the standard input and the namespaces of a request, which are closed in the end."""
    fds = array.array("i")
    until = time.monotonic() + TRANSFER_WITHIN

    def receive(most: int) -> bytes:
        # All of it within that time: who sends a byte now and then would keep a child for as long as it likes.
        left = until - time.monotonic()
        if left <= 0:
            raise BrokenFrame("it takes too long to come")
        connection.settimeout(left)
        space = socket.CMSG_SPACE(16 * fds.itemsize)
        data, ancillary, flags, _ = connection.recvmsg(most, space, socket.MSG_CMSG_CLOEXEC)
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        if flags & socket.MSG_CTRUNC:
            raise BrokenFrame("it hands over more than can be taken")
        return data

    try:
        variables, given = read_frame(receive, 2, MAX_REQUEST)
        connection.settimeout(TRANSFER_WITHIN)
        if len(fds) != len(_NAMESPACES):
            raise _Declined("it does not say which namespaces it is in")
        yield variables_from_bytes(variables), given, list(fds)
    finally:
        for fd in fds:
            os.close(fd)


def _refuse_what_only_it_can_name() -> None:
    """Raise _Declined for paths that mean something else to every process: by /proc/self, or by its folder."""
    if os.environ.get("CNI_NETNS", "").startswith(_ITS_OWN):
        raise _Declined("its namespace is named by what only it can look at")
    for name in _FOLDERS:
        if not (os.environ.get(name) or "/").startswith("/"):  # empty is as good as not there
            raise _Declined(f"{name} is relative to the folder that it is in")


def _enter(namespaces: list[int]) -> None:
    """Be where the caller is. Raises _Declined if that cannot be, or if its /proc does not know this process."""
    for (name, kind), fd in zip(_NAMESPACES.items(), namespaces, strict=True):
        own, its = os.stat(f"/proc/self/ns/{name}"), os.fstat(fd)
        if (own.st_dev, own.st_ino) == (its.st_dev, its.st_ino):
            continue
        if libc().setns(fd, kind) != 0:
            raise _Declined(os.strerror(ctypes.get_errno()))
        if name == "mnt":
            forget_programs()
            _load_nothing_from_here()


def _load_nothing_from_here() -> None:
    """See that no module is loaded from files of the caller's, which may be another Python's, and that /proc is ours.

    All that is needed is loaded (executor.agent.warm).
    """
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter]
    try:
        is_ours = os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        is_ours = False
    if not is_ours:
        raise _Declined("its /proc does not know the agent")


def _has_left(connection: socket.socket) -> bool:
    """Say whether the caller has closed its end, or shut it down: it wants no answer, or wants this to stop."""
    ended = select.poll()
    ended.register(connection, select.POLLRDHUP)
    return bool(ended.poll(0))


def _captured(work: Callable[[], int]) -> tuple[bytes, bytes, bytes]:
    """Return the status that ``work`` returns, and what it prints, as the parts of an answer."""
    printed = io.StringIO(), io.StringIO()
    sys.stdout, sys.stderr = printed
    try:
        status = work()
    finally:
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    out, err = (stream.getvalue().encode("utf-8", "surrogateescape") for stream in printed)
    return str(status).encode(), out, err
