"""What commands read: files, options, the state directory. Everything is parsed here, once, or refused."""

from __future__ import annotations

import argparse
import os
import stat
from pathlib import Path

from executor.errors import HostError
from executor.state.store import StateStore
from planner.errors import InvalidInput, Refused
from planner.options import PlanOptions
from planner.text.document import MAX_BYTES
from planner.text.values import IpAddress, IpInterface, parse_interface, shown

_MAX_ID = 2**32 - 2
_MAX_QUEUES = 256
_IPV4_BITS = 32
_LONGEST_SUBNET = 30


def read_file(name: str, what: str, *, trusted: bool = False) -> bytes:
    """Return the bytes of a file, ``-`` being standard input.

    Raises HostError where it cannot be read, Refused where it is to be ``trusted`` but somebody else could have written
    it, InvalidInput where nothing is in it.
    """
    called = f"the {what} on standard input" if name == "-" else f"the {what} {shown(name, 200)}"
    try:
        with open(os.dup(0) if name == "-" else _open_to_read(name), "rb") as file:
            found = os.fstat(file.fileno())
            if name != "-" and not (stat.S_ISREG(found.st_mode) or stat.S_ISFIFO(found.st_mode)):
                raise HostError(f"{called} is not a file")
            if trusted and stat.S_ISREG(found.st_mode):
                _refuse_untrusted(found, called)
            text = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no file name"
        raise HostError(f"{called} cannot be read: {why}") from None
    if not text.strip():
        raise InvalidInput(f"{called} is empty")
    return text


def _open_to_read(name: str) -> int:
    """Open a file; a pipe (``--result <(…)``) too, but without waiting for somebody to open its other end."""
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(fd, True)
    return fd


def _refuse_untrusted(found: os.stat_result, called: str) -> None:
    """Refuse a file that somebody else could have written."""
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise Refused(
            f"{called} belongs to, or can be written by, somebody else: look at it (podwire show), "
            "then take it over (chown, chmod) or say --allow-untrusted-plan"
        )


def store_of(arguments: argparse.Namespace) -> StateStore:
    """Return the state directory's store. Nothing is made yet; it need not exist before something is wired."""
    directory = arguments.state_dir
    try:
        if directory and not stat.S_ISDIR(os.stat(directory).st_mode):
            raise HostError(f"the state directory {shown(directory, 200)} is not a directory")
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no file name"
        raise HostError(f"the state directory {shown(directory, 200)} cannot be used: {why}") from None
    if not directory:
        raise InvalidInput("--state-dir: the name of a directory is wanted, and this is empty")
    return StateStore(Path(directory).absolute())


def plan_options(arguments: argparse.Namespace, dummy_gateway: IpAddress | None) -> PlanOptions:
    """Return the options of the wiring; InvalidInput names the option that is wrong."""
    owner, group = _owner(arguments.tap_owner)
    queues = 1 if arguments.tap_queues is None else _number(arguments.tap_queues, "--tap-queues", 1, _MAX_QUEUES)
    return PlanOptions(
        tap_owner=owner,
        tap_owner_group=group,
        tap_queues=queues,
        tap_vnet_hdr=arguments.tap_vnet_hdr,
        dhcp_addresses=tuple(_dhcp_address(text) for text in arguments.dhcp_address),
        dummy_gateway=dummy_gateway,
        calico_subnet=_calico_subnet(arguments.calico_subnet),
    )


def _calico_subnet(text: str | None) -> int | None:
    return None if text is None else _number(text, "--calico-subnet", 1, _IPV4_BITS)


def _owner(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    user, colon, group = text.partition(":")
    return (
        _number(user, "--tap-owner", 0, _MAX_ID),
        _number(group, "--tap-owner", 0, _MAX_ID) if colon else None,
    )


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
    special = ip.is_multicast or ip.is_reserved or ip.is_loopback or ip.is_unspecified
    ends = () if network.prefixlen > _LONGEST_SUBNET else (network.network_address, network.broadcast_address)
    return address.version == 4 and not special and network.prefixlen > 0 and ip not in ends


def require_root(why: str = "entering a network namespace is not for ordinary users") -> None:
    """Raise HostError for anybody but root: entering a namespace needs CAP_SYS_ADMIN, changing it CAP_NET_ADMIN."""
    if os.geteuid() != 0:
        raise HostError(f"this needs root: {why}")
