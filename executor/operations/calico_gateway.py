"""A namespace of its own for Calico's dummy gateway: its address is asked of the CNI plugins, and given back.

The plugins of a conflist are run as a container runtime runs them (CNI specification, sections 2 to 4). What was asked
for is written down before the first plugin runs, so that it is given back whatever happens in between.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from executor.errors import ExecutorError, HostError, Interrupted, RollbackIncomplete, RolledBack
from executor.observe.observe import observe_netns
from executor.operations.outcome import MEANWHILE, Outcome
from executor.operations.ownership import own
from executor.operations.signals import StopRequest, stop_requests
from executor.process.spawn import is_weak
from executor.settings import Settings
from executor.state.events import Began, Ended, Event, Ran, Running
from executor.state.journal import Journal
from executor.state.status import is_lost
from executor.state.store import StateStore
from planner.cni.result import CniResult
from planner.errors import InvalidInput, PodwireError, Refused
from planner.plan.render import Command
from planner.text.document import Node
from planner.text.frozen import frozen
from planner.text.values import IpAddress, NetnsPath, PlanId, shown, shown_path

_PLUGIN_DIRS = "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni"
_PLUGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_IFNAME = "eth0"


@frozen
class Conflist:
    """A network configuration list: what all plugins get, and each one's own part."""

    common: dict[str, Any]
    plugins: tuple[dict[str, Any], ...]

    @classmethod
    def parse(cls, node: Node) -> Conflist:
        """Return the list in ``node`` (CNI specification, section 1); a single plugin's configuration is one too."""
        common = {key: node.field(key).text() for key in ("cniVersion", "name")}
        members = node.field("plugins").items() if node.has("plugins") else iter([node])
        return cls(common, tuple(_plugin(member) for member in members))

    def to_json(self) -> dict[str, Any]:
        """Return the list as a document."""
        return self.common | {"plugins": list(self.plugins)}


def _plugin(node: Node) -> dict[str, Any]:
    kind = node.field("type")
    if not _PLUGIN.fullmatch(kind.text()):
        raise kind.error(f"{shown(kind.value)} is not the name of a plugin")
    return {key: member.value for key, member in node.members() if key not in ("cniVersion", "name", "plugins")}


def dummy_netns(plan_id: PlanId) -> NetnsPath:
    """Return the path of the namespace that holds the dummy gateway of a wiring."""
    return NetnsPath(f"/run/netns/podwire-{plan_id}")


def recorded_gateway(plan_id: PlanId, store: StateStore) -> IpAddress | None:
    """Return the gateway that was acquired for an id, None if there is none."""
    document = store.load_dummy(plan_id)
    if document is None or not document.has("result"):
        return None
    return gateway_of(CniResult.parse(document.field("result")), "the dummy network's result")


@contextlib.contextmanager
def dummy_gateway(
    conflist: Conflist, plan_id: PlanId, settings: Settings
) -> Iterator[tuple[IpAddress | None, Settings]]:
    """Yield the dummy gateway for a wiring that is to be applied, the one that it has or one that the plugins give.

    The id is owned until then, as the yielded settings say. A gateway belongs to the state entry of
    its wiring, wired or half done; if there is none in the end, it is given back. Raises HostError if a plugin fails,
    RolledBack if a signal came and all was given back, RollbackIncomplete if it could not be given back.
    """
    with stop_requests() as stop, own(plan_id, settings) as owning:
        try:
            address = recorded_gateway(plan_id, owning.store)
            yield _acquire(conflist, plan_id, owning, stop) if address is None else address, owning
        except BaseException as error:  # noqa: BLE001  whatever it is, nothing stays acquired for nobody
            raise _without_gateway(error, plan_id, owning) from error.__cause__
        _give_back_orphan(plan_id, owning)


def _without_gateway(error: BaseException, plan_id: PlanId, settings: Settings) -> BaseException:
    """Give a gateway back that no wiring has, and return what is to be raised after ``error``."""
    try:
        given_back = _give_back_orphan(plan_id, settings)
    except RollbackIncomplete as problem:
        return RollbackIncomplete(f"{error}; and {problem}") if isinstance(error, PodwireError) else problem
    if given_back and isinstance(error, Interrupted):
        return RolledBack(f"{error}; the dummy gateway of {plan_id} was given back, and nothing else had been changed")
    return error


