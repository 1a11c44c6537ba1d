"""Serving a guest in the foreground, or by a process of its own, which outlives the one that started it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from types import FrameType

from executor.errors import HostError
from executor.guest.record import Process, Record, only_server
from executor.guest.server import Served, Server, nics_to_serve
from executor.operations.plan import plan_of
from executor.settings import Settings
from executor.state.document import refuse_foreign
from executor.state.status import open_recorded, whole_entry
from executor.state.store import StateStore
from executor.templates import load_templates
from executor.trust.privileges import hand_on
from planner.errors import PodwireError
from planner.plan.plan import plan_from_json
from planner.text.values import PlanId, shown_path

_LARGEST_LOG = 1 << 20
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# It forks and ends: what serves is nobody's child, so that a program that uses podwire has none to collect.
_START = """\
import os, sys
if os.fork():
    os._exit(0)
import json
sys.path[:] = json.loads(sys.argv[1])
from executor.guest.daemon import main
main(sys.argv[2])
"""

Ready = Callable[[tuple[Served, ...]], None]


class _Stopped(BaseException):
    """Somebody asks to stop."""


def serve(plan_id: PlanId, settings: Settings, ready: Ready, *, log: int, alone: bool = False) -> None:
    """Serve the guest of a wiring until that is gone or a signal comes; ``ready`` is called when it is served.

    ``log`` is a descriptor for what dnsmasq says; ``alone`` for a process that nobody waits for. Raises InvalidInput,
    Refused, HostError.
    """
    entry = whole_entry(plan_id, settings.store)
    write = partial(_write_within if alone else _write, log)
    with _signals_raise(), suppress(_Stopped), ExitStack() as stack:
        namespace = stack.enter_context(open_recorded(entry))
        plan = plan_of(entry, namespace.path, settings.templates)
        server = Server(plan, namespace, write)
        file = stack.enter_context(only_server(plan_id, settings.store))

        def note() -> None:
            found = [Process.of(pid) for pid in (os.getpid(), *server.processes)]
            file.write(Record(tuple(filter(None, found)), alone))

        note()
        served = server.start(stack)
        note()
        ready(served)
        server.run(note)


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Leave what is inside when a signal asks to stop."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # what is being ended is ended
        raise _Stopped

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def start_server(plan_id: PlanId, settings: Settings) -> tuple[str, ...]:
    """Start to serve the guest of a wiring by a process of its own; return what it serves, in sentences.

    Raises InvalidInput, Refused, HostError.
    """
    nics_to_serve(plan_from_json(whole_entry(plan_id, settings.store).plan, settings.templates))
    settings.store.prepare()
    job = {"id": str(plan_id), "state_dir": str(settings.store.directory), "timeout": settings.timeout}
    path = settings.store.server_file(plan_id, "log")
    hand_on()
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        log = os.open(path, flags, 0o600)
        try:
            refuse_foreign(os.fstat(log), shown_path(path))
            begun = subprocess.run(  # noqa: S603  our own interpreter, and nothing of the user's but a validated id
                [sys.executable, "-c", _START, json.dumps(sys.path), json.dumps(job)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                start_new_session=True,
                check=False,
            )
        finally:
            os.close(log)
    except OSError as error:
        raise HostError(f"the process that would serve {plan_id} cannot be started: {error.strerror}") from None
    try:
        answer = json.loads(begun.stdout)
    except ValueError:  # it was killed
        answer = {}
    if "served" not in answer:
        raise HostError(answer.get("error") or f"{plan_id} is not served: see {shown_path(path)}")
    return tuple(answer["served"])


def main(job: str) -> None:
    """Serve (the server's own process): what it serves goes to standard output, the rest to the log."""
    words = json.loads(job)
    settings = Settings(StateStore(words["state_dir"]), load_templates(), timeout=words["timeout"])

    def ready(served: tuple[Served, ...]) -> None:
        _answer({"served": [line for one in served for line in one.sentences]})

    try:
        serve(PlanId(words["id"]), settings, ready, log=2, alone=True)
    except PodwireError as error:
        _write(2, f"{error}\n".encode())
        _answer({"error": str(error)})
    os._exit(0)


def _answer(document: object) -> None:
    """Tell the process that started us, and close the pipe, whose end it waits for."""
    _write(1, json.dumps(document).encode())
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _write_within(log: int, data: bytes) -> None:
    """Write to the log, which starts over when it is full: dnsmasq logs each request of a guest."""
    with suppress(OSError):
        if os.fstat(log).st_size > _LARGEST_LOG:
            os.ftruncate(log, 0)
    _write(log, data)


def _write(fd: int, data: bytes) -> None:
    """Write what is good to know; a full disk, or a reader that has gone, ends nothing."""
    with suppress(OSError):
        os.write(fd, data)
