"""The plan as a value, and as a document that is data, not code."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from attrs import evolve, field

from planner.changes.change import Change, Inverse, change_from_json, change_to_json, inverse
from planner.cni.documents import other_than_a_plan
from planner.cni.result import CniResult
from planner.errors import InvalidInput, RenderError
from planner.facts.model import NamespaceFacts
from planner.guest.model import Guest
from planner.guest.needs import guests_of
from planner.kinds.kind import kind_of
from planner.network import VmInterface
from planner.options import PlanOptions
from planner.plan.render import Command, Templates
from planner.text.codec import from_json, to_document, to_json
from planner.text.document import Node, load_json
from planner.text.frozen import frozen
from planner.text.pieces import Compact, listed
from planner.text.values import NetnsPath, PlanId, shown
from planner.wiring.allocate import Allocation
from planner.wiring.base import wiring_named
from planner.wiring.obstacles import hazards

PLAN_VERSION = 1
_REVERSE = "reverse"
_CHECKED = Compact(ensure_ascii=False)


@frozen
class Plan:
    """An ordered list of changes with the commands that carry them out, and those that roll them back.

    ``result`` is the CNI result as it was fixed, ``facts`` what was observed when planning (before any wiring),
    ``chosen`` what was allocated. A namespace that is wired as wanted already gives a plan without changes.
    ``is_reverse`` is the direction: whether the plan wires, or rolls a wiring back. ``notes`` are sentences on what
    else was found while planning. ``inherited`` are changes of what the namespace has once that other wirings made.
    """

    id: PlanId
    netns: NetnsPath
    result: CniResult
    options: PlanOptions
    chosen: Allocation
    facts: NamespaceFacts = field(repr=False)
    interfaces: tuple[VmInterface, ...]
    changes: tuple[Change, ...]
    commands: Sequence[Command]
    reverse_commands: Sequence[Command]
    is_reverse: bool = False
    notes: tuple[str, ...] = ()
    inherited: tuple[Change, ...] = ()

    @property
    def facts_digest(self) -> str:
        """Return the digest of the facts that the plan was made from."""
        return self.facts.digest()

    def hazards(self, facts: NamespaceFacts) -> tuple[str, ...]:
        """Return sentences on what else sees the VM's frames and may drop them, by facts of the plan's namespace."""
        links = (interface.link for interface in self.interfaces)
        return hazards(links, facts, {change.resource for change in self.changes})

    def reverse(self) -> Plan:
        """Return the plan that rolls this one back at once; its own reverse is this plan."""
        return evolve(
            self,
            changes=inverse(self.changes),
            commands=self.reverse_commands,
            reverse_commands=self.commands,
            is_reverse=not self.is_reverse,
        )


def guests(plan: Plan) -> tuple[Guest, ...]:
    """Return the guest's configuration of each interface, computed if an older podwire stored the plan."""
    told = tuple(one.guest for one in plan.interfaces if one.guest is not None)
    if len(told) == len(plan.interfaces):
        return told
    links = [(link, one.mac, one.mtu) for one in plan.interfaces if (link := plan.facts.link(one.link))]
    return guests_of(links, plan.result, plan.facts)


def with_changes(plan: Plan, changes: tuple[Change, ...], templates: Templates) -> Plan:
    """Return the plan with other changes of its direction, rendered both ways."""
    return evolve(
        plan,
        changes=changes,
        commands=templates.commands(changes),
        reverse_commands=templates.commands(Inverse(changes)),
    )


def moved_to(plan: Plan, netns: NetnsPath, templates: Templates) -> Plan:
    """Return the plan for the same namespace, which another path leads to now."""
    if netns == plan.netns:
        return plan
    changes, inherited = (
        tuple(evolve(change, netns=netns) if change.netns == plan.netns else change for change in each)
        for each in (plan.changes, plan.inherited)
    )
    return with_changes(evolve(plan, netns=netns, inherited=inherited), changes, templates)


def reverse_after(plan: Plan, elapsed: float, templates: Templates) -> Plan:
    """Return the reverse of ``plan``, ``elapsed`` seconds later."""
    return with_changes(plan.reverse(), changes_back(plan, elapsed), templates)


