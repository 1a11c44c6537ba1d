"""``podwire-cni``: podwire as a chained CNI plugin, called by a container runtime (CNI specification, section 2).

It reads its variables and a configuration, does what the command line does through the same ``executor/operations/``,
and answers in JSON on standard output. Logs go to standard error, and to ``podwire log``. What runs first is
``executor.agent.shim``: this is what the agent does for it, or what it does itself.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from io import BytesIO
from typing import Any

from executor.cli.output import OutputLost, put, say
from executor.cni.errors import BUG, TRY_AGAIN_LATER, CniError, code_of
from executor.trust.umask import close_to_others

VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")


TYPE_CHECKING = False
if TYPE_CHECKING:
    from executor.cni.call import Call


def at_once(_call: Call) -> None:
    """Begin without further ado."""


def main(given: bytes | None = None, *, begin: Callable[[Call], None] = at_once) -> int:
    """Do what CNI_COMMAND says and return the exit status. It raises nothing but what ``begin`` does.

    ``given`` is what was read from standard input, None if nothing was. ``begin`` is called with the call when nobody
    else is at work for its attachment, just before anything is done.
    """
    close_to_others()
    if hasattr(sys.stdout, "reconfigure"):  # in the agent it is none of a process
        sys.stdout.reconfigure(encoding="utf-8")  # JSON has no other (RFC 8259, section 8.1)
    try:
        answer = _answer(given, begin)
    except CniError as error:
        return _failed(error)
    except KeyboardInterrupt:
        return _failed(CniError(code_of(KeyboardInterrupt()), "interrupted; nothing was changed"))
    except (MemoryError, OSError) as error:  # the machine has run short of something
        from executor.errors import shortage  # noqa: PLC0415  VERSION needs none of it

        return _failed(CniError(TRY_AGAIN_LATER, shortage(error)))
    except ImportError as error:  # a module that cannot be opened is not found
        return _failed(CniError(TRY_AGAIN_LATER, f"podwire-cni cannot be loaded completely: {error}"))
    except Exception as error:  # whatever it is, a runtime gets an error object
        if os.environ.get("PODWIRE_TRACEBACK"):
            raise
        return _failed(CniError(BUG, f"this is a bug, please report it: {type(error).__name__} {str(error)[:200]}"))
    return 0 if answer is None else _put(answer, 0)


def _answer(given: bytes | None, begin: Callable[[Call], None]) -> dict[str, Any] | None:
    """Return what there is to answer, None for nothing. Raises CniError."""
    if os.environ.get("CNI_COMMAND") == "VERSION":
        return {"cniVersion": VERSIONS[-1], "supportedVersions": list(VERSIONS)}
    from executor.cni.call import read_call  # noqa: PLC0415  VERSION needs none of it
    from executor.cni.verbs import carry_out  # noqa: PLC0415

    return carry_out(read_call(os.environ, sys.stdin.buffer if given is None else BytesIO(given)), begin)


def _failed(error: CniError) -> int:
    """Say what went wrong as the specification wants it (section 5, Error), and on standard error."""
    answer: dict[str, Any] = {"cniVersion": error.version or VERSIONS[-1], "code": error.code, "msg": error.message}
    if error.details:
        answer["details"] = error.details
    status = _put(answer, 1)
    say(f"podwire-cni: {error.message}")
    return status


def _put(answer: dict[str, Any], status: int) -> int:
    """Write an answer and return ``status``, or 1 if that cannot be: a runtime must not take it for done, then."""
    try:
        put(f"{json.dumps(answer)}\n")
    except OutputLost as lost:
        say(f"podwire-cni: standard output cannot be written: {lost.why or os.strerror(errno.EPIPE)}")
        return 1
    return status
