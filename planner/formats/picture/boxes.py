"""The boxes of a lane: the host's end, the pod's interface, its block rules, the bridge, the tap, the VM."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from planner.changes.lookup import Observed
from planner.cni.links import container_interfaces
from planner.facts.model import LinkFact
from planner.kinds.address import Address
from planner.kinds.ebtables import DropRule, EbtablesRules, RulesState
from planner.kinds.kind import Resource
from planner.kinds.link import BridgeDevice, Link, LinkState, TapDevice
from planner.kinds.link_attributes import (
    AddrGenMode,
    AddrGenModeState,
    Admin,
    AdminState,
    Mac,
    MacState,
    Master,
    MasterState,
)
from planner.kinds.neighbour import Neighbour, NeighbourState
from planner.kinds.route import Route
from planner.kinds.sysctl import Sysctl, SysctlState
from planner.kinds.tc_filter import TcFilter, rules_words
from planner.kinds.vf_link import VfLink
from planner.network import VmInterface
from planner.plan.plan import Plan, guests
from planner.text.frozen import frozen
from planner.text.values import PciAddress

Place = Literal["host", "link", "rules", "bridge", "tap", "vm"]
Face = Literal["value", "words", "caption"]
PLACES: tuple[Place, ...] = ("host", "link", "rules", "bridge", "tap", "vm")


@frozen
class Line:
    """A line in a box: ``+`` appears, ``-`` goes, ``~`` changes; a value, a remark, or a caption over what follows."""

    text: str
    sign: str = ""
    face: Face = "value"


@frozen
class Box:
    """One thing in a lane; what appears or goes with the whole of it has no sign of its own."""

    place: Place
    name: str
    kind: str
    sign: str
    lines: tuple[Line, ...]


class Snapshot:
    """How everything is before a plan, or after it."""

    def __init__(self, plan: Plan, when: str) -> None:
        self.plan = plan
        self.when = when
        self.changes = {change.resource: change for change in plan.changes if change.netns == plan.netns}
        self.drawn: set[Resource] = set()
        self.guests = {one.name: guest for one, guest in zip(plan.interfaces, guests(plan), strict=True)}
        self._observed = Observed(plan.facts)

    def state(self, resource: Resource) -> Any:
        """Return the state of a resource that is drawn, None if it is not there."""
        self.drawn.add(resource)
        return self._state(resource)

    def _state(self, resource: Resource) -> Any:
        change = self.changes.get(resource)
        if change is not None:
            return change.before if self.when == "before" else change.after
        if isinstance(resource, Link):
            return self.plan.facts.link(resource.name)
        if isinstance(resource, Mac):
            link = self.plan.facts.link(resource.link)
            return MacState(link.mac) if link and link.mac else None
        return self._observed.state_of(resource, None)

    def sign(self, resource: Resource) -> str:
        """Return ``+``, ``-`` or ``~`` if a change is about the resource, else nothing."""
        change = self.changes.get(resource)
        return change.sign if change else ""

    def changed(self, kind: type[Any]) -> Iterator[Any]:
        """Yield the resources of a kind that a change is about and that are there, in the order of the changes."""
        for resource in self.changes:
            if isinstance(resource, kind) and self._state(resource) is not None:
                yield resource


def host_box(interface: VmInterface, side: Snapshot) -> Box:
    """Return the host's end of the link. Facts don't reach there: if the result is of one link, it names it."""
    plan = side.plan
    outside = [given for given in plan.result.interfaces if not given.sandbox]
    if len(container_interfaces(plan.result)) == 1 and outside:
        peer, others = outside[-1], outside[:-1]
        lines = [Line(peer.mac)] if peer.mac else []
        lines += [Line(f"with {', '.join(given.name for given in others)}", face="words")] if others else []
        return Box("host", peer.name, f"the host's end of {interface.link}", "", tuple(lines))
    return Box("host", "host", f"the other end of {interface.link}", "", ())


def device_of(interface: VmInterface) -> VfLink | None:
    """Return the device that the VM is given whole, None if it opens a tap."""
    return VfLink(PciAddress(interface.pci_address), interface.link) if interface.pci_address else None


def link_box(interface: VmInterface, side: Snapshot) -> Box | None:
    """Return the pod's interface, with its addresses, routes and neighbours; it is not there while the VM has it."""
    name, device = interface.link, device_of(interface)
    if device is not None and side.state(device) is None:
        return None
    fact = side.plan.facts.link(name)
    lines = [
        *_settings(interface, side),
        *_addresses(interface, side),
        *captioned("routes", _routes(interface, side)),
        *captioned("neighbours", _neighbours(interface, side)),
        *captioned("filters", _filters(interface.link, side)),
    ]
    sign = "~" if any(line.sign for line in lines) else ""
    kind = fact.type if fact else "link"
    return Box("link", name, f"{kind} · mtu {fact.mtu if fact else interface.mtu}", sign, tuple(lines))


