"""Which driver has a PCI device (kernel, Documentation/ABI/testing/sysfs-bus-pci)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from planner.kinds.kind import ChangeLike, Kind, Look, Seen, register
from planner.kinds.shown import arrow, differences
from planner.text.frozen import frozen
from planner.text.values import Keyword, PciAddress

_DEVICES = "/sys/bus/pci/devices"


@frozen
class DriverState:
    """The driver that has a device, and the only one that may take it (``driver_override``); None is none, and any."""

    driver: Keyword | None
    override: Keyword | None = None


@frozen
class Driver:
    """The driver of a PCI device. ``tee /sys/bus/pci/drivers_probe`` with its address for input, on the host."""

    TAG: ClassVar = {"kind": "driver"}
    address: PciAddress

    def __str__(self) -> str:
        return f"driver of {self.address}"


def _observe(seen: Seen, resource: Driver, _like: Any) -> DriverState | None:
    function = seen.functions.get(resource.address)
    return None if function is None else DriverState(function.driver, function.override)


def _lost(change: ChangeLike, seen: Seen) -> str | None:
    address = change.resource.address
    return None if address in seen.functions else f"{address} is gone with everything that was on it"


def _looks(resource: Driver, state: DriverState) -> Iterator[Look]:
    argv = ["readlink", f"{_DEVICES}/{resource.address}/driver"]
    yield argv, f"/{re.escape(state.driver)} *$" if state.driver else "!/drivers/"
    override = re.escape(state.override) if state.override else r"\(null\)"
    yield ["cat", f"{_DEVICES}/{resource.address}/driver_override"], f"^ {override} *$"


DRIVER = register(
    Kind(
        name="driver",
        resource=Driver,
        state=DriverState,
        template="driver.j2",
        observe=_observe,
        subject=lambda resource: str(resource.address),
        words=lambda change: [f"driver {arrow(change, 'driver')}"],
        drift=lambda change: list(differences(change.before, change.after)),
        looks=_looks,
        links=lambda _: frozenset(),
        touches=lambda _: None,
        device=lambda resource: resource.address,
        lost=_lost,
    )
)
