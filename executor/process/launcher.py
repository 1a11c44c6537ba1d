"""The launcher: a process of a few megabytes that starts programs for podwire, by posix_spawn(3).

``sh`` forks, and a fork copies the tables of all of podwire's memory, runs Python in the child, and makes both sides
fault their pages in again: 4 ms a program, of which the program itself takes 1. So ``sh`` starts this one, once in
a process, and this one starts the others in 0.5 ms (executor.process.launching has the other side).

It runs by itself (``python -I -S -c``, its text being this file, which may lie in a zipapp), so it imports nothing of
podwire's, and little else: it is to be there at once. Nothing that it is told reaches a shell.

One message a request (a SOCK_SEQPACKET socket on standard input), one message for an answer, each with the request's
number in front and zero bytes between its words:

    start PROGRAM KEPT PATH NICE WORD…
                                      with the descriptors for 0, 1, 2 and those that the program keeps open, which are
                                      to have the numbers KEPT: the process id, or ``!`` and why it cannot be started.
                                      Its environment is PATH and LC_ALL=C, its nice value NICE.
    reap PID                          the exit status of a process that has ended (-N for signal N)

A process that has ended stays a zombie until podwire asks for its status, so that its id means nobody else. When
podwire ends, however it ends, the socket does, and with it this process; what it started goes on.
"""

from __future__ import annotations

import fcntl
import os
import signal
from _socket import AF_UNIX, CMSG_SPACE, MSG_CMSG_CLOEXEC, SOCK_SEQPACKET, socket  # socket itself would take 8 ms

MOST_BYTES = 256 * 1024
MOST_DESCRIPTORS = 64
# What Python ignores, so that its children would.
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)


def serve(control: socket) -> None:
    """Answer requests until there is nobody left to ask."""
    while True:
        message, ancillary, _, _ = control.recvmsg(MOST_BYTES, CMSG_SPACE(4 * MOST_DESCRIPTORS), MSG_CMSG_CLOEXEC)
        if not message:
            return
        descriptors = [fd for _, _, data in ancillary for fd in memoryview(data).cast("i")]
        number, request, *words = message.split(b"\0")
        try:
            answer = b"%d" % (_start(words, descriptors) if request == b"start" else _reap(int(words[0])))
        except OSError as error:
            answer = b"!" + os.strerror(error.errno or 0).encode()
        finally:
            for fd in descriptors:
                os.close(fd)
        control.send(number + b"\0" + answer)


def _start(words: list[bytes], descriptors: list[int]) -> int:
    program, kept, path, nice, *argv = words
    numbers = [0, 1, 2, *(int(number) for number in kept.split())]
    # First out of the way of all the numbers that are wanted, then to these; that makes them inheritable.
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(numbers) + 1) for fd in descriptors]
    try:
        pid = os.posix_spawn(
            program,
            argv,
            {b"PATH": path, b"LC_ALL": b"C"},
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for fd, number in zip(moved, numbers, strict=True)],
            setpgroup=0,
            setsigdef=_IGNORED,
        )
        if nice != b"0":
            os.setpriority(os.PRIO_PROCESS, pid, int(nice))
        return pid
    finally:
        for fd in moved:
            os.close(fd)


def _reap(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__" and os.fork() == 0:  # so that the one whom sh started ends, and its threads with it
    serve(socket(AF_UNIX, SOCK_SEQPACKET, 0, 0))
