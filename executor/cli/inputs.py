"""What commands read: files, options, the state directory. Everything is parsed here, once, or refused."""

from __future__ import annotations

import argparse
import os
import shlex
import stat
import sys
from pathlib import Path

from executor.errors import Unusable
from executor.netns import default_id, resolve_netns
from executor.store import StateStore
from planner.document import MAX_BYTES
from planner.errors import InvalidInput, Refused
from planner.options import PlanOptions
from planner.values import IpAddress, IpInterface, NetnsPath, PlanId, parse_interface, shown

_MAX_ID = 2**32 - 2
_MAX_QUEUES = 256
_IPV4_BITS = 32
_MOST_ARGUMENTS = 2000


def read_file(name: str, what: str) -> bytes:
    """Return the bytes of a file, ``-`` being standard input. Raises Unusable where it cannot be read."""
    try:
        if name == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        with open(os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return _read_special(file.fileno(), name, what)
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no file name"
        raise Unusable(f"the {what} {shown(name, 200)} cannot be read: {why}") from None


def _read_special(fd: int, name: str, what: str) -> bytes:
    """Return what comes through a pipe (``--result <(…)``); a directory or a device is no file to read."""
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        raise Unusable(f"the {what} {shown(name, 200)} is not a file")
    os.set_blocking(fd, True)
    with open(os.dup(fd), "rb") as pipe:
        return pipe.read(MAX_BYTES + 1)


def refuse_untrusted(name: str) -> None:
    """Refuse a plan file that somebody else could have written. Raises Refused."""
    try:
        found = os.stat(name)
    except (OSError, ValueError):
        return  # reading it says what is wrong
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise Refused(
            f"the plan {shown(name, 200)} belongs to, or can be written by, somebody else: look at it, "
            "then take it over (chown, chmod) or say --allow-untrusted-plan"
        )


def store_of(arguments: argparse.Namespace) -> StateStore:
    """Return the state directory's store. Nothing is made yet."""
    if not arguments.state_dir or "\0" in arguments.state_dir:
        raise InvalidInput("--state-dir: a directory is wanted")
    return StateStore(Path(arguments.state_dir).absolute())


def netns_and_id(arguments: argparse.Namespace) -> tuple[NetnsPath, PlanId]:
    """Return the namespace and the id that the arguments name."""
    netns = resolve_netns(arguments.netns)
    return netns, default_id(netns) if arguments.id is None else parse_id(arguments.id)


def parse_id(text: str) -> PlanId:
    """Return the id in ``text``; InvalidInput where it is none."""
    try:
        return PlanId(text)
    except ValueError as error:
        raise InvalidInput(f"id: {error}") from None


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
    except ValueError as error:
        raise InvalidInput(f"--dhcp-address: {error}") from None
    if address.version != 4:
        raise InvalidInput(f"--dhcp-address: {shown(text)} is not an IPv4 address")
    return address


def what_was_asked() -> str:
    """Return the command line for the journal, so that a reviewer sees what a change was for."""
    return shlex.join(["podwire", *sys.argv[1:]])[:_MOST_ARGUMENTS]


def require_root() -> None:
    """Raise Unusable for anybody but root: entering a namespace needs CAP_SYS_ADMIN, changing it CAP_NET_ADMIN."""
    if os.geteuid() != 0:
        raise Unusable("this needs root: entering a network namespace is not for ordinary users")
