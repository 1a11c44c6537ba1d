"""One namespace while it is being changed: locked, with an open ``ip``, a journal, and listeners."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from attrs import define, evolve, field

from executor.clock import Instant
from executor.errors import SHORTAGES, ExecutorError, HostError, Interrupted, TimedOut
from executor.netns.namespace import Namespace
from executor.observe.ebtables import EbtablesSave, close_begun
from executor.observe.observe import Observation
from executor.operations.elsewhere import OtherNamespaces
from executor.operations.execution import (
    IP,
    Execution,
    Failure,
    changes_rules,
    failed_execution,
    failure_of,
    ip_execution,
    program_execution,
    refuse_strangers,
)
from executor.operations.ownership import own
from executor.operations.scheduler import BESIDE, Begin, End, lanes, run_scheduled
from executor.operations.signals import StopRequest, stop_requests
from executor.process.background import Task, in_background, start_thread
from executor.process.ip_batch import IpBatch
from executor.process.prestarted import PrestartedPrograms
from executor.process.result import CommandResult
from executor.process.run import RunningProgram, start_program
from executor.settings import Settings
from executor.state.events import Event, Ran, Running
from executor.state.journal import Journal
from executor.state.record import WiringRecord
from planner.facts.model import NamespaceFacts
from planner.plan.plan import Plan, plan_to_json
from planner.plan.render import Command
from planner.text.document import Node
from planner.text.values import Alias, NetnsPath, PlanId

# The exit status that timeout(1) gives to what it killed, and env(1) to what it could not run.
_TIMED_OUT, _NOT_RUN = 124, 126


@define(eq=False)
class Operation:
    """What an operation works with. Made by ``open_operation``."""

    settings: Settings
    namespace: Namespace
    session: IpBatch
    journal: Journal
    stop: StopRequest
    _number: int = field(default=0, init=False)
    _looking: Task[Observation] | None = field(default=None, init=False)
    _starting: Task[None] | None = field(default=None, init=False)
    _rules_ahead: Task[EbtablesSave] | None = field(default=None, init=False)
    _prestarted: PrestartedPrograms = field(init=False)
    # For what need not wait for what the kernel takes its time over.
    _beside: IpBatch | None = field(default=None, init=False)
    # The numbers of links by name, as the last look found them; of those that podwire made it may make others.
    _numbers: Mapping[str, int] = field(factory=dict, init=False)
    others: OtherNamespaces = field(init=False)
    # While rolling back what an apply did: neither a journal that cannot be written nor a signal stops that.
    best_effort: bool = field(default=False, init=False)
    # The links' numbers, by the names that they had when the namespace was wired, and when the lifetimes were so.
    indexes: Mapping[str, int] = field(factory=dict, init=False)
    observed: Instant = field(factory=Instant.now, init=False)

    def __attrs_post_init__(self) -> None:
        self.others = OtherNamespaces(self.settings)
        self._prestarted = PrestartedPrograms(self._namespace_of, self.settings.timeout)

    def enter_others(self, plan: Plan, *, may_be_gone: bool = False) -> None:
        """Open and lock the namespaces beside its own that ``plan`` has changes in.

        Raises NamespaceGone if one is not there, unless it ``may_be_gone``, HostError, or Locked.
        """
        self.others.enter(plan.facts.elsewhere, self.namespace, may_be_gone=may_be_gone)

    def prefetch(self, commands: Sequence[Command] = (), *, needs_rules: bool = False) -> None:
        """Begin what the next ``observe`` returns, and start programs that ``commands`` will need.

        With ``needs_rules`` it is seen whether ebtables works, though ``commands`` do not say that it has to. Only to
        be called if nothing will change before that, and with all other namespaces entered. What goes wrong is raised
        by ``observe`` and ``wait_for_programs``.
        """
        self.cancel_prefetch()
        needs_rules = needs_rules or any(map(changes_rules, commands))
        timeout = self.settings.timeout
        looking = Task(lambda: Observation(self.namespace, self.session, timeout, needs_rules=needs_rules))
        starting = Task(lambda: self._start_ahead(looking, commands))
        start_thread(starting.run)
        self._looking, self._starting = looking, starting

    def _start_ahead(self, looking: Task[Observation], commands: Sequence[Command]) -> None:
        looking.run()
        looking.result()
        first = next((command for command in commands if command.program != IP), None)
        for command in commands:
            if command is first or changes_rules(command):  # the others have time while these are run
                self._prestarted.start_for(command)

    def expect(self, programs: Iterable[tuple[str, ...]]) -> None:
        """Start programs that a plan for the namespace, which is being made, will likely have and give input to."""
        self.cancel_prefetch()

        def start() -> None:
            for argv in programs:
                self._prestarted.start(self.namespace.path, argv)

        self._starting = in_background(start)

    def wait_for_programs(self) -> None:
        """Return when what was to be started ahead was. Raises HostError or OSError if that could not be."""
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.result()

    def cancel_prefetch(self, *, rules: bool = True) -> None:
        """Forget what was started for an ``observe`` that did not come, or would now see what is no longer so.

        With ``rules`` False what looks at the rules only goes on.
        """
        starting, self._starting = self._starting, None
        if starting is not None:
            with suppress(HostError, *SHORTAGES):  # it is reported when it is their turn
                starting.result()
        looking, self._looking = self._looking, None
        if looking is not None:
            with suppress(HostError, *SHORTAGES):
                looking.result().close()
        if rules and self._rules_ahead is not None:
            close_begun(self._rules_ahead)
            self._rules_ahead = None

    def close(self) -> None:
        """Let go of what was started for what did not come."""
        self.cancel_prefetch()
        self._prestarted.close()
        self._close_beside()
        self.others.close()

    def observe(self) -> NamespaceFacts:
        """Return what is in the namespace now, and in the others that were entered."""
        looking, self._looking = self._looking, None
        rules, self._rules_ahead = self._rules_ahead, None
        look = looking.result() if looking else self._look(rules)
        found = look.result()
        names = {number: name for name, number in self._numbers.items()}
        if any(names.get(link.index, link.name) != link.name for link in found.links):
            self.session.close()  # an open ip goes on calling links as it met them
            found = self._look().result()
        self._numbers = {link.name: link.index for link in found.links if not Alias.is_ours(link.alias)}
        return evolve(found, elsewhere=self.others.observe()) if self.others else found

    def _look(self, rules: Task[EbtablesSave] | None = None) -> Observation:
        return Observation(self.namespace, self.session, self.settings.timeout, rules=rules)

    def emit(self, event: Event) -> bool:
        """Tell everybody who listens, the journal first; return whether it could be written into that.

        Raises HostError if it could not, unless ``best_effort``.
        """
        is_written = True
        try:
            self.journal.listen(event)
        except ExecutorError:
            if not self.best_effort:
                raise
            is_written = False
        for listener in self.settings.listeners:
            listener(event)
        return is_written

    def run(self, commands: Sequence[Command]) -> Failure | None:
        """Run commands up to the first that fails; return why it did."""
        failures: dict[int, Failure] = {}
        commands = tuple(commands)
        first, lane = self._take_numbers(len(commands)), lanes(commands)

        def begin(at: int, command: Command) -> Execution:
            self.stop.check()
            refuse_strangers(command, self._numbers, self.namespace)
            return self._begin(first + at, command, lane[at])

        def end(at: int, command: Command, job: Execution) -> bool:
            if failures and job.withdraw():
                self.emit(Ran(first + at, command, CommandResult(_NOT_RUN, "", "not run: an earlier one failed", 0.0)))
                return False
            reply = self._end(first + at, command, job)
            if not reply.ok:
                failures[at] = failure_of(command, reply)
            return reply.ok

        try:
            self._run_side_by_side(commands, begin, end)
        except (Interrupted, HostError) as error:
            failures[len(commands)] = Failure(str(error))
        return failures[min(failures)] if failures else None

    def run_all(
        self,
        commands: Sequence[Command],
        *,
        needs: Mapping[int, int] | None = None,
        awaited: Container[int] = (),
        before: Callable[[Command], None] = lambda _: None,
    ) -> list[Failure]:
        """Run every command whatever becomes of the others; return why those failed that did.

        What ebtables was to do for a change after it failed there is left out: ``--init-table`` would take
        a stranger's rules along, and that it may is known only of the chains that were taken away before. So is a
        change that ``needs`` another (both by their numbers) which failed, since it would do something else then.
        ``before`` is called with each command when it is its turn; those ``awaited`` (positions) are answered by then.

        Raises Interrupted if somebody asks to stop, unless ``best_effort``: a rollback goes on to its end.
        """
        failures: dict[int, Failure] = {}
        commands = tuple(commands)
        stopped, failed = set[int](), set[int]()
        first, lane = self._take_numbers(len(commands)), lanes(commands)

        def begin(at: int, command: Command) -> Execution | None:
            if not self.best_effort:
                self.stop.check()
            wanted = {needs[change] for change in command.changes if change in needs} if needs else ()
            if not stopped.isdisjoint(command.changes) or not failed.isdisjoint(wanted):
                return None
            before(command)
            return self._begin(first + at, command, lane[at])

        def end(at: int, command: Command, job: Execution) -> bool:
            reply = self._end(first + at, command, job)
            if not reply.ok:
                failures[at] = failure_of(command, reply)
                failed.update(command.changes)
                stopped.update(command.changes if command.stops_at_failure else ())
            return True

        self._run_side_by_side(commands, begin, end, awaited)
        return [failures[at] for at in sorted(failures)]

    def _run_side_by_side(
        self, commands: Sequence[Command], begin: Begin, end: End, awaited: Container[int] = ()
    ) -> None:
        """Run commands; when none is left that changes rules, these are read at the same time.

        While others are waited for, programs are started that will get their input later.
        """
        on_rules = {at for at, command in enumerate(commands) if changes_rules(command)}
        some_change_rules = bool(on_rules)
        programs = (command for command in commands if command.program != IP and not changes_rules(command))
        later = deque(self._prestarted.missing(programs))

        def begin_it(at: int, command: Command) -> Execution | None:
            if command.program != IP and command in later:
                later.remove(command)
            return begin(at, command)

        def end_and_look(at: int, command: Command, job: Execution) -> bool:
            goes_on = end(at, command, job)
            on_rules.discard(at)
            if goes_on and some_change_rules and not on_rules and self._rules_ahead is None:
                with suppress(HostError):  # no more threads: they are read later
                    self._rules_ahead = EbtablesSave.begin(self.namespace, self.settings.timeout)
            return goes_on

        def start_next() -> None:
            if later:
                with suppress(HostError, *SHORTAGES):  # it is reported when it is its turn
                    self._prestarted.start_for(later.popleft())

        self.cancel_prefetch(rules=some_change_rules)
        try:
            run_scheduled(commands, begin_it, end_and_look, awaited=awaited, idle=start_next)
        finally:
            self._close_beside()

    def _close_beside(self) -> None:
        beside, self._beside = self._beside, None
        if beside is not None:
            beside.close()

    def _take_numbers(self, count: int) -> int:
        """Return the number of the first of ``count`` commands: they are numbered through the whole operation."""
        first = self._number + 1
        self._number += count
        return first

    def entry(self, plan: Plan, status: str, *, age: float) -> WiringRecord:
        """Return what there is to write down of a wiring of this namespace that begins now.

        ``age`` is how long ago the lifetimes in ``plan`` were what it says, in seconds.
        """
        now, names = Instant.now(), (link.name for link in plan.facts.links)
        entry = WiringRecord(
            id=plan.id,
            netns=self.namespace.path,
            cookie=self.namespace.cookie,
            inode=self.namespace.inode,
            links={name: number for name in names if (number := self.namespace.link_number(name))},
            boot_id=now.boot_id,
            status=status,
            applied_at=now.wall,
            plan=Node(plan_to_json(plan), "plan"),
            observed_uptime=None if now.uptime is None else now.uptime - age,
        )
        self.remember(entry, plan)
        return entry

    def remember(self, entry: WiringRecord, plan: Plan) -> None:
        """Take from an entry what rolling its plan back needs."""
        self.indexes = entry.links
        self.observed = entry.observed(plan.facts.observed_at)

    def _begin(self, number: int, command: Command, lane: str) -> Execution:
        self.emit(Running(number, command))
        try:
            refuse_strangers(command, self._numbers, self.namespace)
            session = self._session_of(command, lane) if command.program == IP else None
            return program_execution(self._start(command)) if session is None else ip_execution(session, command)
        except HostError as error:
            return failed_execution(error)

    def _end(self, number: int, command: Command, job: Execution) -> CommandResult:
        try:
            reply = job.collect()
        except TimedOut as error:
            reply = CommandResult(_TIMED_OUT, "", str(error), self.settings.timeout)
        except HostError as error:
            reply = CommandResult(127, "", str(error), 0.0)
        self.emit(Ran(number, command, reply))
        self._forget_names(command)
        return reply

    def _forget_names(self, command: Command) -> None:
        """Have the next command of ``ip`` look names up again after a program that may have replaced a link.

        As long as it runs, ``ip`` remembers which link a name is (iproute2, ll_map.c).
        """
        if command.program != IP and command.touches is None:
            with suppress(HostError):  # its namespace is gone
                if session := self._session_of(command):
                    session.close()

    def _session_of(self, command: Command, lane: str = IP) -> IpBatch | None:
        """Return the open ``ip`` of a command's namespace, None if it is that of the host and was not entered."""
        other = self.others.at(command.netns) if self.others else None
        if other or command.netns is None:
            return other.session if other else None
        if lane == BESIDE:
            self._beside = self._beside or IpBatch(self.namespace, timeout=self.settings.timeout)
            return self._beside
        return self.session

    def _namespace_of(self, netns: NetnsPath | None) -> Namespace | None:
        other = self.others.at(netns) if self.others else None
        return other.namespace if other else None if netns is None else self.namespace

    def _start(self, command: Command) -> RunningProgram:
        return self._prestarted.feed(command) or start_program(
            command.argv,
            namespace=self._namespace_of(command.netns),
            stdin=command.stdin,
            timeout=self.settings.timeout,
            pass_fds=self.namespace.inherited,  # also on the host: it holds the lock with us
        )


@contextmanager
def open_operation(settings: Settings, opening: Callable[[], Namespace], plan_id: PlanId) -> Iterator[Operation]:
    """Open (by ``opening``) a namespace for changing it under an id, both of which are locked.

    Raises NamespaceGone, HostError, Interrupted, or Locked after ``lock_timeout`` if somebody else is at it.
    """
    with (
        opening() as namespace,
        stop_requests() as stop,  # also while what is below is closed: a Ctrl-C then would report "nothing changed"
        own(plan_id, settings) as owning,
        namespace.lock(settings.lock_timeout, check=stop.check),
        Journal.open(settings.store.journal_path(plan_id)) as journal,
        IpBatch(namespace, timeout=settings.timeout) as session,
    ):
        operation = Operation(owning, namespace, session, journal, stop)
        try:
            yield operation
        finally:
            operation.close()
