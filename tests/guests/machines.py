"""Guests: real kernels that boot behind a tap, with a shell on their console.

    with uml(namespace, Nic("tap0", MAC)) as guest:
        guest.run("udhcpc -i eth0 -n -q -s /udhcpc.sh")

User Mode Linux is there in two seconds, QEMU without KVM in four. Neither needs the machine to have anything but taps.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Protocol

from attrs import define, field, frozen

from tests import sandbox
from tests.guests.fetch import folder
from tests.support import Namespace
from tests.support.running import OUTSIDE, CommandFailed

READY = "@@ready@@"
_ENDED = "@@ended "
_BOOT = 120  # seconds; two when nothing else runs
_KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet panic=1 net.ifnames=0 mitigations=off nokaslr cryptomgr.notests random.trust_cpu=on "
    "no_timer_check"  # it fails if the machine is busy, and the kernel panics
)

_SHARED = Path("/dev/shm")  # noqa: S108 -- User Mode Linux keeps the guest's memory there; a disk would be slow
_numbers = count(1)


@frozen
class Nic:
    """An interface of a guest: the tap that it opens, its MAC, and what else a VMM is told of it."""

    tap: str
    mac: str
    netdev: str = ""  # appended to QEMU's -netdev
    device: str = ""  # and to its -device


@define
class Guest:
    """A running guest. Its first program reads lines from the console and says how each ended."""

    process: subprocess.Popen[bytes]
    _said: str = field(default="", init=False)

    def wait_for(self, marker: str, *, seconds: float = 60) -> str:
        """Return what the guest says up to `marker`; if that does not come, the test fails and shows what did."""
        deadline = time.monotonic() + seconds
        while marker not in self._said:
            if not select.select([self._console], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise CommandFailed(f"the guest did not say {marker!r} within {seconds} s:\n{self._said}")
            data = os.read(self._console, 65536)
            if not data:
                raise CommandFailed(f"the guest ended before it said {marker!r}:\n{self._said}")
            self._said += data.decode(errors="replace").replace("\r", "")
        said, _, self._said = self._said.partition(marker)
        return said

    def ready(self) -> None:
        """Wait until it has booted."""
        self.wait_for(f"{READY}\n", seconds=_BOOT)

    def run(self, line: str, *, check: bool = True, seconds: float = 60) -> str:
        """Run a line in the guest's shell and return what it printed; with `check`, a status other than 0 fails."""
        said, status = self.attempt(line, seconds=seconds)
        if check and status != 0:
            raise CommandFailed(f"status {status} in the guest: {line}\n{said}")
        return said

    def attempt(self, line: str, *, seconds: float = 60) -> tuple[str, int]:
        """Run a line in the guest's shell; return what it printed and its status."""
        self.tell(line)
        said = self.wait_for(_ENDED, seconds=seconds).removeprefix("\n")  # the end of the line before
        # Not the end of the line: what the kernel says on the console may come between.
        return said, int(self.wait_for("@@", seconds=seconds))

    def reboot(self) -> None:
        """Start the guest again under the same VMM; User Mode Linux lets go of its taps only if they are set down."""
        self.tell("for link in /sys/class/net/eth*; do ip link set ${link##*/} down; done; reboot -f")
        self.ready()

    def tell(self, line: str) -> None:
        """Type a line, and don't wait for its end."""
        assert self.process.stdin
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    @property
    def _console(self) -> int:
        assert self.process.stdout
        return self.process.stdout.fileno()

    def kill(self) -> None:
        """End it as a crash of the VMM would, with all processes of its group."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Place(Protocol):
    """Where a VMM runs: a network namespace, by a path to it."""

    @property
    def path(self) -> Path:
        """The path."""


@contextmanager
def uml(
    inside: Place, *nics: Nic, through: Sequence[str] = (), fds: Iterable[int] = (), disk: str = "uml.cpio"
) -> Iterator[Guest]:
    """Boot a User Mode Linux behind taps of a namespace, from a RAM disk; it is ended with the block."""
    vectors = [
        f"vec{number}:transport=tap,ifname={nic.tap},depth=64,gro=0,mac={nic.mac}" for number, nic in enumerate(nics)
    ]
    fixed = ["mem=128M", "con=null", "con0=fd:0,fd:1", "quiet", "rdinit=/init", f"umid=guest{next(_numbers)}"]
    argv = [
        "env",
        f"LD_PRELOAD={_made('xstate.so')}",
        _made("linux.uml"),
        f"initrd={_made(disk)}",
        *fixed,
        *vectors,
    ]
    with started(_inside(inside, through, argv), fds) as guest:
        yield guest


@contextmanager
def qemu(
    inside: Place, *nics: Nic, cpus: int = 1, through: Sequence[str] = (), fds: Iterable[int] = ()
) -> Iterator[Guest]:
    """Boot a QEMU machine, without KVM, behind taps of a namespace; it is ended with the block."""
    words = [word for number, nic in enumerate(nics) for word in _qemu_nic(number, nic)]
    with started(_inside(inside, through, [*qemu_machine(cpus), *words]), fds) as guest:
        yield guest


def qemu_machine(cpus: int = 1) -> list[str]:
    """Return the command line of a machine without network."""
    quiet = ["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"]
    machine = ["-accel", "tcg", "-cpu", "qemu64", "-m", "192", "-smp", str(cpus)]
    boot = ["-kernel", _made("vmlinuz"), "-initrd", _made("qemu.cpio"), "-append", _KERNEL_ARGUMENTS]
    return ["qemu-system-x86_64", *machine, *quiet, *boot]


@contextmanager
def readable_by_all() -> Iterator[Path]:
    """Copy what QEMU boots to a folder that every user can read; it goes with the block."""
    with tempfile.TemporaryDirectory(dir=_SHARED) as name:
        place = Path(name)
        for made, called in (("vmlinuz", "vmlinuz"), ("qemu.cpio", "initrd.img")):
            shutil.copyfile(_made(made), place / called)
        place.chmod(0o755)
        yield place


def _qemu_nic(number: int, nic: Nic) -> list[str]:
    netdev = f"tap,id=n{number},ifname={nic.tap},script=no,downscript=no{nic.netdev}"
    return ["-netdev", netdev, "-device", f"virtio-net-pci,netdev=n{number},mac={nic.mac},romfile={nic.device}"]


def ping(source: Namespace, target: str, *, seconds: int = 10) -> None:
    """See that an address answers, or fail after `seconds`."""
    source.run(_made("busybox"), "ping", "-c", "1", "-W", str(seconds), target)


def _made(name: str) -> str:
    path = folder() / name
    if not path.exists():
        raise CommandFailed("what guests are made of has not been fetched: ./dev test does that")
    return str(path)


def _inside(inside: Place, through: Sequence[str], argv: Sequence[str]) -> list[str]:
    return ["nsenter", f"--net={inside.path}", *through, *argv]


@contextmanager
def started(argv: Sequence[str], fds: Iterable[int] = ()) -> Iterator[Guest]:
    """Start a VMM, wait until its guest has booted, and end it with the block."""
    if not sandbox.inside():
        raise CommandFailed(OUTSIDE)
    environment = os.environ | {"TMPDIR": str(_SHARED), "HOME": "/run/netns"}  # private to the sandbox
    with subprocess.Popen(
        argv,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=tuple(fds),
        start_new_session=True,
    ) as process:
        guest = Guest(process)
        try:
            guest.ready()
            yield guest
        finally:
            guest.kill()
