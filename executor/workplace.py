"""One namespace while it is being changed: locked, with an open ``ip``, a journal, and whoever listens."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from attrs import define, field, frozen

from executor.errors import ExecutorError, Interrupted, TimedOut, Unusable
from executor.events import Event, Listener, Ran, Running
from executor.journal import Journal
from executor.netns import Namespace, boot_id
from executor.observe import observe
from executor.programs import find_program, run_program
from executor.reply import Reply
from executor.session import IpSession
from executor.signals import StopRequest, stop_requests
from executor.store import Entry, StateStore
from executor.tap import check_taps
from planner.document import Node
from planner.facts import NamespaceFacts
from planner.plan import Plan, plan_to_json
from planner.render import Command, Templates
from planner.values import NetnsPath, PlanId

# The exit status that timeout(1) gives to what it killed.
_TIMED_OUT = 124


@frozen
class Settings:
    """How to work: where the state is, the templates, limits in seconds, what the user said, who listens."""

    store: StateStore
    templates: Templates
    timeout: float = 30.0
    lock_timeout: float = 10.0
    asked: str = ""
    listeners: tuple[Listener, ...] = ()


@frozen
class Failure:
    """Why an operation cannot go on, in one sentence."""

    why: str


@define(eq=False)
class Workplace:
    """What an operation works with. Made by ``open_workplace``."""

    settings: Settings
    namespace: Namespace
    session: IpSession
    journal: Journal
    stop: StopRequest
    _number: int = field(default=0, init=False)
    # While taking back what an apply did: neither a journal that cannot be written nor a signal stops that.
    lenient: bool = field(default=False, init=False)

    def observe(self) -> NamespaceFacts:
        """Return what is in the namespace now."""
        return observe(self.namespace, self.session, timeout=self.settings.timeout)

    def emit(self, event: Event) -> None:
        """Tell everybody who listens, the journal first."""
        try:
            self.journal.listen(event)
        except ExecutorError:
            if not self.lenient:
                raise
        for listener in self.settings.listeners:
            listener(event)

    def run(self, commands: Iterable[Command]) -> Failure | None:
        """Run commands up to the first that fails; return why it did."""
        for command in commands:
            try:
                self.stop.check()
                reply = self._run(command)
            except (Interrupted, Unusable) as error:
                return Failure(str(error))
            if not reply.ok:
                return _failure(command, reply)
        return None

    def run_all(self, commands: Iterable[Command]) -> list[Failure]:
        """Run every command whatever becomes of the others; return why those failed that did.

        Raises Interrupted where somebody asks to stop, unless ``lenient``: a rollback goes on to its end.
        """
        failures = []
        for command in commands:
            if not self.lenient:
                self.stop.check()
            reply = self._run(command)
            if not reply.ok:
                failures.append(_failure(command, reply))
        return failures

    def entry(self, plan: Plan, status: str) -> Entry:
        """Return what there is to write down of a wiring of this namespace that begins now."""
        return Entry(
            id=plan.id,
            netns=self.namespace.path,
            cookie=self.namespace.cookie,
            boot_id=boot_id(),
            status=status,
            applied_at=time.time(),
            plan=Node(plan_to_json(plan), "plan"),
        )

    def _run(self, command: Command) -> Reply:
        self._number += 1
        self.emit(Running(self._number, command))
        try:
            reply = self._reply(command)
        except TimedOut as error:
            reply = Reply(_TIMED_OUT, "", str(error), self.settings.timeout)
        except Unusable as error:
            reply = Reply(127, "", str(error), 0.0)
        self.emit(Ran(self._number, command, reply))
        return reply

    def _reply(self, command: Command) -> Reply:
        if command.netns is not None and command.argv[0] == "ip":
            return self.session.run(command.argv)
        namespace = None if command.netns is None else self.namespace
        return run_program(command.argv, namespace=namespace, stdin=command.stdin, timeout=self.settings.timeout)


@contextmanager
def open_workplace(settings: Settings, netns: NetnsPath, plan_id: PlanId) -> Iterator[Workplace]:
    """Open and lock a namespace for changing it under an id.

    Raises NamespaceGone, Unusable, or Locked after ``lock_timeout`` where somebody else is at it.
    """
    settings.store.prepare()
    with (
        Namespace.open(netns) as namespace,
        namespace.lock(settings.lock_timeout),
        stop_requests() as stop,  # also while what is below is closed: a Ctrl-C then would be told «nothing was changed»
        Journal.open(settings.store.journal_path(plan_id)) as journal,
        IpSession(namespace, timeout=settings.timeout) as session,
    ):
        yield Workplace(settings, namespace, session, journal, stop)


def check_programs(commands: Iterable[Command]) -> None:
    """Raise Unusable where ``commands`` need a program that is missing (it names the package), or taps that cannot be."""
    wanted = tuple(commands)
    for name in dict.fromkeys(["nsenter", *(command.argv[0] for command in wanted)]):
        find_program(name)
    if any(command.argv[:2] == ("ip", "tuntap") for command in wanted):
        check_taps()


def _failure(command: Command, reply: Reply) -> Failure:
    said = " ".join((reply.stderr or reply.stdout).split())
    return Failure(f"{command.line} failed: {said or f'status {reply.rc}'}")
