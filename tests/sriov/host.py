"""Boot the host with the SR-IOV card, run pytest in it, and bring back what it said of each test."""

from __future__ import annotations

import base64
import os
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from attrs import frozen

from tests.sriov.fetch import folder

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
_SECONDS = 1500  # some 100 when nothing else runs, 600 with nine times the load
_MAC = "52:54:00:00:00:01"


@frozen
class Case:
    """A test that ran in the host: its name, and why it did not pass, "" if it did."""

    name: str
    seconds: float
    problem: str


@frozen
class Ran:
    """What the host said on its console, and its tests."""

    console: str
    cases: tuple[Case, ...]


def _none_was_made() -> Ran:
    return Ran("what the host is made of has not been fetched: ./dev test does that", ())


def run_inside(*arguments: str, seconds: int = _SECONDS, cpus: int = 1) -> Ran:
    """Boot the host, run pytest with ``arguments`` in it, and wait for its end; QEMU is killed after ``seconds``.

    A second CPU costs half as much again, and nothing is faster with it: with one, RCU never has to wait for another.
    """
    if not folder().exists():
        return _none_was_made()
    try:
        finished = subprocess.run(
            _machine(arguments, cpus),
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
        console = finished.stdout
    except subprocess.TimeoutExpired as error:
        console = error.stdout or b""
    said = console.decode(errors="replace").replace("\r", "")
    return Ran(said, _cases(said))


def _cases(said: str) -> tuple[Case, ...]:
    _, marker, rest = said.partition("@@junit\n")
    if not marker:
        return ()
    document = ET.fromstring(base64.b64decode(rest.split("\n", 1)[0]))  # noqa: S314  pytest wrote it
    return tuple(_case(case) for case in document.iter("testcase"))


def _case(case: ET.Element) -> Case:
    bad = [child for child in case if child.tag in ("failure", "error", "skipped")]
    problem = "\n".join(child.text or child.get("message") or "it was skipped" for child in bad)
    return Case(case.get("name", ""), float(case.get("time", "0")), problem)


def _environment() -> dict[str, str]:
    """Return this one's, with the libraries of the QEMU that was unpacked."""
    root = folder() / "qemu"
    libraries = ":".join(str(root / name) for name in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))
    return os.environ | {"LD_LIBRARY_PATH": libraries}


def _machine(arguments: tuple[str, ...], cpus: int = 1) -> list[str]:
    """Return the command line: a PCI Express machine with an IOMMU, and a card behind a root port of its own."""
    made = folder()
    words = base64.b64encode(shlex.join(arguments).encode()).decode()
    kernel = next((made / "host/boot").glob("vmlinuz-*"))
    append = (
        "console=ttyS0 quiet panic=1 net.ifnames=0 intel_iommu=on mitigations=off no_timer_check "
        f"FETCHED={made} STAGE2={HERE / 'stage2.sh'} CHECKOUT={CHECKOUT} PYTEST={words}"
    )
    return [
        str(made / "qemu/usr/bin/qemu-system-x86_64"), "-L", str(made / "qemu/usr/share/qemu"),
        "-L", str(made / "qemu/usr/share/seabios"), "-accel", "tcg,thread=multi", "-cpu", "max",
        "-machine", "q35", "-device", "intel-iommu,intremap=off", "-m", "1536", "-smp", str(cpus),
        "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
        "-kernel", str(kernel), "-initrd", str(made / "initrd"), "-append", append,
        "-device", "pcie-root-port,id=rp1,slot=1", "-netdev", "user,id=n1,restrict=on",
        "-device", f"igb,netdev=n1,bus=rp1,mac={_MAC},romfile=",
        "-fsdev", "local,id=r,path=/,security_model=none,readonly=on,multidevs=remap",
        "-device", "virtio-9p-pci,fsdev=r,mount_tag=machine,romfile=",
    ]  # fmt: skip


if __name__ == "__main__":  # to see it as it goes: python -m tests.sriov.host tests/sriov/inside -k kill
    sys.exit(subprocess.run(_machine(tuple(sys.argv[1:])), env=_environment(), check=False).returncode)
