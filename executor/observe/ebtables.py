"""The rules of a namespace, as text: ``ebtables-save`` on its way, and ``nft`` if there is a chain to ask about.

Most namespaces have none. The kernel says so in 0.1 ms; ``ebtables-save`` takes 3 ms, which others may need.
"""

from __future__ import annotations

import functools
import os
from contextlib import suppress
from typing import Self

from executor.errors import SHORTAGES, ExecutorError, HostError
from executor.netns.namespace import Namespace
from executor.observe.hooks import has_bridge_tables, has_ebtables_chains
from executor.process.background import Task
from executor.process.result import one_line
from executor.process.run import RunningProgram, find_program, start_program
from planner.facts.ebtables_save import hides_a_chain
from planner.text.frozen import frozen


@frozen
class EbtablesAnswer:
    """What the two printed, or why they cannot be asked (planner.facts.parse.read_rules)."""

    save: str | None = None
    chains: str | None = None
    problem: str | None = None


# The files that were an ``ebtables-save`` which works (by path, device and inode): it need not be tried again.
_tried: set[tuple[str, int, int]] = set()

# What ebtables-save prints first, if there is a table (ebtables-nft(8)).
_TABLE_LINE = "*filter"


@functools.lru_cache(1)
def _is_legacy(program: str, _device: int, _inode: int) -> bool:
    """Say whether a program, which is that file now, is not of the nf_tables variant: there its name says so."""
    return "legacy" in os.path.realpath(program)


class EbtablesSave:
    """``ebtables-save`` on its way beside other questions, where there is a table that it could print."""

    def __init__(self, namespace: Namespace, timeout: float, *, must_work: bool = False) -> None:
        """Begin to read. ``result`` reports what prevents it.

        With ``must_work`` it is asked where there is nothing to print, too, unless it has answered this process before:
        who will need it learns now if it fails.
        """
        self._namespace = namespace
        self._timeout = timeout
        self._running: RunningProgram | None = None
        self._problem: str | None = None
        self._has_tables = True
        self._program = ("", 0, 0)
        try:
            program = find_program("ebtables-save")
            found = os.stat(program)
            self._program = (program, found.st_dev, found.st_ino)
            if _is_legacy(*self._program):
                self._problem = (
                    "this host's ebtables is the legacy one: select the nf_tables variant "
                    "(update-alternatives --config ebtables)"
                )
                return
            self._has_tables = namespace.call(has_bridge_tables)
            if self._has_tables or (must_work and self._program not in _tried):
                self._running = self._start("ebtables-save", is_ahead=True)
        except (HostError, OSError) as error:
            self._problem = str(error)

    @classmethod
    def begin(cls, namespace: Namespace, timeout: float) -> Task[Self]:
        """Begin to look on a thread inside. Raises HostError if there can be no more threads."""
        return namespace.begin(lambda: cls(namespace, timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Collect it, ended or not; a second time does nothing."""
        running, self._running = self._running, None
        if running is not None:
            running.close()

    def result(self) -> EbtablesAnswer:
        """Wait for it to end and return what it said. To be called once.

        One that prints nothing and ends with 0, although the kernel has chains to print, is asked once more.
        """
        answer = self._answer()
        if self._is_plausible(answer):
            return answer
        with EbtablesSave(self._namespace, self._timeout) as again:
            answer = again._answer()
        if self._is_plausible(answer):
            return answer
        return EbtablesAnswer(
            problem=f"ebtables-save prints nothing of the ebtables filter table that {self._namespace.path} has: is it"
            " whole?"
        )

    def _answer(self) -> EbtablesAnswer:
        if self._problem is not None:
            return EbtablesAnswer(problem=self._problem)
        if self._running is None:
            return EbtablesAnswer(save="")
        reply = self._running.result()
        if not reply.ok:
            why = one_line(reply.stderr) or f"status {reply.rc}"
            return EbtablesAnswer(problem=f"the ebtables filter table of {self._namespace.path} cannot be read: {why}")
        _tried.add(self._program)
        return EbtablesAnswer(save=reply.stdout, chains=self._chains() if hides_a_chain(reply.stdout) else None)

    def _is_plausible(self, answer: EbtablesAnswer) -> bool:
        """Say whether the kernel's own list of chains does not give the lie to an answer."""
        if not self._has_tables or self._running is None or answer.save is None or _TABLE_LINE in answer.save:
            return True
        return not self._namespace.call(has_ebtables_chains)

    def _chains(self) -> str | None:
        """Return which chains exist, which ebtables-save does not tell; None without nft."""
        try:
            with self._start("nft", "-j", "list", "chains", "bridge") as running:
                reply = running.result()
        except ExecutorError:
            return None
        return reply.stdout if reply.ok else None

    def _start(self, *argv: str, is_ahead: bool = False) -> RunningProgram:
        """Start a program from a thread inside: a look is no command of a plan, and ``nsenter`` costs half as much."""
        inherited = self._namespace.inherited
        start = functools.partial(start_program, argv, namespace=None, stdin=None, timeout=self._timeout)
        return self._namespace.call(lambda: start(pass_fds=inherited, is_ahead=is_ahead))


def close_begun(looking: Task[EbtablesSave]) -> None:
    """Collect what was begun, if it could be."""
    with suppress(HostError, *SHORTAGES):
        looking.result().close()
