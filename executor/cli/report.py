"""How operations ended: as text a line each, at once; as JSON one document, when all have."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Sequence
from typing import Any

from executor.cli.errors import error_json, of_id, pasteable
from executor.cli.exit_status import exit_status
from executor.cli.output import complain, put_done
from executor.cli.previews import print_plan
from executor.cli.printing import json_text
from executor.errors import Interrupted
from executor.operations.outcome import Outcome, Preview
from executor.operations.signals import stop_requests
from executor.process.many import results
from planner.errors import PodwireError
from planner.plan.plan import plan_to_json
from planner.plan.render import Templates
from planner.text.values import PlanId

_MOST_NAMED = 5

# How an operation ended, or what it would run; None is not worth a word.
Said = Preview | Outcome | None
Work = Callable[[PlanId], Said]


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
            self._tell([f"{outcome.id}: {pasteable(line, self._arguments)}" for line in lines])

    def _tell(self, sentences: Sequence[str]) -> None:
        """Say something to a person: on standard error if what is printed is for a shell, or a page."""
        if self._form == "text":
            put_done("".join(f"{sentence}\n" for sentence in sentences))
        else:
            for sentence in sentences:
                complain(sentence, 0)

    def _say(self, found: Said) -> None:
        """Say how an operation ended, or show what it would run."""
        if isinstance(found, Outcome):
            self.ended(found)
        elif found is not None:
            self._would_run(found)

    def _would_run(self, found: Preview) -> None:
        self._documents.append(plan_to_json(found.plan))
        if self._form != "json":
            print_plan(found.plan, self._arguments, self._templates, notes=found.notes)
        else:
            self._tell(found.notes)

    def of_each(self, ids: Collection[PlanId], work: Work, *, nothing: str, at_once: int = 1) -> int:
        """Do ``work`` for every id, say what it returns, and return the worst exit status; ``nothing`` is for no id.

        What fails keeps no other from being done; only if one id was named its error is raised. With ``at_once``, so
        many are worked at side by side if there are many. After a signal no other one is begun.
        """
        status, left, interrupted = 0, [], None
        with stop_requests() as stop:

            def unless_stopped(plan_id: PlanId) -> Said:
                stop.check()
                return work(plan_id)

            for plan_id, result in results(unless_stopped, ids, at_once):
                try:
                    self._say(result())
                except Interrupted as error:
                    interrupted = interrupted or error
                    left.append(plan_id)
                except PodwireError as error:
                    if not self._several:
                        raise
                    status = max(status, self._failed(plan_id, error))
            if interrupted is not None:
                status = max(status, self._stopped(interrupted, left))
        if self._form == "json":
            put_done(json_text(self._documents if self._several else self._documents[0]))
        elif not self._documents and not is_quiet(self._arguments):
            self._tell([nothing])
        return status

    def _failed(self, plan_id: PlanId, error: PodwireError) -> int:
        sentence, status = pasteable(error, self._arguments), exit_status(error)
        self._documents.append({"id": str(plan_id), "why": str(error)} | error_json(error, sentence, status))
        return complain(of_id(plan_id, sentence), status)

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
    """Say whether success is not to be printed (--quiet)."""
    return bool(getattr(arguments, "quiet", False))
