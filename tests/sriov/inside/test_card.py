"""The host is as these tests need it."""

from __future__ import annotations

from tests.sriov.inside.functions import Function


def test_the_card_has_functions_with_iommu_groups_of_their_own() -> None:
    """Three of them, each at the host's driver."""
    for number in range(3):
        function = Function(number)
        assert function.driver == "igbvf"
        assert function.group_devices == [function.address]
