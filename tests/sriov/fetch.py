"""Get what the host with an SR-IOV card is made of: a QEMU that emulates one, a whole kernel, and a RAM disk.

    python -m tests.sriov.fetch

QEMU emulates igb since version 8, and Debian 12 has that in its backports. They are read by an apt configuration of its
own, from the mirror that the machine uses, and only unpacked. The cache is that of tests.guests.fetch.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import sys
import tempfile
from pathlib import Path

from tests.guests.fetch import FetchError, cache, only, run
from tests.guests.initrd import archive

HERE = Path(__file__).parent
_KERNEL = "linux-image-amd64"
_QEMU = "qemu-system-x86"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# In the order in which they can be inserted.
MODULES = (
    "virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "netfs", "fscache",
    "9pnet", "9pnet_virtio", "9p", "overlay",
)  # fmt: skip


def folder() -> Path:
    """Return where the files are, or will be; its name says what made them."""
    made_by = (HERE / "fetch.py", HERE / "init.sh")
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in made_by)).hexdigest()[:16]
    return cache() / f"sriov-{digest}"


def main() -> int:
    """Fetch unless everything is there; return the exit status."""
    wanted = folder()
    if wanted.exists():
        return 0
    wanted.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (wanted.parent / "sriov-lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # several checkouts may want the same
            if not wanted.exists():
                _make(wanted)
    except FetchError as error:
        sys.stderr.write(f"sriov: {error}\n")
        return 1
    return 0


def _make(wanted: Path) -> None:
    with tempfile.TemporaryDirectory(dir=wanted.parent) as name:
        work = Path(name)
        made = work / "made"
        (made / "qemu").mkdir(parents=True)
        (made / "host").mkdir()
        for package in _qemu_packages(work / "apt"):
            run("dpkg", "-x", str(package), str(made / "qemu"))
        run("dpkg", "-x", str(_kernel_package(work / "kernel")), str(made / "host"))
        modules = only(made / "host/lib/modules", "*")
        busybox = _busybox(work / "busybox")
        shutil.copy(busybox, made / "busybox")
        run(str(busybox), "depmod", "-b", str(made / "host"), modules.name)
        (made / "initrd").write_bytes(_initrd(modules, busybox))
        made.rename(wanted)


def _qemu_packages(where: Path) -> list[Path]:
    """Download QEMU of the backports, with all that it depends on and this machine has not."""
    for name in ("lists/partial", "archives/partial"):
        (where / name).mkdir(parents=True)
    mirror, codename = _mirror()
    suites = (codename, f"{codename}-backports")
    (where / "sources.list").write_text(
        "".join(f"deb [signed-by={_KEYRING}] {mirror} {suite} main\n" for suite in suites), encoding="utf-8"
    )
    own = {
        "Dir::Etc::sourcelist": where / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": where / "lists",
        "Dir::Cache": where,
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "root",
    }
    options = [word for key, value in own.items() for word in ("-o", f"{key}={value}")]
    run("apt-get", *options, "update")
    run(
        "apt-get", *options, "install", "--download-only", "--reinstall", "--yes", "--no-install-recommends",
        "-t", suites[1], _QEMU,
    )  # fmt: skip
    return sorted((where / "archives").glob("*.deb"))


def _mirror() -> tuple[str, str]:
    """Return the mirror of this machine's main archive, and the release that it has of it."""
    targets = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages")
    codename = re.search(r"^VERSION_CODENAME=(\S+)$", Path("/etc/os-release").read_text(encoding="utf-8"), re.MULTILINE)
    for line in targets.splitlines():
        uri, suite, component = line.split()
        if codename and suite == codename[1] and component == "main":
            return uri, suite
    raise FetchError("apt has no source of this Debian's main archive")


def _kernel_package(where: Path) -> Path:
    where.mkdir()
    depends = re.findall(r"Depends: (linux-image-\S+-amd64)$", run("apt-cache", "depends", _KERNEL), re.MULTILINE)
    if not depends:
        raise FetchError(f"apt-cache knows no kernel behind {_KERNEL}; as root: apt-get update")
    run("apt-get", "download", depends[0], cwd=where)
    return only(where, "*.deb")


def _busybox(where: Path) -> Path:
    """Download busybox: it is the first program, and knows depmod and modprobe."""
    where.mkdir()
    run("apt-get", "download", "busybox-static", cwd=where)
    run("dpkg", "-x", str(only(where, "*.deb")), str(where / "root"))
    return only(where / "root", "**/bin/busybox")


def _initrd(modules: Path, busybox: Path) -> bytes:
    files = {f"/modules/{name}.ko": only(modules, f"**/{name}.ko").read_bytes() for name in MODULES}
    files |= {
        "/init": (HERE / "init.sh").read_bytes(),
        "/bin/busybox": busybox.read_bytes(),
        "/modules/order": " ".join(MODULES).encode(),
    }
    return archive(files)


if __name__ == "__main__":
    sys.exit(main())
