"""Programs in front of the real ones, which count the commands that change something and misbehave at the N-th.

    faults = Faults.at(folder)
    faults.plan(7, "fail")          # the seventh command of what comes next will fail, whichever program runs it
    trial.apply(env=faults.env)
    faults.count()                  # how many there were

One script serves as all of them. `ip` is read line by line on its way to the real one, whose process stays the one
that podwire started; only looking (`… show …`) is not counted.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from attrs import frozen

PROGRAMS = ("ip", "ebtables-restore", "ebtables", "sysctl", "tc")

# What a misbehaving command does. `fail`: nothing, and says so. `late`: what it should, and then fails. `end`: an `ip`
# ends as by an argument that it cannot parse. `kill`, `SIGINT`, …: that signal to podwire, then what it should. `hang`:
# never ends, nor does a child of it. `rubbish`: never stops to print. `wait`: until `release`, then what it should.
_SCRIPT = """\
#!{python} -IS
import os, signal, sys, time

HERE, NAME = os.path.split(sys.argv[0])
REAL = {real!r}[NAME]
SIGNALS = {{"kill": 9, "SIGINT": 2, "SIGTERM": 15, "SIGHUP": 1}}


def read(name):
    try:
        with open(os.path.join(HERE, name)) as file:
            return file.read().split()
    except OSError:
        return []


AT, ACTION, OF = ((read("plan") or ["0"]) + ["", ""])[:3]
PODWIRE = os.getppid()


def counted():
    if OF not in ("", NAME):
        return 0
    fd = os.open(os.path.join(HERE, "count"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, b"x")
    number = os.lseek(fd, 0, os.SEEK_CUR)  # where this one's byte ends, though others write theirs
    os.close(fd)
    return number


def misbehave(out):
    if ACTION in SIGNALS:
        os.kill(PODWIRE, SIGNALS[ACTION])
        while ACTION == "kill" and is_running(PODWIRE):
            time.sleep(0.001)
        if ACTION == "kill":
            time.sleep(0.05)  # a command that outlives podwire, for a while
    elif ACTION == "hang":
        os.fork()
        while True:
            signal.pause()
    elif ACTION == "rubbish":
        while True:
            os.write(out, b"\\x00\\xff rubbish {{[\\"" * 100 + b"\\n")
    elif ACTION == "wait":
        open(os.path.join(HERE, "waiting"), "w").close()
        while not os.path.exists(os.path.join(HERE, "released")):
            time.sleep(0.005)


def is_running(pid):
    try:  # by its threads: the main one of a process that was killed may end before the others
        threads = os.listdir("/proc/%d/task" % pid)
    except OSError:
        return False
    return any(map(is_thread, threads))


def is_thread(tid):
    try:
        with open("/proc/%s/stat" % tid) as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def changes(line):
    words = line.split()
    return len(words) > 1 and b"show" not in words[:2]


def filter_lines(target, out):
    rest = b""
    while chunk := os.read(0, 65536):
        *lines, rest = (rest + chunk).split(b"\\n")
        for line in lines:
            if changes(line) and counted() == int(AT):
                line = REPLACED.get(ACTION, line)
                misbehave(out)
            os.write(target, line + b"\\n")


REFUSED = b"link set dev refused0 up"
REPLACED = {{"fail": REFUSED, "late": REFUSED, "end": b"addr add nonsense dev lo"}}


def be_ip():
    source, target = os.pipe()
    ip = os.getpid()
    if os.fork():
        os.dup2(source, 0)
        os.close(source)
        os.close(target)
        os.execv(REAL, sys.argv)
    out = os.dup(1) if ACTION == "rubbish" else 1
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # podwire must see it when ip itself ends
    os.dup2(nowhere, 2)
    os.close(source)
    try:
        filter_lines(target, out)
    except BrokenPipeError:
        pass


# What reads its input is started ahead: it counts when it gets that, and not at all if it gets none.
def take_input():
    given = b""
    while chunk := os.read(0, 65536):
        given += chunk
    if not given and (NAME == "ebtables-restore" or "-p" in sys.argv or "-batch" in sys.argv):
        sys.exit(0)
    file = os.memfd_create("input")
    os.write(file, given)
    os.lseek(file, 0, os.SEEK_SET)
    os.dup2(file, 0)


def be_program():
    if "show" in sys.argv:
        os.execv(REAL, sys.argv)
    take_input()
    if counted() == int(AT):
        if ACTION == "late":
            os.spawnv(os.P_WAIT, REAL, sys.argv)
        if ACTION in ("fail", "late", "end"):
            os.write(2, b"refused\\n")
            sys.exit(4)
        misbehave(1)
    os.execv(REAL, sys.argv)


be_ip() if NAME == "ip" and "-batch" in sys.argv else be_program()
"""


@frozen
class Faults:
    """The misbehaving programs, in a folder to be found first on PATH."""

    folder: Path

    @classmethod
    def at(cls, folder: Path) -> Faults:
        """Lay them out in a new folder; they behave until told otherwise."""
        folder.mkdir()
        real = {name: shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") for name in PROGRAMS}
        for name in PROGRAMS:
            path = folder / name
            path.write_text(_SCRIPT.format(python=Path(sys.executable).resolve(), real=real))
            path.chmod(0o755)
        return cls(folder)

    @property
    def env(self) -> dict[str, str]:
        """The environment in which they are found."""
        return {"PATH": f"{self.folder}:{os.environ['PATH']}"}

    def plan(self, number: int, action: str, *, of: str = "") -> None:
        """Let the `number`-th command from now on misbehave; with `of` only those of that program are counted.

        They are counted as they are run, and some are run side by side.
        """
        for name in ("count", "waiting", "released"):
            (self.folder / name).unlink(missing_ok=True)
        (self.folder / "plan").write_text(f"{number} {action} {of}")

    def count(self) -> int:
        """Return how many commands were run since the last `plan`."""
        path = self.folder / "count"
        return path.stat().st_size if path.exists() else 0

    @property
    def waiting(self) -> bool:
        """Whether the command that was to wait does."""
        return (self.folder / "waiting").exists()

    def release(self) -> None:
        """Let it go on."""
        (self.folder / "released").touch()
