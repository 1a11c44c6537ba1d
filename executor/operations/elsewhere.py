"""The namespaces beside its own that an operation works in: each open and locked, with an open ``ip``."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

from attrs import define, evolve, field

from executor.errors import HostError, NamespaceGone
from executor.netns.namespace import Namespace
from executor.observe.elsewhere import open_elsewhere
from executor.observe.observe import Observation
from executor.process.ip_batch import IpBatch
from executor.settings import Settings
from planner.facts.model import Elsewhere
from planner.text.frozen import frozen
from planner.text.values import NetnsPath


@frozen
class Entered:
    """A namespace that was entered, and its ``ip``."""

    other: Elsewhere
    namespace: Namespace
    session: IpBatch


@define(eq=False)
class OtherNamespaces:
    """Those that were entered, by their path (None is the host's), and those that are gone."""

    settings: Settings
    _entered: dict[NetnsPath | None, Entered] = field(factory=dict, init=False)
    _gone: dict[NetnsPath | None, Elsewhere] = field(factory=dict, init=False)
    _open: ExitStack = field(factory=ExitStack, init=False)

    def __bool__(self) -> bool:
        return bool(self._entered or self._gone)

    def enter(self, others: Iterable[Elsewhere], own: Namespace, *, may_be_gone: bool) -> None:
        """Open and lock namespaces, once each, for an operation in ``own``.

        Raises NamespaceGone if one is gone, unless it ``may_be_gone``, HostError if two of them are one, or Locked.
        """
        for other in others:
            if other.netns in self._entered or other.netns in self._gone:
                continue
            try:
                namespace = self._open.enter_context(open_elsewhere(other))
            except NamespaceGone:
                if not may_be_gone:
                    raise
                self._gone[other.netns] = evolve(other, facts=None)
                continue
            if namespace.cookie in (own.cookie, *(entered.namespace.cookie for entered in self._entered.values())):
                raise HostError(f"{namespace.path} is a namespace that the plan also has under another name")
            self._open.enter_context(namespace.lock(self.settings.lock_timeout))
            session = self._open.enter_context(IpBatch(namespace, timeout=self.settings.timeout))
            self._entered[other.netns] = Entered(other, namespace, session)

    def at(self, netns: NetnsPath | None) -> Entered | None:
        """Return a namespace that was entered, or None. Raises HostError for one that is gone."""
        if netns in self._gone:
            raise HostError(f"there is no network namespace at {netns} any more")
        return self._entered.get(netns)

    def observe(self) -> tuple[Elsewhere, ...]:
        """Return what is in them now."""
        timeout = self.settings.timeout
        seen = (
            evolve(entered.other, facts=Observation(entered.namespace, entered.session, timeout).result())
            for entered in self._entered.values()
        )
        return (*seen, *self._gone.values())

    def close(self) -> None:
        """Let go of all of them."""
        self._entered.clear()
        self._gone.clear()
        self._open.close()
