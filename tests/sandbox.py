"""Run a command in namespaces of its own, so that nothing it does to the network reaches the machine.

    python tests/sandbox.py COMMAND [ARGUMENT...]

The command gets a network, mount and process namespace of its own, a user namespace too if it isn't root. It sees no
link but `lo`; `/run/netns`, `/var/lib/podwire` and where CNI plugins keep things are empty. Signals and the exit
status are handed on. However it ends, the kernel ends what it left running, and with that all namespaces and links.

It needs nothing but the standard library. Manual pages: unshare(2), mount(2), pid_namespaces(7), user_namespaces(7).
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import sys
from fcntl import ioctl
from pathlib import Path
from typing import NoReturn

VARIABLE = "PODWIRE_SANDBOX"
# Tells podwire that no namespace that is wired in the sandbox lives outside of it: what can't be seen here is gone.
VOUCHED = "PODWIRE_PID_NAMESPACE"
PRIVATE = (Path("/run/netns"), Path("/run/podwire"), Path("/run/cni"), Path("/var/lib/podwire"), Path("/var/lib/cni"))
TUN = Path("/dev/net/tun")

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x0002_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
SI_USER = 0  # si_code of a signal sent by kill(2); a terminal's Ctrl-C has SI_KERNEL
FORWARDED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}

_libc = ctypes.CDLL(None, use_errno=True)


class SandboxError(Exception):
    """The machine does not allow the sandbox; the message says what is missing and what to do."""


def inside() -> bool:
    """Whether this process is in the sandbox: the variable names the very network namespace that it runs in."""
    return os.environ.get(VARIABLE) == _network_namespace()


def main(argv: list[str]) -> int:
    """Run `argv` in a sandbox and return its exit status, 128 + N if signal N ended it."""
    if not argv:
        _say("usage: python tests/sandbox.py COMMAND [ARGUMENT...]")
        return 1
    try:
        _check_tun()
        _unshare()
    except SandboxError as error:
        _say(f"sandbox: {error}")
        return 1
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED | {signal.SIGCHLD})
    init = os.fork()  # the first child is process 1 of the new process namespace, which dies with it
    if init == 0:
        _become_init(argv, mask)
    return _supervise(init)


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


def _network_namespace() -> str:
    return str(Path("/proc/self/ns/net").readlink())


def _process_namespace() -> str:
    return str(Path("/proc/self/ns/pid").readlink())


def _check_tun() -> None:
    if not TUN.exists():
        raise SandboxError(f"{TUN} is missing, so there are no taps; as root: modprobe tun")
    if not os.access(TUN, os.R_OK | os.W_OK):
        raise SandboxError(f"{TUN} can't be opened by this user; as root: chmod 0666 {TUN} (Debian's default)")


def _unshare() -> None:
    """Leave the machine's namespaces; without the right to, by way of a user namespace in which this user is root."""
    flags = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(flags) == 0:
        return
    if _libc.unshare(flags | CLONE_NEWUSER) != 0:
        raise SandboxError(_why_not(ctypes.get_errno()))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def _why_not(code: int) -> str:
    clone = Path("/proc/sys/kernel/unprivileged_userns_clone")
    maximum = Path("/proc/sys/user/max_user_namespaces")
    if clone.exists() and clone.read_text().strip() == "0":
        remedy = "allow them, as root: sysctl -w kernel.unprivileged_userns_clone=1"
    elif maximum.exists() and maximum.read_text().strip() == "0":
        remedy = "allow them, as root: sysctl -w user.max_user_namespaces=10000"
    else:
        remedy = f"start the container that this is with more rights ({os.strerror(code)})"
    return f"it takes root or user namespaces, and here there is neither: run it as root, or {remedy}"


def _become_init(argv: list[str], mask: set[int | signal.Signals]) -> NoReturn:
    """Be process 1: prepare the namespaces, start the command, reap what it orphans, end as it ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a supervisor that was killed takes everything along
    try:
        _prepare()
    except OSError as error:
        _say(f"sandbox: the new namespaces can't be prepared ({error}): run it as root")
        os._exit(1)
    command = os.fork()
    if command == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            os.execvpe(argv[0], argv, os.environ | {VARIABLE: _network_namespace(), VOUCHED: _process_namespace()})  # noqa: S606 -- no shell wanted
        except OSError as error:
            _say(f"sandbox: {argv[0]}: {error.strerror}")
            os._exit(127)
    os._exit(_supervise(command))


def _supervise(child: int) -> int:
    """Hand signals on to `child` until it ends, and return its exit status."""
    while True:
        received = signal.sigwaitinfo(FORWARDED | {signal.SIGCHLD})
        if received.si_signo != signal.SIGCHLD:
            if received.si_code == SI_USER:  # what a terminal sends goes to the whole group: the child has it already
                os.kill(child, received.si_signo)
            continue
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if pid == 0:
                break


def _prepare() -> None:
    """Mount what belongs to the new namespaces, and set lo up."""
    _mount("none", Path("/"), None, MS_REC | MS_PRIVATE)
    _detach_namespaces()
    _mount("proc", Path("/proc"), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for path in PRIVATE:
        _make_private(path)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        name = b"lo".ljust(16, b"\0")
        (flags,) = struct.unpack_from("H", ioctl(control, SIOCGIFFLAGS, name + bytes(24)), 16)
        ioctl(control, SIOCSIFFLAGS, name + struct.pack("H22x", flags | IFF_UP))


def _detach_namespaces() -> None:
    """Let go of the machine's namespaces: under what is mounted over them they would stay there, and be kept alive.

    Without root they cannot be let go of (mount_namespaces(7): what came from a more privileged one is locked).
    """
    mounts = [line.split(" ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for words in reversed(mounts):
        if "nsfs" in words[words.index("-") :]:
            _libc.umount2(words[4].encode().decode("unicode_escape").encode("latin-1"), MNT_DETACH)


def _make_private(path: Path) -> None:
    """Put an empty tmpfs on `path`; if that is missing, its parent is laid out again, as only root could make it."""
    if not path.is_dir():
        _lay_out_again(path.parent)
        path.mkdir()
    _mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700" if path.name == "podwire" else "mode=0755")


def _lay_out_again(folder: Path) -> None:
    """Put a tmpfs on `folder` and bind everything that was in it back to its place."""
    below = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    entries = list(os.scandir(folder))
    _mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    for entry in entries:
        place = folder / entry.name
        if entry.is_symlink():
            place.symlink_to(os.readlink(entry.name, dir_fd=below))
            continue
        place.mkdir() if entry.is_dir() else place.touch()
        _mount(f"/proc/self/fd/{below}/{entry.name}", place, None, MS_BIND | MS_REC)
    os.close(below)


def _mount(source: str, target: Path, kind: str | None, flags: int, data: str = "") -> None:
    arguments = source.encode(), os.fsencode(target), kind.encode() if kind else None
    if _libc.mount(*arguments, ctypes.c_ulong(flags), data.encode()) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"mount: {os.strerror(code)}", str(target))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