def changes_back(plan: Plan, elapsed: float) -> tuple[Change, ...]:
    """Return the changes that roll ``plan`` back ``elapsed`` seconds later: lifetimes have that much less to go.

    A clock that was set back lets nothing live longer. With an address that has expired by then the kernel would have
    removed the IPv4 routes that have it as their source.
    """
    changes = [change.elapsed(max(0.0, elapsed)) for change in inverse(plan.changes)]
    left = [change for change in changes if change.before or change.after]
    expired = {key for change in changes for key in _provided(change)}
    expired -= {key for change in left for key in _provided(change)}
    return tuple(change for change in left if expired.isdisjoint(_needed(change)))


def _provided(change: Change) -> Iterable[Hashable]:
    return ((change.netns, key) for key in kind_of(change.resource).provides(change.resource))


def _needed(change: Change) -> Iterable[Hashable]:
    return ((change.netns, key) for key in kind_of(change.resource).needs(change.resource))


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Return the plan as a document; its checksum is over everything else in it."""
    return _document(plan, to_json, lambda write, values: [write(value) for value in values])


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return the same for writing it at once, what there is very much of as Items."""
    return _document(plan, to_document, listed)


def _document(
    plan: Plan, to_json: Callable[[object], Any], listed: Callable[[Callable[[Any], Any], Sequence[Any]], Any]
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "version": PLAN_VERSION,
        "id": str(plan.id),
        "netns": str(plan.netns),
        "result": plan.result.to_json(),
        "options": to_json(plan.options),
        "facts_digest": plan.facts_digest,
        "interfaces": to_json(plan.interfaces),
        "changes": listed(change_to_json, plan.changes),
        "commands": listed(command_to_json, plan.commands),
        "reverse_commands": listed(command_to_json, plan.reverse_commands),
        "chosen": to_json(plan.chosen),
        "facts": to_json(plan.facts),
    }
    if plan.is_reverse:
        document["direction"] = _REVERSE
    if plan.notes:
        document["notes"] = list(plan.notes)
    if plan.inherited:
        document["inherited"] = listed(change_to_json, plan.inherited)
    return document | {"checksum": _checksum(document)}


def command_to_json(command: Command) -> dict[str, Any]:
    """Return a command as JSON values: argv, netns, stdin, changes."""
    return {
        "argv": list(command.argv),
        "netns": None if command.netns is None else str(command.netns),
        "stdin": command.stdin,
        "changes": list(command.changes),
    }


def parse_plan(text: bytes | str, templates: Templates, what: str = "plan", *, called: str = "") -> Plan:
    """Return the plan in a document called ``what``, and as a whole ``called`` otherwise.

    Raises InvalidInput for anything that is no plan, or not one that podwire wrote: an unknown key, a wrong checksum
    (against accidents), commands that aren't what the changes render to (against malice), an unknown wiring.
    """
    node = load_json(text, what, called=called)
    plan = plan_from_json(node, templates)
    if not _has_commands(node, plan):  # of an earlier version, whose order it keeps
        plan = _in_order(plan, templates)
    _check_commands(node, plan)
    wiring_named(plan.options.wiring)
    return plan


def plan_from_json(node: Node, templates: Templates) -> Plan:
    """Return the plan in ``node``, its commands rendered again from its changes; those in it are not read.

    That is for what podwire itself has recorded: a wiring must come back even if a later version renders differently.
    """
    if not is_plan_document(node.value):
        raise node.error(other_than_a_plan(node.value))
    keys = ("version", "id", "netns", "result", "options", "facts_digest", "interfaces", "changes", "commands")
    node.only(*keys, "reverse_commands", "chosen", "facts", "direction", "notes", "inherited", "checksum")
    version = node.field("version")
    if version.integer() != PLAN_VERSION:
        raise version.error(f"this podwire reads plans of version {PLAN_VERSION} only")
    _check_checksum(node)
    changes = node.field("changes").each(change_from_json)
    commands, reverse_commands = (_rendered(either, node, templates) for either in (changes, Inverse(changes)))
    plan = Plan(
        id=node.field("id").parse(PlanId),
        netns=node.field("netns").parse(NetnsPath),
        result=CniResult.parse(node.field("result")),
        options=from_json(PlanOptions, node.field("options")),
        chosen=from_json(Allocation, node.field("chosen")),
        facts=from_json(NamespaceFacts, node.field("facts")),
        interfaces=node.field("interfaces").each(lambda item: from_json(VmInterface, item)),
        changes=changes,
        commands=commands,
        reverse_commands=reverse_commands,
        is_reverse=node.maybe("direction", _is_reverse) or False,
        notes=node.optional("notes", lambda notes: notes.each(_note), ()),
        inherited=node.optional("inherited", lambda changes: changes.each(change_from_json), ()),
    )
    _check_changes(node, plan)
    _check_inherited(node, plan)
    return plan


