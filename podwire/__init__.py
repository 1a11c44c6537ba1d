"""Connect a virtual machine to the network of the pod it runs in: the commands, as functions.

    import podwire

    plan = podwire.plan(result, "pod1")     # the CNI result; the namespace, by name or path
    print(podwire.show(plan))               # what would be done, as a preview or in another format
    podwire.apply(plan)                     # rolled back as a whole if anything fails
    podwire.teardown("pod1")                # back, exactly

Errors are ``PodwireError``, whose text is one sentence. Nothing prints; ``Settings.listeners`` are called with every
command that is run. What enters a namespace needs root, or CAP_SYS_ADMIN and CAP_NET_ADMIN. ``plan`` from captured
facts, ``parse_plan``, ``show``, ``guest`` of a plan and ``receive_taps`` do not; ``list`` and ``log`` only need to read
the state directory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from podwire import checked

if TYPE_CHECKING:
    from executor.errors import HostError as HostError
    from executor.errors import NamespaceGone as NamespaceGone
    from executor.errors import RollbackIncomplete as RollbackIncomplete
    from executor.errors import RolledBack as RolledBack
    from executor.operations.outcome import Outcome as Outcome
    from executor.operations.repair import Drift as Drift
    from executor.settings import Settings as Settings
    from executor.state.journal import LogRecord as LogRecord
    from executor.state.status import Wiring as Wiring
    from executor.state.store import StateStore as StateStore
    from executor.version import __version__ as __version__
    from planner.cni.result import CniResult as CniResult
    from planner.errors import InvalidInput as InvalidInput
    from planner.errors import PodwireError as PodwireError
    from planner.errors import Refused as Refused
    from planner.facts.model import NamespaceFacts as NamespaceFacts
    from planner.guest.nic import GuestText as GuestText
    from planner.options import PlanOptions as PlanOptions
    from planner.plan.plan import Plan as Plan
    from planner.text.values import PlanId

    Result = CniResult | Mapping[str, Any] | str | bytes

_TYPES = {
    "CniResult": "planner.cni.result",
    "Drift": "executor.operations.repair",
    "GuestText": "planner.guest.nic",
    "HostError": "executor.errors",
    "InvalidInput": "planner.errors",
    "LogRecord": "executor.state.journal",
    "NamespaceFacts": "planner.facts.model",
    "NamespaceGone": "executor.errors",
    "Outcome": "executor.operations.outcome",
    "Plan": "planner.plan.plan",
    "PlanOptions": "planner.options",
    "PodwireError": "planner.errors",
    "Refused": "planner.errors",
    "RollbackIncomplete": "executor.errors",
    "RolledBack": "executor.errors",
    "Settings": "executor.settings",
    "StateStore": "executor.state.store",
    "Wiring": "executor.state.status",
    "__version__": "executor.version",
}
__all__ = [
    "apply",
    "check",
    "confirm",
    "dhcp",
    "facts",
    "gc",
    "guest",
    "list",
    "log",
    "parse_plan",
    "plan",
    "receive_taps",
    "recover",
    "repair",
    "show",
    "teardown",
]


def __getattr__(name: str) -> Any:
    """Load a type when it is first used (PEP 562)."""
    if name in _TYPES:
        return getattr(import_module(_TYPES[name]), name)
    raise AttributeError(f"module 'podwire' has no attribute {name!r}")


def __dir__() -> tuple[str, ...]:
    return (*__all__, *_TYPES)


@checked.in_sentences
def facts(netns: str, *, settings: Settings | None = None) -> NamespaceFacts:
    """Return what is in a namespace (its name under /run/netns, or a path). Raises NamespaceGone, HostError."""
    from executor.netns.naming import resolve_netns
    from executor.observe.elsewhere import with_functions
    from executor.observe.observe import observe_netns

    timeout = _settings(settings).timeout
    return with_functions(observe_netns(resolve_netns(checked.text(netns, "netns")), timeout=timeout), timeout=timeout)


@checked.in_sentences
def plan(
    result: Result | Sequence[Result],
    netns: str,
    *,
    id: str | None = None,
    options: PlanOptions | None = None,
    facts: NamespaceFacts | None = None,
    settings: Settings | None = None,
) -> Plan:
    """Return the plan that wires the links of a CNI result, or of several, in a namespace or as ``facts`` describe it.

    ``id`` is by default the base name of ``netns``. Raises InvalidInput, Refused, NamespaceGone, HostError.
    """
    from executor.netns.naming import netns_and_id
    from executor.operations.plan import plan_from_facts, plan_namespace
    from planner.options import PlanOptions

    path, plan_id = netns_and_id(checked.text(netns, "netns"), None if id is None else checked.text(id, "id"))
    how, wanted, chosen = _settings(settings), checked.cni_result(result), options or PlanOptions()
    if facts is None:
        return plan_namespace(wanted, plan_id=plan_id, netns=path, options=chosen, settings=how)
    return plan_from_facts(wanted, facts, plan_id=plan_id, netns=path, options=chosen, templates=how.templates)


@checked.in_sentences
def parse_plan(text: str | bytes) -> Plan:
    """Return the plan that ``show(plan, "json")`` wrote. Raises InvalidInput for anything else."""
    from executor.templates import load_templates
    from planner.plan import plan as document

    return document.parse_plan(text, load_templates())


@checked.in_sentences
def show(plan: Plan, format: str = "text") -> str:
    """Return a plan as text, commands, script, json, markdown, html or svg; for its rollback, ``plan.reverse()``."""
    from executor.templates import load_pages, load_templates
    from planner.formats.plan_format import render_plan

    return render_plan(_plan(plan), format, load_templates(), load_pages)


@checked.in_sentences
def apply(plan: Plan, *, confirm_within: float | None = None, settings: Settings | None = None) -> Outcome:
    """Carry out a plan; with ``confirm_within`` seconds it is rolled back unless ``confirm`` comes first.

    Raises Refused or HostError (nothing was changed), RolledBack (it failed), RollbackIncomplete (``recover`` is next).
    """
    from executor.operations import apply as operation

    return operation.apply(_plan(plan), _settings(settings), confirm_within=confirm_within)


@checked.in_sentences
def teardown(id: str, *, settings: Settings | None = None) -> Outcome:
    """Roll a wiring back. Raises InvalidInput for an id that was never wired, HostError, RollbackIncomplete."""
    from executor.operations import teardown as operation

    return operation.teardown(_id(id), _settings(settings))


@checked.in_sentences
def receive_taps(path: str) -> tuple[tuple[dict[str, Any], tuple[int, ...]], ...]:
    """Return the open taps that ``podwire taps ID --socket path`` hands over, for the runtime of a VM.

    Each is its description (tap, link, mac, mtu, queues, vnet_hdr) and a descriptor for each queue, which are the
    caller's to close. Needs no third party. Raises HostError.
    """
    from podwire.taps import received_from

    return received_from(checked.text(path, "path"))


@checked.in_sentences
def recover(id: str, *, forward: bool = False, settings: Settings | None = None) -> Outcome:
    """Roll back what is half done, or with ``forward`` finish it.

    Raises InvalidInput for an id that was never wired, RolledBack, RollbackIncomplete.
    """
    from executor.operations import recover as operation

    return operation.recover(_id(id), _settings(settings), forward=forward)


@checked.in_sentences
def check(id: str, *, settings: Settings | None = None) -> Drift:
    """Return in what a wiring differs from what was applied. Raises InvalidInput, Refused, NamespaceGone."""
    from executor.operations import repair as operation

    return operation.check(_id(id), _settings(settings))


@checked.in_sentences
def repair(id: str, *, settings: Settings | None = None) -> Outcome:
    """Bring a wiring back to what was applied (``check --fix``). Raises what ``check`` and ``apply`` do."""
    from executor.operations import repair as operation
    from executor.state.status import wired_entry

    how = _settings(settings)
    return operation.repair(wired_entry(_id(id), how.store), how)


@checked.in_sentences
def confirm(id: str, *, settings: Settings | None = None) -> bool:
    """Keep what was applied with ``confirm_within``; say whether it was waiting for that.

    Raises InvalidInput, Refused, Locked.
    """
    from executor.operations import commit_confirm

    return commit_confirm.confirm(_id(id), _settings(settings))


@checked.in_sentences
def dhcp(id: str, *, settings: Settings | None = None) -> tuple[str, ...]:
    """Serve the guest of a wiring, by a process that goes on until teardown; return what it serves, in sentences.

    Raises InvalidInput, Refused, HostError.
    """
    from executor.guest.daemon import start_server

    return start_server(_id(id), _settings(settings))


@checked.in_sentences
def gc(*, settings: Settings | None = None) -> tuple[Outcome, ...]:
    """Remove the records of wirings whose namespaces are gone; return them, and those that ``failed`` with an error."""
    from executor.operations.gc import collect_all

    return collect_all(_settings(settings))


@checked.in_sentences
def guest(
    plan: Plan | str, format: str = "json", *, interface: str | None = None, settings: Settings | None = None
) -> GuestText:
    """Return the configuration for a guest, its server or its VMM, of a plan or of what is wired under an id.

    ``format``: json, dnsmasq, cloud-init, cloud-init-v1, user-data, kernel, qemu, firecracker, cloud-hypervisor or
    libvirt.
    ``interface``: the pod's link or the tap, if only one is meant. Raises InvalidInput, Refused.
    """
    from executor.state.status import wired_entry
    from planner.guest.formats import guest_nics, guest_text
    from planner.plan.plan import plan_from_json

    if isinstance(plan, str):
        used = _settings(settings)
        plan = plan_from_json(wired_entry(_id(plan), used.store).plan, used.templates)
    return guest_text(guest_nics(_plan(plan), interface), format)


@checked.in_sentences
def list(*, settings: Settings | None = None) -> tuple[Wiring, ...]:
    """Return what is wired here."""
    from executor.operations.mend import lost_wirings
    from executor.state.status import wirings

    store = _settings(settings).store
    return (*wirings(store), *lost_wirings(store))


@checked.in_sentences
def log(id: str | None = None, *, settings: Settings | None = None) -> tuple[LogRecord, ...]:
    """Return the commands that were run, the oldest first, of one wiring or of all whose journals can be read.

    Raises HostError if that of ``id`` cannot be read.
    """
    from executor.state.journal import read_logs

    store = _settings(settings).store
    ids = store.journalled_ids() if id is None else (_id(id),)
    paths = {plan_id: store.journal_path(plan_id) for plan_id in ids}
    return tuple(read_logs(paths, (lambda _: None) if id is None else None))


def _settings(settings: Settings | None) -> Settings:
    from executor.settings import Settings

    return Settings() if settings is None else checked.instance(settings, Settings, "settings")


def _plan(plan: object) -> Plan:
    from planner.plan.plan import Plan

    return checked.instance(plan, Plan, "plan")


def _id(text: str) -> PlanId:
    from executor.netns.naming import parse_id

    return parse_id(checked.text(text, "id"))
