"""One namespace while it is being changed: locked, with an open ``ip``, a journal, and whoever listens."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from attrs import define, field, frozen

from executor.errors import ExecutorError, Interrupted, TimedOut, Unusable
from executor.events import Event, Listener, Ran, Running
from executor.journal import Journal
from executor.netns import Namespace, boot_id
from executor.observe import EbtablesSave, observe
from executor.programs import find_program, run_program
from executor.reply import Reply
from executor.session import IpSession
from executor.side_by_side import Run, is_of_ebtables, run_side_by_side
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
    _ahead: EbtablesSave | None = field(default=None, init=False)
    _telling: threading.Lock = field(factory=threading.Lock, init=False)
    # While taking back what an apply did: neither a journal that cannot be written nor a signal stops that.
    lenient: bool = field(default=False, init=False)

    def look_ahead(self) -> None:
        """Start what the next ``observe`` will wait for. Only to be called where no rule will change before that."""
        self.stop_looking_ahead()
        self.session.open()
        self._ahead = EbtablesSave(self.namespace, self.settings.timeout)

    def stop_looking_ahead(self) -> None:
        """Forget what was started for an ``observe`` that did not come, or would now see what is no longer so."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.close()

    def observe(self) -> NamespaceFacts:
        """Return what is in the namespace now."""
        ahead, self._ahead = self._ahead, None
        return observe(self.namespace, self.session, timeout=self.settings.timeout, ahead=ahead)

    def emit(self, event: Event) -> None:
        """Tell everybody who listens, the journal first; one event at a time, though commands may run side by side."""
        with self._telling:
            try:
                self.journal.listen(event)
            except ExecutorError:
                if not self.lenient:
                    raise
            for listener in self.settings.listeners:
                listener(event)

    def run(self, commands: Sequence[Command]) -> Failure | None:
        """Run commands up to the first that fails; return why it did."""
        failures: dict[int, Failure] = {}

        def run_one(at: int, command: Command) -> bool:
            try:
                self.stop.check()
                reply = self._run(first + at, command)
            except (Interrupted, Unusable) as error:
                failures[at] = Failure(str(error))
                return False
            if not reply.ok:
                failures[at] = _failure(command, reply)
            return reply.ok

        first = self._take_numbers(len(commands))
        self._run_side_by_side(commands, run_one)
        return failures[min(failures)] if failures else None

    def run_all(self, commands: Sequence[Command]) -> list[Failure]:
        """Run every command whatever becomes of the others; return why those failed that did.

        Only what ebtables was to do for a change after it failed there is left out: ``--init-table`` would take
        a stranger's rules along, and that it may is known only of the chains that were taken away before.

        Raises Interrupted where somebody asks to stop, unless ``lenient``: a rollback goes on to its end.
        """
        failures: dict[int, Failure] = {}
        failed_rules: set[int] = set()

        def run_one(at: int, command: Command) -> bool:
            if not self.lenient:
                self.stop.check()
            if is_of_ebtables(command) and not failed_rules.isdisjoint(command.changes):
                return True
            reply = self._run(first + at, command)
            if not reply.ok:
                failures[at] = _failure(command, reply)
                failed_rules.update(command.changes if is_of_ebtables(command) else ())
            return True

        first = self._take_numbers(len(commands))
        self._run_side_by_side(commands, run_one)
        return [failures[at] for at in sorted(failures)]

    def _run_side_by_side(self, commands: Sequence[Command], run_one: Run) -> None:
        """Run commands; behind the last one that changes rules these are looked at, while the others go on."""
        last = max((at for at, command in enumerate(commands) if is_of_ebtables(command)), default=None)

        def run(at: int, command: Command) -> bool:
            goes_on = run_one(at, command)
            if at == last and goes_on:
                self._ahead = EbtablesSave(self.namespace, self.settings.timeout)
            return goes_on

        self.stop_looking_ahead()
        run_side_by_side(commands, run)

    def _take_numbers(self, count: int) -> int:
        """Return the number of the first of ``count`` commands: they are numbered through the whole operation."""
        first = self._number + 1
        self._number += count
        return first

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

    def _run(self, number: int, command: Command) -> Reply:
        self.emit(Running(number, command))
        try:
            reply = self._reply(command)
        except TimedOut as error:
            reply = Reply(_TIMED_OUT, "", str(error), self.settings.timeout)
        except Unusable as error:
            reply = Reply(127, "", str(error), 0.0)
        self.emit(Ran(number, command, reply))
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
        stop_requests() as stop,  # also while what is below is closed: a Ctrl-C then would be told «nothing changed»
        Journal.open(settings.store.journal_path(plan_id)) as journal,
        IpSession(namespace, timeout=settings.timeout) as session,
    ):
        place = Workplace(settings, namespace, session, journal, stop)
        try:
            yield place
        finally:
            place.stop_looking_ahead()


def check_programs(commands: Iterable[Command]) -> None:
    """Raise Unusable where a program of ``commands`` is missing (it names the package), or taps cannot be."""
    wanted = tuple(commands)
    for name in dict.fromkeys(["nsenter", *(command.argv[0] for command in wanted)]):
        find_program(name)
    if any(command.argv[:2] == ("ip", "tuntap") for command in wanted):
        check_taps()


def _failure(command: Command, reply: Reply) -> Failure:
    said = " ".join((reply.stderr or reply.stdout).split())
    return Failure(f"{command.line} failed: {said or f'status {reply.rc}'}")
