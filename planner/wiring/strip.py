"""Taking addresses, routes and neighbours off links, in the order whose inverse puts them back.

Each function is one phase over all the links of a wiring, since restoring link by link would fail: a route of one link
may have the address of another as its source.
"""

from __future__ import annotations

from attrs import evolve

from planner.changes.change import Change
from planner.errors import Refused
from planner.facts.kernel_routes import comes_late
from planner.facts.makers import KERNEL_LL
from planner.facts.model import AddressFact, LinkFact, NamespaceFacts, NeighbourFact
from planner.facts.neighbours import address_type, local_table
from planner.kinds.address import Address, AddressState, GeneratedFrom
from planner.kinds.link_attributes import AddrGenMode, AddrGenModeState, Mac
from planner.kinds.route import KERNEL, MAIN_TABLE
from planner.kinds.sysctl import Sysctl, SysctlState
from planner.text.values import (
    InterfaceName,
    IpAddress,
    Keyword,
    NetnsPath,
    SysctlKey,
    SysctlValue,
    is_ipv6_link_local,
    mac_of_link_local,
)
from planner.wiring.routes import StrippedRoutes, keep_away, made_separately, refuse_unsupported, strip_routes

NONE = Keyword("none")
STABLE_PRIVACY = Keyword("stable-privacy")
EUI64 = Keyword("eui64")
_STABLE_MODES = ("stable_secret", "random")
_NO_ARP = Keyword("NOARP")
_AUTOJOIN = Keyword("autojoin")
ZERO = SysctlValue("0")


