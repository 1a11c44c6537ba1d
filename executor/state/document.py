"""Documents of ours on the disk: read only if ours, replaced as a whole, removed with what was left of them."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from executor.errors import HostError
from executor.trust.files import is_ours
from planner.text.document import MAX_BYTES
from planner.text.values import shown_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

# A state entry may be larger than other documents: a route takes 1 kB of it, both ways and as it is rendered.
MOST_OF_ENTRY = 128 * 1024 * 1024


def open_ours(path: Path, what: str) -> int | None:
    """Return a descriptor to read a file of ours, called ``what`` in messages; None if there is none.

    Links are not followed, and nothing but a regular file is opened for long. Raises HostError.
    """
    try:
        # O_NONBLOCK: a pipe in its place would wait for a writer, forever.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise HostError(f"{what} cannot be read: {error.strerror}") from None
    try:
        refuse_foreign(os.fstat(fd), what)
    except HostError:
        os.close(fd)
        raise
    return fd


def refuse_foreign(found: os.stat_result, what: str) -> None:
    """Raise HostError for anything but a regular file that belongs to us or to root."""
    if not stat.S_ISREG(found.st_mode):
        raise HostError(f"{what} is not a regular file")
    if not is_ours(found):
        raise HostError(f"{what} belongs to another user ({found.st_uid})")


def read_document(path: Path, what: str, most: int = MAX_BYTES) -> bytes | None:
    """Return the content of a file of ours, of a larger one ``most`` bytes and one more; None if there is none.

    Raises HostError, which calls it ``what``.
    """
    fd = open_ours(path, what)
    if fd is None:
        return None
    try:
        with open(fd, "rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise HostError(f"{what} cannot be read: {error.strerror}") from None


def delete_document(path: Path) -> None:
    """Remove what ``AtomicWrite`` wrote, and what it left if it was killed; nothing there is fine. Raises HostError."""
    try:
        for name in _half_written(path):
            path.with_name(name).unlink(missing_ok=True)
        path.unlink()
        _sync(path.parent)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise HostError(f"{shown_path(path)} cannot be removed: {error.strerror}") from None


def _half_written(path: Path) -> list[str]:
    """Return the names of what processes that were killed left of ``path`` while they replaced it."""
    start = f".{path.name}."
    names = (name for name in os.listdir(path.parent) if name.startswith(start))
    return [name for name in names if name[len(start) :].replace(".", "").isdecimal()]


class AtomicWrite:
    """A document that takes the place of a file in two steps: it is written beside the file, then renamed over it.

    The first step waits for the disk; ``written_ahead`` does it beside something else. What is not
    committed is removed when this is left.
    """

    def __init__(
        self,
        path: Path,
        document: Callable[[], str],
        *,
        most: int = MAX_BYTES,
        what: str | None = None,
        is_synced: bool = True,
    ) -> None:
        """Take what is to be written, called ``what`` in messages (default: the path).

        More than ``most`` bytes are refused: nobody would read them again. What is not ``is_synced`` may be cut off
        after a crash of the machine.
        """
        self._path = path
        self._document = document
        self._most = most
        self._what = what or shown_path(path)
        # Not to be guessed: the folder of a plan may be one in which others can make files.
        self._beside = path.with_name(f".{path.name}.{os.getpid()}.{int.from_bytes(os.urandom(6))}")
        self._written = False
        self._is_synced = is_synced

    def text(self) -> str:
        """Return the document."""
        return self._document()

    def write(self) -> None:
        """Write and sync the document beside the file. Raises HostError."""
        data = self.text().encode()
        if len(data) > self._most:
            raise HostError(
                f"{self._what} cannot be written: it would have {len(data) / 2**20:.1f} MiB, and podwire reads no more"
                f" than {self._most // 2**20} MiB"
            )
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._errors():
            fd = os.open(self._beside, flags, 0o600)
            self._written = True
            with open(fd, "wb") as file:
                file.write(data)
                file.flush()
                if self._is_synced:
                    os.fsync(fd)

    def commit(self) -> None:
        """Put the document in the file's place, whole; ``write`` it if that was not done. Raises HostError."""
        if not self._written:
            self.write()
        with self._errors():
            is_new = not self._path.exists()
            self._beside.replace(self._path)
            self._written = False
            if is_new and self._is_synced:  # else a crash of the machine may bring back what was there, whole as well
                _sync(self._path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._written:
            self._written = False
            with contextlib.suppress(OSError):
                self._beside.unlink()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise HostError(f"{self._what} cannot be written: {error.strerror}") from None


@contextlib.contextmanager
def written_ahead(*writes: AtomicWrite) -> Iterator[Callable[[], None]]:
    """Write documents beside their files, one after the other, on a thread: the disk takes its time.

    Yields what waits for that and raises what ``write`` did; to be called before they are committed. What is not
    committed is removed when this is left.
    """
    from executor.process.background import Task, start_thread  # noqa: PLC0415  reading starts none

    def write_all() -> None:
        for each in writes:
            each.write()

    writing = Task(write_all)
    with contextlib.ExitStack() as stack:
        for each in writes:
            stack.enter_context(each)
        try:
            start_thread(writing.run)
        except HostError:  # there can be no more threads
            writing.run()
        stack.callback(writing.wait)
        yield writing.result


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
