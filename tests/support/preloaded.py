"""podwire, loaded once and forked for each run: a test then waits for what podwire does, not for Python to start.

Each run is a process of its own all the same, with its own arguments, environment and standard streams. The tests
that are about starting, about terminals and about `kill` start it in full.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from attrs import frozen

from executor.agent.warm import warm_up
from executor.cli.commands import COMMANDS
from executor.process.spawn import forget_programs
from tests.support.processes import running_on
from tests.support.running import Outcome, eventually

ROOT = Path(__file__).resolve().parents[2]
PYTHONPATH = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
MODULES = ("dispatch", "report", "wiring", *(f"commands.{name}" for name in COMMANDS))
OPERATIONS = ("apply", "gc", "recover", "repair", "teardown")
LARGEST = 1 << 18
SECONDS = 60


@frozen
class Preloaded:
    """A process that waits at a socket to be told which command lines to run."""

    socket: str

    @classmethod
    @contextmanager
    def start(cls, folder: Path) -> Iterator[Preloaded]:
        """Start it, and end it in the end."""
        path = folder / "preloaded"
        code = "import sys; from tests.support.preloaded import serve; serve(sys.argv[1])"
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONPATH": PYTHONPATH}
        argv = [sys.executable, "-c", code, str(path)]
        with subprocess.Popen(argv, env=os.environ | environment) as process, running_on(process.pid):
            try:
                eventually(lambda: path.exists() or process.poll() is not None, "podwire being loaded", seconds=SECONDS)
                assert process.poll() is None, "podwire cannot be loaded; the reason is above"
                yield cls(str(path))
            finally:
                process.kill()

    def run(self, argv: Sequence[str], *, stdin: str, env: Mapping[str, str]) -> Outcome:
        """Run `podwire ARGV…` with just this environment, and return how it ended."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin.encode())
            given.seek(0)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.settimeout(SECONDS)
                connection.connect(self.socket)
                message = json.dumps([list(argv), dict(env)]).encode()
                socket.send_fds(connection, [message], [file.fileno() for file in (given, out, err)])
                status = int(connection.recv(LARGEST))
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
        return Outcome(status, *texts)


def serve(path: str) -> NoReturn:
    """Load podwire, and run each command line that comes in a process of its own."""
    for name in MODULES:
        import_module(f"executor.cli.{name}")
    for name in OPERATIONS:
        import_module(f"executor.operations.{name}")
    warm_up()  # the agent's: the templates, what is loaded at its first use, and one collection for all
    forget_programs()  # a test may have put another one in its place
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, selectors.DefaultSelector() as selector:
        listener.bind(path)
        listener.listen()
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    _start(listener, selector)
                else:
                    _report(selector, key)


def _start(listener: socket.socket, selector: selectors.BaseSelector) -> None:
    """Start what the next connection asks for, and watch for its end (pidfd_open(2))."""
    connection, _ = listener.accept()
    message, descriptors, _, _ = socket.recv_fds(connection, LARGEST, 3)
    child = os.fork()
    if child == 0:
        _close(connection, selector)
        _be_podwire(descriptors, *json.loads(message))
    for descriptor in descriptors:
        os.close(descriptor)
    selector.register(os.pidfd_open(child), selectors.EVENT_READ, (child, connection))


def _close(own: socket.socket, selector: selectors.BaseSelector) -> None:
    """Close what a run has no business with, that of the runs beside it too."""
    for key in selector.get_map().values():
        os.close(key.fd)
        if key.data:
            key.data[1].close()
    own.close()


def _report(selector: selectors.BaseSelector, ended: selectors.SelectorKey) -> None:
    """Say how a run has ended."""
    child, connection = ended.data
    selector.unregister(ended.fileobj)
    os.close(ended.fd)
    _, status = os.waitpid(child, 0)
    with connection, suppress(BrokenPipeError):  # whoever asked may have given up
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())


def _be_podwire(descriptors: Sequence[int], argv: list[str], env: dict[str, str]) -> NoReturn:
    main: Any = import_module("executor.cli").main
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["podwire", *argv]
    status = 1
    try:
        status = main()
    except BaseException:  # noqa: BLE001 -- as Python itself would end it
        traceback.print_exc()
    os._exit(status)
