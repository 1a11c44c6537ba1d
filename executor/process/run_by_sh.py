"""Programs that are no hot path, run by ``sh``: the CNI plugins of a dummy gateway, and what surrounds them.

``sh`` takes 35 ms to load and 5 ms a program, so nothing imports this module before it needs it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import sh

from executor.errors import HostError, TimedOut
from executor.process.memory_file import MOST_OUTPUT, MemoryFile, answered
from executor.process.result import CommandResult
from executor.process.spawn import find_program, limit_output, program_environment
from executor.trust.privileges import hand_on


def run_by_sh(
    argv: Sequence[str], *, stdin: str | None, timeout: float, pass_fds: tuple[int, ...] = ()
) -> CommandResult:
    """Run a program on the host to its end and return what it answered; it takes what it wants from its ``stdin``.

    Its environment is what ``run_program`` gives, its session its own; it inherits ``pass_fds``. Raises HostError if it
    cannot be started, TimedOut if it took more than ``timeout`` seconds: it is killed then, with all that it started in
    its group.
    """
    started = time.monotonic()
    hand_on()
    # A descriptor is taken for any stream, but sh's types don't say so of standard input.
    program: Any = sh.Command(find_program(argv[0]))

    def inherit() -> None:  # in the child: what sh leaves open is closed by exec all the same
        for fd in pass_fds:
            os.set_inheritable(fd, True)  # noqa: FBT003  it takes no keyword

    # Files in memory: no thread of sh's has to carry anything, and what a plugin leaves running keeps no pipe open.
    with MemoryFile("stdin") as given, MemoryFile("stdout") as stdout, MemoryFile("stderr") as stderr:
        given.write(stdin or "")
        try:
            running = program(
                *argv[1:],
                _in=given.fd,
                _out=stdout.fd,
                _err=stderr.fd,
                _env=program_environment(),
                _new_session=True,
                _pass_fds=set(pass_fds),
                _preexec_fn=inherit,
                _bg=True,
                _bg_exc=False,
                _ok_code=tuple(range(-64, 256)),
            )
        except (OSError, sh.ForkException) as error:
            raise HostError(f"{argv[0]} cannot be started: {str(error).strip().splitlines()[-1]}") from None
        limit_output(running.pid, MOST_OUTPUT)
        try:
            running.wait(timeout=timeout)
        except sh.TimeoutException:
            _kill(running)
            raise TimedOut(f"{argv[0]} did not end within {timeout:g} s and was killed") from None
        except BaseException:
            _kill(running)
            raise
        return answered(running.exit_code, stdout, stderr, time.monotonic() - started)


def _kill(running: sh.RunningCommand) -> None:
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()
