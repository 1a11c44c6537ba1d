"""Requests to stop while something is being changed: noted, and acted upon between two commands."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from executor.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_Handler = Callable[[int, FrameType | None], None]


class StopRequest:
    """Whether somebody asked to stop; ``check`` raises Interrupted once they did."""

    def __init__(self) -> None:
        self._name: str | None = None

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Note a signal (a signal handler)."""
        self._name = signal.Signals(number).name

    def check(self) -> None:
        """Raise Interrupted if a signal came."""
        if self._name is not None:
            raise Interrupted(f"interrupted by {self._name}")


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Take SIGINT, SIGTERM and SIGHUP as requests while this lasts; within another it is the same request.

    Outside the main thread nothing is taken.
    """
    outer = _current()
    if outer is not None:
        yield outer
        return
    request = StopRequest()
    if not _takes_signals():
        yield request
        return
    with _handled_by(request.note):
        yield request


def check_stop() -> None:
    """Raise Interrupted if a signal came since ``stop_requests`` takes them; outside of it do nothing."""
    request = _current()
    if request is not None:
        request.check()


@contextmanager
def interruptible() -> Iterator[None]:
    """Have a signal end at once what waits in here, for a person or a connection, where it would only be noted.

    Nothing is to be taken in here that has to be given back, such as a lock: the signal may come before anybody knows
    that it was. Raises Interrupted, also for a signal that was noted before.
    """
    request = _current()
    if request is None:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        request.note(number, frame)
        request.check()

    with _handled_by(stop):
        request.check()
        yield


def _current() -> StopRequest | None:
    """Return the request that signals are noted in now."""
    owner = getattr(signal.getsignal(signal.SIGINT), "__self__", None) if _takes_signals() else None
    return owner if isinstance(owner, StopRequest) else None


def _takes_signals() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def _handled_by(handler: _Handler) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        for number in _SIGNALS:
            signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
