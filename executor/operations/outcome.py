"""How an operation ended well, or what it would do."""

from __future__ import annotations

from planner.plan.plan import Plan
from planner.text.frozen import frozen
from planner.text.values import PlanId


@frozen
class Outcome:
    """The result of an operation, for a program and for a person.

    ``what``: wired, unchanged, restored, repaired, mended, served, gone, nothing, abandoned (the record was removed
    without a complete rollback) or failed (only in what ``gc`` returns). ``commands`` is how many were run, in
    ``seconds``. ``sentence`` says the same to a person; ``notes`` are further sentences.
    """

    what: str
    id: PlanId
    commands: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    sentence: str = ""


@frozen
class Preview:
    """What an operation would carry out, with sentences on what comes of it."""

    plan: Plan
    notes: tuple[str, ...] = ()


GONE = "its namespace is gone, so nothing is left to roll back"
MEANWHILE = "another podwire process has already handled it"
