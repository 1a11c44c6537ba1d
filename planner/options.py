"""What the user may choose about a wiring; part of the plan, so that the same choice is known again."""

from __future__ import annotations

from attrs import frozen

from planner.values import IpInterface


@frozen
class PlanOptions:
    """Options of ``plan`` and ``apply``. Ids are numeric; ``dhcp_addresses`` go to the bridges in their order."""

    tap_owner: int | None = None
    tap_owner_group: int | None = None
    tap_queues: int = 1
    tap_vnet_hdr: bool = False
    dhcp_addresses: tuple[IpInterface, ...] = ()