def has_orphan(plan_id: PlanId, store: StateStore) -> bool:
    """Say whether there is a gateway of an id without a wiring: podwire died between the two, or is just there.

    Where only the entry of the wiring is lost, that has it.
    """
    return plan_id in store.dummy_ids() and plan_id not in store.ids() and not is_lost(plan_id, store)


def give_back_orphan(plan_id: PlanId, settings: Settings) -> Outcome:
    """Give back the gateway of an id that has no wiring. Raises RollbackIncomplete, Locked if an apply is at it."""
    with stop_requests(), own(plan_id, settings) as owning:
        if not _give_back_orphan(plan_id, owning):
            return Outcome("nothing", plan_id, sentence=MEANWHILE)
    return Outcome("restored", plan_id, sentence="its dummy gateway, which no wiring used, was given back")


def _give_back_orphan(plan_id: PlanId, settings: Settings) -> bool:
    """Give back the gateway of an id that is ours, if no wiring has it; say whether there was one."""
    is_there = has_orphan(plan_id, settings.store)
    if is_there:
        give_back_gateway(plan_id, settings)
    return is_there


def give_back_gateway(plan_id: PlanId, settings: Settings) -> None:
    """Release the dummy gateway of a wiring, if any. Raises RollbackIncomplete if that fails; it stays noted."""
    if plan_id not in settings.store.dummy_ids():
        return
    with own(plan_id, settings) as owning:
        problems = _release(plan_id, owning)
    if problems:
        raise RollbackIncomplete(
            f"the dummy gateway of {plan_id} could not be given back ({'; '.join(problems)}): run podwire recover "
            f"{plan_id} to try again"
        )


def _acquire(conflist: Conflist, plan_id: PlanId, settings: Settings, stop: StopRequest) -> IpAddress:
    """Make the dummy namespace, run the plugins' ADD for it, and return the IPv4 address that it got.

    What is about to be done is written down first: the caller gives it back, and so does recover if we are killed.
    Raises Refused if something of that is there already, HostError if a plugin fails, Interrupted.
    """
    store = settings.store
    if store.load_dummy(plan_id) is not None:
        raise Refused(f"{plan_id} has an unfinished dummy gateway from before: run podwire recover {plan_id} first")
    path = dummy_netns(plan_id)
    if os.path.lexists(path):
        raise Refused(
            f"{path} already exists and was not created by podwire, which needs the name for the dummy gateway"
        )
    for plugin in conflist.plugins:
        _call("ADD", plan_id, conflist, plugin, {})  # a missing one is reported before anything is done
    stop.check()
    store.save_dummy(plan_id, conflist.to_json())
    with _runner(plan_id, settings, "apply") as run:
        run(("ip", "netns", "add", f"podwire-{plan_id}"), None)
        result: dict[str, Any] = {}
        for plugin in conflist.plugins:
            stop.check()
            result = _result(run(*_call("ADD", plan_id, conflist, plugin, result)), plugin)
        stop.check()
        address = gateway_of(CniResult.parse(Node(result, "dummy result")), "the dummy network's result")
        store.save_dummy(plan_id, conflist.to_json() | {"result": result})
    return address


def _release(plan_id: PlanId, settings: Settings) -> tuple[str, ...]:
    """Run the plugins' DEL and remove the dummy namespace of a wiring, if it has one; return what went wrong.

    What could not be given back stays written down, and the next teardown or recover tries again.
    """
    document = settings.store.load_dummy(plan_id)
    if document is None:
        return ()
    conflist = Conflist.parse(document)
    result: Any = document.field("result").value if document.has("result") else {}
    problems: list[str] = []
    with _runner(plan_id, settings, "teardown") as run:
        calls: list[tuple[tuple[str, ...], str | None]] = []
        for plugin in reversed(conflist.plugins):
            try:
                calls.append(_call("DEL", plan_id, conflist, plugin, result))
            except HostError as error:
                problems.append(str(error))
        if Path(dummy_netns(plan_id)).exists():
            calls.append((("ip", "netns", "del", f"podwire-{plan_id}"), None))
        for argv, stdin in calls:
            try:
                run(argv, stdin)
            except ExecutorError as error:
                problems.append(str(error))
    if not problems:
        settings.store.delete_dummy(plan_id)
    return tuple(problems)


