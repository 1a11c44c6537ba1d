"""How is this resource? One answer for planning, verifying, recovery and drift."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve

from planner.facts.ebtables_save import observed_rules
from planner.facts.model import LinkFact, NamespaceFacts
from planner.resources import (
    Address,
    AddrGenMode,
    AddrGenModeState,
    Admin,
    AdminState,
    EbtablesRules,
    Link,
    LinkState,
    Mac,
    MacState,
    Master,
    MasterState,
    Resource,
    RulesState,
    Sysctl,
    SysctlState,
    canonical,
)
from planner.text.values import Alias


class Unreadable:
    """The state of what could not be looked at: it is none that is known, not even absence."""


UNREADABLE = Unreadable()


class Observed:
    """An index over one set of facts that answers ``state_of`` in constant time."""

    def __init__(self, facts: NamespaceFacts) -> None:
        self.facts = facts
        self.links = {link.name: link for link in facts.links}
        self.sysctls = {setting.key: setting.value for setting in facts.sysctls}
        self.entries: dict[Any, Any] = {
            fact.resource: fact.state for kind in (facts.addresses, facts.routes, facts.neighbours) for fact in kind
        }

    def state_of(self, resource: Resource, like: Any) -> Any:
        """Return the state in which ``resource`` is, None where it is not there, UNREADABLE where nobody can tell.

        ``like`` is the state that podwire knows it in: of a created link and of the ebtables rules only what podwire
        gave to them is looked at. A link of that name that podwire cannot have made answers with its LinkFact.
        """
        look: Callable[[Observed, Any, Any], Any] = _LOOK.get(type(resource), _entry)
        return look(self, resource, like)


def equivalent(one: Any, other: Any) -> bool:
    """Say whether two states of one resource are equal but for what moves by itself."""
    return bool(canonical(one) == canonical(other))


def _entry(observed: Observed, resource: Resource, _like: Any) -> Any:
    return observed.entries.get(resource)


def _sysctl(observed: Observed, resource: Sysctl, _like: Any) -> SysctlState | None:
    value = observed.sysctls.get(resource.key)
    return None if value is None else SysctlState(value=value)


def _mac(observed: Observed, resource: Mac, like: MacState) -> MacState | None:
    link = observed.links.get(resource.link)
    return MacState(mac=link.mac, via_down=like.via_down) if link and link.mac else None


def _master(observed: Observed, resource: Master, _like: Any) -> MasterState | None:
    link = observed.links.get(resource.link)
    return MasterState(master=link.master) if link else None


def _admin(observed: Observed, resource: Admin, _like: Any) -> AdminState | None:
    link = observed.links.get(resource.link)
    return AdminState(up=link.up) if link else None


def _addrgenmode(observed: Observed, resource: AddrGenMode, _like: Any) -> AddrGenModeState | None:
    link = observed.links.get(resource.link)
    return AddrGenModeState(mode=link.addrgenmode) if link and link.addrgenmode else None


def _rules(observed: Observed, _resource: EbtablesRules, like: RulesState) -> RulesState | Unreadable | None:
    ebtables = observed.facts.ebtables
    return UNREADABLE if ebtables.problem else observed_rules(like, ebtables)


def _link(observed: Observed, resource: Link, like: LinkState) -> LinkState | LinkFact | None:
    link = observed.links.get(resource.name)
    if link is None or link.device is None or link.mac is None or not _could_be_ours(link, like):
        return link
    return evolve(
        like,
        device=link.device,
        mac=link.mac,
        mtu=link.mtu,
        up=link.up,
        alias=None if link.alias is None else Alias(link.alias),
        group=int(link.group) if link.group.isdecimal() else 0,
        addrgenmode=like.addrgenmode and link.addrgenmode,
        master=link.master,
        addresses=tuple(a for a in like.addresses if Address(link=link.name, address=a) in observed.entries),
        sysctls=tuple(s for s in like.sysctls if observed.sysctls.get(s.key) == s.value),
    )


def _could_be_ours(link: LinkFact, like: LinkState) -> bool:
    """Say whether podwire can have made ``link`` to become ``like``: its type, and its alias or (killed early) none."""
    return type(link.device) is type(like.device) and link.alias in (None, like.alias)


_LOOK: dict[type, Callable[[Observed, Any, Any], Any]] = {
    Sysctl: _sysctl,
    Link: _link,
    Mac: _mac,
    Master: _master,
    Admin: _admin,
    AddrGenMode: _addrgenmode,
    EbtablesRules: _rules,
}
