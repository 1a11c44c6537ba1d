"""Rolling back what ADD did for an attachment, whatever has become of it or of what is recorded.

What is recorded is tried first, then the copy of it in the journal. If neither can be read, what carries podwire's
marks goes, and the result of the CNI plugins before says what the pod's interface had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from executor.cni.attachments import Attachments
from executor.cni.call import Call
from executor.cni.errors import HALF_DONE, TRY_AGAIN_LATER, CniError
from executor.cni.log import log
from executor.errors import HostError, Locked, NamespaceGone, NamespaceHidden, NoThreads, RollbackIncomplete
from executor.netns.find import find_namespace
from executor.netns.namespace import Namespace
from executor.settings import Settings
from executor.state.copies import set_aside_what_is_no_file
from executor.state.record import TEARING_DOWN, WiringRecord
from executor.state.rotation import with_older
from executor.state.status import open_recorded
from planner.cni.result import CniResult
from planner.errors import InvalidInput, PodwireError
from planner.text.values import InterfaceName, NetnsPath, PlanId

if TYPE_CHECKING:  # most calls abandon nothing
    from executor.operations.abandon import Hints

Opening = Callable[[], Namespace]


def forget(
    plan_id: PlanId, netns: NetnsPath | None, call: Call, settings: Settings, *, may_abandon: bool = True
) -> None:
    """Roll a wiring back and remove its record, whatever is left of it.

    If it cannot be rolled back completely the runtime gets an error, so that it tries again. The second time it is
    abandoned, if it may be: a container must not be kept forever, and after a DEL the namespace goes next. Raises
    CniError, PodwireError.
    """
    for sentence in set_aside_what_is_no_file(plan_id, settings.store):
        log(call, "warning", sentence)
    if not any(
        _restored(entry, call, settings, may_abandon=may_abandon) for entry in _entries(plan_id, call, settings)
    ):
        if not may_abandon:
            raise CniError(HALF_DONE, f"what is left of {plan_id} can only be abandoned, which DEL does")
        _abandon_by_marks(plan_id, netns, call, settings)
    Attachments(settings.store).forget(plan_id)


def _entries(plan_id: PlanId, call: Call, settings: Settings) -> Iterator[WiringRecord]:
    """Yield what is recorded, and if that leads nowhere what is recorded once more."""
    store = settings.store
    try:
        entry = store.load(plan_id)
    except (InvalidInput, HostError) as error:
        log(call, "warning", str(error))
    else:
        if entry is not None:
            yield entry
    if plan_id in store.ids() or with_older(store.journal_path(plan_id)):
        from executor.operations.mend import mend  # noqa: PLC0415  seldom needed

        copy = mend(plan_id, settings)
        if copy is not None:
            log(call, "warning", f"the state entry of {plan_id} was lost: using the copy in its journal")
            yield copy


def _restored(entry: WiringRecord, call: Call, settings: Settings, *, may_abandon: bool) -> bool:
    """Roll back by an entry; say whether that was possible: an entry may be damaged where only this reads it."""
    from executor.operations.rollback import restore  # noqa: PLC0415  ADD rarely rolls anything back

    try:
        if may_abandon and _is_lost(entry):
            from executor.operations.abandon import abandon  # noqa: PLC0415  seldom needed

            log(call, "warning", abandon(entry.id, None, settings).sentence)
        else:
            log(call, "info", restore(entry, settings, "teardown").sentence)
    except InvalidInput as error:
        log(call, "warning", str(error))
        return False
    except RollbackIncomplete as error:
        if entry.status != TEARING_DOWN or not may_abandon:
            raise CniError(TRY_AGAIN_LATER, str(error)) from None
        from executor.operations.abandon import abandon  # noqa: PLC0415

        said = abandon(entry.id, partial(open_recorded, entry), settings, _hints(call)).sentence
        log(call, "warning", f"{error}; {said}")
    return True


def _is_lost(entry: WiringRecord) -> bool:
    """Say whether nobody can find the namespace, nor prove that it is gone: then the runtime has deleted it.

    Raises CniError if that cannot be looked at just now.
    """
    try:
        open_recorded(entry).close()
    except NamespaceGone:
        return False
    except NamespaceHidden:
        return True
    except HostError as error:
        raise CniError(TRY_AGAIN_LATER, str(error)) from None
    return False


def _abandon_by_marks(plan_id: PlanId, netns: NetnsPath | None, call: Call, settings: Settings) -> None:
    """Remove what carries podwire's marks, if anything can say where; an id that is unknown is done. Raises Locked."""
    from executor.operations.abandon import abandon  # noqa: PLC0415

    is_known = plan_id in settings.store.ids()
    opening = _opening(plan_id, netns, call, settings)
    if opening is None and not is_known:
        settings.store.delete(plan_id)  # what an ADD was writing when it was killed
        return
    try:
        outcome = abandon(plan_id, opening, settings, _hints(call))
    except Locked:
        raise
    except PodwireError as error:
        if _may_be_there(plan_id, opening, settings):
            raise
        log(call, "warning", str(error))
        settings.store.delete(plan_id)
    else:
        if is_known or outcome.commands:
            log(call, "warning", outcome.sentence)


def _may_be_there(plan_id: PlanId, opening: Opening | None, settings: Settings) -> bool:
    """Say whether something of ours may be in the namespace that nobody could look at just now.

    It may for what was begun once, unless no namespace is there. A program that is missing, or descriptors that are,
    come back; what is forgotten does not.
    """
    if opening is None or (plan_id not in settings.store.ids() and not _is_noted(plan_id, settings)):
        return False
    try:
        opening().close()
    except NoThreads:
        return True
    except HostError:
        return False
    return True


def _is_noted(plan_id: PlanId, settings: Settings) -> bool:
    return Attachments(settings.store).namespace_of(plan_id) is not None


def _opening(plan_id: PlanId, netns: NetnsPath | None, call: Call, settings: Settings) -> Opening | None:
    """Return what opens the namespace of an attachment: as ADD noted it, as the runtime says, or as the result does."""
    noted = Attachments(settings.store).namespace_of(plan_id)
    if noted is not None:
        return partial(find_namespace, *noted)
    path = netns or _sandbox(call)
    return None if path is None else partial(_open_pods, path)


def _open_pods(path: NetnsPath) -> Namespace:
    """Open a namespace that may be a pod's. Raises HostError for the host's: there is nothing of a pod's wiring."""
    namespace = Namespace.open(path)
    if namespace.is_of_the_host:
        namespace.close()
        raise HostError(f"{path} is the host's own network namespace")
    return namespace


def _hints(call: Call) -> Hints:
    from executor.operations.abandon import Hints  # noqa: PLC0415

    result = _result(call)
    inside = () if result is None else tuple(one.name for one in result.sandboxed_interfaces())
    own = (InterfaceName(call.attachment.ifname),) if call.attachment.ifname else ()
    return Hints(tuple(dict.fromkeys((*own, *inside))), result)


def _result(call: Call) -> CniResult | None:
    """Return the result that came with a call; what is none tells nothing, and keeps nothing from going."""
    try:
        return None if call.conf.previous is None else CniResult.parse(call.conf.previous)
    except PodwireError:
        return None


def _sandbox(call: Call) -> NetnsPath | None:
    result = _result(call)
    for one in () if result is None else result.sandboxed_interfaces():
        try:
            return NetnsPath(one.sandbox or "")
        except ValueError:
            continue
    return None
