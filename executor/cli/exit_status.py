"""The exit statuses, a contract: 0 is done or nothing to do."""

from __future__ import annotations

from executor.errors import RollbackIncomplete, RolledBack

REFUSED, PENDING, ROLLED_BACK, HALF_DONE = 1, 2, 3, 4


def exit_status(error: Exception) -> int:
    """Return the exit status that says what kind of error this is: refused if nothing was changed."""
    if isinstance(error, RolledBack):
        return ROLLED_BACK
    return HALF_DONE if isinstance(error, RollbackIncomplete) else REFUSED
