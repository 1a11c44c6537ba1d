"""How an operation ended well."""

from __future__ import annotations

from attrs import frozen

from planner.text.values import PlanId


@frozen
class Outcome:
    """``what``: wired, unchanged, restored, gone or nothing. ``commands`` were run in ``seconds``.

    ``notes`` are sentences for the user.
    """

    what: str
    id: PlanId
    commands: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
