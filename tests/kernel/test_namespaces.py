"""Network namespaces: what one is known by, who is kept out, what belongs to it (executor/netns/namespace.py)."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import MakeNamespace, Namespace, eventually, run

SO_NETNS_COOKIE = 71  # <asm-generic/socket.h>
NS_GET_NSTYPE, CLONE_NEWNET = 0xB703, 0x4000_0000  # ioctl_nsfs(2)
TUNGETDEVNETNS = 0x54E3  # <linux/if_tun.h>


def cookie(namespace: Namespace) -> int:
    """Return the cookie, read inside."""

    def read() -> int:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
            (number,) = struct.unpack("=Q", any_socket.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8))
            return int(number)

    return namespace.inside(read)


@contextmanager
def sleeper(namespace: Namespace) -> Iterator[int]:
    """Run a process in the namespace that does nothing, and yield its id."""
    with subprocess.Popen(["nsenter", f"--net={namespace.path}", "sleep", "60"]) as process:
        try:
            inode = namespace.path.stat().st_ino
            eventually(lambda: Path(f"/proc/{process.pid}/ns/net").stat().st_ino == inode, "a process inside")
            yield process.pid
        finally:
            process.kill()


# --- what it is -------------------------------------------------------------------------------------------------------


def test_the_inode_is_reused_and_the_cookie_is_not(netns: MakeNamespace) -> None:
    """A new namespace can have the number of a gone one: the state has the cookie."""
    inodes: set[int] = set()
    cookies: list[int] = []

    def comes_again() -> bool:
        namespace = netns()
        inode = namespace.path.stat().st_ino
        cookies.append(cookie(namespace))
        namespace.delete()
        known = inode in inodes
        inodes.add(inode)
        return known

    eventually(comes_again, "an inode for the second time")
    assert len(set(cookies)) == len(cookies)


def test_a_file_says_what_kind_of_namespace_it_is(netns: MakeNamespace) -> None:
    """By an ioctl that no other file knows, so a plain file is not mistaken for one."""
    with netns().path.open() as opened:
        assert fcntl.ioctl(opened, NS_GET_NSTYPE) == CLONE_NEWNET
    with Path("/proc/self/ns/uts").open() as opened:
        assert fcntl.ioctl(opened, NS_GET_NSTYPE) != CLONE_NEWNET
    with Path("/dev/null").open() as opened, pytest.raises(OSError, match="Inappropriate ioctl"):
        fcntl.ioctl(opened, NS_GET_NSTYPE)


def test_it_lives_as_long_as_somebody_has_it_open(netns: MakeNamespace) -> None:
    """Also after `ip netns del`: so what podwire looked at is what it changes."""
    namespace = netns()
    number = cookie(namespace)
    opened = os.open(namespace.path, os.O_RDONLY)
    try:
        namespace.delete()
        path = f"/proc/{os.getpid()}/fd/{opened}"
        assert "lo" in run(["nsenter", f"--net={path}", "ip", "link"]).out
        read = "import socket as s, struct; print(struct.unpack('=Q', s.socket().getsockopt(1, 71, 8))[0])"
        assert int(run(["nsenter", f"--net={path}", "python3", "-c", read]).out) == number
    finally:
        os.close(opened)


def test_setns_moves_one_thread_and_proc_sys_goes_with_it(netns: MakeNamespace) -> None:
    """/proc/sys/net is that of the thread that opens it: observe reads sysctls on a thread inside."""
    namespace = netns()
    namespace.ip("link add name br7 type bridge")
    path = Path("/proc/sys/net/ipv6/conf/br7/accept_dad")
    assert namespace.inside(path.exists)
    assert not path.exists()


# --- the lock ---------------------------------------------------------------------------------------------------------


def try_lock(path: str | Path) -> int | None:
    """Return a descriptor with the lock, or None if somebody has it."""
    opened = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        return None
    return opened


def test_a_lock_excludes_over_every_path(netns: MakeNamespace) -> None:
    """/run/netns/X and /proc/PID/ns/net are one file: no other name gets around the lock."""
    namespace = netns()
    with sleeper(namespace) as pid:
        held = try_lock(namespace.path)
        assert held is not None
        assert try_lock(f"/proc/{pid}/ns/net") is None
        os.close(held)
        again = try_lock(f"/proc/{pid}/ns/net")
        assert again is not None
        assert try_lock(namespace.path) is None
        os.close(again)


def test_a_lock_lasts_until_the_last_process_that_has_its_descriptor(netns: MakeNamespace) -> None:
    """A child that was left running by a killed parent keeps it: nobody else changes the namespace meanwhile."""
    path = netns().path
    script = f'exec 9<"{path}"; flock -xn 9 || exit 1; sleep 60 & echo $!; wait'
    with subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        assert try_lock(path) is None
        os.kill(child, signal.SIGKILL)
        held = eventually(lambda: try_lock(path), "the lock")
        assert held is not None
        os.close(held)


def test_a_lock_is_shown_with_the_process_that_took_it(netns: MakeNamespace) -> None:
    """In the fdinfo of each descriptor that shares it (proc(5)): that is how podwire says who is at it."""
    held = try_lock(netns().path)
    assert held is not None
    lock = re.search(
        r"^lock:\s+1: FLOCK\s+ADVISORY\s+WRITE (\d+) ", Path(f"/proc/self/fdinfo/{held}").read_text(), re.MULTILINE
    )
    os.close(held)
    assert lock is not None
    assert int(lock[1]) == os.getpid()


# --- taps -------------------------------------------------------------------------------------------------------------


def open_tap(name: str) -> int:
    """Take hold of a tap, or make one that lives as long as its descriptor."""
    opened = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(opened, 0x4004_54CA, struct.pack("16sH22x", name.encode(), 0x1002))  # TUNSETIFF, IFF_TAP | IFF_NO_PI
    return opened


def test_a_descriptor_of_a_tap_says_which_and_where(netns: MakeNamespace) -> None:
    """By its fdinfo the name, by an ioctl the namespace, wherever the holder runs (executor/taps/holders.py)."""
    namespace = netns()
    namespace.ip("tuntap add dev tap7 mode tap")
    opened = namespace.inside(lambda: open_tap("tap7"))
    try:
        assert re.search(r"^iff:\s+tap7$", Path(f"/proc/self/fdinfo/{opened}").read_text(), re.MULTILINE)
        where = fcntl.ioctl(opened, TUNGETDEVNETNS)
        assert os.fstat(where).st_ino == namespace.path.stat().st_ino
        os.close(where)
    finally:
        os.close(opened)


def test_a_tap_that_somebody_holds_can_be_deleted(netns: MakeNamespace) -> None:
    """The holder keeps a descriptor that is good for nothing any more: teardown says who lost the network."""
    namespace = netns()
    namespace.ip("tuntap add dev tap7 mode tap")
    opened = namespace.inside(lambda: open_tap("tap7"))
    try:
        namespace.ip("link del dev tap7")
        assert "tap7" not in namespace.ip("link show")
        with pytest.raises(OSError, match=os.strerror(errno.EBADFD)):
            os.read(opened, 2048)
    finally:
        os.close(opened)


def test_a_name_that_is_missing_is_made_and_goes_with_its_descriptor(netns: MakeNamespace) -> None:
    """So a VMM that died leaves nothing of that kind; what podwire makes is persistent (executor/taps/open.py)."""
    namespace = netns()
    opened = namespace.inside(lambda: open_tap("tap7"))
    assert "tap7" in namespace.ip("link show")
    os.close(opened)
    eventually(lambda: "tap7" not in namespace.ip("link show"), "the end of the tap")
