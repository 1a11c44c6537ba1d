"""podwire in a child of this process, killed at an instant: exactly at an event, within a command, or at random.

The child is a fork: nothing has to be loaded again, so that hundreds of kills take minutes.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from attrs import evolve, frozen

from executor.errors import ExecutorError
from executor.operations.apply import apply, roll_forward
from executor.operations.rollback import restore
from executor.settings import Settings
from executor.state.events import Ended, Event, Ran, Running
from executor.state.journal import Journal
from executor.state.store import StateStore
from executor.templates import load_templates
from planner.plan.plan import parse_plan
from planner.text.values import PlanId
from tests.reliability.helpers_faults import Faults
from tests.reliability.helpers_trial import Trial
from tests.support import run

# before: the journal says that the command runs, and it doesn't yet. during: it has been given to its program, which
# goes on without podwire. after: the journal says how it ended.
WHENS = ("before", "during", "after")
_AT = {"before": Running, "after": Ran}


@frozen
class Work:
    """What podwire does on a trial: apply, teardown, recover or recover --forward."""

    trial: Trial
    verb: str

    @property
    def settings(self) -> Settings:
        """How it works."""
        return Settings(StateStore(self.trial.state_dir), load_templates())

    def do(self, settings: Settings) -> None:
        """Do it, in this process."""
        plan_id = PlanId(self.trial.id)
        if self.verb == "apply":
            apply(parse_plan(self.trial.plan.read_bytes(), settings.templates), settings)
            return
        entry = settings.store.load(plan_id)
        assert entry is not None
        if self.verb == "forward":
            roll_forward(entry, settings)
        else:
            restore(entry, settings, self.verb)


def killed_at(work: Work, when: str, number: int, faults: Faults) -> bool:
    """Let a child do `work`, and be killed before, during or after its `number`-th command; say whether it was."""
    if when == "during":
        return _forked(lambda: _killed_within(work, number, faults))

    def listen(event: Event) -> None:
        if isinstance(event, Running | Ran) and isinstance(event, _AT[when]) and event.number == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return _forked(lambda: work.do(evolve(work.settings, listeners=(listen,))))


def killed_at_end(work: Work, when: str, env: Mapping[str, str]) -> bool:
    """Let a child do `work`, and be killed before or after it writes into its journal how that ended."""
    write = Journal.listen

    def listen(self: Journal, event: Event) -> None:
        if not isinstance(event, Ended) or when == "after":
            write(self, event)
        if isinstance(event, Ended):
            os.kill(os.getpid(), signal.SIGKILL)

    def work_and_die() -> None:
        Journal.listen = listen  # type: ignore[method-assign]  # of the child alone
        with _environment(env):
            work.do(work.settings)

    return _forked(work_and_die)


def killed_after(work: Work, seconds: float) -> bool:
    """Let a child do `work`, and kill it after so many seconds; say whether it had not ended by then."""
    return _forked(lambda: work.do(work.settings), seconds)


def duration(work: Work) -> float:
    """Do `work` in a child, and return how many seconds that took."""
    started = time.monotonic()
    assert not _forked(lambda: work.do(work.settings))
    return time.monotonic() - started


def see_that_nobody_is_at_it(trial: Trial) -> None:
    """Wait for what a killed podwire left running: it has the lock."""
    run(["flock", "--timeout", "10", trial.pod.inside.lock_file, "true"])


def instants(seed: int, count: int, longest: float) -> list[float]:
    """Return so many instants from 0 to `longest` seconds; the same for the same seed."""
    rng = random.Random(seed)  # noqa: S311 -- the same again is what is wanted
    return [rng.uniform(0, longest) for _ in range(count)]


def _killed_within(work: Work, number: int, faults: Faults) -> None:
    faults.plan(number, "kill")
    with _environment(faults.env):
        work.do(work.settings)


@contextmanager
def _environment(extra: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process for a while."""
    before = {name: os.environ.get(name) for name in extra}
    os.environ.update(extra)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _forked(function: Callable[[], object], seconds: float | None = None) -> bool:
    """Run a function in a child, kill that after `seconds`, and say whether SIGKILL ended it."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            function()
            status = 0
        except ExecutorError as error:
            os.write(2, f"{error}\n".encode())
        finally:
            os._exit(status)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)  # it is there until it is waited for, if only as a zombie
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL), f"the child ended with {code}"
    return code != 0
