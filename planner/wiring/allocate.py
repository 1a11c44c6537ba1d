"""Names and MACs that are made up: all randomness is handed in, and happens while planning."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

from planner.facts.model import NamespaceFacts
from planner.text.values import InterfaceName, MacAddress

# The pod's interface, the bridge and the tap each get one.
MACS_PER_LINK = 3
# Far from the groups that people number by hand, and within what ``ip`` takes.
_FIRST_GROUP = 1 << 24


class RandomBits(Protocol):
    """Where randomness comes from, such as ``random.SystemRandom()``."""

    def getrandbits(self, k: int, /) -> int:
        """Return ``k`` random bits as an integer."""


@frozen
class Allocation:
    """What was chosen at random while planning: MACs, three for each link, and the group of the created links."""

    macs: tuple[MacAddress, ...]
    group: int


def allocate(random: RandomBits, facts: NamespaceFacts, link_count: int) -> Allocation:
    """Return MACs and a device group that nothing in the namespace has yet."""
    taken: set[str] = {link.mac for link in facts.links if link.mac}
    macs: list[MacAddress] = []
    while len(macs) < link_count * MACS_PER_LINK:
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
