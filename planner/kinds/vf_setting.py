"""What a physical function enforces of one of its virtual functions (ip-link(8), "vf NUM")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from attrs import evolve

from planner.kinds.kind import ChangeLike, Kind, Look, Seen, register
from planner.kinds.shown import differences
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, Keyword, MacAddress, PciAddress

VFIO = Keyword("vfio-pci")  # the driver by which a VMM opens a device (kernel, driver-api/vfio.rst)


@frozen
class VfSettingState:
    """The settings of one virtual function; rates in Mbit/s, 0 is unlimited.

    ``pinned``: whether podwire pins the MAC. It cannot be observed: some drivers show the MAC that the function has,
    whatever chose it, and it must be pinned all the same, or the guest would get another one.
    """

    mac: MacAddress
    vlan: int = 0
    qos: int = 0
    vlan_protocol: Keyword = Keyword("802.1Q")
    spoof_check: bool | None = None
    trust: bool | None = None
    link_state: Keyword | None = None
    min_rate: int = 0
    max_rate: int = 0
    pinned: bool = False

    @property
    def canonical(self) -> VfSettingState:
        """Return this without what cannot be observed."""
        return evolve(self, pinned=True)


@frozen
class VfSetting:
    """A virtual function as its physical one has it. ``ip link set dev eth0 vf 0 mac MAC``, on the host."""

    TAG: ClassVar = {"kind": "vf_setting"}
    address: PciAddress
    pf: InterfaceName
    number: int

    def __str__(self) -> str:
        return f"VF {self.number} of {self.pf}"


def _observe(seen: Seen, resource: VfSetting, like: VfSettingState) -> VfSettingState | None:
    function = seen.functions.get(resource.address)
    if function is None or function.setting is None:
        return None
    found: VfSettingState = evolve(function.setting, pinned=like.pinned)
    return found


def _lost(change: ChangeLike, seen: Seen) -> str | None:
    """Say why a function is not the wiring's any more: the MAC that was pinned for it is what it is known by."""
    resource: VfSetting = change.resource
    function = seen.functions.get(resource.address)
    if function is None:
        return f"{resource.address} is gone: {resource.pf} no longer has such a virtual function"
    states = [state for state in (change.before, change.after) if state is not None]
    ours = {state.mac for state in states if state.pinned}
    known = ours if function.driver == VFIO else {state.mac for state in states}
    if function.setting is None or function.setting.mac in known:
        return None
    return (
        f"{resource.address} was given to another pod in the meantime ({resource.pf} has the MAC "
        f"{function.setting.mac} for it): it was left alone"
    )


def _words(change: ChangeLike) -> list[str]:
    if change.before is None or change.after is None:
        return [str(change.resource)]
    lines = [line.replace(", was applied as ", " ← ") for line in differences(change.before, change.after)]
    pinned = "pinned" if change.after.pinned else "no longer pinned"
    vlan = f", vlan {change.after.vlan}" if change.after.vlan else ""
    return [
        f"mac {change.after.mac} {pinned}{vlan}",
        *(line for line in lines if not line.startswith(("mac", "pinned"))),
    ]


def _looks(resource: VfSetting, state: VfSettingState) -> Iterator[Look]:
    yield ["ip", "-o", "link", "show", "dev", resource.pf], rf"vf {resource.number} [^\\]*link/ether {state.mac} "


VF_SETTING = register(
    Kind(
        name="vf_setting",
        resource=VfSetting,
        state=VfSettingState,
        template="vf_setting.j2",
        observe=_observe,
        subject=lambda resource: f"{resource.pf} vf {resource.number}",
        words=_words,
        drift=lambda change: list(differences(change.before, change.after)),
        looks=_looks,
        links=lambda _: frozenset(),
        touches=lambda _: None,
        device=lambda resource: resource.address,
        lost=_lost,
    )
)
