"""A child of the agent, which does one request after the other: seen from the agent.

It is given connections over a channel (SCM_RIGHTS, unix(7)), and says over it that it is done. The channel ends when
the child does, and the other way round.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Self

from attrs import define

from executor.agent.request import work

# Seconds for any request; and those between SIGTERM and SIGKILL, in which it is rolled back.
_LONGEST = 90.0
_STOPPING = 10.0
# After so many requests another child goes on, so that nothing piles up.
_MOST_SERVED = 100


@define(eq=False)
class Worker:
    """A child. ``connection`` is that of the request it is at; ``until`` is when it is asked to stop, then killed."""

    pid: int
    channel: socket.socket
    connection: socket.socket | None = None
    until: float = 0.0
    served: int = 0
    is_stopped: bool = False
    is_leaving: bool = False

    @classmethod
    def fork(cls, closing: Callable[[], None], handled: Iterable[int], report: Callable[[str], None]) -> Self:
        """Fork a child, which first does ``closing``, and tells ``report`` how each request went. Raises OSError.

        ``handled`` are the signals that the agent has handlers for.
        """
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Until the child has its own handlers, what is sent to it would be taken for the agent's.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, handled)
        try:
            pid = os.fork()
            if pid == 0:
                ours.close()
                work(its, closing, report)
        except OSError:
            ours.close()
            raise
        finally:
            its.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return cls(pid, ours)

    @property
    def is_idle(self) -> bool:
        """Whether it can be given a request."""
        return self.connection is None and not self.is_leaving

    def begin(self, connection: socket.socket, now: float) -> None:
        """Give it a request, of which ``connection`` is the agent's own descriptor. Raises OSError if it has died."""
        socket.send_fds(self.channel, [b"."], [connection.fileno()])
        self.connection, self.until, self.is_stopped = connection, now + _LONGEST, False

    def stop(self, now: float) -> None:
        """Ask it to stop what it does, or kill it if it was asked already."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL if self.is_stopped else signal.SIGTERM)
        self.is_stopped, self.until = True, now + _STOPPING

    def listen(self) -> bool:
        """Take what it says, that it is done, and say whether it lives; its caller knows by its answer.

        If it has died its caller knows by the end of the connection.
        """
        try:
            lives = bool(self.channel.recv(1))
        except OSError:
            lives = False
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        self.served += 1
        if not lives:
            self.channel.close()
            with suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
        elif self.served >= _MOST_SERVED:
            self.leave()
        return lives

    def leave(self) -> None:
        """Let it end when it has done what it is at."""
        self.is_leaving = True
        with suppress(OSError):
            self.channel.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close what is the agent's of it, in another child."""
        self.channel.close()
        if self.connection is not None:
            self.connection.close()
