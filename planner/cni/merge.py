"""Several results for one namespace (Multus calls a chain of plugins for each network) as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TypeVar

from attrs import evolve

from planner.cni.result import VERSIONS, CniDns, CniResult, CniRoute
from planner.errors import InvalidInput

T = TypeVar("T")


def merge_results(results: Sequence[CniResult]) -> CniResult:
    """Return the result that says what all of ``results`` say, in their order; of one it is that one.

    A route without a gateway uses that of its own result's address (CNI specification, ADD Success). Raises
    InvalidInput if there is none, or two name one link.
    """
    if not results:
        raise InvalidInput("result: none was given")
    if len(results) == 1:
        return results[0]
    names = [interface.name for result in results for interface in result.sandboxed_interfaces()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidInput(f"result: {', '.join(twice)} appears in several results")
    offsets = accumulate((len(result.interfaces) for result in results), initial=0)
    return CniResult(
        version=max((result.version for result in results), key=VERSIONS.index),
        interfaces=tuple(interface for result in results for interface in result.interfaces),
        ips=tuple(
            evolve(ip, interface=None if ip.interface is None else ip.interface + offset)
            for result, offset in zip(results, offsets, strict=False)
            for ip in result.ips
        ),
        routes=tuple(_with_gateway(route, result) for result in results for route in result.routes),
        dns=_merge_dns([result.dns for result in results]),
    )


def _with_gateway(route: CniRoute, result: CniResult) -> CniRoute:
    if route.gateway is not None:
        return route
    gateways = (ip.gateway for ip in result.ips if ip.gateway and ip.gateway.version == route.dst.version)
    return evolve(route, gateway=next(gateways, None))


def _merge_dns(found: Sequence[CniDns]) -> CniDns:
    return CniDns(
        nameservers=_once(server for dns in found for server in dns.nameservers),
        domain=next((dns.domain for dns in found if dns.domain), None),
        search=_once(name for dns in found for name in dns.search),
        options=_once(option for dns in found for option in dns.options),
    )


def _once(items: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(items))