@contextlib.contextmanager
def _runner(plan_id: PlanId, settings: Settings, verb: str) -> Iterator[Callable[[tuple[str, ...], str | None], str]]:
    """Yield what runs a program on the host, with a line in the journal before and after."""
    from executor.process.run_by_sh import run_by_sh  # noqa: PLC0415  it loads sh, which only who has a gateway needs

    inherited = () if settings.owned is None else (settings.owned.fd,)
    with Journal.open(settings.store.journal_path(plan_id)) as journal:
        listeners = (journal.listen, *settings.listeners)
        number = 0

        def emit(event: Event) -> None:
            for listener in listeners:
                listener(event)

        def run(argv: tuple[str, ...], stdin: str | None) -> str:
            nonlocal number
            number += 1
            command = Command(argv, None, stdin, ())
            emit(Running(number, command))
            reply = run_by_sh(argv, stdin=stdin, timeout=settings.timeout, pass_fds=inherited)
            emit(Ran(number, command, reply))
            if not reply.ok:
                said = " ".join((reply.stdout or reply.stderr).split())
                raise HostError(f"{Path(argv[-1]).name} for the dummy gateway failed: {shown(said, 300)}")
            return reply.stdout

        emit(Began(verb, plan_id, dummy_netns(plan_id), settings.requested_by))
        yield run
        emit(Ended("dummy gateway", ""))


def _call(
    verb: str, plan_id: PlanId, conflist: Conflist, plugin: dict[str, Any], previous: dict[str, Any]
) -> tuple[tuple[str, ...], str]:
    """Return the command that calls a plugin, its parameters in the environment, and its configuration."""
    directories = os.environ.get("CNI_PATH") or _PLUGIN_DIRS
    environment = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": f"podwire-{plan_id}",
        "CNI_NETNS": dummy_netns(plan_id),
        "CNI_IFNAME": _IFNAME,
        "CNI_PATH": directories,
    }
    words = tuple(f"{key}={value}" for key, value in environment.items())
    configuration = conflist.common | plugin | ({"prevResult": previous} if previous else {})
    return ("env", *words, _find_plugin(plugin["type"], directories)), json.dumps(configuration)


def _find_plugin(name: str, directories: str) -> str:
    for directory in directories.split(":"):
        path = Path(directory) / name
        if path.is_absolute() and os.access(path, os.X_OK) and not is_weak(str(path)):
            return str(path)
    raise HostError(f"the CNI plugin {name} is in none of {shown_path(directories)} (CNI_PATH says where to look)")


def _result(text: str, plugin: dict[str, Any]) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise HostError(f"the CNI plugin {plugin['type']} did not answer with a JSON object: {shown(text)}")
    return found


def gateway_of(result: CniResult, what: str) -> IpAddress:
    """Return the first IPv4 address of ``result``: that is the dummy gateway. InvalidInput if there is none."""
    address = next((ip.address.ip for ip in result.ips if ip.address.version == 4), None)
    if address is None:
        raise InvalidInput(f"{what} has no IPv4 address to be the dummy gateway")
    return address


def observed_gateway(result: CniResult, netns: NetnsPath, *, timeout: float) -> IpAddress:
    """Return the gateway of a dummy's ``result``, which a link of its namespace must carry: else nobody answers for it.

    Raises InvalidInput, NamespaceGone, HostError.
    """
    address = gateway_of(result, "the dummy network's result")
    facts = observe_netns(netns, timeout=timeout)
    if all(fact.resource.address.ip != address for fact in facts.addresses):
        raise InvalidInput(f"no link of {netns} carries {address}, the address of the dummy network's result")
    return address
