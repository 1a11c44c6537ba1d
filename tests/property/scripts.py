"""Namespaces as scripts: lists of command lines that build a pod, and the means to run them fast.

A script that was run prints as one that anybody can run again: what the kernel refused while building is left out.
Building goes by one `ip -batch` for each run of `ip` lines, and knows nothing of podwire.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import field, frozen

from tests.support import Namespace
from tests.support.dumps import Dump, dump, printed, read_sysctls
from tests.support.netlink import raw_dump

POD, HOST = "pod", "host"
HOSTS_NAME = "@host"  # in a line it means the name of the host's namespace
MARKER = "link show dev ./"  # always fails, since no link has a slash in its name

_numbers = itertools.count(1)


_NOT_BY_NETLINK = ("link", "bridge", "nft", "qdisc")
# A link that was never up listens to those of all nodes and of all routers, and one that went down does not.
_WHILE_NEVER_UP = (" 2:333300000001", " 2:333300000002")


@frozen
class Line:
    """One command line: of `ip`, `sysctl` or `ebtables`, in the pod or on the host; or `settle`, which waits.

    `link` and `address` say which link it makes or gives an address to, for building a result that is true.
    """

    text: str
    program: str = "ip"
    where: str = POD
    link: str | None = None
    address: str | None = None

    def words(self, host: str) -> list[str]:
        """Return the words behind the program's name."""
        return [host if word == HOSTS_NAME else word for word in shlex.split(self.text)]

    def __str__(self) -> str:
        if self.program == "settle":
            return "sleep 1  # until carriers, link-local addresses and their detection are there"
        words = shlex.join(self.words(HOST))
        if self.program == "ip":
            return f"ip -n {self.where} {words}"
        return f"ip netns exec {self.where} {self.program} {'-qw ' if self.program == 'sysctl' else ''}{words}"


SETTLE = Line("", program="settle")


@frozen
class Script:
    """The lines that build a pod's namespace, and the host's that it hangs on."""

    lines: tuple[Line, ...]

    def __str__(self) -> str:
        return "\n".join(["ip netns add pod", "ip netns add host", *map(str, self.lines)])


@frozen
class Site:
    """A pod and its host, built by a script; `script` is what the kernel took of it."""

    pod: Namespace
    host: Namespace
    script: Script = field(default=Script(()))

    def settle(self) -> None:
        """Wait until carriers were noticed and address detection is over."""
        for namespace in (self.pod, self.host):
            namespace.settle()

    def dump(self) -> Dump:
        """Take the raw dump of the pod, with its nexthop objects, and of what somebody set on the host.

        Not of the host's link-local addresses: if the pod's end of a veth was down, its first up gives the other
        end a carrier, and with that an address, which is there to stay.
        """
        more = {
            "nexthop": self.pod.ip("-d nexthop show"),
            "addr host": self.host.ip("-o -d addr show scope global"),
            "neigh host": self.host.ip("neigh show nud permanent"),
        }
        sections = dump(self.pod).sections | more
        return Dump({name: self._without_names(text) for name, text in sections.items()})

    def state(self) -> Dump:
        """Take what must come back: what the kernel lists by netlink, raw, and what it does not list there.

        Of a pod before and after: it has numbers of links, which a twin has others of. It costs a third of a dump.
        """
        found = printed(self.pod, _NOT_BY_NETLINK)
        for table, lines in raw_dump(self.pod).items():
            found[f"raw {table}"] = "\n".join(line for line in lines if not line.endswith(_WHILE_NEVER_UP))
        found["sysctl"] = self.pod.inside(read_sysctls)
        host = "addr show scope global\nneigh show nud permanent\n"
        found["host"] = self.host.run("ip", "-o", "-batch", "-", stdin=host).out
        return Dump({name: self._without_names(text) for name, text in found.items()})

    def anycasts(self) -> str:
        """Return how often the kernel has joined each anycast group of the pod, which no dump shows.

        A link that is set up and then `arp off` joins once or twice: that depends on what its work queue does first.
        """
        return self.pod.inside(Path("/proc/thread-self/net/anycast6").read_text)

    def _without_names(self, text: str) -> str:
        """Return text in which the namespaces are called as in the script: twins compare equal."""
        return text.replace(self.pod.name, POD).replace(self.host.name, HOST)


@contextmanager
def built(script: Script) -> Iterator[Site]:
    """Build a site; however the block ends, it goes."""
    number = next(_numbers)
    with ExitStack() as stack:
        pod, host = (_namespace(f"{hint}{number}", stack) for hint in (POD, HOST))
        taken = tuple(_run_all(script.lines, {POD: pod, HOST: host}))
        yield Site(pod, host, Script(taken))


def _namespace(name: str, stack: ExitStack) -> Namespace:
    namespace = Namespace.create(f"prop-{name}")
    stack.callback(namespace.delete)
    return namespace


def _run_all(lines: Sequence[Line], sites: dict[str, Namespace]) -> Iterator[Line]:
    """Run the lines in their order, and yield those that the kernel took."""
    for (program, where), group in itertools.groupby(lines, lambda line: (line.program, line.where)):
        some, namespace, host = tuple(group), sites[where], sites[HOST].name
        if program == "ip":
            yield from _run_batch(some, namespace, host)
        elif program == "sysctl":
            yield from _write_sysctls(some, namespace)
        elif program == "settle":
            for each in sites.values():
                each.settle()
            yield some[0]
        else:
            yield from (line for line in some if namespace.run(program, *line.words(host), check=False).rc == 0)


def _run_batch(lines: tuple[Line, ...], namespace: Namespace, host: str) -> Iterator[Line]:
    """Run `ip` lines by one process, or by a few: an argument that it can't parse ends it, and goes no further."""
    while lines:
        stdin = "".join(f"{' '.join(line.words(host))}\n{MARKER}\n" for line in lines)
        answer = namespace.run("ip", "-force", "-batch", "-", stdin=stdin, check=False).err
        failed = {int(number) for number in re.findall(r"^Command failed -:(\d+)$", answer, re.MULTILINE)}
        passed = next((at for at in range(len(lines)) if 2 * at + 2 not in failed), len(lines))
        yield from (line for at, line in enumerate(lines[:passed]) if 2 * at + 1 not in failed)
        lines = lines[passed + 1 :]


def _write_sysctls(lines: tuple[Line, ...], namespace: Namespace) -> list[Line]:
    """Write the values as `sysctl -qw` would, from a thread inside: /proc/sys/net is that of who looks."""

    def write() -> list[Line]:
        return [line for line in lines if _written(*line.text.split("="))]

    return namespace.inside(write)


def _written(key: str, value: str) -> bool:
    try:
        Path("/proc/sys", key).write_text(value)
    except OSError:
        return False
    return True
