"""A wiring of the tests' own, which leaves the pod's interface alone and makes a tap beside it. All of it is here.

It isn't registered by being loaded, so that other tests of the same process don't hear of it.
"""

from __future__ import annotations

from planner.changes.change import Change
from planner.facts.model import LinkFact, NamespaceFacts
from planner.network import VmInterface
from planner.text.values import NetnsPath
from planner.wiring.base import Slot, Unfit, Wiring, WiringRequest, tap_interface
from planner.wiring.links import create_tap


def _unfit(link: LinkFact, _facts: NamespaceFacts) -> Unfit | None:
    return Unfit(f"{link.name} is a dummy", "nobody is there") if link.type == "dummy" else None


def _interface(slot: Slot, request: WiringRequest) -> VmInterface:
    return tap_interface(slot, request, tap=slot.names[0])


def _changes(request: WiringRequest) -> tuple[Change, ...]:
    return tuple(
        create_tap(
            slot.names[0],
            mac=slot.macs[0],
            mtu=slot.link.mtu,
            owner=request.tag,
            options=request.options,
            netns=request.netns,
            reason=f"beside {slot.link.name}",
        )
        for slot in request.slots
    )


def _strays(_links: tuple[LinkFact, ...], _facts: NamespaceFacts, _netns: NetnsPath) -> tuple[Change, ...]:
    return ()


def _lost(interface: VmInterface, facts: NamespaceFacts) -> str | None:
    tap = facts.link(interface.name)
    return None if tap and tap.up else "it is down"


BESIDE = Wiring(
    name="beside",
    title="a tap beside it",
    unfit=_unfit,
    prefixes=("tap",),
    macs=1,
    interface=_interface,
    changes=_changes,
    strays=_strays,
    programs=(),
    lost=_lost,
)
