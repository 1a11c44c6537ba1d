"""Serving the guest of one wiring: dnsmasq for DHCP, a process for each interface, and router advertisements.

One process an interface: dnsmasq answers a renewal by unicast only on a socket that is bound to its link.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

from attrs import define, field

from executor.errors import HostError
from executor.guest.advertiser import Advertiser
from executor.netns.namespace import Namespace
from executor.process.memory_file import MemoryFile
from executor.process.spawn import ChildProcess
from planner.errors import Refused
from planner.guest.dnsmasq import dnsmasq, left_out
from planner.guest.formats import guest_nics
from planner.guest.nic import GuestNic
from planner.plan.plan import Plan
from planner.text.frozen import frozen
from planner.text.values import InterfaceName
from planner.wiring.served import listens_to_routers

_STARTED = b"started, version"
_START_WITHIN = 10.0
_LOOK_EVERY = 2.0
_RESTARTS, _WITHIN = 5, 60.0
# What dnsmasq says of a guest that has rebooted under another identity: its address is leased to the old one.
_LEASED_TO_ANOTHER = b"no addresses available"
_FORGETS_EVERY = 1.0
_ARGUMENTS = ("--keep-in-foreground", "--log-facility=-", "--user=nobody", "--pid-file", "--conf-file=-")

Log = Callable[[bytes], None]


@frozen
class Served:
    """What the guest is served on one interface, and what of it could not be."""

    link: InterfaceName
    addresses: tuple[str, ...]
    routers: tuple[str, ...]
    problems: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """Return what is served, and what could not be."""
        advertised = f", and advertisements of the router {', '.join(self.routers)}" if self.routers else ""
        return (f"{self.link} is served {' and '.join(self.addresses)}{advertised}", *self.problems)


def nics_to_serve(plan: Plan) -> tuple[GuestNic, ...]:
    """Return the interfaces whose guest has addresses. Raises Refused if the wiring is not made for that."""
    if not plan.options.serve_dhcp:
        raise Refused(
            f"{plan.id} was wired without --serve-dhcp, so the pod network may serve its guest as well: tear it down "
            f"(podwire teardown {plan.id}) and apply it again with --serve-dhcp"
        )
    found = tuple(nic for nic in guest_nics(plan) if nic.guest.addresses and not nic.interface.pci_address)
    if not found:
        raise Refused(f"no interface of {plan.id} has an address, so there is nothing to lease")
    return found


@define(eq=False)
class _Dnsmasq:
    """A dnsmasq for one interface, started again if it ends."""

    nic: GuestNic
    namespace: Namespace
    log: Log
    child: ChildProcess = field(init=False)
    output: int = field(init=False, default=-1)
    # Whether it refuses the guest, since it remembers a lease.
    refuses: bool = field(init=False, default=False)
    _said: bytes = field(init=False, default=b"")
    _started: float = field(init=False, default=0.0)
    _ends: list[float] = field(factory=list, init=False)

    def start(self) -> None:
        """Start it and wait until it listens. Raises HostError if it does not."""
        self._started, self.refuses, self._said = time.monotonic(), False, b""
        self.output, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            with MemoryFile("dnsmasq.conf") as configuration:
                configuration.write(dnsmasq([self.nic]).text)
                streams = (configuration.fd, theirs, theirs)
                self.child = ChildProcess.start(["dnsmasq", *_ARGUMENTS], namespace=self.namespace, streams=streams)
        finally:
            os.close(theirs)
        self._wait()

    def _wait(self) -> None:
        said = b""
        deadline = time.monotonic() + _START_WITHIN
        while _STARTED not in said:
            if not select.select([self.output], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise HostError(f"dnsmasq for {self.nic.name} did not start within {_START_WITHIN:g} s")
            read = os.read(self.output, 4096)
            if not read:
                last = said.decode("utf-8", "replace").strip().splitlines()[-1:] or ["nothing"]
                raise HostError(f"dnsmasq for {self.nic.name} did not start, it said: {last[0][:200]}")
            said += read
            self.log(read)

    def read(self) -> bool:
        """Copy what it says to the log; return False once it has closed its output, having ended."""
        data = os.read(self.output, 4096)
        self.log(data)
        said = self._said + data
        self.refuses |= _LEASED_TO_ANOTHER in said
        self._said = said[-len(_LEASED_TO_ANOTHER) :]
        return bool(data)

    def start_again(self) -> None:
        """Start it after it has ended. Raises HostError if it does not start, or has ended too often."""
        self.end()
        now = time.monotonic()
        self._ends = [at for at in self._ends if at > now - _WITHIN] + [now]
        if len(self._ends) >= _RESTARTS:
            raise HostError(f"dnsmasq for {self.nic.name} ended {_RESTARTS} times within a minute: its log says why")
        self.start()

    def forget(self) -> None:
        """Restart it, without the leases that it remembers. A guest asks again; if it is too soon, for its next."""
        if time.monotonic() >= self._started + _FORGETS_EVERY:
            self.end()
            self.start()
        self.refuses = False

    def end(self) -> None:
        """End it, and collect it."""
        if self.output >= 0:
            os.close(self.output)
            self.output = -1
            self.child.kill()


class Server:
    """Serves the guest of one wiring, as long as that lasts and nobody asks to stop."""

    def __init__(self, plan: Plan, namespace: Namespace, log: Log) -> None:
        """Take the plan that was applied; nothing is started yet. Raises Refused if it is not made for that."""
        self._nics = nics_to_serve(plan)
        self._plan = plan
        self._namespace = namespace
        self._log = log
        self._servers: dict[int, _Dnsmasq] = {}
        self._advertisers: dict[int, Advertiser] = {}

    def start(self, stack: ExitStack) -> tuple[Served, ...]:
        """Start what serves each interface, to be ended by ``stack``; return what is served. Raises HostError."""
        return tuple(self._start(nic, stack) for nic in self._nics)

    def _start(self, nic: GuestNic, stack: ExitStack) -> Served:
        server = _Dnsmasq(nic, self._namespace, self._log)
        stack.callback(server.end)
        server.start()
        self._servers[server.output] = server
        addresses = tuple(str(found[0]) for version in (4, 6) if (found := nic.addresses(version)))
        problems = tuple(left_out(nic))
        if not nic.addresses(6) or not self._keeps_routers_out(nic):
            return Served(nic.name, addresses, (), problems)
        advertiser = Advertiser(nic, self._namespace)
        advertiser.open()
        stack.callback(advertiser.close)
        self._advertisers[advertiser.fileno()] = advertiser
        problems += tuple(
            f"router {one} has not answered yet; it will be advertised as soon as it does" for one in advertiser.missing
        )
        return Served(nic.name, addresses, tuple(map(str, advertiser.known)), problems)

    def _keeps_routers_out(self, nic: GuestNic) -> bool:
        """Say whether the guest does not hear the routers of the pod network, so that it hears of them from us."""
        return not listens_to_routers(nic.name, self._plan.facts)

    @property
    def processes(self) -> tuple[int, ...]:
        """Return the processes that were started."""
        return tuple(server.child.pid for server in self._servers.values())

    def run(self, changed: Callable[[], None]) -> None:
        """Serve until the wiring is gone; ``changed`` is called when a process was started again. Raises HostError."""
        while self._is_wired():
            seconds = min([_LOOK_EVERY, *(advertiser.seconds_left for advertiser in self._advertisers.values())])
            ready, _, _ = select.select([*self._servers, *self._advertisers], [], [], seconds)
            for fd in ready:
                if fd in self._advertisers:
                    self._advertisers[fd].hear()
                elif self._again(fd):
                    changed()
            for advertiser in self._advertisers.values():
                for router in advertiser.advertise_in_time():
                    self._log(
                        f"router {router} answers now, and is advertised to the guest of "
                        f"{advertiser.nic.name}\n".encode()
                    )

    def _again(self, fd: int) -> bool:
        """Read what a dnsmasq says; say whether it had to be started again."""
        server = self._servers.pop(fd)
        before = server.child.pid
        if not server.read():
            self._log(f"dnsmasq for {server.nic.name} ended, and is restarted\n".encode())
            server.start_again()
        elif server.refuses:
            server.forget()
        self._servers[server.output] = server
        return server.child.pid != before

    def _is_wired(self) -> bool:
        """Say whether links and taps are still there, and the namespace where it was mounted.

        Our processes keep a namespace alive that nobody else has.
        """
        names = [name for nic in self._nics for name in (nic.name, nic.interface.name)]

        def all_there() -> bool:
            with suppress(OSError):
                return all(socket.if_nametoindex(name) for name in names)
            return False

        return self._namespace.call(all_there) and self._is_mounted()

    def _is_mounted(self) -> bool:
        path = self._plan.netns
        if path.startswith("/proc/"):
            return True
        try:
            return os.stat(path).st_ino == self._namespace.inode
        except FileNotFoundError:
            return False
        except OSError:
            return True
