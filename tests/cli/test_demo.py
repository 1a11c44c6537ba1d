"""`./dev demo`: it does what it tells, and leaves nothing behind, also when it is interrupted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import run
from tests.support.preloaded import ROOT
from tests.support.running import eventually

DEMO = (sys.executable, str(ROOT / "examples/demo.py"))
# What a demo that left something would have left it in.
PLACES = (Path("/run/netns"), Path("/var/lib/podwire"), Path("/var/lib/cni"), Path("/run/cni"))


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Make a folder for what is temporary."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def environment(scratch: Path) -> dict[str, str]:
    """Return the demo's environment."""
    return os.environ | {"TMPDIR": str(scratch)}


@contextmanager
def nothing_left(scratch: Path) -> Iterator[None]:
    """See that namespaces, links, processes and files are in the end what they were."""
    before = state(scratch)
    yield
    eventually(lambda: state(scratch) == before, "everything being as it was", seconds=10)
    assert state(scratch) == before


def state(scratch: Path) -> dict[str, object]:
    """Return whatever of the machine the demo could leave something in."""
    return {
        "files": sorted(str(path) for place in (*PLACES, scratch) for path in place.rglob("*")),
        "links": run(["ip", "-o", "link", "show"]).out,
        "processes": run(["sh", "-c", "grep -l podwire-demo- /proc/[0-9]*/environ 2>/dev/null; true"]).out,
    }


def test_the_demo_does_what_it_tells(scratch: Path) -> None:
    """Plan, apply, frames, log, teardown, in this order; plain if it is piped; and the pod is what it was."""
    with nothing_left(scratch):
        outcome = run(DEMO, env=environment(scratch), timeout=60)
    assert outcome.err == ""
    assert "\x1b" not in outcome.out
    wanted = [
        r'^\{"cniVersion":"1.0.0","interfaces":\[',
        r"^\$ podwire plan --result result.json --netns pod1 -o pod1.plan$",
        r"^  \+ tap0 ",
        r"^nsenter --net=/run/netns/pod1 ip link set dev eth0 nomaster$",
        r"^wired pod1: \d+ commands in \d+ ms; the VM opens tap0$",
        r"^pod1 +wired ",
        r"^br0 ",
        r"^  VM ← ARP 10.1.90.1 is at ",
        r"^  VM ← ICMP 10.1.90.1 > 10.1.90.2 echo reply$",
        r"^  VM → UDP 0.0.0.0:68 > 255.255.255.255:67$",
        r"stayed in the pod",
        r"  ok +\d+\.\d ms  ip link set dev eth0 master br0$",
        r"^pod1: /run/netns/pod1 is as it was before \(",
        r"No line differs: the pod is as it was\.$",
        r"Nothing is left behind\.$",
    ]
    at = 0
    for pattern in wanted:
        found = re.compile(pattern, re.MULTILINE).search(outcome.out, at)
        assert found, f"{pattern} does not come in its place"
        at = found.start()


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("$ ip -n pod1 -brief address", signal.SIGHUP),
        ("$ podwire apply", signal.SIGINT),
        ("VM → UDP", signal.SIGTERM),
        ("$ podwire teardown", signal.SIGINT),
    ],
)
def test_an_interrupted_demo_leaves_nothing_behind(scratch: Path, moment: str, number: signal.Signals) -> None:
    """Whatever it was at."""
    with nothing_left(scratch):
        argv = [sys.executable, "-u", *DEMO[1:]]
        with subprocess.Popen(argv, env=environment(scratch), stdout=-1, stderr=-1, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if moment in line:
                    process.send_signal(number)
                    break
            out, err = process.communicate(timeout=30)
        assert process.returncode == 130, (out, err)
        assert err.splitlines()[-1] == "demo: interrupted; nothing is left behind"


def test_outside_of_the_sandbox_it_does_nothing(scratch: Path) -> None:
    """It says how to run it."""
    plain = {name: value for name, value in environment(scratch).items() if name != "PODWIRE_SANDBOX"}
    outcome = run(DEMO, env=plain, check=False)
    assert (outcome.rc, outcome.out) == (1, "")
    assert outcome.err == "demo: run it by ./dev demo, which gives it namespaces of its own\n"


def test_the_sandbox_takes_an_interrupted_demo_down(scratch: Path) -> None:
    """`./dev demo` hands the signal on, and ends with the demo's status."""
    with nothing_left(scratch):
        argv = [sys.executable, str(ROOT / "tests/sandbox.py"), *DEMO]
        with subprocess.Popen(argv, env=environment(scratch), stdout=-1, stderr=-1, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if "$ podwire apply" in line:
                    process.send_signal(signal.SIGINT)
                    break
            _, err = process.communicate(timeout=30)
        assert (process.returncode, err.splitlines()[-1]) == (130, "demo: interrupted; nothing is left behind")
