"""Being told to stop while changing something: noted, and acted upon between two commands."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from executor.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
    """Take SIGINT, SIGTERM and SIGHUP as requests while this lasts. Outside the main thread nothing is taken."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.note) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
