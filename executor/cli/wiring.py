"""What the options of plan and apply say about a wiring. Everything is parsed here, once, or refused."""

from __future__ import annotations

import argparse
import grp
import pwd
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, TypeVar

from executor.cli.files import document_name, read_file
from executor.cli.settings import settings_of
from executor.netns.naming import netns_and_id, resolve_netns
from executor.operations.plan import plan_from_facts, plan_namespace
from executor.settings import Settings
from executor.templates import load_templates
from executor.trust.privileges import require_privileges
from planner.cni.merge import merge_results
from planner.cni.result import CniResult, parse_result
from planner.errors import InvalidInput
from planner.facts.document import parse_facts
from planner.options import PlanOptions
from planner.plan.plan import Plan
from planner.text.document import load_json
from planner.text.values import (
    InterfaceName,
    IpAddress,
    IpInterface,
    Keyword,
    MacAddress,
    parse_address,
    parse_interface,
    shown,
)
from planner.wiring import DEFAULT_WIRING
from planner.wiring.base import wiring_named

if TYPE_CHECKING:
    from executor.operations.outcome import Outcome

T = TypeVar("T")

_MAX_ID = 2**32 - 2
# What useradd(8) takes for a name.
_NAME = r"[a-z_][a-z0-9_-]{0,30}\$?"
_MAX_QUEUES = 256
_IPV4_BITS = 32
_MIN_MTU, _MAX_MTU = 68, 65535  # RFC 791; a tap's (tun.c)
_LONGEST_SUBNET = 30
_THIS_NETWORK = IPv4Network("0.0.0.0/8")  # RFC 1122
_GATEWAYS = ("dummy_gateway", "dummy_result", "dummy_conflist")


def read_result(arguments: argparse.Namespace) -> CniResult:
    """Return what the CNI results that --result names say together."""
    names = arguments.result
    if names.count("-") > 1:
        raise InvalidInput("--result: standard input can be used only once")
    whats = ["result"] if len(names) == 1 else [f"result {number}" for number in range(1, len(names) + 1)]
    results = [
        parse_result(read_file(name, "CNI result"), what, called=document_name(name))
        for name, what in zip(names, whats, strict=True)
    ]
    return merge_results(results)


def plan_here(arguments: argparse.Namespace, result: CniResult, gateway: IpAddress | None = None) -> Plan:
    """Return the plan that the arguments ask for: from captured facts, or for the namespace as it is now.

    ``gateway`` is Calico's dummy gateway, unless an option names it. Raises InvalidInput, Refused, HostError.
    """
    options = _plan_options(arguments, gateway or _named_gateway(arguments))
    captured = getattr(arguments, "facts", None)
    if captured is None:
        require_privileges()
        netns, plan_id = netns_and_id(arguments.netns, arguments.id)
        return plan_namespace(result, plan_id=plan_id, netns=netns, options=options, settings=settings_of(arguments))
    facts = parse_facts(read_file(captured, "facts"), called=document_name(captured))
    netns, plan_id = netns_and_id(arguments.netns, arguments.id)
    return plan_from_facts(result, facts, plan_id=plan_id, netns=netns, options=options, templates=load_templates())


def wire_here(
    arguments: argparse.Namespace, result: CniResult, gateway: IpAddress | None, settings: Settings
) -> tuple[Plan, Outcome]:
    """Plan as ``plan_here`` does and apply it at once; return what is applied now, and how that came about."""
    from executor.operations.apply import wire  # noqa: PLC0415  only without confirmation

    netns, plan_id = netns_and_id(arguments.netns, arguments.id)
    return wire(
        result,
        plan_id=plan_id,
        netns=netns,
        options=_plan_options(arguments, gateway or _named_gateway(arguments)),
        settings=settings,
        confirm_within=arguments.confirm_within,
    )


def dummy_gateway_of(
    arguments: argparse.Namespace, settings: Settings
) -> AbstractContextManager[tuple[IpAddress | None, Settings]]:
    """Return what holds the gateway that --dummy-conflist gets from CNI plugins; no gateway without that option.

    With it come the settings to go on with.
    """
    _refuse_several_gateways(arguments)
    if arguments.dummy_conflist is None:
        return nullcontext((None, settings))
    if arguments.dry_run:
        raise InvalidInput("--dry-run: --dummy-conflist would run CNI plugins; use --dummy-gateway or --dummy-result")
    from executor.operations.calico_gateway import Conflist, dummy_gateway  # noqa: PLC0415  rarely wanted

    conflist = Conflist.parse(
        load_json(_conflist(arguments), "conflist", called=document_name(arguments.dummy_conflist))
    )
    _, plan_id = netns_and_id(arguments.netns, arguments.id)
    return dummy_gateway(conflist, plan_id, settings)


def _conflist(arguments: argparse.Namespace) -> bytes:
    """Return the text of the conflist, whose plugins will run as root."""
    return read_file(arguments.dummy_conflist, "conflist", trusted=not arguments.allow_untrusted_plan)


