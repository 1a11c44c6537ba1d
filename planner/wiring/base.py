"""What a wiring is: the answers that planning, drift and recovery ask of it, in one record.

A new wiring is one file in this folder, called like the wiring: it makes a ``Wiring`` and registers it, and
``--wiring NAME`` finds it. ``bridge.py`` is one of a kind. Nothing else names a wiring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from planner.changes.change import Change
from planner.cni.links import container_interfaces
from planner.cni.result import CniResult
from planner.errors import InvalidInput, Refused
from planner.facts.model import LinkFact, NamespaceFacts
from planner.guest.model import Guest
from planner.guest.needs import guests_of
from planner.network import ContainerSideNetwork, VmInterface
from planner.options import PlanOptions
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, IpInterface, Keyword, MacAddress, NetnsPath, shown
from planner.wiring.allocate import Allocation, dhcp_addresses, guest_hardware, link_names, refuse_more_than
from planner.wiring.links import WiringTag
from planner.wiring.obstacles import refuse_dead_end

if TYPE_CHECKING:
    from planner.wiring.vf import HandOver


@frozen
class Unfit:
    """Why a wiring cannot serve a link, and what to do about it if no other wiring can."""

    why: str
    instead: str = ""


@frozen
class Slot:
    """One link to wire, and what is allocated for it: names of links to make, new MACs, an address for a DHCP server.

    ``guest`` is the guest's configuration of it.

    ``position`` is that of the link among the container links, from 0.
    """

    position: int
    link: LinkFact
    names: tuple[InterfaceName, ...]
    macs: tuple[MacAddress, ...]
    dhcp_address: IpInterface
    guest: Guest


@frozen
class WiringRequest:
    """What a wiring plans from: the links in their order, what was observed, whose links it makes, the options."""

    slots: tuple[Slot, ...]
    facts: NamespaceFacts
    tag: WiringTag
    options: PlanOptions
    netns: NetnsPath

    @property
    def links(self) -> tuple[LinkFact, ...]:
        """Return the links to wire."""
        return tuple(slot.link for slot in self.slots)


@frozen(eq=False)
class Wiring:
    """A way to give a pod's links to a VM. There is no default for an answer: one that is missing fails at import.

    ``name``: what ``--wiring`` calls it, and the options of a plan. ``title``: how a preview calls it.
    ``unfit``: why it cannot serve a link, None if it can.
    ``prefixes``: what it allocates, a name for each (``tap``, ``br``, and a number); ``macs``: how many MACs a link.
    ``interface``: what the VM gets for a link. ``changes``: the changes that wire all links of a request; the way
    back is their inverse.
    ``strays``: what has come to wired links since and does not belong there, as the changes that remove it. That is
    drift, beside what the changes themselves are about, and ``check --fix`` runs them.
    ``programs``: those that its changes mostly run with an input, and their words: they can be started while it plans.
    ``lost``: why a VM runtime that was restarted cannot go on with an interface, None if it can; that the link and
    the tap are there is known by then.
    """

    name: str
    title: str
    unfit: Callable[[LinkFact, NamespaceFacts], Unfit | None]
    prefixes: tuple[str, ...]
    macs: int
    interface: Callable[[Slot, WiringRequest], VmInterface]
    changes: Callable[[WiringRequest], tuple[Change, ...]]
    strays: Callable[[tuple[LinkFact, ...], NamespaceFacts, NetnsPath], tuple[Change, ...]]
    programs: tuple[tuple[str, ...], ...]
    lost: Callable[[VmInterface, NamespaceFacts], str | None]


_WIRINGS: dict[str, Wiring] = {}


def register(wiring: Wiring) -> Wiring:
    """Make a wiring known by its name, and return it. Raises ValueError if another has that name."""
    if _WIRINGS.setdefault(wiring.name, wiring) is not wiring:
        raise ValueError(f"there are two wirings of the name {wiring.name}")
    return wiring


def wiring_named(name: str) -> Wiring:
    """Return the wiring of a name. Raises InvalidInput if there is none."""
    if name not in _WIRINGS and name.isidentifier():
        module = f"{__package__}.{name}"
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
    if name not in _WIRINGS:
        raise InvalidInput(f"wiring: {shown(name)} is not one of {', '.join(wiring.name for wiring in every_wiring())}")
    return _WIRINGS[name]


def every_wiring() -> tuple[Wiring, ...]:
    """Return all wirings, by name; every module of this folder is loaded for it."""
    from pkgutil import iter_modules  # noqa: PLC0415  only refusals and completion ask for all of them

    for module in iter_modules(import_module(f"{__package__}").__path__):
        import_module(f"{__package__}.{module.name}")
    return tuple(_WIRINGS[name] for name in sorted(_WIRINGS))


def setup_container_side_network(
    result: CniResult,
    facts: NamespaceFacts,
    *,
    owner: WiringTag,
    options: PlanOptions,
    chosen: Allocation,
    netns: NetnsPath,
) -> tuple[ContainerSideNetwork, tuple[Change, ...]]:
    """Return what a VM runtime needs to know, and the changes that wire every container link of ``result``.

    ``result`` is a fixed one; the wiring is that of ``options``. Raises InvalidInput if a link is missing, Refused if
    the wiring cannot serve one, or if a name that it needs is taken. Reference: SetupContainerSideNetwork.
    """
    wiring = wiring_named(options.wiring)
    links = _container_links(result, facts, netns)
    handed = _hand_overs(links, facts, options)
    wired = tuple(link for link in links if link.name not in handed)
    _refuse_unfit(wired, facts, wiring)
    refuse_more_than(len(wired), options, wiring.prefixes)
    hardware = {link.name: (link, mac, mtu) for link, mac, mtu in guest_hardware(wired, facts, options)}
    hardware |= {name: (each.link, each.mac, each.link.mtu) for name, each in handed.items()}
    told = guests_of([hardware[link.name] for link in links], result, facts)
    guests = {link.name: guest for link, guest in zip(links, told, strict=True)}
    slots = _slots(wired, tuple(guests[link.name] for link in wired), facts, options, chosen, wiring)
    request = WiringRequest(slots, facts, owner, options, netns)
    interfaces = {slot.link.name: wiring.interface(slot, request) for slot in slots}
    interfaces |= _vf_interfaces(handed, guests)
    network = ContainerSideNetwork(result, netns, tuple(interfaces[link.name] for link in links))
    return network, _changes(tuple(handed.values()), wiring, request)


def _changes(handed: tuple[HandOver, ...], wiring: Wiring, request: WiringRequest) -> tuple[Change, ...]:
    """Return the changes that hand functions over, then those of the wiring.

    What both remove, such as a route of one link whose source is an address of another, is the hand-over's.
    """
    if not handed:
        return wiring.changes(request)
    from planner.wiring.vf import hand_over  # noqa: PLC0415  see _hand_overs

    given = hand_over(handed, request.facts, request.netns)
    taken = {(change.netns, change.resource) for change in given}
    others = wiring.changes(request) if request.slots else ()
    return (*given, *(change for change in others if (change.netns, change.resource) not in taken))


def _hand_overs(
    links: tuple[LinkFact, ...], facts: NamespaceFacts, options: PlanOptions
) -> Mapping[InterfaceName, HandOver]:
    """Return what is handed over. Most pods have no virtual function, and load nothing for it."""
    if all(facts.function_of(link) is None for link in links):
        return {}
    from planner.wiring.vf import hand_overs  # noqa: PLC0415

    return hand_overs(links, facts, options)


def _vf_interfaces(
    handed: Mapping[InterfaceName, HandOver], guests: Mapping[InterfaceName, Guest]
) -> dict[InterfaceName, VmInterface]:
    if not handed:
        return {}
    from planner.wiring.vf import vf_interface  # noqa: PLC0415

    return {name: vf_interface(each, guests[name]) for name, each in handed.items()}


def _container_links(result: CniResult, facts: NamespaceFacts, netns: NetnsPath) -> tuple[LinkFact, ...]:
    """Return the container links, all of which must be there."""
    interfaces = container_interfaces(result)
    if not interfaces:
        raise InvalidInput("result.interfaces: none is in the sandbox, so there is nothing to wire")
    links = []
    for interface in interfaces:
        if opaque := facts.opaque_on(interface.name):
            raise Refused(f"{interface.name} has what podwire could not restore ({opaque[0]}): remove it first")
        link = facts.link(interface.name)
        if link is None:
            raise InvalidInput(f"result.interfaces: {interface.name} is not in the namespace")
        refuse_dead_end(link, facts, netns)
        links.append(link)
    return tuple(links)


def _refuse_unfit(links: Iterable[LinkFact], facts: NamespaceFacts, wiring: Wiring) -> None:
    """Raise Refused for a link that the wiring cannot serve."""
    for link in links:
        if unfit := wiring.unfit(link, facts):
            raise Refused(_refusal(unfit, link, facts, wiring))


def _refusal(unfit: Unfit, link: LinkFact, facts: NamespaceFacts, wiring: Wiring) -> str:
    """Return the sentence that says why a link is not wired, and what would wire it."""
    others = (other for other in every_wiring() if other is not wiring)
    fit = next((other for other in others if other.unfit(link, facts) is None), None)
    instead = unfit.instead if fit is None else f"use --wiring {fit.name}"
    return f"{unfit.why}: {instead}" if instead else unfit.why


def _slots(
    links: tuple[LinkFact, ...],
    guests: tuple[Guest, ...],
    facts: NamespaceFacts,
    options: PlanOptions,
    chosen: Allocation,
    wiring: Wiring,
) -> tuple[Slot, ...]:
    addresses = dhcp_addresses(facts, options, len(links))
    names = link_names(wiring.prefixes, len(links), facts, options)
    return tuple(
        Slot(position, link, own, chosen.macs[position * wiring.macs :][: wiring.macs], address, guest)
        for position, (link, own, address, guest) in enumerate(zip(links, names, addresses, guests, strict=True))
    )


def tap_interface(
    slot: Slot, request: WiringRequest, *, tap: InterfaceName, bridge: InterfaceName | None = None
) -> VmInterface:
    """Return the interface of a VM that opens ``tap``."""
    return VmInterface(
        type=Keyword("tap"),
        name=tap,
        link=slot.link.name,
        mac=slot.guest.mac,
        mtu=slot.guest.mtu,
        bridge=bridge,
        dhcp_address=slot.dhcp_address,
        queues=request.options.tap_queues,
        vnet_hdr=request.options.tap_vnet_hdr,
        neighbours=slot.guest.neighbours,
        guest=slot.guest,
    )
