"""The command line, run as people run it: as a process, on a terminal or without one.

cli = Cli(folder, …)
cli.ok("apply", "--result", result, "--netns", "pod1", "--yes")
cli.refused("teardown", "pod2")     # the one sentence that it says
with cli.on_terminal("teardown", "pod1") as terminal:
    terminal.answer("goes on: ", "yes")
"""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.cli.preloaded import PYTHONPATH, Preloaded
from tests.support import Outcome, eventually, run
from tests.support.pods import Pod

PODWIRE = (sys.executable, "-m", "executor")


@frozen
class Cli:
    """The command `podwire`, with a folder and a state directory of its own."""

    folder: Path
    bytecode: Path  # kept for the whole session, or every process would compile all modules anew
    preloaded: Preloaded

    @property
    def state_dir(self) -> Path:
        """Where the state is, once there is any."""
        return self.folder / "state"

    @property
    def environment(self) -> dict[str, str]:
        """What the command finds set: as little as can be."""
        return {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "TERM": "xterm",
            "PAGER": "",
            "PYTHONPATH": PYTHONPATH,
            "PYTHONPYCACHEPREFIX": str(self.bytecode),
            "PODWIRE_STATE_DIR": str(self.state_dir),
        }

    def run(
        self, *words: str | Path, stdin: str = "", env: Mapping[str, str] | None = None, through: tuple[str, ...] = ()
    ) -> Outcome:
        """Run `podwire WORDS…`, if need be `through` another program, and return how it ended."""
        environment = self.environment | dict(env or {})
        argv = [str(word) for word in words]
        if not through:
            return self.preloaded.run(argv, stdin=stdin, env=environment)
        return run([*through, *PODWIRE, *argv], stdin=stdin, env=environment, check=False)

    def ok(self, *words: str | Path, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
        """Run it, see that it says nothing amiss, and return what it prints."""
        outcome = self.run(*words, stdin=stdin, env=env)
        assert (outcome.rc, outcome.err) == (0, ""), outcome
        return outcome.out

    def json(self, *words: str | Path, stdin: str = "") -> Any:
        """Run it with `--json`, and return the document."""
        return json.loads(self.ok(*words, "--json", stdin=stdin))

    def refused(
        self,
        *words: str | Path,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        through: tuple[str, ...] = (),
        status: int = 1,
    ) -> str:
        """Run it, see that it ends with `status` and one sentence, and return that."""
        outcome = self.run(*words, stdin=stdin, env=env, through=through)
        assert outcome.rc == status, outcome
        assert outcome.out == ""
        return sentence_in(outcome.err)

    @contextmanager
    def started(self, *words: str | Path, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
        """Start it and go on; at the end it is killed, unless it has ended."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = self.environment | dict(env or {})
        with subprocess.Popen([*PODWIRE, *map(str, words)], env=environment, text=True, **streams) as process:  # type: ignore[call-overload]
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def on_terminal(self, *words: str | Path, env: Mapping[str, str] | None = None) -> Iterator[Terminal]:
        """Run it on a terminal of its own, 200 columns wide."""
        ours, its = pty.openpty()
        environment = self.environment | dict(env or {})
        with subprocess.Popen(
            [*PODWIRE, *map(str, words)],
            env=environment,
            preexec_fn=lambda: _sit_down_at(its),  # noqa: PLW1509 -- no other thread is running
        ) as process:
            os.close(its)
            try:
                yield Terminal(process, ours)
            finally:
                process.kill()
                os.close(ours)

    def file(self, name: str, content: object) -> Path:
        """Write a file: text as it is, anything else as JSON."""
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def result_of(self, pod: Pod) -> Path:
        """Write down what the CNI plugin answered for a pod."""
        return self.file("result.json", pod.result)

    def wrapper(self, program: str, script: str) -> dict[str, str]:
        """Put a shell script in the place of a program; return the environment in which it is found first."""
        folder = self.folder / "wrappers"
        folder.mkdir(exist_ok=True)
        path = folder / program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return {"PATH": f"{folder}:{os.environ['PATH']}"}


def _sit_down_at(terminal: int) -> None:
    """Make this process the leader of a session at the terminal, with Ctrl-C as shells leave it to programs."""
    os.login_tty(terminal)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def sentence_in(text: str) -> str:
    """Return the one sentence on standard error, without `podwire: `; fail where there is more, or none."""
    assert "Traceback" not in text, text
    assert text.startswith("podwire: "), text
    assert text.count("\n") == 1, text
    assert text.endswith("\n"), text
    return text.removeprefix("podwire: ").rstrip("\n")


@frozen
class Terminal:
    """The other side of a terminal that a command runs on."""

    process: subprocess.Popen[bytes]
    file: int

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


def kill(pid: int) -> None:
    """End one process at once."""
    os.kill(pid, signal.SIGKILL)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return everything in a folder, by its path: the content of files, None for the rest; {} where it isn't there."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in folder.rglob("*")
    }
