"""What cloud-init reads: network configurations of version 2 and 1, and user data for what these cannot say.

Its renderers differ in what they take, so only what all of them do the same with is written: a default route by
gateway4, gateway6 or a subnet's gateway (``to: ::/0`` becomes ``::/64`` in some, ``to: default`` fails in most), and a
route on the link as one by 0.0.0.0 or :: (one without ``via`` fails in some).

Source: cloud-init's reference, "Networking Config Version 1" and "2"; "Module reference", Bootcmd.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from planner.guest.model import GuestRoute
from planner.guest.nic import GuestNic, GuestText
from planner.text.values import IpNetwork

_UNSPECIFIED = {4: "0.0.0.0", 6: "::"}  # noqa: S104 -- a gateway that is none; nothing is bound
_VERSIONS = (4, 6)


def version_2(nics: Sequence[GuestNic]) -> GuestText:
    """Return a network configuration of version 2; the guest's interfaces are called as the pod's."""
    ethernets = {str(nic.name): _ethernet(nic) for nic in nics}
    return _text({"version": 2, "ethernets": ethernets}, nics)


def version_1(nics: Sequence[GuestNic]) -> GuestText:
    """Return a network configuration of version 1."""
    return _text({"version": 1, "config": [_physical(nic) for nic in nics]}, nics)


def user_data(nics: Sequence[GuestNic]) -> GuestText:
    """Return user data that sets, at every boot, the neighbours that no network configuration can."""
    commands = [
        [
            "ip",
            "neigh",
            "replace",
            str(one.address),
            "lladdr",
            str(one.lladdr),
            "dev",
            str(nic.name),
            "nud",
            "permanent",
        ]
        for nic in nics
        for one in nic.guest.neighbours
    ]
    return GuestText("#cloud-config\n" + _yaml({"bootcmd": commands} if commands else {}))


def _text(document: dict[str, Any], nics: Sequence[GuestNic]) -> GuestText:
    notes: list[str] = []
    for nic in nics:
        notes += (
            f"a network configuration has no neighbours: {one} is in --format user-data" for one in nic.guest.neighbours
        )
        notes += (
            f"cloud-init has one default route: {route} is left out for {nic.name}"
            for route in nic.guest.routes
            if route.dst.prefixlen == 0 and route is not nic.default(route.dst.version)
        )
        notes += filter(None, (_unsaid_numbers(route, nic) for route in nic.guest.routes))
        notes += nic.unsaid_dns("cloud-init")
    return GuestText(_yaml(document), tuple(notes))


def _unsaid_numbers(route: GuestRoute, nic: GuestNic) -> str | None:
    """Return which number of a route it goes without, None if none: ``gateway4`` and the like have no metric."""
    is_gateway = route is nic.default(route.dst.version) and route.via is not None
    if not (route.mtu or (is_gateway and route.metric)):
        return None
    lacks = "MTU for a route" if route.mtu else "metric for a default route"
    return f"cloud-init has no {lacks}: {nic.name} does not get that of {route}"


def _ethernet(nic: GuestNic) -> dict[str, Any]:
    found: dict[str, Any] = {"match": {"macaddress": str(nic.guest.mac)}, "set-name": str(nic.name)}
    found["mtu"] = nic.guest.mtu
    if nic.guest.addresses:
        found["addresses"] = [str(address) for address in nic.guest.addresses]
    for version in _VERSIONS:
        if gateway := nic.gateway(version):
            found[f"gateway{version}"] = str(gateway)
    if routes := [route for version in _VERSIONS for route in _routes(nic, version, "to", "via")]:
        found["routes"] = routes
    resolver = {"addresses": [str(server) for server in nic.guest.dns.nameservers], "search": list(nic.search)}
    if any(resolver.values()):
        found["nameservers"] = {key: value for key, value in resolver.items() if value}
    return found


def _physical(nic: GuestNic) -> dict[str, Any]:
    subnets = [subnet for version in _VERSIONS for subnet in _subnets(nic, version)] or [{"type": "manual"}]
    # Of several subnets with name servers one of the renderers takes those of the last.
    if nic.guest.dns.nameservers:
        subnets[0]["dns_nameservers"] = [str(server) for server in nic.guest.dns.nameservers]
    if nic.search:
        subnets[0]["dns_search"] = list(nic.search)
    found: dict[str, Any] = {"type": "physical", "name": str(nic.name), "mac_address": str(nic.guest.mac)}
    return found | {"mtu": nic.guest.mtu, "subnets": subnets}


def _subnets(nic: GuestNic, version: int) -> Iterator[dict[str, Any]]:
    """Yield a subnet for each address; the first has the gateway and the routes of the family."""
    for number, address in enumerate(nic.addresses(version)):
        subnet: dict[str, Any] = {"type": "static" if version == 4 else "static6", "address": str(address)}
        if number == 0:
            if gateway := nic.gateway(version):
                subnet["gateway"] = str(gateway)
            if routes := list(_routes(nic, version, "destination", "gateway")):
                subnet["routes"] = routes
        yield subnet


def _routes(nic: GuestNic, version: int, to: str, via: str) -> Iterator[dict[str, Any]]:
    """Yield the routes of a family; gateways that are in no subnet are put on the link first."""
    for gateway in nic.unreached_gateways(version):
        yield {to: f"{gateway}/{gateway.max_prefixlen}", via: _UNSPECIFIED[version]}
    default = nic.default(version)
    for route in nic.routes(version):
        if route.dst.prefixlen:
            yield _route(route.dst, route, to, via)
    if default is not None and default.via is None:
        # There is no gateway to name: the two halves of everything, since a default route is no route to the renderers.
        for half in default.dst.subnets():
            yield _route(half, default, to, via)


def _route(dst: IpNetwork, route: GuestRoute, to: str, via: str) -> dict[str, Any]:
    found: dict[str, Any] = {to: str(dst), via: str(route.via or _UNSPECIFIED[dst.version])}
    return found | ({"metric": route.metric} if route.metric else {})


def _yaml(value: dict[str, Any]) -> str:
    """Return a document as YAML 1.1, texts in quotes: a MAC of digits would be a number of base 60."""
    return "".join(f"{line}\n" for line in _block(value)) or "{}\n"


def _block(value: dict[str, Any]) -> Iterator[str]:
    for key, item in value.items():
        if isinstance(item, dict) and item:
            yield f"{key}:"
            yield from (f"  {line}" for line in _block(item))
        elif isinstance(item, list) and any(isinstance(member, dict | list) for member in item):
            yield f"{key}:"
            for member in item:
                lines = list(_block(member)) if isinstance(member, dict) else [json.dumps(member)]
                yield f"- {lines[0]}"
                yield from (f"  {line}" for line in lines[1:])
        else:
            yield f"{key}: {json.dumps(item)}"
