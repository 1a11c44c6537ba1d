"""Names, MACs and addresses that are allocated while planning; all randomness is handed in."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import IPv4Interface, IPv4Network
from typing import TYPE_CHECKING, Any

from planner.errors import InvalidInput, Refused
from planner.facts.model import LinkFact, NamespaceFacts
from planner.options import PlanOptions
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, IpAddress, IpInterface, MacAddress

# Far from the groups that people number by hand, and within what ``ip`` takes.
_FIRST_GROUP = 1 << 24
# Of a link that was never given one; no station has it (IEEE 802).
_NO_MAC = MacAddress("00:00:00:00:00:00")


if TYPE_CHECKING:
    from typing import Protocol

    class RandomBits(Protocol):
        """The source of randomness, such as ``random.SystemRandom()``."""

        def getrandbits(self, k: int, /) -> int:
            """Return ``k`` random bits as an integer."""

else:  # as in planner.kinds.kind: to make a protocol takes as long as to make several classes of values
    RandomBits = Any


@frozen
class Allocation:
    """What was chosen at random while planning: the MACs that a wiring wants, and the group of the created links."""

    macs: tuple[MacAddress, ...]
    group: int


def allocate(random: RandomBits, facts: NamespaceFacts, mac_count: int) -> Allocation:
    """Return ``mac_count`` MACs and a device group that nothing in the namespace has yet."""
    taken: set[str] = {link.mac for link in facts.links if link.mac}
    macs: list[MacAddress] = []
    while len(macs) < mac_count:
        mac = generate_mac_address(random)
        if mac not in taken:
            taken.add(mac)
            macs.append(mac)
    groups = {link.group for link in facts.links}
    group = _FIRST_GROUP + random.getrandbits(24)
    while str(group) in groups:
        group = _FIRST_GROUP + random.getrandbits(24)
    return Allocation(macs=tuple(macs), group=group)


def generate_mac_address(random: RandomBits) -> MacAddress:
    """Return a random, locally administered unicast MAC, 02:… (IEEE 802, 48-bit addresses).

    Reference: GenerateMacAddress.
    """
    return MacAddress("02:" + ":".join(f"{octet:02x}" for octet in random.getrandbits(40).to_bytes(5, "big")))


def random_veth_name(random: RandomBits) -> InterfaceName:
    """Return ``veth`` and eight random hexadecimal digits. Reference: RandomVethName."""
    return InterfaceName(f"veth{random.getrandbits(32):08x}")


def dhcp_addresses(facts: NamespaceFacts, options: PlanOptions, count: int) -> tuple[IpInterface, ...]:
    """Return an address for each bridge: those asked for, then free ones of 169.254.(254-X).2/24."""
    given = options.dhcp_addresses
    if len(given) > count:
        raise InvalidInput(f"--dhcp-address: {len(given)} are given, but only {count} interfaces are wired")
    _refuse_taken(given, facts, options)
    free = _free_link_local(facts, given)
    try:
        return (*given, *(next(free) for _ in range(count - len(given))))
    except (StopIteration, RuntimeError):
        raise Refused("no 169.254.0.0/16 subnet is left for a bridge's own address: give --dhcp-address") from None


def _refuse_taken(given: Collection[IpInterface], facts: NamespaceFacts, options: PlanOptions) -> None:
    """Raise Refused for an address in whose subnet somebody is whom the guest talks to, or to whom it is.

    The bridge would answer in that one's place, or the VM would look for it behind the bridge.
    """
    own = [fact.resource for fact in facts.addresses]
    hops = (hop.via for fact in facts.routes for hop in fact.resource.nexthops)
    whose: dict[IpAddress | None, str] = dict.fromkeys((*hops, options.dummy_gateway), "a gateway of the pod")
    whose |= {one.peer: f"the peer of {one.link}" for one in own}
    whose |= {one.address.ip: f"an address of {one.link}" for one in own}
    for address in given:
        covered = (ip for ip in whose if ip is not None and ip in address.network)
        if taken := address.ip if address.ip in whose else next(covered, None):
            how = "is" if taken == address.ip else f"has {taken} in its subnet, which is"
            raise Refused(f"--dhcp-address: {address.with_prefixlen} {how} {whose[taken]}")


def _free_link_local(facts: NamespaceFacts, given: Collection[IpInterface]) -> Iterator[IPv4Interface]:
    """Yield 169.254.N.2/24 from 254 down, less those whose /24, or a part of it, is used in the namespace."""
    used = [fact.resource.address.network for fact in facts.addresses]
    used += [fact.resource.dst for fact in facts.routes] + [address.network for address in given]
    taken = {
        int(network.network_address) >> 8 & 0xFF
        for network in used
        if isinstance(network, IPv4Network) and network.prefixlen >= 24 and network.network_address.is_link_local
    }
    return (IPv4Interface(f"169.254.{third}.2/24") for third in range(254, 0, -1) if third not in taken)


# How names that the user chooses are asked for, by the prefix of those that are allocated.
_NAME_OPTIONS = {"tap": "--tap-name", "br": "--bridge-name"}


def refuse_more_than(count: int, options: PlanOptions, prefixes: Collection[str]) -> None:
    """Raise InvalidInput for options of more interfaces than are wired, or of what the wiring does not make."""
    if options.bridge_names and "br" not in prefixes:
        raise InvalidInput(f"--bridge-name: the wiring {options.wiring} makes no bridge")
    given = {
        "--tap-name": options.tap_names,
        "--bridge-name": options.bridge_names,
        "--guest-mac": options.guest_macs,
        "--guest-mtu": options.guest_mtus,
    }
    for option, values in given.items():
        if len(values) > count:
            raise InvalidInput(f"{option}: {len(values)} are given, but only {count} interfaces are wired")


def _names_given(options: PlanOptions) -> dict[str, tuple[InterfaceName, ...]]:
    return {"tap": options.tap_names, "br": options.bridge_names}


def link_names(
    prefixes: tuple[str, ...], count: int, facts: NamespaceFacts, options: PlanOptions
) -> tuple[tuple[InterfaceName, ...], ...]:
    """Return the names of the links to make, one for each prefix and interface: those given, else prefix and number.

    The number is the first from the interface's position on with which all of its names are free. Raises Refused if a
    name that was given is taken.
    """
    taken = {name for link in facts.links for name in (link.name, *link.altnames)}
    given = _names_given(options)
    for option, names in ((_NAME_OPTIONS[prefix], given[prefix]) for prefix in given):
        for position, name in enumerate(names):
            if name in taken:
                what = "is given twice" if name in names[:position] else "is already the name of a link"
                raise Refused(f"{option}: {name} {what}")
            taken.add(name)
    found = []
    for position in range(count):
        own = {prefix: given[prefix][position] for prefix in given if position < len(given[prefix])}
        number = position
        while any(f"{prefix}{number}" in taken for prefix in prefixes if prefix not in own):
            number += 1
        names = tuple(own.get(prefix) or InterfaceName(f"{prefix}{number}") for prefix in prefixes)
        taken.update(names)
        found.append(names)
    return tuple(found)


def _macs_of_others(link: LinkFact, facts: NamespaceFacts) -> set[MacAddress | None]:
    return {other.mac for other in facts.links if other.name != link.name}


def guest_hardware(
    links: tuple[LinkFact, ...], facts: NamespaceFacts, options: PlanOptions
) -> list[tuple[LinkFact, MacAddress, int]]:
    """Return each link with the MAC and the MTU of its guest: those given, else the link's own.

    Raises Refused for a MAC that another link or guest has, or an MTU that the link cannot carry.
    """
    found: list[tuple[LinkFact, MacAddress, int]] = []
    for position, link in enumerate(links):
        if link.mac is None:
            raise Refused(f"{link.name} has no MAC address")
        mac = options.guest_macs[position] if position < len(options.guest_macs) else link.mac
        mtu = options.guest_mtus[position] if position < len(options.guest_mtus) else link.mtu
        if int(mac[:2], 16) & 1 or mac == _NO_MAC:
            raise Refused(f"--guest-mac: {mac} is not a unicast address, so no VM can have it")
        if mac != link.mac and mac in _macs_of_others(link, facts) | {known for _, known, _ in found}:
            raise Refused(f"--guest-mac: {mac} is another link's")
        if mtu > link.mtu:
            raise Refused(f"--guest-mtu: {mtu} is more than the {link.mtu} of {link.name}")
        found.append((link, mac, mtu))
    return found
