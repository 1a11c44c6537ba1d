"""One namespace while it is being changed: locked, with an open ``ip``, a journal, and whoever listens."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from attrs import define, field, frozen

from executor.ebtables_save import EbtablesSave
from executor.errors import ExecutorError, Interrupted, TimedOut, Unusable
from executor.events import Event, Listener, Ran, Running
from executor.jobs import Job, failed_job, ip_job, program_job
from executor.journal import Journal
from executor.netns import Namespace, boot_id
from executor.observe import Observation
from executor.programs import ReadyProgram, RunningProgram, find_program, start_program
from executor.reply import Reply, one_line
from executor.session import IpSession
from executor.side_by_side import Begin, End, is_of_ebtables, is_of_ip, run_side_by_side
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
    _ahead: Observation | None = field(default=None, init=False)
    _rules_ahead: EbtablesSave | None = field(default=None, init=False)
    _ready: dict[tuple[str, ...], ReadyProgram] = field(factory=dict, init=False)
    # While taking back what an apply did: neither a journal that cannot be written nor a signal stops that.
    lenient: bool = field(default=False, init=False)

    def look_ahead(self) -> None:
        """Begin what the next ``observe`` returns. Only to be called where nothing will change before that."""
        self.stop_looking_ahead()
        self._ahead = Observation(self.namespace, self.session, self.settings.timeout)

    def stop_looking_ahead(self) -> None:
        """Forget what was started for an ``observe`` that did not come, or would now see what is no longer so."""
        for ahead in (self._ahead, self._rules_ahead):
            if ahead is not None:
                ahead.close()
        self._ahead = self._rules_ahead = None

    def get_ready(self, commands: Sequence[Command]) -> None:
        """Start the programs of ``commands`` that wait for their standard input, so that these need not be waited for.

        They do nothing before it is their turn to get it.
        """
        for command in commands:
            if command.netns is not None and ReadyProgram.takes(command.stdin) and command.argv not in self._ready:
                ready = ReadyProgram(command.argv, namespace=self.namespace, timeout=self.settings.timeout)
                self._ready[command.argv] = ready

    def close(self) -> None:
        """Let go of what was started for what did not come."""
        self.stop_looking_ahead()
        while self._ready:
            self._ready.popitem()[1].close()

    def observe(self) -> NamespaceFacts:
        """Return what is in the namespace now."""
        rules, self._rules_ahead = self._rules_ahead, None
        ahead, self._ahead = self._ahead, None
        look = ahead or Observation(self.namespace, self.session, self.settings.timeout, rules=rules)
        return look.result()

    def emit(self, event: Event) -> None:
        """Tell everybody who listens, the journal first."""
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
        first = self._take_numbers(len(commands))

        def begin(at: int, command: Command) -> Job:
            self.stop.check()
            return self._begin(first + at, command)

        def end(at: int, command: Command, job: Job) -> bool:
            reply = self._end(first + at, command, job)
            if not reply.ok:
                failures[at] = _failure(command, reply)
            return reply.ok

        try:
            self._run_side_by_side(commands, begin, end)
        except (Interrupted, Unusable) as error:
            failures[len(commands)] = Failure(str(error))
        return failures[min(failures)] if failures else None

    def run_all(self, commands: Sequence[Command]) -> list[Failure]:
        """Run every command whatever becomes of the others; return why those failed that did.

        Only what ebtables was to do for a change after it failed there is left out: ``--init-table`` would take
        a stranger's rules along, and that it may is known only of the chains that were taken away before.

        Raises Interrupted where somebody asks to stop, unless ``lenient``: a rollback goes on to its end.
        """
        failures: dict[int, Failure] = {}
        failed_rules: set[int] = set()
        first = self._take_numbers(len(commands))

        def begin(at: int, command: Command) -> Job | None:
            if not self.lenient:
                self.stop.check()
            if is_of_ebtables(command) and not failed_rules.isdisjoint(command.changes):
                return None
            return self._begin(first + at, command)

        def end(at: int, command: Command, job: Job) -> bool:
            reply = self._end(first + at, command, job)
            if not reply.ok:
                failures[at] = _failure(command, reply)
                failed_rules.update(command.changes if is_of_ebtables(command) else ())
            return True

        self._run_side_by_side(commands, begin, end)
        return [failures[at] for at in sorted(failures)]

    def _run_side_by_side(self, commands: Sequence[Command], begin: Begin, end: End) -> None:
        """Run commands; when only those of ``ip`` are left, the rules are looked at meanwhile, if they have changed."""
        programs = {at for at, command in enumerate(commands) if not is_of_ip(command)}
        changes_rules = any(map(is_of_ebtables, commands))

        def end_and_look(at: int, command: Command, job: Job) -> bool:
            goes_on = end(at, command, job)
            programs.discard(at)
            if goes_on and changes_rules and not programs and self._rules_ahead is None:
                self._rules_ahead = EbtablesSave(self.namespace, self.settings.timeout)
            return goes_on

        self.stop_looking_ahead()
        run_side_by_side(commands, begin, end_and_look)

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

    def _begin(self, number: int, command: Command) -> Job:
        self.emit(Running(number, command))
        try:
            if command.netns is not None and is_of_ip(command):
                return ip_job(self.session, command)
            return program_job(self._start(command))
        except Unusable as error:
            return failed_job(error)

    def _end(self, number: int, command: Command, job: Job) -> Reply:
        try:
            reply = job.collect()
        except TimedOut as error:
            reply = Reply(_TIMED_OUT, "", str(error), self.settings.timeout)
        except Unusable as error:
            reply = Reply(127, "", str(error), 0.0)
        self.emit(Ran(number, command, reply))
        return reply

    def _start(self, command: Command) -> RunningProgram:
        namespace, stdin = None if command.netns is None else self.namespace, command.stdin
        ready = self._ready.pop(command.argv, None) if namespace and ReadyProgram.takes(stdin) else None
        if ready and stdin:
            return ready.feed(stdin)
        return start_program(command.argv, namespace=namespace, stdin=stdin, timeout=self.settings.timeout)


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
        Journal.open(settings.store.journal_path(plan_id), lock_timeout=settings.lock_timeout) as journal,
        IpSession(namespace, timeout=settings.timeout) as session,
    ):
        place = Workplace(settings, namespace, session, journal, stop)
        try:
            yield place
        finally:
            place.close()


def check_programs(commands: Iterable[Command]) -> None:
    """Raise Unusable where a program of ``commands`` is missing (it names the package), or taps cannot be."""
    wanted = tuple(commands)
    for name in dict.fromkeys(["nsenter", *(command.argv[0] for command in wanted)]):
        find_program(name)
    if any(command.argv[:2] == ("ip", "tuntap") for command in wanted):
        check_taps()


def _failure(command: Command, reply: Reply) -> Failure:
    said = one_line(reply.stderr or reply.stdout)
    return Failure(f"{command.line} failed: {said or f'status {reply.rc}'}")
