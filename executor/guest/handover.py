"""Handing a VM's taps, open, to the program that runs it: as its descriptors from 3 on, or over a socket (unix(7)).

A VMM then needs neither the namespace nor any right to open a tap.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from executor.errors import HostError
from executor.netns.handle import CLONE_NEWNET, libc
from executor.netns.namespace import Namespace
from executor.operations.plan import plan_of
from executor.operations.signals import interruptible, stop_requests
from executor.process.spawn import which
from executor.settings import Settings
from executor.state.status import open_recorded, whole_entry
from executor.taps.open import open_tap
from executor.trust.files import for_us_alone
from executor.trust.peers import peer_of
from executor.trust.privileges import keep_back
from planner.errors import InvalidInput, Refused
from planner.kinds.shown import counted
from planner.network import VmInterface
from planner.plan.plan import Plan
from planner.text.frozen import frozen
from planner.text.values import PlanId, shown, shown_path

_FIRST = 3
_PLACEHOLDER = re.compile(r"\{(fd|mac|tap|mtu|queues)(\d{1,3})\}")
_MOST_DESCRIPTORS = 253  # SCM_MAX_FD of the kernel


@frozen
class OpenInterface:
    """An interface of the VM with its tap open: a descriptor for each queue."""

    interface: VmInterface
    mac: str
    mtu: int
    fds: tuple[int, ...]


@contextmanager
def open_interfaces(plan_id: PlanId, settings: Settings) -> Iterator[tuple[Plan, Namespace, tuple[OpenInterface, ...]]]:
    """Open every tap of a wiring, and close them in the end.

    Raises InvalidInput, Refused, NamespaceGone, or HostError where one is in use.
    """
    entry = whole_entry(plan_id, settings.store)
    with ExitStack() as stack:
        namespace = stack.enter_context(open_recorded(entry))
        plan = plan_of(entry, namespace.path, settings.templates)
        found = []
        for one in (interface for interface in plan.interfaces if not interface.pci_address):
            fds = open_tap(one.name, namespace=namespace, queues=one.queues, vnet_hdr=one.vnet_hdr)
            for fd in fds:
                stack.callback(os.close, fd)
            guest = one.guest
            mac, mtu = (one.mac, one.mtu) if guest is None else (guest.mac, guest.mtu)
            found.append(OpenInterface(one, str(mac), mtu, fds))
        yield plan, namespace, tuple(found)


def become(plan_id: PlanId, argv: Sequence[str], owner: tuple[int, int] | None, settings: Settings) -> NoReturn:
    """Become a program in the namespace of a wiring, with its taps open from descriptor 3 on, and nothing else.

    ``owner``: the user and group to be, without further groups. Of its words ``{fd0}`` (``3``, or ``3:4`` with two
    queues), ``{tap0}``, ``{mac0}``, ``{mtu0}`` and ``{queues0}`` are filled in, with other numbers for further
    interfaces. Raises what ``open_interfaces`` does, InvalidInput for a number that there is not.
    """
    with open_interfaces(plan_id, settings) as (_, namespace, interfaces):
        words = filled_in(argv, interfaces)
        program = words[0] if "/" in words[0] else which(words[0])
        if program is None:
            raise HostError(f"{shown(words[0])} cannot be run: no trusted directory of PATH has it")
        _enter(namespace)
        _give([fd for one in interfaces for fd in one.fds])
        keep_back()
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and so would the program
            signal.signal(number, signal.SIG_DFL)
        try:
            if owner is not None:
                os.setgroups([])
                os.setgid(owner[1])
                os.setuid(owner[0])
            os.execv(program, words)  # noqa: S606  no shell is wanted
        except OSError as error:
            raise HostError(f"{shown(words[0])} cannot be run: {error.strerror}") from None


def filled_in(argv: Sequence[str], interfaces: Sequence[OpenInterface]) -> list[str]:
    """Return words with their placeholders filled in. Raises InvalidInput for an interface that there is not."""
    values: dict[tuple[str, int], str] = {}
    first = _FIRST
    for number, one in enumerate(interfaces):
        fds = ":".join(str(first + queue) for queue in range(len(one.fds)))
        first += len(one.fds)
        found = {"fd": fds, "mac": one.mac, "tap": one.interface.name, "mtu": one.mtu, "queues": len(one.fds)}
        values |= {(name, number): str(value) for name, value in found.items()}

    def value(found: re.Match[str]) -> str:
        try:
            return values[str(found[1]), int(found[2])]
        except KeyError:
            has = counted(len(interfaces), "interface")
            raise InvalidInput(f"{found[0]}: the VM has {has}, numbered from 0") from None

    return [_PLACEHOLDER.sub(value, word) for word in argv]


def _enter(namespace: Namespace) -> None:
    if libc().setns(namespace.fd, CLONE_NEWNET) != 0:
        raise HostError(f"{namespace.path} cannot be entered")


def _give(fds: Sequence[int]) -> None:
    """Move the descriptors to the numbers where the program expects them, and make all others close-on-exec."""
    last = _FIRST + len(fds)
    copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, last) for fd in fds]
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the listing itself
            if int(name) >= _FIRST:
                os.set_inheritable(int(name), False)  # noqa: FBT003  its only name
    for number, copy in enumerate(copies, _FIRST):
        os.dup2(copy, number, inheritable=True)


def hand_over(plan_id: PlanId, path: str, settings: Settings) -> int:
    """Wait at a socket for the runtime, hand it every open tap of a wiring, and return its process id.

    The socket is made for that, and can be used by root and by the user that the taps belong to, by nobody else; a
    signal ends the wait, and takes it away. Raises what ``open_interfaces`` does, InvalidInput, Refused for another
    user, Interrupted.
    """
    if not path:  # the kernel would choose a name that has no owner
        raise InvalidInput("socket: the path is empty")
    with open_interfaces(plan_id, settings) as (plan, _, interfaces):
        fds = [fd for one in interfaces for fd in one.fds]
        if len(fds) > _MOST_DESCRIPTORS:
            raise Refused(f"{plan_id} has {len(fds)} queues, and no more than {_MOST_DESCRIPTORS} can be handed over")
        with stop_requests(), interruptible(), _listening(path, plan.options.tap_owner) as listener:
            connection, _ = listener.accept()
        with connection:
            pid, uid = peer_of(connection)
            if uid not in (0, plan.options.tap_owner):
                raise Refused(f"user {uid} may not receive the taps of {plan_id} (see --tap-owner)")
            socket.send_fds(connection, [json.dumps([_description(one) for one in interfaces]).encode()], fds)
    return pid


@contextmanager
def _listening(path: str, owner: int | None) -> Iterator[socket.socket]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        with for_us_alone():
            listener.bind(path)
    except OSError as error:
        listener.close()
        raise HostError(f"the socket {shown_path(path)} cannot be made: {error.strerror or error}") from None
    try:
        if owner is not None:
            os.chown(path, owner, -1, follow_symlinks=False)
        listener.listen(1)
        yield listener
    finally:
        listener.close()
        Path(path).unlink(missing_ok=True)


def _description(one: OpenInterface) -> dict[str, Any]:
    link = one.interface
    found = {"tap": link.name, "link": link.link, "mac": one.mac, "mtu": one.mtu, "queues": len(one.fds)}
    return {key: value if isinstance(value, int) else str(value) for key, value in found.items()} | {
        "vnet_hdr": link.vnet_hdr
    }
