"""A change in words: whose it is, and what happens to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from planner.changes.change import Change
from planner.resources import (
    Address,
    AddrGenMode,
    Admin,
    BridgeDevice,
    DropRule,
    EbtablesRules,
    Link,
    LinkState,
    Mac,
    Master,
    Neighbour,
    Route,
    Sysctl,
    TapDevice,
)


def subject_of(change: Change) -> str:
    """Return the link that a change is about, or ``route``, ``rules``, ``sysctl``."""
    resource = change.resource
    if isinstance(resource, Link):
        return resource.name
    if isinstance(resource, (Route, Sysctl, EbtablesRules)):
        return {Route: "route", Sysctl: "sysctl", EbtablesRules: "rules"}[type(resource)]
    return resource.link


def words_of(change: Change) -> list[str]:
    """Return what happens to the subject, a line each."""
    return _WORDS[type(change.resource)](change)


def _sysctl(change: Change) -> list[str]:
    return [f"{change.resource.key} {_arrow(change, 'value')}"]  # type: ignore[union-attr]


def _arrow(change: Change, key: str) -> str:
    old, new = (getattr(state, key, None) for state in (change.before, change.after))
    return f"{'none' if old is None else old} → {'none' if new is None else new}"


def _link(change: Change) -> list[str]:
    state: Any = change.known_state
    words = [*_device_words(state), f"mtu {state.mtu}"]
    if state.master:
        words.append(f"in {state.master}")
    lines = [", ".join(words), f"its own mac {state.mac}"]
    return [*lines, *(str(address) for address in state.addresses)] if change.after else [lines[0]]


def _device_words(state: LinkState) -> list[str]:
    device = state.device
    if isinstance(device, BridgeDevice):
        quiet = (["no learning"] if device.ageing_time == 0 else []) + (
            [] if device.mcast_snooping else ["no snooping"]
        )
        return ["bridge", *quiet]
    if isinstance(device, TapDevice):
        owner = "" if device.owner is None else f" of user {device.owner}"
        return (
            [f"tap{owner}"]
            + (["multi-queue"] if device.multi_queue else [])
            + (["vnet header"] if device.vnet_hdr else [])
        )
    return [f"veth to {device.peer}"]


def _neighbour(change: Change) -> list[str]:
    resource, state = change.resource, change.known_state
    if resource.proxy:  # type: ignore[union-attr]
        return [f"answers for {resource.address} (proxy)"]  # type: ignore[union-attr]
    return [f"neighbour {resource.address} is {state.lladdr} ({state.state})"]  # type: ignore[union-attr]


def _rules(change: Change) -> list[str]:
    state: Any = change.known_state
    return [f"{count} times: {text}" if count > 1 else text for text, count in _counted(map(_rule, state.rules))]


def _counted(lines: Any) -> list[tuple[str, int]]:
    found: dict[str, int] = {}
    for line in lines:
        found[line] = found.get(line, 0) + 1
    return list(found.items())


def _rule(rule: DropRule) -> str:
    if rule.udp_port is not None:
        return f"no {'DHCPv6' if rule.protocol == 'IPv6' else 'DHCP'} request leaves by {rule.out_link}"
    if rule.in_link:
        return f"nothing from {rule.in_link} reaches the bridge itself"
    return f"nothing of the bridge itself leaves by {rule.out_link}"


def _route(change: Change) -> list[str]:
    return [str(change.resource).removeprefix("route ")]


_WORDS: dict[type, Callable[[Change], list[str]]] = {
    Sysctl: _sysctl,
    Link: _link,
    Mac: lambda change: [f"mac {_arrow(change, 'mac')}"],
    Master: lambda change: [f"master {_arrow(change, 'master')}"],
    Admin: lambda change: ["down → up" if getattr(change.after, "up", False) else "up → down"],
    AddrGenMode: lambda change: [f"address generation {_arrow(change, 'mode')}"],
    Address: lambda change: [str(change.resource).rsplit(" on ", 1)[0]],
    Route: _route,
    Neighbour: _neighbour,
    EbtablesRules: _rules,
}
