"""A program on a terminal of its own, and somebody who reads there and types."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from tests.support.running import eventually


@frozen
class Terminal:
    """The other side of a terminal that a command runs on."""

    process: subprocess.Popen[bytes]
    file: int

    @classmethod
    @contextmanager
    def opened(cls, argv: Sequence[str], env: Mapping[str, str]) -> Iterator[Terminal]:
        """Start `argv` as the leader of a session on a new terminal; at the end it is killed, unless it has ended.

        Ctrl-C does there what shells leave it to do, also when these tests were started with it ignored.
        """
        ours, its = pty.openpty()
        leader = ("env", "--default-signal=INT", "setsid", "--ctty", *argv)
        with subprocess.Popen(leader, env=env, stdin=its, stdout=its, stderr=its) as process:
            os.close(its)
            try:
                yield cls(process, ours)
            finally:
                process.kill()
                os.close(ours)

    def answer(self, question: str, answer: str) -> str:
        """Wait for a question and type the answer to it, with the return key; return all that was shown until then."""
        return self.type(question, f"{answer}\n")

    def type(self, question: str, keys: str) -> str:
        """Wait for a question and type some keys; return all that was shown until then."""
        shown = self._read(lambda text: question in text)
        assert question in shown, shown
        eventually(self._is_waiting, "podwire waiting for the answer")  # a Ctrl-C just before that would go unheard
        os.write(self.file, keys.encode())
        return shown

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit status and what was shown since the last answer."""
        shown = self._read(lambda _: False)
        return self.process.wait(), shown

    def _is_waiting(self) -> bool:
        return Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "S"

    def _read(self, enough: Callable[[str], bool], *, seconds: float = 20) -> str:
        """Return what is shown until it is `enough`, or the command lets go of its terminal."""
        deadline = time.monotonic() + seconds
        shown = b""
        while not enough(shown.decode(errors="replace")):
            assert select.select([self.file], [], [], deadline - time.monotonic())[0], shown
            try:
                shown += os.read(self.file, 65536)
            except OSError:  # EIO: so it ends, on Linux
                break
        return shown.decode().replace("\r\n", "\n")
