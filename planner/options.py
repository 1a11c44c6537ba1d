"""What the user may choose about a wiring; part of the plan, so that the same choice is known again."""

from __future__ import annotations

from planner.text.frozen import frozen
from planner.text.values import InterfaceName, IpAddress, IpInterface, Keyword, MacAddress
from planner.wiring import DEFAULT_WIRING


@frozen
class PlanOptions:
    """Options of ``plan`` and ``apply``.

    Ids are numeric; ``dhcp_addresses`` go to the bridges in their order; ``calico_subnet`` counts bits.
    ``serve_dhcp``: podwire will serve the guest, so that the pod network must not.
    ``wiring`` names how the VM is joined to the links (planner/wiring). Names, and the guest's MACs and MTUs, go to the
    interfaces in their order; those that are not given are allocated, or are the link's own.
    With ``sriov`` virtual functions are handed to the VM whole.
    """

    tap_owner: int | None = None
    tap_owner_group: int | None = None
    tap_queues: int = 1
    tap_vnet_hdr: bool = False
    dhcp_addresses: tuple[IpInterface, ...] = ()
    dummy_gateway: IpAddress | None = None
    calico_subnet: int | None = None
    wiring: Keyword = DEFAULT_WIRING
    tap_names: tuple[InterfaceName, ...] = ()
    bridge_names: tuple[InterfaceName, ...] = ()
    guest_macs: tuple[MacAddress, ...] = ()
    guest_mtus: tuple[int, ...] = ()
    serve_dhcp: bool = False
    sriov: bool = False

    @property
    def fixes_calico(self) -> bool:
        """Say whether Calico's addressing is to be made fit for a guest; nobody else's is touched by that."""
        return self.dummy_gateway is not None or self.calico_subnet is not None