def _plan_options(arguments: argparse.Namespace, dummy_gateway: IpAddress | None) -> PlanOptions:
    """Return the options of the wiring; InvalidInput names the option that is wrong."""
    owner, group = _owner(arguments.tap_owner, is_elsewhere=getattr(arguments, "facts", None) is not None)
    queues = 1 if arguments.tap_queues is None else _number(arguments.tap_queues, "--tap-queues", 1, _MAX_QUEUES)
    return PlanOptions(
        tap_owner=owner,
        tap_owner_group=group,
        tap_queues=queues,
        tap_vnet_hdr=arguments.tap_vnet_hdr,
        serve_dhcp=arguments.serve_dhcp,
        dhcp_addresses=tuple(_dhcp_address(text) for text in arguments.dhcp_address),
        dummy_gateway=dummy_gateway,
        calico_subnet=_calico_subnet(arguments.calico_subnet),
        sriov=arguments.sriov,
        wiring=DEFAULT_WIRING if arguments.wiring is None else Keyword(wiring_named(arguments.wiring).name),
        tap_names=_each(arguments.tap_name, "--tap-name", InterfaceName),
        bridge_names=_each(arguments.bridge_name, "--bridge-name", InterfaceName),
        guest_macs=_each(arguments.guest_mac, "--guest-mac", _unicast),
        guest_mtus=tuple(_number(text, "--guest-mtu", _MIN_MTU, _MAX_MTU) for text in arguments.guest_mtu),
    )


def _each(texts: list[str], option: str, parser: Callable[[str], T]) -> tuple[T, ...]:
    try:
        return tuple(parser(text) for text in texts)
    except ValueError as error:
        raise InvalidInput(f"{option}: {error}") from None


def _unicast(text: str) -> MacAddress:
    """Return the MAC address of one station (IEEE 802: the lowest bit of the first octet is 0)."""
    mac = MacAddress(text)
    if int(mac[:2], 16) & 1 or not int(mac.replace(":", ""), 16):
        raise ValueError(f"{mac} is not a unicast address")
    return mac


def _calico_subnet(text: str | None) -> int | None:
    return None if text is None else _number(text, "--calico-subnet", 1, _IPV4_BITS)


def _owner(text: str | None, *, is_elsewhere: bool) -> tuple[int | None, int | None]:
    """Return the numbers of USER[:GROUP]; names are those of this machine, so not for a plan for another."""
    if text is None:
        return None, None
    user, colon, group = text.partition(":")
    if not user or (colon and not group):
        raise InvalidInput(f"--tap-owner: the {'group' if user else 'user'} is empty")
    if is_elsewhere and not f"{user}{group}".isdecimal():
        raise InvalidInput("--tap-owner: with --facts, give numbers: users differ from machine to machine")
    return (
        _id_of(user, lambda name: pwd.getpwnam(name).pw_uid),
        _id_of(group, lambda name: grp.getgrnam(name).gr_gid) if colon else None,
    )


def _id_of(text: str, look_up: Callable[[str], int]) -> int:
    if not re.fullmatch(_NAME, text):
        return _number(text, "--tap-owner", 0, _MAX_ID)
    try:
        return look_up(text)
    except KeyError:
        raise InvalidInput(f"--tap-owner: there is no user or group {text} here") from None


def _number(text: str, option: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(high)) and low <= int(text) <= high):
        raise InvalidInput(f"{option}: {shown(text)} is not a number from {low} to {high}")
    return int(text)


def _dhcp_address(text: str) -> IpInterface:
    """Return a bridge's own address; without a prefix length it is a /24."""
    try:
        address = parse_interface(text if "/" in text else f"{text}/24")
    except ValueError:
        address = None
    if address is None or not _is_a_hosts(address):
        raise InvalidInput(f"--dhcp-address: {shown(text)} is not an IPv4 address of a host (such as 169.254.254.2/24)")
    return address


def _is_a_hosts(address: IpInterface) -> bool:
    """Say whether a host can have this IPv4 address: in its subnet it is neither the first nor the last (RFC 1122)."""
    ip, network = address.ip, address.network
    special = ip.is_multicast or ip.is_reserved or ip.is_loopback or ip in _THIS_NETWORK
    ends = () if network.prefixlen > _LONGEST_SUBNET else (network.network_address, network.broadcast_address)
    return address.version == 4 and not special and network.prefixlen > 0 and ip not in ends


def _refuse_several_gateways(arguments: argparse.Namespace) -> None:
    given = [f"--{way.replace('_', '-')}" for way in _GATEWAYS if getattr(arguments, way, None) is not None]
    if len(given) > 1:
        raise InvalidInput(f"{' and '.join(given)} exclude each other: give one of them")
    if (arguments.dummy_result is None) != (arguments.dummy_netns is None):
        raise InvalidInput("--dummy-result and --dummy-netns go together")


def _named_gateway(arguments: argparse.Namespace) -> IpAddress | None:
    """Return the gateway that --dummy-gateway or --dummy-result names, None if there is none of them."""
    _refuse_several_gateways(arguments)
    if arguments.dummy_result is not None:
        from executor.operations.calico_gateway import observed_gateway  # noqa: PLC0415  rarely wanted

        result = parse_result(
            read_file(arguments.dummy_result, "dummy result"), called=document_name(arguments.dummy_result)
        )
        return observed_gateway(result, resolve_netns(arguments.dummy_netns), timeout=arguments.timeout)
    if arguments.dummy_gateway is None:
        return None
    try:
        return parse_address(arguments.dummy_gateway)
    except ValueError as error:
        raise InvalidInput(f"--dummy-gateway: {error}") from None
