"""Work on a thread beside ours: starting programs and syncing files mean waiting for the kernel."""

from __future__ import annotations

import _thread
from collections.abc import Callable


class Background:
    """A function that was called on a thread of its own.

    ``_thread``: a threading.Thread costs twice as much, since it waits for its start as well.
    """

    def __init__(self, function: Callable[[], object]) -> None:
        """Begin to call ``function``."""
        self._function = function
        self._error: BaseException | None = None
        self._ended = _thread.allocate_lock()
        self._ended.acquire()
        _thread.start_new_thread(self._work, ())

    def _work(self) -> None:
        try:
            self._function()
        except BaseException as error:  # noqa: BLE001  raised again by whoever waits
            self._error = error
        finally:
            self._ended.release()

    def wait(self) -> None:
        """Wait until the function has returned; raise what it raised. A second time does nothing."""
        with self._ended:
            error, self._error = self._error, None
        if error is not None:
            raise error
