"""Links and taps, opened to put frames on them and to wait for what comes.

    with Port.on_link(host, "h-eth0") as wire, Port.on_tap(pod, "tap0") as vm:
        vm.send(arp_request(MAC, "10.1.90.5", "10.1.90.1"))
        vm.receive(lambda frame: str(frame).startswith("ARP 10.1.90.1 is at"))
        wire.frames()  # everything that has passed there, sent or received

A link's port sees what the kernel sends and receives on it, as a capture does; a tap's port is the VM's end of it.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Protocol, Self

from tests.support.frames import Frame
from tests.support.namespaces import Namespace
from tests.support.running import eventually

ETH_P_ALL = 3
SOL_PACKET, PACKET_STATISTICS = 263, 6
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x4004_54CA, 0x0002, 0x1000
LARGEST = 65536


class _Wire(Protocol):
    """Where frames come from and go to."""

    def fileno(self) -> int: ...
    def read(self) -> Frame: ...
    def write(self, data: bytes) -> None: ...
    def lost(self) -> int: ...
    def close(self) -> None: ...


class Port:
    """An open link or tap. Frames wait in the kernel from the moment it is opened, so none is missed."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._seen: list[Frame] = []
        self._unclaimed: list[Frame] = []

    @classmethod
    def on_link(cls, namespace: Namespace, link: str) -> Self:
        """Open a raw packet socket on `link`, inside the namespace (packet(7))."""
        return cls(namespace.inside(lambda: _Packets(link)))

    @classmethod
    def on_tap(cls, namespace: Namespace, tap: str) -> Self:
        """Take hold of a persistent tap as a VMM does, inside the namespace, and wait until frames pass."""
        port = cls(namespace.inside(lambda: _Tap(tap)))
        try:
            eventually(lambda: _passes(namespace, tap), f"{tap} in {namespace.name} passing frames")
        except BaseException:
            port.close()
            raise
        return port

    @classmethod
    def on_descriptor(cls, descriptor: int, namespace: Namespace, tap: str) -> Self:
        """Take a descriptor of a tap that somebody else has opened, which is closed in the end; wait as `on_tap`."""
        port = cls(_Descriptor(descriptor))
        eventually(lambda: _passes(namespace, tap), f"{tap} in {namespace.name} passing frames")
        return port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the link or tap."""
        self._wire.close()

    def send(self, frame: bytes) -> None:
        """Put a frame on the wire."""
        self._wire.write(frame)

    def receive(self, wanted: Callable[[Frame], bool], *, seconds: float = 5) -> Frame:
        """Return the first frame that is `wanted` and that no earlier call returned; wait for it if need be.

        After `seconds` the test fails and lists what came instead.
        """
        deadline = time.monotonic() + seconds
        while True:
            for frame in self._unclaimed:
                if wanted(frame):
                    self._unclaimed.remove(frame)
                    return frame
            if not self._read(deadline - time.monotonic()):
                came = "".join(f"\n  {frame}" for frame in self._seen) or " nothing"
                raise AssertionError(f"the frame that was waited for did not come within {seconds} s; there came{came}")

    def frames(self) -> tuple[Frame, ...]:
        """Return every frame since the port was made, `receive`'s included, without waiting for more."""
        while self._read(0):
            pass
        if lost := self._wire.lost():
            raise AssertionError(f"{lost} frames came faster than they were read")
        return tuple(self._seen)

    def listen(self, seconds: float) -> tuple[Frame, ...]:
        """Return every frame since the port was made, those of the next `seconds` included."""
        deadline = time.monotonic() + seconds
        while self._read(deadline - time.monotonic()):
            pass
        return self.frames()

    def _read(self, seconds: float) -> bool:
        """Read one frame; False if none came in time."""
        if not select.select([self._wire], [], [], max(0, seconds))[0]:
            return False
        frame = self._wire.read()
        self._seen.append(frame)
        self._unclaimed.append(frame)
        return True


def _passes(namespace: Namespace, link: str) -> bool:
    """Whether a link that is up has noticed its carrier, and its bridge as well."""
    text = namespace.ip(f"-d link show dev {link}")
    if not re.search(r"[<,]UP[,>]", text):
        return True
    return " state UP " in text and ("bridge_slave" not in text or "bridge_slave state forwarding" in text)


class _Packets:
    """A packet socket."""

    def __init__(self, link: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # 0: deaf until it is bound to one link
        self._socket.bind((link, ETH_P_ALL))

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> Frame:
        data, address = self._socket.recvfrom(LARGEST)
        return Frame(data, outgoing=address[2] == socket.PACKET_OUTGOING)

    def write(self, data: bytes) -> None:
        self._socket.send(data)

    def lost(self) -> int:
        _, drops = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        return int(drops)

    def close(self) -> None:
        self._socket.close()


class _Descriptor:
    """An open descriptor of a tap's character device."""

    def __init__(self, descriptor: int) -> None:
        self._file = descriptor

    def fileno(self) -> int:
        return self._file

    def read(self) -> Frame:
        return Frame(os.read(self._file, LARGEST))

    def write(self, data: bytes) -> None:
        os.write(self._file, data)

    def lost(self) -> int:
        return 0  # a tap's queue drops what nobody reads, and counts it on the link

    def close(self) -> None:
        os.close(self._file)


class _Tap(_Descriptor):
    """A tap's character device, opened."""

    def __init__(self, tap: str) -> None:
        super().__init__(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
        try:
            fcntl.ioctl(self._file, TUNSETIFF, struct.pack("16sH22x", tap.encode(), IFF_TAP | IFF_NO_PI))
        except BaseException:
            self.close()
            raise
