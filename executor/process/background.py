"""Work on a thread beside ours: starting programs and syncing files mean waiting for the kernel."""

from __future__ import annotations

import _thread
from collections.abc import Callable
from typing import Generic, TypeVar

from executor.errors import NoThreads

T = TypeVar("T")


def start_thread(work: Callable[[], object]) -> None:
    """Call ``work``, which must not raise, on a thread of its own. Raises NoThreads.

    ``_thread``: a threading.Thread costs twice as much, since it waits for its start as well.
    """
    try:
        _thread.start_new_thread(work, ())
    except RuntimeError:  # clone(2): EAGAIN
        raise NoThreads("there is not enough memory for another thread, or there are too many") from None


class Task(Generic[T]):
    """A function that somebody calls by ``run``, and others wait for."""

    def __init__(self, function: Callable[[], T]) -> None:
        """Nothing is called yet."""
        self._function = function
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._ended = _thread.allocate_lock()
        self._ended.acquire()

    def run(self) -> None:
        """Call the function; once."""
        try:
            self._results.append(self._function())
        except BaseException as error:  # noqa: BLE001  raised again by the waiting thread
            self._error = error
        finally:
            self._ended.release()

    def wait(self) -> None:
        """Wait until the function has returned, or raised."""
        with self._ended:
            pass

    def result(self) -> T:
        """Wait until the function has returned; return what it returned, or raise what it raised."""
        with self._ended:
            if self._error is not None:
                raise self._error
            return self._results[0]


def in_background(function: Callable[[], T]) -> Task[T]:
    """Begin to call ``function`` on a thread of its own. Raises NoThreads."""
    task = Task(function)
    start_thread(task.run)
    return task