def is_plan_document(value: object) -> bool:
    """Say whether a document is a plan by its keys, be it one that can be carried out or not."""
    return isinstance(value, dict) and {"version", "changes", "checksum"} <= value.keys()


def _is_reverse(node: Node) -> bool:
    if node.text() != _REVERSE:
        raise node.error(f"{shown(node.value)} is not {_REVERSE}")
    return True


def _note(node: Node) -> str:
    if not node.text().isprintable():
        raise node.error("a note is one line of text")
    return node.text()


def _rendered(changes: Sequence[Change], node: Node, templates: Templates) -> Sequence[Command]:
    """Return the commands of changes that somebody else wrote; one that no plan can hold is bad input, not a bug."""
    try:
        commands = templates.commands(changes)
        len(commands)  # rendered, however many they are
    except RenderError as error:
        raise node.field("changes").error(str(error)) from None
    return commands


def _checksum(document: dict[str, Any]) -> str:
    return f"sha256:{_CHECKED.sha256(document)}"


def _check_checksum(node: Node) -> None:
    document = dict(node.value) if isinstance(node.value, dict) else {}
    stored = node.field("checksum").text()
    del document["checksum"]
    try:
        checksum = _checksum(document)
    except RecursionError:
        # Just short of what load_json takes for too deep.
        raise InvalidInput(f"{node.path} is nested too deeply") from None
    if stored != checksum:
        raise InvalidInput(f"{node.path}: checksum mismatch: the file was edited or truncated; create a new plan")


def _in_order(plan: Plan, templates: Templates) -> Plan:
    """Return a plan with its commands in the order of its changes throughout."""
    commands, back = (templates.commands(way, made_first=False) for way in (plan.changes, Inverse(plan.changes)))
    return evolve(plan, commands=commands, reverse_commands=back)


def _has_commands(node: Node, plan: Plan) -> bool:
    return node.field("commands").value == [command_to_json(command) for command in plan.commands]


def _check_commands(node: Node, plan: Plan) -> None:
    for key, commands in (("commands", plan.commands), ("reverse_commands", plan.reverse_commands)):
        if node.field(key).value != [command_to_json(command) for command in commands]:
            raise node.field(key).error("they do not match the plan's changes; create a new plan")
    if node.field("facts_digest").text() != plan.facts_digest:
        raise node.field("facts_digest").error("it is not the digest of the plan's facts; create a new plan")


def _check_changes(node: Node, plan: Plan) -> None:
    seen = set()
    others = [other.netns for other in plan.facts.elsewhere]
    known = {plan.netns, *others}
    if len(known) != len(others) + 1:
        raise InvalidInput(f"{node.path}.facts.elsewhere: a namespace appears twice, or is the plan's own")
    for index, change in enumerate(plan.changes):
        where = f"{node.path}.changes[{index}]"
        if not known.issuperset((change.netns, *kind_of(change.resource).namespaces(change))):
            nor = ", nor one that its facts cover" if others else ""
            raise InvalidInput(f"{where}.netns: it is not the plan's namespace{nor}")
        if (change.netns, change.resource) in seen:
            raise InvalidInput(f"{where}.resource: {change.resource} is in two changes of the plan")
        if any(owner != plan.id for owner in kind_of(change.resource).owners(change)):
            raise InvalidInput(f"{where}: it is of another wiring than {plan.id}")
        seen.add((change.netns, change.resource))


def _check_inherited(node: Node, plan: Plan) -> None:
    own = {change.resource for change in plan.changes if change.netns == plan.netns}
    for index, change in enumerate(plan.inherited):
        where = f"{node.path}.inherited[{index}]"
        if change.netns != plan.netns or not kind_of(change.resource).is_shared(change.resource):
            raise InvalidInput(f"{where}: {change.resource} is not shared by the wirings of the plan's namespace")
        if change.resource in own:
            raise InvalidInput(f"{where}.resource: {change.resource} is in two changes of the plan")
        own.add(change.resource)
