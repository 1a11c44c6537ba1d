"""What the plugin answers when it fails: a code of the specification, or one of ours, and a sentence."""

from __future__ import annotations

# CNI specification 1.1.0, section 5, "Error"; 50 and 51 belong to STATUS.
INCOMPATIBLE_VERSION = 1
UNSUPPORTED_FIELD = 2
BAD_VARIABLES = 4
IO_FAILURE = 5
UNDECODABLE = 6
BAD_CONFIGURATION = 7
OWN_NAMESPACE = 8
TRY_AGAIN_LATER = 11
NOT_AVAILABLE = 50
# From 100 on they are the plugin's own.
REFUSED = 100
HOST = 101
ROLLED_BACK = 102
HALF_DONE = 103
NOT_AS_ADDED = 104
BUG = 199


class CniError(Exception):
    """An error object in the making; ``version`` is that of the configuration, where it was read."""

    def __init__(self, code: int, message: str, details: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
        self.version = ""


def code_of(error: BaseException) -> int:
    """Return the code for what an operation raises."""
    from executor.errors import (  # noqa: PLC0415  VERSION needs none of it
        Interrupted,
        Locked,
        NamespaceGone,
        RollbackIncomplete,
        RolledBack,
    )
    from planner.errors import InvalidInput, Refused, StalePlan  # noqa: PLC0415

    codes: tuple[tuple[type[BaseException], int], ...] = (
        (Locked, TRY_AGAIN_LATER),
        (StalePlan, TRY_AGAIN_LATER),
        (Interrupted, TRY_AGAIN_LATER),
        (KeyboardInterrupt, TRY_AGAIN_LATER),
        (NamespaceGone, BAD_VARIABLES),
        (RolledBack, ROLLED_BACK),
        (RollbackIncomplete, HALF_DONE),
        (InvalidInput, BAD_CONFIGURATION),
        (Refused, REFUSED),
    )
    return next((code for kind, code in codes if isinstance(error, kind)), HOST)
