"""Finding a network namespace by what it is: a path is only where to look first.

A process that gave its path may have ended while others live on in the namespace; its file may be hidden by a mount,
or something else may be at its place. Only what is proven to be gone is gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from executor.errors import HostError, NamespaceGone, NamespaceHidden, NoThreads, is_shortage
from executor.netns.handle import NoHandles, open_by_cookie
from executor.netns.namespace import Namespace
from executor.process.others import OpenFiles
from planner.text.values import NetnsPath

# <linux/proc_ns.h>: the number of the first process namespace, which the kernel has always given it.
_FIRST_PROCESS_NAMESPACE = "pid:[4026531836]"
# A user who runs podwire in another PID namespace may vouch for it, by its name (``pid:[4026532281]``), that no
# namespace which was wired from there lives outside.
_VOUCHED = "PODWIRE_PID_NAMESPACE"
# 100,000 mounts, as many as a namespace may have (sysctl fs.mount-max), take some 15 MB.
_MOST_OF_MOUNTS = 64 * 1024 * 1024


def find_namespace(path: NetnsPath, cookie: int, inode: int = 0) -> Namespace:
    """Open the namespace with this cookie: at ``path``, or wherever it lives now, which its ``path`` then says.

    ``inode`` is its number, 0 if that was not recorded. Raises NamespaceGone if it is proven that there is none,
    NamespaceHidden if it is not there and nothing is proven, NoThreads or OSError if too little is left to look with.
    """
    try:
        return _if_it_is(Namespace.open(path), cookie)
    except NoThreads:
        raise
    except HostError as error:
        problem = str(error)
    known = _by_handle(path, cookie, inode)
    search = _Search(cookie, inode)
    # Twice: a process that was not there yet may have come from one that is not there any more.
    less = -1 if known is None else known.fd
    found = search.open(less=less) or search.open(less=less)
    if known is not None and (found is not None or search.saw_all):
        # The kernel keeps one that nothing leads to for a while: a netlink socket lets go of it later (RCU).
        known.close()
    if found is not None:
        return found
    if search.saw_all:
        raise _gone(path)
    if known is not None:
        return known
    raise NamespaceHidden(
        f"{problem}, and podwire cannot tell from here whether the namespace is gone or has moved, so the record is "
        "kept; run podwire as root in the host's initial PID namespace"
    )


def _by_handle(path: NetnsPath, cookie: int, inode: int) -> Namespace | None:
    """Open the namespace without a path, None if that cannot be. Raises NamespaceGone if there is none any more."""
    try:
        fd = open_by_cookie(cookie, inode)
    except NoHandles:
        return None
    if fd is None:
        raise _gone(path)
    return _if_it_is(Namespace.taken_over(path, fd), cookie)


def _gone(path: NetnsPath) -> NamespaceGone:
    return NamespaceGone(f"the namespace that was at {path} is gone")


def _if_it_is(namespace: Namespace, cookie: int) -> Namespace:
    """Return ``namespace`` if it has this cookie; else close it and raise HostError."""
    if namespace.cookie != cookie:
        namespace.close()
        raise HostError(f"another network namespace is at {namespace.path}")
    return namespace


class _Search:
    """A look at all processes and mounts for one namespace; ``saw_all`` says whether nothing was hidden from it."""

    def __init__(self, cookie: int, inode: int) -> None:
        self.cookie = cookie
        self.inode = inode
        self.saw_all = _shows_every_process()

    def open(self, *, less: int = -1) -> Namespace | None:
        """Open the namespace by a path that leads to it, None if none was found; not by our descriptor ``less``."""
        others: set[str] = set()
        hidden: set[str] = set()
        own = f"/proc/{os.getpid()}/fd/{less}"
        for name, path, stays in self._places():
            if path == own or name in others or not self._may_be(name):
                continue
            try:
                namespace = Namespace.open(NetnsPath(path))
            except NoThreads:
                raise
            except (NamespaceGone, ValueError):
                if stays:  # else a process has just ended; what hides the path of a mount need not be there
                    hidden.add(name)
            except HostError:
                hidden.add(name)
            else:
                if namespace.cookie == self.cookie:
                    return namespace
                others.add(f"net:[{namespace.inode}]")
                namespace.close()
        self.saw_all = self.saw_all and hidden <= others
        return None

    def _may_be(self, name: str) -> bool:
        return name == f"net:[{self.inode}]" if self.inode else name.startswith("net:[")

    def _places(self) -> Iterator[tuple[str, str, bool]]:
        """Yield the name of each namespace (``net:[4026531833]``), a path to it, and whether that is a mount's."""
        looked_at = {os.readlink("/proc/self/ns/mnt")}
        yield from _mounted("self", "")
        pids = [pid for pid in os.listdir("/proc") if pid.isdigit()]
        pids.sort(key=lambda pid: int(pid) == os.getpid())  # last: our own threads enter namespaces and end
        files = OpenFiles()
        for pid in pids:
            if not files.is_over():
                yield from self._named(f"/proc/{pid}/task", "/proc/{}/ns/net")
        for pid in pids:
            for mounts, _, _ in self._named(f"/proc/{pid}/ns", f"/proc/{pid}/ns/{{}}", only="mnt"):
                if mounts not in looked_at:
                    looked_at.add(mounts)
                    if files.is_over():
                        break
                    yield from _mounted_of(pid)
            for number, target in files.of(int(pid)):
                yield target, f"/proc/{pid}/fd/{number}", False
        self.saw_all = self.saw_all and files.saw_all

    def _named(self, directory: str, path: str, *, only: str = "") -> Iterator[tuple[str, str, bool]]:
        """Yield the namespaces that the entries of a directory in /proc lead to."""
        try:
            entries = [only] if only else os.listdir(directory)
        except PermissionError:
            self.saw_all = False
            return
        except OSError as error:
            if is_shortage(error):
                raise
            return  # it ended while we looked
        for entry in entries:
            place = path.format(entry)
            try:
                name = os.readlink(place)
            except PermissionError:
                self.saw_all = False
            except OSError:
                continue
            else:
                yield name, place, False


def _mounted(pid: str, root: str) -> Iterator[tuple[str, str, bool]]:
    """Yield the network namespaces that are mounted where a process lives, with a path to each (proc(5), mountinfo)."""
    for words in _mounts(pid):
        if words[3].startswith("net:[") and "nsfs" in words[words.index("-") :]:
            yield words[3], root + words[4], True


def _mounted_of(pid: str) -> Iterator[tuple[str, str, bool]]:
    """Yield what ``_mounted`` does of another process, nothing if that has ended meanwhile."""
    try:
        yield from _mounted(pid, f"/proc/{pid}/root")
    except OSError as error:
        if is_shortage(error):
            raise


def _mounts(pid: str) -> list[list[str]]:
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        text = file.read(_MOST_OF_MOUNTS).rpartition("\n")[0]
    return [line.split(" ") for line in text.splitlines()]


def _shows_every_process() -> bool:
    """Say whether /proc shows every process of the machine, or every one that can matter as somebody vouches."""
    own = os.readlink("/proc/self/ns/pid")
    options = [option for words in _mounts("self") if words[4] == "/proc" for option in words[-1].split(",")]
    hides = any(option.startswith(("hidepid=", "subset=")) for option in options)
    return own in (_FIRST_PROCESS_NAMESPACE, os.environ.get(_VOUCHED)) and not hides
