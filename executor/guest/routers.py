"""Finding the link-local address of a gateway that is known by another one: it is what a guest's router is (RFC 4861).

Asked from the pod's link itself, which has no address while it is wired: in the name of the link-local address that
goes with its MAC.
"""

from __future__ import annotations

from ipaddress import IPv6Address

from executor.guest.packets import IcmpV6Socket
from executor.netns.namespace import Namespace
from planner.guest.icmpv6 import (
    ALL_ROUTERS,
    ECHO_REPLY,
    NEIGHBOUR_ADVERTISEMENT,
    Received,
    echo_request,
    link_local_of,
    neighbour_solicitation,
)
from planner.text.values import InterfaceName, MacAddress, is_ipv6_link_local

TRIES = 3
_SECONDS = 1.0
_TARGET = slice(4, 20)  # of a neighbour advertisement, behind its flags


def link_local_gateway(
    gateway: IPv6Address, link: InterfaceName, namespace: Namespace, *, tries: int = TRIES
) -> IPv6Address | None:
    """Return the link-local address of ``gateway``, which is reached by ``link``; None if it does not answer.

    Its MAC is asked for first, ``tries`` times, a second each. Most routers have the address that is made of that;
    others answer a ping to all routers.
    """
    if is_ipv6_link_local(gateway):
        return gateway
    with IcmpV6Socket(namespace, link, (NEIGHBOUR_ADVERTISEMENT, ECHO_REPLY)) as wire:
        mac = _mac_of(gateway, wire, tries)
        if mac is None:
            return None
        guess = link_local_of(mac)
        if _mac_of(guess, wire, 1) == mac:
            return guess
        return _answering_router(mac, wire)


def _mac_of(address: IPv6Address, wire: IcmpV6Socket, tries: int) -> MacAddress | None:
    def is_answer(message: Received) -> bool:
        return message.type == NEIGHBOUR_ADVERTISEMENT and message.body[_TARGET] == address.packed

    for _ in range(tries):
        wire.send(neighbour_solicitation(wire.mac, link_local_of(wire.mac), address))
        if answer := wire.wait_for(is_answer, _SECONDS):
            return answer.source_mac
    return None


def _answering_router(mac: MacAddress, wire: IcmpV6Socket) -> IPv6Address | None:
    def is_answer(message: Received) -> bool:
        return message.type == ECHO_REPLY and message.source_mac == mac and is_ipv6_link_local(message.source)

    for _ in range(TRIES):
        wire.send(echo_request(wire.mac, link_local_of(wire.mac), ALL_ROUTERS))
        if answer := wire.wait_for(is_answer, _SECONDS):
            return answer.source
    return None
