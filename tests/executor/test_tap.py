"""A tap that podwire made is opened inside its namespace, handed over, and carries frames; none is ever made."""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
from collections.abc import Iterator, Sequence

import pytest

from executor.errors import HostError
from executor.netns.namespace import Namespace
from executor.taps.open import open_tap, send_descriptors
from planner.text.values import InterfaceName
from tests.executor.helpers_netns import ip, name_of
from tests.support.processes import descriptors

TAP = InterfaceName("tap0")
ETH_P_ALL = 3
TUNSETPERSIST = 0x400454CB
FRAME = bytes.fromhex("ffffffffffff 020000000001 88b5") + b"a frame of an experimental protocol".ljust(60, b".")
NO_VNET_HEADER = bytes(10)


@pytest.fixture
def tap(namespace: Namespace) -> Namespace:
    """Return a namespace with a persistent tap `tap0` that is up."""
    make_tap(namespace)
    return namespace


def make_tap(namespace: Namespace, *options: str) -> None:
    """Make `tap0` in the namespace, as podwire would."""
    name = name_of(namespace.path)
    ip("-n", name, "tuntap", "add", "dev", TAP, "mode", "tap", *options)
    ip("-n", name, "link", "set", TAP, "addrgenmode", "none", "up")


@pytest.fixture
def wire(tap: Namespace) -> Iterator[socket.socket]:
    """Return a packet socket on the namespace's side of the tap."""
    with tap.call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))) as opened:
        tap.call(lambda: opened.bind((TAP, 0)))
        opened.settimeout(10)
        yield opened


def arrived(wire: socket.socket, fd: int) -> bytes:
    """Send a frame until it arrives, and return it: the kernel drops some until it has noticed the carrier."""
    for _ in range(100):
        wire.send(FRAME)
        if select.select([fd], [], [], 0.1)[0]:
            break
    return read_frame(fd)


def read_frame(fd: int) -> bytes:
    """Return the next frame from a tap, waiting for it."""
    assert select.select([fd], [], [], 10)[0]
    return os.read(fd, 2000)


def close_all(fds: Sequence[int]) -> None:
    """Close what `open_tap` returned."""
    for fd in fds:
        os.close(fd)


def links(namespace: Namespace) -> set[str]:
    """Return the names of the links in the namespace."""
    return {link["ifname"] for link in json.loads(ip("-n", name_of(namespace.path), "-j", "link"))}


def test_frames_pass_through_an_opened_tap_both_ways(tap: Namespace, wire: socket.socket) -> None:
    """What a VMM writes arrives in the namespace, and the other way round, bare."""
    (fd,) = open_tap(TAP, namespace=tap)
    try:
        os.write(fd, FRAME)
        assert wire.recv(2000) == FRAME
        assert arrived(wire, fd) == FRAME
    finally:
        os.close(fd)


def test_with_a_vnet_header_every_frame_has_one(tap: Namespace, wire: socket.socket) -> None:
    """Ten bytes before the frame, as virtio has them."""
    (fd,) = open_tap(TAP, namespace=tap, vnet_hdr=True)
    try:
        os.write(fd, NO_VNET_HEADER + FRAME)
        assert wire.recv(2000) == FRAME
        assert arrived(wire, fd)[len(NO_VNET_HEADER) :] == FRAME
    finally:
        os.close(fd)


def test_a_tap_of_several_queues_gives_a_descriptor_for_each(namespace: Namespace) -> None:
    """As many as were asked for, all of the same tap."""
    make_tap(namespace, "multi_queue")
    fds = open_tap(TAP, namespace=namespace, queues=4)
    try:
        assert len(set(fds)) == 4
        assert all(os.write(fd, FRAME) == len(FRAME) for fd in fds)
    finally:
        close_all(fds)


def test_the_tap_stays_when_its_descriptors_are_closed(tap: Namespace) -> None:
    """It is podwire's plan that takes it away, not the end of a VMM."""
    close_all(open_tap(TAP, namespace=tap))
    assert TAP in links(tap)
    close_all(open_tap(TAP, namespace=tap))