def _settings(interface: VmInterface, side: Snapshot) -> Iterator[Line]:
    name = interface.link
    mac, admin = side.state(Mac(name)), side.state(Admin(name))
    if isinstance(mac, MacState):
        yield Line(mac.mac, side.sign(Mac(name)))
    if isinstance(admin, AdminState) and (side.sign(Admin(name)) or not admin.up):
        yield Line("up" if admin.up else "down", side.sign(Admin(name)), "words")
    master = side.state(Master(name))
    if isinstance(master, MasterState) and master.master:
        yield Line(f"port of {master.master}", side.sign(Master(name)), "words")
    mode = side.state(AddrGenMode(name))
    if isinstance(mode, AddrGenModeState) and side.sign(AddrGenMode(name)):
        yield Line(f"addrgenmode {mode.mode}", "~", "words")
    for resource in side.changed(Sysctl):
        if resource.link == name:
            state: SysctlState = side.state(resource)
            yield Line(f"{resource.key.rsplit('/', 1)[1]} {state.value}", side.sign(resource), "words")


def _addresses(interface: VmInterface, side: Snapshot) -> Iterator[Line]:
    """Yield the addresses: those that stay as they were listed, then those that a change is about in its order."""
    listed = [fact.resource for fact in side.plan.facts.addresses_of(interface.link)]
    added = [one for one in side.changed(Address) if one.link == interface.link and one not in listed]
    for resource in (*listed, *added):
        state = side.state(resource)
        if state is not None:
            peer = f" peer {resource.peer}" if resource.peer else ""
            yield Line(f"{resource.address}{peer}{_learnt(state)}", side.sign(resource))


def _routes(interface: VmInterface, side: Snapshot) -> Iterator[Line]:
    """Yield the routes that a change is about: the kernel's own come and go with the addresses."""
    listed = [fact.resource for fact in side.plan.facts.routes]
    changed = [one for one in side.changed(Route) if interface.link in one.links]
    for resource in (*(one for one in listed if one in changed), *(one for one in changed if one not in listed)):
        if side.state(resource) is not None:
            text = str(resource).removeprefix("route ")
            if len(resource.nexthops) == 1:
                text = text.replace(f" dev {interface.link}", "", 1)
            yield Line(text + _learnt(side.state(resource)), side.sign(resource))


def _neighbours(interface: VmInterface, side: Snapshot) -> Iterator[Line]:
    for resource in side.changed(Neighbour):
        if resource.link == interface.link:
            state: NeighbourState = side.state(resource)
            where = f" is {state.lladdr}" if state.lladdr else " by proxy"
            yield Line(f"{resource.address}{where}", side.sign(resource))


def _filters(link: str, side: Snapshot) -> Iterator[Line]:
    for resource in side.changed(TcFilter):
        if resource.link == link:
            yield Line(rules_words(side.state(resource)), side.sign(resource), "words")


def _learnt(state: Any) -> str:
    return " (advertised)" if state.learnt else ""


def captioned(caption: str, lines: Iterator[Line]) -> list[Line]:
    """Return the lines under their caption, nothing if there are none."""
    found = list(lines)
    return [Line(caption, face="caption"), *found] if found else []


def rules_box(interface: VmInterface, side: Snapshot) -> Box | None:
    """Return what is dropped on the port between the pod's interface and the bridge."""
    for resource in side.changed(EbtablesRules):
        state: RulesState = side.state(resource)
        own = [rule for rule in state.rules if interface.link in (rule.in_link, rule.out_link)]
        if own:
            lines = tuple(Line(_rule_words(rule), face="words") for rule in own)
            return Box("rules", "drop", f"ebtables, on {interface.link}", side.sign(resource), lines)
    return None


def _rule_words(rule: DropRule) -> str:
    if rule.udp_port is not None:
        return f"the VM's {'DHCPv6' if rule.protocol == 'IPv6' else 'DHCP'} requests"
    return "what is for the bridge itself" if rule.in_link else "what the bridge itself sends"


def bridge_box(interface: VmInterface, side: Snapshot) -> Box | None:
    """Return the bridge of the lane."""
    return None if interface.bridge is None else _made_box("bridge", Link(interface.bridge), side)


def tap_box(interface: VmInterface, side: Snapshot) -> Box | None:
    """Return the tap that the VM opens."""
    if interface.pci_address:
        return None
    return _made_box("tap", Link(interface.name), side)


def _made_box(place: Place, resource: Link, side: Snapshot) -> Box | None:
    state: LinkState | LinkFact | None = side.state(resource)
    if state is None:
        return None
    lines = [Line(state.mac)] if state.mac else []
    if isinstance(state, LinkState):
        lines += [Line(str(address)) for address in state.addresses]
    lines += [Line(words, face="words") for words in _device_words(state.device)]
    lines += captioned("filters", _filters(resource.name, side))
    return Box(place, resource.name, f"{place} · mtu {state.mtu}", side.sign(resource), tuple(lines))


def _device_words(device: object) -> Iterator[str]:
    if isinstance(device, BridgeDevice) and device.ageing_time == 0:
        yield "learns no MAC"
    if isinstance(device, TapDevice):
        if device.owner is not None:
            yield f"for user {device.owner}"
        if device.owner_group is not None:
            yield f"for group {device.owner_group}"
        if device.multi_queue:
            yield "multi-queue"
        if device.vnet_hdr:
            yield "vnet header"