def strip_link(link: LinkFact, facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that take every address and every non-kernel route off ``link``, both families.

    Reference: StripLink. Raises Refused for a route that could not be brought back.
    """
    return strip_links((link,), facts, netns)


def strip_links(links: tuple[LinkFact, ...], facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that strip several links, phase by phase."""
    names = {link.name for link in links}
    stripped = strip_routes(links, facts, removal_order(links, facts)[::-1])
    return (
        *keep_away(links, facts, netns),
        *quieten_dad(links, facts, netns),
        *stripped.changes(names, netns),
        *remove_neighbours(links, facts, netns, stripped),
        *stop_address_generation(links, facts, netns),
        *remove_addresses(links, facts, netns, stripped),
    )


def quieten_dad(links: tuple[LinkFact, ...], facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that keep restored IPv6 addresses from being tentative (duplicate address detection).

    That is for addresses which ``nodad`` cannot keep from it: some with a peer (``Address.is_spared``), and what the
    kernel itself makes again. ``accept_dad`` of a link counts together with that of ``all``: the larger one wins
    (kernel, ip-sysctl.rst). If no link ever had a carrier, or if somebody else has one, addresses are tentative before
    and after: such links are left alone.
    """
    live = _quietened(links, facts)
    keys = [SysctlKey(f"net/ipv6/conf/{name}/accept_dad") for name in (["all", *live] if live else [])]
    return tuple(
        Change(
            Sysctl(key),
            SysctlState(value),
            SysctlState(ZERO),
            "lets IPv6 addresses return without delay at teardown",
            netns,
        )
        for key in keys
        if (value := facts.sysctl(key)) is not None and int(value) > 0
    )


def _quietened(links: tuple[LinkFact, ...], facts: NamespaceFacts) -> list[InterfaceName]:
    """Return the links whose addresses must not be probed for when they come back."""
    return [link.name for link in links if link.up and _needs_quiet(link, facts)]


def _needs_quiet(link: LinkFact, facts: NamespaceFacts) -> bool:
    ipv6 = [fact for fact in facts.addresses_of(link.name) if fact.resource.address.version == 6]
    made = _generated(link, facts)
    is_probed = bool(made) or (link.carrier and any(not fact.resource.is_spared for fact in ipv6))
    return is_probed and not any(fact.state.tentative for fact in ipv6)


def remove_neighbours(
    links: tuple[LinkFact, ...], facts: NamespaceFacts, netns: NetnsPath, stripped: StrippedRoutes
) -> tuple[Change, ...]:
    """Return the changes that remove the neighbours that somebody set.

    A new MAC would flush permanent and noarp ones unasked; the last IPv4 address takes proxy entries with it. Raises
    Refused for one that would come back as another.
    """
    names = {link.name for link in links}
    _refuse_asked_for_without_arp(links, facts)
    _refuse_of_another_type([fact for fact in facts.neighbours if fact.resource.link in names], facts, stripped)
    return tuple(
        Change(fact.resource, fact.state, None, _neighbour_reason(fact), netns)
        for fact in facts.neighbours
        if fact.resource.link in names
    )


def _refuse_asked_for_without_arp(links: tuple[LinkFact, ...], facts: NamespaceFacts) -> None:
    """Raise Refused for an entry that the kernel asks for on a link without ARP, which it got before.

    The kernel would take a new one for known at once (arp.c, arp_constructor).
    """
    silent = {link.name for link in links if link.mac and _NO_ARP in link.flags}
    for fact in facts.neighbours:
        if fact.resource.link in silent and not fact.resource.proxy and fact.state.state is None:
            raise Refused(
                f"{fact.resource} is managed by the kernel, on a link with 'arp off', and older than that: podwire "
                "could not restore it in this state; remove it first"
            )


def _refuse_of_another_type(neighbours: list[NeighbourFact], facts: NamespaceFacts, stripped: StrippedRoutes) -> None:
    """Raise Refused for an IPv4 entry with which the kernel would note another type of address than it did.

    They come back after the addresses, and before the routes that go with the links.
    """
    found = [fact for fact in neighbours if fact.resource.address.version == 4 and not fact.resource.proxy]
    if not found:
        return
    now = local_table(fact.resource for fact in facts.routes)
    later = {fact.resource for fact in stripped.removed} - stripped.moved.keys()
    then = local_table(fact.resource for fact in facts.routes if fact.resource not in later)
    for fact in found:
        was = fact.made_as or address_type(fact.resource.address, now)
        will_be = address_type(fact.resource.address, then)
        if was != will_be:
            raise Refused(
                f"{fact.resource} was added when the local table said '{was}' of its address, and would return as "
                f"'{will_be}': remove it first"
            )


def flushed_neighbours(
    changes: tuple[Change, ...], left: tuple[Change, ...], facts: NamespaceFacts
) -> tuple[Change, ...]:
    """Return the changes that add again what others set on links while these were wired.

    ``changes`` are all that take the wiring back, ``left`` those that are still to be made: a new MAC among them
    flushes every entry of its link but proxy ones.
    """
    ours = {change.resource for change in changes}
    flushed = {change.resource.link: change.netns for change in left if isinstance(change.resource, Mac)}
    reason = "others set it in the meantime, and the new MAC flushes it"
    return tuple(
        Change(fact.resource, None, fact.state, reason, flushed[fact.resource.link])
        for fact in facts.neighbours
        if fact.resource.link in flushed and fact.resource not in ours and not fact.resource.proxy
    )


def _neighbour_reason(fact: NeighbourFact) -> str:
    return "would go with the addresses" if fact.resource.proxy else "the VM needs it instead"


def stop_address_generation(links: tuple[LinkFact, ...], facts: NamespaceFacts, netns: NetnsPath) -> tuple[Change, ...]:
    """Return the changes that keep the kernel from giving the links a link-local address again."""
    return tuple(change for link in links if (change := _stop_generation(link, facts, netns)) is not None)


def _stop_generation(link: LinkFact, facts: NamespaceFacts, netns: NetnsPath) -> Change | None:
    if link.addrgenmode in (None, NONE) or not link.addrgenmode or not facts.has_ipv6(link.name):
        return None
    before = AddrGenModeState(link.addrgenmode)
    reason = "the VM chooses the same link-local address"
    return Change(AddrGenMode(link.name), before, AddrGenModeState(NONE), reason, netns)


def _generated(link: LinkFact, facts: NamespaceFacts) -> dict[Address, Keyword]:
    """Return the link-local addresses that the kernel made, each with the mode by which it makes it again.

    Nobody else can give them their marks: that it is stable and private (RFC 7217), and by whom it was made. The latter
    is given up beside one that stays tentative (somebody else has it): that must be probed for, and this one not.
    """
    if not link.up:
        return {}
    found = facts.addresses_of(link.name)
    is_probing = any(fact.state.tentative for fact in found)
    made = ((fact, _generation(fact, link)) for fact in found)
    return {
        fact.resource: mode
        for fact, mode in made
        if mode is not None and not (mode == EUI64 and is_probing and not fact.state.tentative)
    }


def _generation(fact: AddressFact, link: LinkFact) -> Keyword | None:
    """Return the mode by which the kernel made a link-local address, None if it didn't or wouldn't make it again.

    What it made from a MAC says so itself, and its link may have another mode by now.
    """
    address, state = fact.resource, fact.state
    if not is_ipv6_link_local(address.address) or address.peer is not None:
        return None
    if state.metric is not None or (state.valid_lft, state.preferred_lft) != (None, None):
        return None
    if state.made_by == KERNEL_LL and not state.flags and mac_of_link_local(address.address.ip) is not None:
        return EUI64
    is_stable = link.addrgenmode in _STABLE_MODES and state.flags == (STABLE_PRIVACY,)
    return link.addrgenmode if is_stable else None


def remove_addresses(
    links: tuple[LinkFact, ...], facts: NamespaceFacts, netns: NetnsPath, stripped: StrippedRoutes | None = None
) -> tuple[Change, ...]:
    """Return the changes that remove the links' addresses, in the order that keeps theirs when they come back.

    IPv4 last listed first: a primary would take its secondaries with it. IPv6 as listed, where the newest comes first
    within its scope; but link-local ones before others, or the link would tell its neighbours from there that it leaves
    the others' groups.
    Of links in one subnet the one whose route counts, the first, goes last.
    """
    ordered = removal_order(links, facts)
    _refuse_shared(ordered, facts)
    _refuse_without_arp(ordered, links)
    _refuse_unprobed(ordered, links, facts)
    stripped = stripped or strip_routes(links, facts, ordered[::-1])
    generated = {address: mode for link in links for address, mode in _generated(link, facts).items()}
    changes = []
    for fact in ordered:
        mode = generated.get(fact.resource)
        if mode is None:
            _refuse_made_otherwise(fact, facts)
            _refuse_since_down(fact, facts)
        unmade = dict.fromkeys((*fact.state.unmade_routes, *made_separately(fact, stripped, facts)))
        soon = tuple(route for route in unmade if not comes_late(route, fact.resource))
        before = evolve(fact.state, unmade_routes=soon)
        if mode is not None:
            before = _made_again(before, fact.resource, mode, facts)
        changes.append(Change(fact.resource, before, None, _address_reason(fact), netns))
    return tuple(changes)


def _refuse_made_otherwise(fact: AddressFact, facts: NamespaceFacts) -> None:
    """Raise Refused for an address that only the kernel can make like that, and would not make again."""
    state, link = fact.state, facts.link(fact.resource.link)
    if state.comes_back:
        return
    refuse_unsupported(fact)
    if STABLE_PRIVACY in state.flags:
        raise Refused(f"{fact.resource} was generated in another mode than its link has now: remove it first")
    if state.made_by == KERNEL_LL and not (link is not None and link.up and _generation(fact, link)):
        refuse_unsupported(evolve(fact, state=evolve(state, unsupported=f"a mark of who made it ({KERNEL_LL})")))


def _refuse_since_down(fact: AddressFact, facts: NamespaceFacts) -> None:
    """Raise Refused for what an address on a link that is down has perhaps lost since that was up.

    A group of IPv4 is no longer asked of the device then, which only its own list tells (igmp.c, igmp_group_dropped).
    """
    link = facts.link(fact.resource.link)
    if link is None or link.up:
        return
    if fact.resource.address.version == 4 and _AUTOJOIN in fact.state.flags:
        raise Refused(
            f"{fact.resource} joins a group, on a link that is down: podwire could not restore it; remove it first"
        )
    if fact.state.kept is not None and link.ipv6_mtu is not None:
        raise Refused(
            f"{fact.resource} was kept when {link.name} went down, which has had another IPv6 MTU since: podwire could "
            "not restore both; remove it first"
        )


def _refuse_shared(removed: list[AddressFact], facts: NamespaceFacts) -> None:
    """Raise Refused for an IPv4 address that a link which stays has too, if of one it is the broadcast address.

    The first entry of the local table says what it is, and as a broadcast address it is nobody's source: the kernel
    makes local routes for only one of the two, and would make them for the other one afterwards. Also if that link has
    no local entry for it: with the last one the kernel takes all routes away that have the address for a source.
    """
    links = {fact.resource.link for fact in removed}
    stays: dict[IpAddress, AddressFact] = {
        fact.resource.address.ip: fact
        for fact in facts.addresses
        if fact.resource.link not in links and fact.resource.address.version == 4
    }
    for fact in removed:
        other = stays.get(fact.resource.address.ip)
        if other is None:
            continue
        if _is_broadcast(fact.resource) != _is_broadcast(other.resource):
            raise Refused(
                f"{fact.resource} is also on {other.resource.link}, and the broadcast address of one of the two "
                "prefixes; its local routes could not be restored: remove one of them"
            )
        if any(route.type == "local" for route in other.state.unmade_routes):
            raise Refused(
                f"{fact.resource} is also on {other.resource.link}, whose local entry for it somebody removed: the "
                "routes with that source would go; remove one of them"
            )


def _is_broadcast(address: Address) -> bool:
    """Say whether an IPv4 address is the broadcast address of its own subnet."""
    subnet = address.subnet
    return subnet.prefixlen < 31 and subnet.broadcast_address == address.address.ip


def _refuse_without_arp(removed: list[AddressFact], links: tuple[LinkFact, ...]) -> None:
    """Raise Refused for an IPv6 address that a link got before it had no ARP, if that still shows.

    The kernel would take it for known at once (addrconf.c, addrconf_dad_begin), and enter no group for it; one that a
    link which is up has entered it never leaves.
    """
    silent = {link.name: link for link in links if _NO_ARP in link.flags}
    for fact in removed:
        link = silent.get(fact.resource.link)
        if link is None or fact.resource.address.version != 6 or fact.state.kept is not None:
            continue
        if fact.state.tentative or not (link.up or fact.state.unheard):
            why = "still to be probed for" if fact.state.tentative else "older than that, on a link that is down"
            raise Refused(
                f"{fact.resource} is on a link with 'arp off', and {why}: podwire could not restore it in this state; "
                "remove it first"
            )


def _refuse_unprobed(removed: list[AddressFact], links: tuple[LinkFact, ...], facts: NamespaceFacts) -> None:
    """Raise Refused for a tentative address on a link that no longer detects duplicates.

    It waits for a carrier, or somebody else has it; the kernel would take a new one for free at once (addrconf.c,
    addrconf_dad_begin). One on a link with a carrier was only just added, and is about to be known.
    ``accept_dad`` of ``all`` counts only if it isn't set to 0 for another link's sake.
    """
    waiting = {link.name for link in links if not link.carrier}
    every = [] if _quietened(links, facts) else ["all"]
    for fact in removed:
        state = fact.state
        if not state.tentative or not (state.duplicate or fact.resource.link in waiting):
            continue
        values = [facts.sysctl(f"net/ipv6/conf/{name}/accept_dad") for name in (fact.resource.link, *every)]
        if not any(value is None or int(value) > 0 for value in values):
            raise Refused(
                f"{fact.resource} is tentative, on a link that no longer detects duplicates (accept_dad): podwire "
                "could not restore it in this state; remove it first"
            )


def _made_again(state: AddressState, address: Address, mode: Keyword, facts: NamespaceFacts) -> AddressState:
    """Return the state of an address that the kernel makes again by ``mode``: from the MAC that its link had then."""
    link = facts.link(address.link)
    if link is None:
        return state
    mac = mac_of_link_local(address.address.ip) if mode == EUI64 else None
    other = GeneratedFrom(mac, link.mac) if mac and link.mac and mac != link.mac else None
    return evolve(state, generated=mode, generated_from=other, generated_once=link.addrgenmode != mode)


def removal_order(links: tuple[LinkFact, ...], facts: NamespaceFacts) -> list[AddressFact]:
    """Return the addresses of links in the order in which they are removed; the other way round they come back."""
    ordered = []
    for link in reversed(_by_connected_routes(links, facts)):
        found = facts.addresses_of(link.name)
        ordered += [fact for fact in reversed(found) if fact.resource.address.version == 4]
        ipv6 = [fact for fact in found if fact.resource.address.version == 6]
        ordered += sorted(ipv6, key=lambda fact: not is_ipv6_link_local(fact.resource.address))
    return ordered


def _by_connected_routes(links: tuple[LinkFact, ...], facts: NamespaceFacts) -> list[LinkFact]:
    """Return the links, those in one subnet in the order in which the kernel lists their routes to it."""
    names = {link.name for link in links}
    places: dict[InterfaceName, int] = {}
    for group in facts.equal_routes:
        made = [
            route
            for route in (fact.resource for fact in group)
            if route.protocol == KERNEL and route.table == MAIN_TABLE
        ]
        found = [name for route in made for name in route.links if name in names]
        if len(found) > 1:
            for name in found:
                places.setdefault(name, len(places))
    return sorted(links, key=lambda link: places.get(link.name, -1))


def _address_reason(fact: AddressFact) -> str:
    if fact.state.learnt:
        other = "another one comes" if fact.state.unsupported else "comes back"
        return f"{other} with the next router advertisement"
    return "the VM makes its own" if is_ipv6_link_local(fact.resource.address) else "moves to the VM"
