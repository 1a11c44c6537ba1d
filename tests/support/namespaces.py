"""Network namespaces, and Python code that runs in one."""

from __future__ import annotations

import ctypes
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from attrs import frozen

from tests.support.netlink import LinkRecord, dump_links
from tests.support.running import Outcome, eventually, must_succeed, run

T = TypeVar("T")

SO_NETNS_COOKIE = 71
CLONE_NEWNET = 0x4000_0000
MNT_DETACH = 2
# <linux/if.h>, <linux/if_addr.h>
_UP, _LOWER_UP = 0x1, 0x1_0000
_OPER_UNKNOWN, _OPER_DOWN, _OPER_LOWER_LAYER_DOWN, _OPER_UP = 0, 2, 3, 6
_DAD_FAILED, _TENTATIVE = 0x08, 0x40
_RTF_LOCAL = 0x8000_0000  # <linux/ipv6_route.h>
_LONGEST_FOR_WORK = 1.0
_libc = ctypes.CDLL(None, use_errno=True)


@frozen
class Namespace:
    """A network namespace under /run/netns."""

    name: str

    @classmethod
    def create(cls, name: str) -> Namespace:
        """Make it: `ip netns add NAME`."""
        run(["ip", "netns", "add", name])
        return cls(name)

    def delete(self) -> None:
        """Delete it, unless a test has, as `ip netns del NAME` does (umount(2))."""
        if self.path.exists():
            _libc.umount2(os.fsencode(self.path), MNT_DETACH)
            self.path.unlink()

    @property
    def path(self) -> Path:
        """Its file."""
        return Path("/run/netns", self.name)

    @property
    def lock_file(self) -> Path:
        """The file by which podwire locks it."""

        def cookie() -> int:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
                return int.from_bytes(any_socket.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), sys.byteorder)

        folder = Path("/run/podwire")
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / f"netns-{self.inside(cookie)}"

    def run(self, *argv: str, stdin: str = "", check: bool = True) -> Outcome:
        """Run a program in it, as `nsenter --net=PATH ARGV…` does, which would take as long as most programs take."""
        outcome = self.inside(lambda: run(argv, stdin=stdin, check=False))
        return must_succeed(outcome, ["nsenter", f"--net={self.path}", *argv]) if check else outcome

    def ip(self, line: str) -> str:
        """Run `ip LINE` in it and return what it printed."""
        return self.run("ip", *shlex.split(line)).out

    def batch(self, *lines: str) -> None:
        """Run the lines by one `ip` in it, whose start costs more than all of them: `ip -batch -`."""
        self.run("ip", "-batch", "-", stdin="\n".join(lines))

    def sysctl(self, name: str, value: object) -> None:
        """Set one: `sysctl -qw NAME=VALUE`, NAME with slashes; /proc/sys/net is that of who writes."""
        self.inside(lambda: Path("/proc/sys", name).write_text(str(value)))

    def settle(self) -> None:
        """Wait until carriers were noticed and address detection is over, as in a pod that has run for a while.

        Then for what the kernel does from a work queue, and of which it cannot be seen whether it is still to come:
        not for long.
        """
        eventually(lambda: self.inside(_is_settled), f"rest in {self.name}")
        deadline = time.monotonic() + _LONGEST_FOR_WORK
        while not self.inside(_has_worked) and time.monotonic() < deadline:
            time.sleep(0.002)

    def inside(self, function: Callable[[], T]) -> T:
        """Call `function` on a thread of its own that has entered the namespace; what it opens there stays there."""
        answers: list[T] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                _set_namespace(self.path)
                answers.append(function())
            except BaseException as error:  # noqa: BLE001 -- raised again below, on the caller's thread
                errors.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return answers[0]


class MakeNamespace(Protocol):
    """The `netns` fixture: makes a namespace whose name starts with the hint, and takes it down when the test ends."""

    def __call__(self, hint: str = "ns") -> Namespace:
        """Return a new one."""


def _is_settled() -> bool:
    """Say whether in this thread's namespace no link lags behind its carrier, and no address is being probed."""
    links = dump_links()
    live = {link.name for link in links if link.flags & _LOWER_UP}
    return not any(_lags(link) for link in links) and not live.intersection(_probed())


def _has_worked() -> bool:
    """Say whether the work queue has nothing left to do for the addresses of this thread's namespace.

    Without a carrier, an address stops being tentative only if nothing was to be detected when it was added, and
    somebody may have removed a local entry.
    """
    return not _undetected(set(_probed())) and _has_local_entries()


def _has_local_entries() -> bool:
    """Say whether each IPv6 address of this thread's namespace has its entry in table local.

    On a link that is down it has one too, unless it was there before and was kept.
    """
    addresses = (line.split() for line in Path("/proc/thread-self/net/if_inet6").read_text().splitlines())
    routes = (line.split() for line in Path("/proc/thread-self/net/ipv6_route").read_text().splitlines())
    wanted = {(words[0], words[5]) for words in addresses if not int(words[4], 16) & _TENTATIVE}
    return wanted <= {(words[0], words[9]) for words in routes if int(words[8], 16) & _RTF_LOCAL}


def _probed() -> Iterator[str]:
    """Yield the link of each IPv6 address of this thread's namespace that is tentative, and not because it is taken."""
    for line in Path("/proc/thread-self/net/if_inet6").read_text().splitlines():
        *_, flags, link = line.split()
        if int(flags, 16) & (_TENTATIVE | _DAD_FAILED) == _TENTATIVE:
            yield link


def _undetected(links: set[str]) -> bool:
    """Say whether there is no address detection on some of the links: it ends there without a carrier."""
    values = {link: int(Path(f"/proc/sys/net/ipv6/conf/{link}/accept_dad").read_text()) for link in {*links, "all"}}
    return any(max(values[link], values["all"]) < 1 for link in links)


def _lags(link: LinkRecord) -> bool:
    """Say whether a link that is up has not noticed yet that it has a carrier, or none."""
    states = (_OPER_UP, _OPER_UNKNOWN) if link.flags & _LOWER_UP else (_OPER_DOWN, _OPER_LOWER_LAYER_DOWN)
    return bool(link.flags & _UP) and link.state not in states


def _set_namespace(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(descriptor, CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(descriptor)