@pytest.mark.parametrize("inheritable", [False, True])
def test_descriptors_are_inherited_only_if_asked_for(tap: Namespace, inheritable: bool) -> None:  # noqa: FBT001
    """A program started by chance must not keep the tap busy."""
    (fd,) = open_tap(TAP, namespace=tap, inheritable=inheritable)
    try:
        assert os.get_inheritable(fd) is inheritable
    finally:
        os.close(fd)


def test_descriptors_are_handed_over_by_socket(tap: Namespace, wire: socket.socket) -> None:
    """The receiver can use them although the sender has closed its own."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fds = open_tap(TAP, namespace=tap)
        send_descriptors(ours, fds)
        close_all(fds)
        _, received, _, _ = socket.recv_fds(theirs, 1, 8)
    try:
        (fd,) = received
        os.write(fd, FRAME)
        assert wire.recv(2000) == FRAME
    finally:
        close_all(received)


def refused(namespace: Namespace, name: str, sentence: str, queues: int = 1) -> None:
    """Assert that the tap is refused in this sentence, that no link appeared, and that nothing is left open."""
    before, open_before = links(namespace), descriptors()
    with pytest.raises(HostError, match=f"^{sentence}$"):
        open_tap(InterfaceName(name), namespace=namespace, queues=queues)
    assert links(namespace) == before
    assert descriptors() == open_before


def test_a_tap_that_is_not_there_is_refused_and_not_made(namespace: Namespace) -> None:
    """Opening makes one if nobody looks first: the kernel's way."""
    refused(namespace, "tap0", "there is no persistent tap tap0 in the namespace")


def test_a_tap_of_another_namespace_is_not_opened(namespace: Namespace) -> None:
    """The name is looked up inside, if podwire itself is not."""
    name = f"pwt{os.getpid()}"
    ip("tuntap", "add", "dev", name, "mode", "tap")
    try:
        refused(namespace, name, f"there is no persistent tap {name} in the namespace")
    finally:
        ip("link", "delete", name)


def test_a_tap_in_use_is_refused(tap: Namespace) -> None:
    """One program at a time can have a tap with a single queue."""
    fds = open_tap(TAP, namespace=tap)
    try:
        refused(tap, "tap0", "the tap tap0 is in use: another program has it open")
    finally:
        close_all(fds)


def test_a_link_that_is_no_tap_is_refused(namespace: Namespace) -> None:
    """The pod's own interface, say."""
    ip("-n", name_of(namespace.path), "link", "add", "br0", "type", "bridge")
    refused(namespace, "br0", "br0 cannot be opened as a tap with a single queue: it is not a tap, .*")


@pytest.mark.parametrize(
    ("made", "asked"), [((), 2), (("multi_queue",), 1)], ids=["one, asked for two", "many, asked for one"]
)
def test_a_tap_made_for_another_number_of_queues_is_refused(
    namespace: Namespace, made: tuple[str, ...], asked: int
) -> None:
    """The kernel says no more than EINVAL; the sentence says what it may be."""
    make_tap(namespace, *made)
    refused(
        namespace, "tap0", "tap0 cannot be opened as a tap with .*: it is not a tap, or was made for another .*", asked
    )


def test_more_queues_than_the_kernel_has_are_refused_whole(namespace: Namespace) -> None:
    """Those that were opened are closed again."""
    make_tap(namespace, "multi_queue")
    refused(namespace, "tap0", "the tap tap0 has no 257 queues left: .*", 257)


def test_a_tap_that_goes_with_its_program_is_refused(namespace: Namespace) -> None:
    """One that somebody has for the moment only was not made by podwire."""
    make_tap(namespace, "multi_queue")
    fds = open_tap(TAP, namespace=namespace, queues=2)
    try:
        fcntl.ioctl(fds[0], TUNSETPERSIST, 0)
        refused(namespace, "tap0", "there is no persistent tap tap0 in the namespace", 2)
    finally:
        close_all(fds)
