"""What a runtime can ask of the plugin (CNI specification 1.1.0, section 2, "CNI operations"), verb by verb."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

from attrs import evolve

from executor.cni import at_once
from executor.cni.attachments import Attachments, held
from executor.cni.call import Attachment, Call, container_id, interface_name
from executor.cni.errors import (
    BAD_CONFIGURATION,
    BAD_VARIABLES,
    HALF_DONE,
    NOT_AS_ADDED,
    NOT_AVAILABLE,
    OWN_NAMESPACE,
    CniError,
    code_of,
)
from executor.cni.forget import forget
from executor.cni.log import log
from executor.cni.result import result_of
from executor.guest.record import is_served
from executor.netns.namespace import Namespace, boot_id
from executor.operations.ownership import own
from executor.operations.signals import stop_requests
from executor.settings import Settings
from executor.state.events import Event, Ran
from executor.state.next_steps import with_state_dir
from executor.state.record import WIRED
from executor.state.store import StateStore
from executor.trust.privileges import require_privileges
from planner.changes.change import Change
from planner.cni.result import CniResult
from planner.errors import PodwireError
from planner.kinds.kind import kind_of
from planner.kinds.link import LinkState
from planner.options import PlanOptions
from planner.text.document import Node
from planner.text.values import NetnsPath, PlanId
from planner.wiring.base import wiring_named

# Seconds to wait for another podwire that changes the same namespace; a runtime waits longer, and comes again.
LOCK_TIMEOUT = 10.0
# What plugins that come later in the chain change of the pod's interface by right (tuning(8) of the CNI plugins).
_OTHERS_MAY_CHANGE = ("mac", "mtu")


def carry_out(call: Call, begin: Callable[[Call], None] = at_once) -> dict[str, Any] | None:
    """Do what is asked for, after ``begin``, and return the answer, None for none. Raises CniError."""
    settings = _settings(call)
    changes_it = call.verb in ("ADD", "DEL")
    try:
        if os.geteuid() != 0 and call.verb != "STATUS":  # which says so itself
            require_privileges()
        with held(_id(call, settings), settings.lock_timeout) if changes_it else nullcontext():
            begin(call)
            answer = _VERBS[call.verb](call, settings)
    except PodwireError as error:
        failure = CniError(code_of(error), str(error))
    except CniError as error:
        failure = error
    else:
        log(call, "info", "done")
        return answer
    failure.version = call.conf.version
    failure.message = with_state_dir(failure.message, call.conf.state_dir)
    failure.details = with_state_dir(failure.details, call.conf.state_dir)
    raise failure


def _add(call: Call, settings: Settings) -> dict[str, Any]:
    """Wire the pod's interfaces; a repeated ADD answers as the first did."""
    from executor.operations.apply import wire  # noqa: PLC0415  the other verbs plan nothing

    netns, previous = _namespace(call), CniResult.parse(_previous(call))
    plan_id, known = _id(call, settings), Attachments(settings.store)
    with stop_requests(), own(plan_id, settings) as owning:
        _roll_back_what_is_left(plan_id, call, owning)
        with Namespace.open(netns) as namespace:
            known.save(plan_id, call, namespace)
        try:
            plan, _ = wire(previous, plan_id=plan_id, netns=netns, options=call.conf.options, settings=owning)
            _serve(plan_id, call, owning)
            return result_of(call, plan)
        except PodwireError:
            if plan_id not in settings.store.ids():
                known.forget(plan_id)
            raise


def _id(call: Call, settings: Settings) -> PlanId:
    """Return the id of the wiring that a call is about."""
    return Attachments(settings.store).id_of(call.attachment)


def _serve(plan_id: PlanId, call: Call, settings: Settings) -> None:
    """Have the guest served, if the configuration wants that, by a process of its own; what fails is rolled back."""
    if not call.conf.options.serve_dhcp or is_served(plan_id, settings.store):
        return
    from executor.guest.daemon import start_server  # noqa: PLC0415  most networks have another server

    try:
        for sentence in start_server(plan_id, settings):
            log(call, "info", sentence)
    except PodwireError:
        if is_served(plan_id, settings.store):  # by a server that another call has started in the meantime
            return
        if call.verb == "ADD":
            forget(plan_id, call.netns, call, settings, may_abandon=False)
        raise


def _check(call: Call, settings: Settings) -> None:
    """Look whether the VM still has what ADD gave to it; what later plugins changed by right does not count."""
    from executor.operations.repair import drift_of  # noqa: PLC0415  the other verbs need none of it

    netns = _namespace(call)
    CniResult.parse(_previous(call))
    plan_id = _id(call, settings)
    entry = settings.store.load(plan_id)
    if entry is None:
        raise CniError(NOT_AS_ADDED, f"{plan_id} is not wired")
    with Namespace.open(netns) as namespace:
        if not entry.is_of(namespace.cookie, boot_id()):
            raise CniError(NOT_AS_ADDED, f"{entry.id} is wired in another namespace than {netns}")
    drifted = drift_of(entry, settings).plan.changes
    missing = [change for change in drifted if change.after and not _is_a_later_plugins(change)]
    if missing:
        names = ", ".join(str(change.resource) for change in missing)
        raise CniError(NOT_AS_ADDED, f"{entry.id} is no longer as ADD left it: {names}")
    _serve(entry.id, call, settings)


