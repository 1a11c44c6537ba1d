"""How operations ended: as text a line each, at once; as JSON one document, when all have."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any

from executor.cli.errors import error_json, pasteable
from executor.cli.exit_status import exit_status
from executor.cli.output import complain, put_done
from executor.cli.previews import print_plan
from executor.cli.printing import json_text
from executor.errors import Interrupted
from executor.operations.outcome import Outcome
from executor.operations.signals import stop_requests
from planner.errors import PodwireError
from planner.plan.plan import Plan, plan_to_json
from planner.plan.render import Templates
from planner.text.values import PlanId

_MOST_NAMED = 5


class Report:
    """What became of the one wiring that was named, or of ``several`` that were not: their document is a list."""

    def __init__(self, arguments: argparse.Namespace, templates: Templates, *, several: bool) -> None:
        self._arguments = arguments
        self._form: str = arguments.format
        self._templates = templates
        self._several = several
        self._documents: list[dict[str, Any]] = []

    def ended(self, outcome: Outcome) -> None:
        """Say how an operation ended."""
        self._documents.append(outcome_json(outcome))
        if self._form != "json":
            ran = f" ({ran_words(outcome)})" if outcome.commands else ""
            lines = outcome.notes if is_quiet(self._arguments) else (outcome.sentence + ran, *outcome.notes)
            put_done("".join(f"{outcome.id}: {pasteable(line, self._arguments)}\n" for line in lines))

    def would_run(self, found: Plan | Outcome) -> None:
        """Show what an operation would run, or how it would end if that is nothing."""
        if isinstance(found, Outcome):
            self.ended(found)
            return
        self._documents.append(plan_to_json(found))
        if self._form != "json":
            print_plan(found, self._arguments, self._templates)

    def of_each(self, ids: Iterable[PlanId], work: Callable[[PlanId], None], *, nothing: str) -> int:
        """Do ``work`` for every id, print the document, and return the worst exit status; ``nothing`` is for no id.

        What fails keeps no other from being done; only if one id was named its error is raised.
        """
        status = 0
        with stop_requests() as stop:
            left = list(ids)
            while left:
                try:
                    stop.check()
                    work(left[0])
                except Interrupted as error:
                    status = max(status, self._stopped(error, left))
                    break
                except PodwireError as error:
                    if not self._several:
                        raise
                    status = max(status, self._failed(left[0], error))
                del left[0]
        if self._form == "json":
            put_done(json_text(self._documents if self._several else self._documents[0]))
        elif not self._documents and not is_quiet(self._arguments):
            put_done(f"{nothing}\n")
        return status

    def _failed(self, plan_id: PlanId, error: PodwireError) -> int:
        sentence, status = pasteable(error, self._arguments), exit_status(error)
        self._documents.append({"id": str(plan_id), "why": str(error)} | error_json(error, sentence, status))
        return complain(f"{plan_id}: {sentence}", status)

    def _stopped(self, error: Interrupted, left: list[PlanId]) -> int:
        """Say which ids were not begun any more; of one that was begun its own error has said how it is."""
        if not self._several:
            raise error
        status = exit_status(error)
        self._documents += [{"id": str(each)} | error_json(error, str(error), status) for each in left]
        more = f" and {len(left) - _MOST_NAMED} more" if len(left) > _MOST_NAMED else ""
        return complain(f"{error}: {', '.join(left[:_MOST_NAMED])}{more} left as before", status)


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Return how an operation ended as a document."""
    return {
        "id": str(outcome.id),
        "outcome": outcome.what,
        "commands": outcome.commands,
        "duration_ms": round(outcome.seconds * 1000, 3),
        "notes": list(outcome.notes),
    }


def ran_words(outcome: Outcome) -> str:
    """Return how many commands were run, and how long it took."""
    return f"{outcome.commands} command{'' if outcome.commands == 1 else 's'} in {outcome.seconds * 1000:.0f} ms"


def is_quiet(arguments: argparse.Namespace) -> bool:
    """Say whether what went well is not to be said (--quiet)."""
    return bool(getattr(arguments, "quiet", False))
