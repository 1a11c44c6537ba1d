"""Names and MACs that are made up: from a generator that is handed in, and nothing that is there already."""

from __future__ import annotations

import random

import pytest
from attrs import evolve

from planner.text.values import InterfaceName, Keyword, MacAddress
from planner.wiring.allocate import Allocation, RandomBits, allocate, generate_mac_address, random_veth_name
from tests.planner.builders import FixedBits, namespace, veth

SEEDS = [random.Random(seed) for seed in range(20)]  # noqa: S311  no secrets are made here


class Given:
    """Randomness that gives what it is told to, in order."""

    def __init__(self, *values: int) -> None:
        self.values = list(values)

    def getrandbits(self, k: int, /) -> int:
        """Return the next of the values."""
        return self.values.pop(0) % (1 << k)


class TestMac:
    """A generated MAC is locally administered and unicast."""

    @pytest.mark.parametrize("bits", SEEDS, ids=range(len(SEEDS)))
    def test_begins_with_02(self, bits: RandomBits) -> None:
        """02:… is local and unicast (IEEE 802), whatever is random."""
        mac = generate_mac_address(bits)
        first = int(mac[:2], 16)
        assert (first & 2, first & 1) == (2, 0)
        assert mac.startswith("02:")
        assert MacAddress(mac) == mac

    def test_takes_40_random_bits(self) -> None:
        """Nothing of the roll is thrown away."""
        assert generate_mac_address(Given(0xA1B2C3D4E5)) == "02:a1:b2:c3:d4:e5"
        assert generate_mac_address(Given(0)) == "02:00:00:00:00:00"


class TestVethName:
    """`veth` and eight hexadecimal digits."""

    @pytest.mark.parametrize("bits", SEEDS, ids=range(len(SEEDS)))
    def test_is_a_name_that_the_kernel_takes(self, bits: RandomBits) -> None:
        """At most 15 characters, whatever is random."""
        name = random_veth_name(bits)
        assert name.startswith("veth")
        assert len(name) == 12
        assert InterfaceName(name) == name

    def test_small_numbers_have_leading_zeros(self) -> None:
        """The name is as long for a small roll."""
        assert random_veth_name(Given(7)) == "veth00000007"


class TestChoose:
    """What a plan chooses is in the plan, and collides with nothing."""

    def test_as_many_macs_as_are_wanted_and_a_group(self) -> None:
        """Each is another one; the group is far from those that people number by hand."""
        chosen = allocate(FixedBits(), namespace(veth()), 6)
        assert chosen.macs == tuple(f"02:00:00:00:00:0{number}" for number in range(1, 7))
        assert 2**24 <= chosen.group < 2**25

    def test_macs_that_are_there_are_rolled_again(self) -> None:
        """Neither a link's MAC nor one that was just chosen is taken twice."""
        facts = namespace(veth(mac="02:00:00:00:00:01"))
        assert allocate(Given(1, 2, 2, 3, 4, 0), facts, 3) == Allocation(
            macs=tuple(MacAddress(f"02:00:00:00:00:0{number}") for number in (2, 3, 4)), group=2**24
        )

    def test_a_group_that_is_there_is_rolled_again(self) -> None:
        """Removing the group would take a stranger's link along."""
        facts = namespace(evolve(veth(), group=Keyword(str(2**24 + 5))))
        assert allocate(Given(1, 2, 3, 5, 5, 6), facts, 3).group == 2**24 + 6

    def test_for_no_link_there_is_only_a_group(self) -> None:
        """A result without container links is refused later, not crashed into here."""
        assert allocate(FixedBits(), namespace(), 0).macs == ()
