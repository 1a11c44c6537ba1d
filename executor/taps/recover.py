"""After a restart of the runtime: the network of a wired namespace, and its taps opened again."""

from __future__ import annotations

import os

from executor.observe.elsewhere import with_elsewhere
from executor.observe.observe import observe_once
from executor.operations.repair import repair
from executor.settings import Settings
from executor.state.record import WiringRecord
from executor.state.status import open_recorded
from executor.taps.holders import Holder, tap_holders
from executor.taps.open import open_tap
from executor.taps.vfio import came_back
from planner.network import ContainerSideNetwork
from planner.plan.plan import plan_from_json
from planner.recovery import recover_container_side_network
from planner.text.frozen import frozen
from planner.text.values import InterfaceName


@frozen
class OpenTap:
    """The descriptors of one tap, a queue each; none if ``holder``, a VMM, has it open already."""

    name: InterfaceName
    fds: tuple[int, ...] = ()
    holder: Holder | None = None


@frozen
class Reopened:
    """A wired namespace after a restart. The descriptors are the caller's to close."""

    network: ContainerSideNetwork
    taps: tuple[OpenTap, ...]

    def close(self) -> None:
        """Close every descriptor."""
        for tap in self.taps:
            for fd in tap.fds:
                os.close(fd)


def reopen(entry: WiringRecord, settings: Settings) -> Reopened:
    """Return the network of a wired namespace, with its taps opened unless a VMM holds them.

    A virtual function that came back to the host is handed over again. Raises Refused if it is not as it was recorded,
    NamespaceGone, or HostError if a tap cannot be opened.
    """
    if came_back(entry):
        repair(entry, settings)
    with open_recorded(entry) as namespace:
        plan = plan_from_json(entry.plan, settings.templates)
        facts = observe_once(namespace, timeout=settings.timeout)
        facts = with_elsewhere(facts, plan.facts.elsewhere, timeout=settings.timeout)
        network = recover_container_side_network(plan, facts)
        held = {holder.tap: holder for holder in tap_holders([tap.name for tap in network.interfaces], namespace)}
        taps: list[OpenTap] = []
        try:
            for tap in (one for one in network.interfaces if not one.pci_address):
                holder = held.get(tap.name)
                fds = (
                    () if holder else open_tap(tap.name, namespace=namespace, queues=tap.queues, vnet_hdr=tap.vnet_hdr)
                )
                taps.append(OpenTap(tap.name, fds, holder))
        except BaseException:
            Reopened(network, tuple(taps)).close()
            raise
    return Reopened(network, tuple(taps))
