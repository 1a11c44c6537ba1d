"""A pod that is wired and whose guest podwire serves, and what guests say to ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.guests.machines import Guest
from tests.support.cli import Cli
from tests.support.dumps import difference, dump
from tests.support.pods import Pod

Boot = Callable[..., AbstractContextManager[Guest]]

DHCPCD = "dhcpcd -1 -w -6 -t 60 eth0 2>&1"


def udhcpc(link: str = "eth0") -> str:
    """Return the line that asks for an IPv4 lease, for at most 20 s."""
    return f"udhcpc -i {link} -n -q -t 20 -T 1 -O mtu -O staticroutes -O search -s /udhcpc.sh"


def udhcpc_that_stays(link: str = "eth0") -> str:
    """Return the line that asks for a lease and then, by the process that goes to the background, for it once more.

    That process writes its id when it is there, so a signal may have to be sent again.
    """
    asks = f"udhcpc -i {link} -t 20 -T 1 -O mtu -O staticroutes -s /udhcpc.sh -p /pid >/log 2>&1"
    return f"rm -f /pid; {asks} && until kill -USR1 $(cat /pid) 2>/dev/null; do sleep 0.1; done"


@contextmanager
def served(cli: Cli, pod: Pod, *options: str) -> Iterator[None]:
    """Wire a pod and serve its guest by a daemon, and roll both back: the pod is then what it was."""
    before = dump(pod.inside)
    cli.ok("apply", *cli.wiring(pod), "--serve-dhcp", *options, "--yes")
    cli.ok("dhcp", pod.inside.name, "--daemon")
    yield
    cli.ok("teardown", pod.inside.name, "--yes")
    assert difference(before, dump(pod.inside)) == ""
