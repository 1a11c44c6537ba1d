"""A VM in the host with the card uses a virtual function by vfio-pci, as podwire hands it over."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from planner.errors import Refused
from planner.guest.formats import guest_nics, guest_text
from planner.plan.plan import Plan
from tests.guests.initrd import archive
from tests.guests.machines import Guest
from tests.sriov.inside.conftest import MakeVfPod
from tests.sriov.inside.functions import PF, is_as_before
from tests.support import run

_BOOT = 900  # seconds; some 400 on a busy machine: an emulated one emulates another
_KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet panic=1 net.ifnames=0 mitigations=off nokaslr cryptomgr.notests tsc=reliable no_timer_check"
)


def fetched() -> Path:
    """Return where QEMU and the kernel are, which is where this host has its own from."""
    words = Path("/proc/cmdline").read_text().split()
    return Path(next(word for word in words if word.startswith("FETCHED=")).removeprefix("FETCHED="))


@contextmanager
def vm(plan: Plan, folder: Path) -> Iterator[Guest]:
    """Boot a VM with what `podwire guest --format qemu` says; it is ended with the block."""
    made = fetched()
    (module,) = (made / "host/lib/modules").glob("**/igbvf.ko")
    (kernel,) = (made / "host/boot").glob("vmlinuz-*")
    files = {
        "/init": (Path(__file__).parent / "init.sh").read_bytes(),
        "/bin/busybox": (made / "busybox").read_bytes(),
        "/igbvf.ko": module.read_bytes(),
    }
    (folder / "initrd").write_bytes(archive(files))
    argv = [
        str(made / "qemu/usr/bin/qemu-system-x86_64"), "-L", str(made / "qemu/usr/share/qemu"),
        "-L", str(made / "qemu/usr/share/seabios"), "-accel", "tcg", "-cpu", "qemu64", "-m", "192",
        "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
        "-kernel", str(kernel), "-initrd", str(folder / "initrd"), "-append", _KERNEL_ARGUMENTS,
        *guest_text(guest_nics(plan), "qemu").text.split(),
    ]  # fmt: skip
    libraries = ":".join(str(made / "qemu" / name) for name in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))
    with subprocess.Popen(
        argv,
        env=os.environ | {"LD_LIBRARY_PATH": libraries},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        guest = Guest(process)
        try:
            yield guest
        finally:
            guest.kill()


@pytest.mark.nightly
def test_a_vm_uses_it_and_it_comes_home(vf_pod: MakeVfPod, tmp_path: Path) -> None:
    """It has the pod's MAC and reaches the physical function; it is not taken from under the VM."""
    pod = vf_pod()
    pod.function.set("vlan 0")
    before = pod.state()
    # This IOMMU remaps no interrupts.
    run(["modprobe", "vfio_iommu_type1", "allow_unsafe_interrupts=1"])
    run(["ip", "addr", "add", "10.3.0.1/24", "dev", PF])
    began = time.monotonic()
    with vm(pod.apply(), tmp_path) as guest:
        assert guest.wait_for("@@over", seconds=_BOOT).count(f"@@mac {pod.mac}") == 1
        print(f"the VM was there after {time.monotonic() - began:.0f} s")  # noqa: T201  the figure of the night
        with pytest.raises(Refused, match=f"{pod.function.address} is open in process {guest.process.pid} "):
            pod.teardown()
        guest.tell("")
        guest.process.wait(120)
    assert pod.teardown().what == "restored"
    assert is_as_before(pod, before)
