"""What happens in an operation, as values: the executor emits them; what prints, journals or counts listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from executor.process.result import CommandResult
from planner.text.values import NetnsPath, PlanId

if TYPE_CHECKING:  # reading the log would load the template engine
    from planner.plan.render import Command


class Began(NamedTuple):
    """An operation on a namespace begins; ``verb`` is apply, teardown, … and ``requested_by`` the command line.

    ``record`` is the state entry of what is being wired, as JSON: the journal has a copy of it then.
    """

    verb: str
    id: PlanId
    netns: NetnsPath
    requested_by: str
    record: str = ""


class Running(NamedTuple):
    """A command is about to run; ``number`` counts from 1 within the operation. A listener that raises stops it."""

    number: int
    command: Command


class Ran(NamedTuple):
    """A command has ended."""

    number: int
    command: Command
    reply: CommandResult


class RollingBack(NamedTuple):
    """The operation failed for ``why``; what was done is being rolled back."""

    why: str


class Ended(NamedTuple):
    """The operation is over; ``outcome`` is a word (wired, restored, taken back, half-done), ``why`` says more."""

    outcome: str
    why: str


Event = Began | Running | Ran | RollingBack | Ended
Listener = Callable[[Event], None]
