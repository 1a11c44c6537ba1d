"""How operations are to work, as the arguments of a command say, and whether the user may do that."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from pathlib import Path

from executor.cli.output import say
from executor.errors import HostError
from executor.netns.naming import id_among
from executor.state.next_steps import DEFAULT_STATE_DIR
from executor.state.store import StateStore
from planner.errors import InvalidInput
from planner.text.values import PlanId, shown, shown_path

TYPE_CHECKING = False
if TYPE_CHECKING:  # code that only reads the state needs none of what operations do
    from executor.settings import Settings
    from executor.state.events import Event

_MOST_ARGUMENTS = 2000
_LONGEST_NAME = 100


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Return how the executor is to work, as the arguments say."""
    from executor.settings import Settings  # noqa: PLC0415  see above

    return Settings(
        store=store_of(arguments),
        timeout=arguments.timeout,
        lock_timeout=getattr(arguments, "lock_timeout", 0.0),
        requested_by=_what_was_asked(),
        listeners=(_say_command,) if getattr(arguments, "verbose", False) else (),
        allow_host_netns=getattr(arguments, "allow_host_netns", False),
        force=getattr(arguments, "force", False),
    )


def _say_command(event: Event) -> None:
    """Write a command that has ended to standard error (a Listener)."""
    from executor.state.events import Ran  # noqa: PLC0415  see above

    if isinstance(event, Ran):
        how = "" if event.reply.ok else f"  failed with {event.reply.rc}"
        say(f"{event.number:>3}  {event.command.line}  {event.reply.duration * 1000:.1f} ms{how}")


def store_of(arguments: argparse.Namespace) -> StateStore:
    """Return the state directory's store. Nothing is made yet; it need not exist before something is wired."""
    directory = arguments.state_dir
    try:
        if directory and not stat.S_ISDIR(os.stat(directory).st_mode):
            raise HostError(f"the state directory {shown_path(directory)} is not a directory")
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is not a file name"
        raise HostError(f"the state directory {shown_path(directory)} cannot be used: {why}") from None
    if not directory:
        raise InvalidInput("--state-dir: the name of the directory is empty")
    try:
        return StateStore(Path(directory).absolute())
    except FileNotFoundError:
        raise HostError("the current directory no longer exists: change to another one") from None


def require_owner(arguments: argparse.Namespace, refusal: str = "root is required to read the state directory") -> None:
    """Raise HostError for users who are neither root, nor privileged, nor the owner of the state directory."""
    if not is_owner(arguments) and not _is_privileged():
        raise HostError(refusal)


def _is_privileged() -> bool:
    from executor.trust.privileges import has  # noqa: PLC0415  root is not asked

    return all(map(has, ("CAP_SYS_ADMIN", "CAP_NET_ADMIN")))


def is_owner(arguments: argparse.Namespace) -> bool:
    """Say whether podwire works for root, or for the owner of the state directory."""
    try:
        return os.geteuid() in (0, os.stat(arguments.state_dir).st_uid)
    except (OSError, ValueError):
        return False


def nothing_there(sentence: str, arguments: argparse.Namespace) -> str:
    """Return the sentence that there is nothing; a state directory that was named and is not there may be a slip."""
    directory = arguments.state_dir
    if directory in (None, os.environ.get("PODWIRE_STATE_DIR") or DEFAULT_STATE_DIR) or os.path.lexists(directory):
        return sentence
    return f"{sentence}: there is no state directory {shown_path(directory)}"


def refuse_preview_format(arguments: argparse.Namespace) -> None:
    """Raise InvalidInput for a format of plans where no plan is printed, but what was done."""
    if arguments.format not in ("text", "json") and not arguments.dry_run:
        raise InvalidInput(f"--format {arguments.format}: this format is for a plan, so it needs --dry-run")


def id_meant(text: str, store: StateStore) -> PlanId:
    """Return the id of a wiring; the first digits of one that is recorded and a container's do. Raises InvalidInput."""
    return id_among(text, sorted({*store.ids(), *store.journalled_ids()}))


def wiring_meant(arguments: argparse.Namespace, what: str) -> PlanId:
    """Return ``what``, for which there is no file of a plan, as the id of a wiring.

    Raises InvalidInput if it is none that was ever made here, HostError for anybody who may not know.
    """
    missing = f"there is no file {shown(what)}"
    require_owner(arguments, f"{missing}; looking it up as a wiring requires root")
    store = store_of(arguments)
    plan_id = id_meant(what, store)
    if plan_id not in {*store.ids(), *store.journalled_ids()}:
        raise InvalidInput(f"{missing}, and {plan_id} was never wired here; podwire list shows what is")
    return plan_id


def _what_was_asked() -> str:
    """Return the command line and who gave it, for the journal: a reviewer sees what a change was for."""
    import shlex  # noqa: PLC0415  only for the journal

    who = os.environ.get("SUDO_USER") or os.environ.get("LOGNAME") or f"uid {os.getuid()}"
    return f"{shlex.join(['podwire', *sys.argv[1:]])[:_MOST_ARGUMENTS]} (by {who[:_LONGEST_NAME]})"