def _is_a_later_plugins(change: Change) -> bool:
    """Say whether a change of what was applied may be a later plugin's doing; a bridge takes over its ports' MTU."""
    if isinstance(change.before, LinkState):
        return evolve(change.before, mtu=change.after.mtu) == change.after if change.after else False
    return kind_of(change.resource).name in _OTHERS_MAY_CHANGE


def _delete(call: Call, settings: Settings) -> None:
    """Roll back what ADD did, by the attachment alone; what is unknown, half there or gone is done."""
    forget(_id(call, settings), call.netns, call, settings)


def _gc(call: Call, settings: Settings) -> None:
    """Roll back what was done in this network for attachments that the runtime does not list; go on past errors."""
    if call.conf.valid is None:
        raise CniError(BAD_CONFIGURATION, "configuration: 'cni.dev/valid-attachments' is missing")
    valid = {_attachment(node) for node in call.conf.valid}
    problems = []
    for known in Attachments(settings.store).all():
        if known.network == call.conf.network and known.attachment not in valid:
            try:
                with held(known.plan_id, settings.lock_timeout):
                    forget(known.plan_id, None, call, settings)
            except (PodwireError, CniError) as error:
                problems.append(f"{known.plan_id}: {error}")
    if problems:
        raise CniError(HALF_DONE, f"{len(problems)} could not be rolled back", "; ".join(problems))


def _status(call: Call, settings: Settings) -> None:
    """Say whether an ADD could be served: privileges, programs, the kernel's taps, a state directory to write to."""
    from executor.process.run import find_program  # noqa: PLC0415
    from executor.taps.open import check_taps  # noqa: PLC0415

    try:
        require_privileges()
        for program in _programs(call.conf.options):
            find_program(program)
        check_taps()
        boot_id()
        Namespace.open(NetnsPath("/proc/self/ns/net")).close()
        settings.store.prepare()
    except PodwireError as error:
        raise CniError(NOT_AVAILABLE, str(error)) from None


def _programs(options: PlanOptions) -> Iterator[str]:
    """Yield the programs that an ADD with these options needs."""
    yield from ("nsenter", "ip", "sysctl")
    for program, *_ in wiring_named(options.wiring).programs:
        yield from ("ebtables-save", program) if program == "ebtables-restore" else (program,)
    if options.sriov:
        yield "tee"
    if options.serve_dhcp:
        yield "dnsmasq"


_VERBS: dict[str, Callable[[Call, Settings], dict[str, Any] | None]] = {
    "ADD": _add,
    "CHECK": _check,
    "DEL": _delete,
    "GC": _gc,
    "STATUS": _status,
}


def _roll_back_what_is_left(plan_id: PlanId, call: Call, settings: Settings) -> None:
    """Roll back what an ADD or DEL that was killed has left of this attachment."""
    try:
        entry = settings.store.load(plan_id)
    except PodwireError:
        entry = None
    if plan_id in settings.store.ids() and (entry is None or entry.status != WIRED):
        forget(plan_id, call.netns, call, settings, may_abandon=False)


def _namespace(call: Call) -> NetnsPath:
    """Return the namespace, which must not be the one that the plugin itself runs in. Raises CniError."""
    assert call.netns is not None  # noqa: S101  the verb requires it
    try:
        is_own = os.path.samefile(call.netns, "/proc/self/ns/net")
    except OSError as error:
        raise CniError(BAD_VARIABLES, f"CNI_NETNS: {call.netns} cannot be used: {error.strerror}") from None
    if is_own:
        raise CniError(OWN_NAMESPACE, f"CNI_NETNS: {call.netns} is the namespace that podwire-cni runs in")
    return call.netns


def _previous(call: Call) -> Node:
    if call.conf.previous is None:
        what = "podwire-cni must be chained after the plugin that creates the interface"
        raise CniError(BAD_CONFIGURATION, "configuration: 'prevResult' is missing", what)
    return call.conf.previous


def _attachment(node: Node) -> Attachment:
    return Attachment(
        container_id(node.field("containerID").text(), f"{node.path}.containerID"),
        interface_name(node.field("ifname").text(), f"{node.path}.ifname"),
    )


def _settings(call: Call) -> Settings:
    def listen(event: Event) -> None:
        if isinstance(event, Ran):
            log(call, "debug", f"{event.command.line}: {event.reply.rc}")

    for_whom = f" for {call.pod}" if call.attachment.container else ""
    return Settings(
        store=StateStore(call.conf.state_dir),
        lock_timeout=LOCK_TIMEOUT,
        requested_by=f"podwire-cni {call.verb} in network {call.conf.network}{for_whom}",
        listeners=(listen,),
    )
