"""The agent: it accepts connections of root, hands them to children, and stops what nobody waits for any more.

One thread, which keeps nothing of a request: a child that crashes affects no other. A child answers itself, so
what has begun ends well even if the agent is killed in the meantime.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterable

from attrs import define, field

from executor.agent.protocol import greeting
from executor.agent.request import TRANSFER_WITHIN
from executor.agent.worker import Worker
from executor.trust.peers import peer_of
from executor.version import __version__

# Children at a time; most of what they wait for the kernel does one by one. So many stay when there is nothing to do.
_MOST_WORKERS = 16
_KEPT = 8
# Connections that wait for a child. A caller beyond that is sent away, and does the work itself.
_MOST_WAITING = 256
_BREATH = 0.1
_HANDLED = (signal.SIGTERM, signal.SIGINT)


@define(eq=False)
class _Waiting:
    """A connection whose request is to come by ``until``, or has come and is not taken yet."""

    connection: socket.socket
    until: float
    is_ready: bool = False


@define(eq=False)
class Server:
    """The agent at work.

    ``private`` are descriptors that no child is to have; ``say`` tells people what is wrong, and ``report`` how each
    request went.
    """

    listener: socket.socket
    private: tuple[int, ...]
    say: Callable[[str], None]
    report: Callable[[str], None]
    _waiting: list[_Waiting] = field(factory=list, init=False)
    _workers: list[Worker] = field(factory=list, init=False)
    # Whether it has said that nobody can be heard, and has heard nobody since.
    _is_deaf: bool = field(default=False, init=False)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT comes; then only end what has begun. Those who wait do it themselves."""
        woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.private = (*self.private, woken, wake)
        self.listener.settimeout(0)
        signal.set_wakeup_fd(wake)
        before = {number: signal.signal(number, lambda *_: None) for number in _HANDLED}
        try:
            while woken not in self._step([self.listener.fileno(), woken]):
                pass
            self.listener.close()
            for one in self._waiting:
                one.connection.close()
            self._waiting.clear()
            for worker in self._workers:
                worker.leave()
            while self._workers:
                self._step([])
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(woken)
            os.close(wake)

    def _step(self, own: Iterable[int]) -> set[int]:
        """Wait until something happens and see to it; return what is readable of everything that was watched."""
        happened = self._poll(own)
        now = time.monotonic()
        self._see_to_workers(happened, now)
        for waiting in self._waiting.copy():
            waiting.is_ready = waiting.is_ready or waiting.connection.fileno() in happened
            if waiting.is_ready and self._has_room():
                self._waiting.remove(waiting)
                self._begin(waiting.connection, now)
            elif not waiting.is_ready and now >= waiting.until:
                self._waiting.remove(waiting)
                waiting.connection.close()
        if self.listener.fileno() in happened:
            self._accept(now)
        return happened

    def _see_to_workers(self, happened: set[int], now: float) -> None:
        for worker in self._workers.copy():
            if worker.channel.fileno() in happened:
                if not worker.listen():
                    self._workers.remove(worker)
            elif worker.connection is not None:
                has_left = worker.connection.fileno() in happened and not worker.is_stopped
                if has_left or now >= worker.until:
                    worker.stop(now)
        for worker in [worker for worker in self._workers if worker.is_idle][_KEPT:]:
            worker.leave()

    def _poll(self, own: Iterable[int]) -> set[int]:
        watched = select.poll()
        for fd in own:
            watched.register(fd, select.POLLIN)
        for worker in self._workers:
            watched.register(worker.channel, select.POLLIN)
            if worker.connection is not None and not worker.is_stopped:
                watched.register(worker.connection, select.POLLRDHUP)
        for waiting in self._waiting:
            if not waiting.is_ready:
                watched.register(waiting.connection, select.POLLIN | select.POLLRDHUP)
        return {fd for fd, _ in watched.poll(self._pause())}

    def _pause(self) -> float | None:
        """Return for how many milliseconds nothing is due, None if nothing is."""
        due = [waiting.until for waiting in self._waiting if not waiting.is_ready]
        due += [worker.until for worker in self._workers if worker.connection is not None]
        return max(0.0, min(due) - time.monotonic()) * 1000 + 1 if due else None

    def _accept(self, now: float) -> None:
        """Greet those who have come, if they are root."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # there are no descriptors left, say
                if not self._is_deaf:
                    self.say(f"cannot accept connections: {error.strerror}")
                self._is_deaf = True
                time.sleep(_BREATH)
                return
            self._is_deaf = False
            if self._is_welcome(connection):
                self._waiting.append(_Waiting(connection, now + TRANSFER_WITHIN))
            else:
                connection.close()

    def _is_welcome(self, connection: socket.socket) -> bool:
        if peer_of(connection).uid != os.geteuid() or len(self._waiting) >= _MOST_WAITING:
            return False
        try:
            connection.send(greeting(__version__))
        except OSError:  # it has left again
            return False
        return True

    def _has_room(self) -> bool:
        return len(self._workers) < _MOST_WORKERS or any(worker.is_idle for worker in self._workers)

    def _begin(self, connection: socket.socket, now: float) -> None:
        """Have a child do a request that has come; if that cannot be, its caller does the work itself."""
        try:
            worker = next((worker for worker in self._workers if worker.is_idle), None)
            if worker is None:
                worker = Worker.fork(lambda: self._leave_to_the_parent(connection), _HANDLED, self.report)
                self._workers.append(worker)
            worker.begin(connection, now)
        except OSError as error:
            self.say(f"could not start a worker for a request: {error.strerror}")
            connection.close()

    def _leave_to_the_parent(self, connection: socket.socket) -> None:
        """Close, in a child, all that is not its own: others' connections must end when they are to."""
        connection.close()
        self.listener.close()
        for waiting in self._waiting:
            waiting.connection.close()
        for worker in self._workers:
            worker.close()
        for fd in self.private:
            os.close(fd)
