"""Network namespaces, and Python code that runs in one."""

from __future__ import annotations

import ctypes
import os
import shlex
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from attrs import frozen

from tests.support.running import Outcome, eventually, run

T = TypeVar("T")

CLONE_NEWNET = 0x4000_0000
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
        """Delete it, unless a test has: `ip netns del NAME`."""
        if self.path.exists():
            run(["ip", "netns", "del", self.name])

    @property
    def path(self) -> Path:
        """The file that stands for it."""
        return Path("/run/netns", self.name)

    def run(self, *argv: str, stdin: str = "", check: bool = True) -> Outcome:
        """Run a program in it: `nsenter --net=PATH ARGV…`."""
        return run(["nsenter", f"--net={self.path}", *argv], stdin=stdin, check=check)

    def ip(self, line: str) -> str:
        """Run `ip LINE` in it and return what it printed."""
        return self.run("ip", *shlex.split(line)).out

    def sysctl(self, name: str, value: object) -> None:
        """Set one: `sysctl -qw NAME=VALUE`, NAME with slashes."""
        self.run("sysctl", "-qw", f"{name}={value}")

    def settle(self) -> None:
        """Wait until duplicate address detection is over, as it is in a pod that has run for a while."""
        eventually(lambda: not self._probing(), f"the end of address detection in {self.name}")

    def _probing(self) -> bool:
        lines = self.ip("-6 -o addr show tentative").splitlines()
        return any("dadfailed" not in line and self._has_carrier(line.split()[1]) for line in lines)

    def _has_carrier(self, link: str) -> bool:
        return "LOWER_UP" in self.ip(f"link show dev {link}")

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


def _set_namespace(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(descriptor, CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(descriptor)
