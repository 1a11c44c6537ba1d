"""Get what guests are made of: Debian packages, unpacked into a cache and never installed.

    python -m tests.guests.fetch

The cache is `$XDG_CACHE_HOME/podwire/guests` (by default below `~/.cache`), or `.cache/guests` in the checkout if
that cannot be written. What is there is made again when this file or one of its neighbours changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.guests.initrd import archive

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]

_KERNEL = "linux-image-cloud-amd64"
_PACKAGES = ("user-mode-linux", "busybox-static", "dhcpcd-base", "tcc")
# More DHCP clients, with the libraries that a small Debian may lack, and what reads frames and libvirt's XML.
_CLIENTS = ("isc-dhcp-client", "systemd", "libsystemd-shared", "libip4tc2", "libkmod2", "libseccomp2", "libssl3")
_READERS = ("tcpdump", "libpcap0.8", "libdbus-1-3", "libvirt0", "libxml2-utils", "libxml2")
_LIBRARIES = ("usr/lib/x86_64-linux-gnu/systemd", "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
# cloud-init renders what podwire writes for it; what it imports for that.
_CLOUD_INIT = (
    "cloud-init",
    "python3-attr",
    "python3-certifi",
    "python3-chardet",
    "python3-configobj",
    "python3-idna",
    "python3-jinja2",
    "python3-json-pointer",
    "python3-jsonpatch",
    "python3-jsonschema",
    "python3-markupsafe",
    "python3-netifaces",
    "python3-oauthlib",
    "python3-pyrsistent",
    "python3-requests",
    "python3-serial",
    "python3-six",
    "python3-urllib3",
    "python3-yaml",
)
# In the order in which they can be inserted.
_UML_MODULES = ("crc-ccitt", "ipv6")
_QEMU_MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
)


class FetchError(Exception):
    """Something is missing; the message says what."""


def folder() -> Path:
    """Return where the files are, or will be; its name says what made them."""
    made_by = sorted(
        path for path in HERE.iterdir() if path.suffix in {".sh", ".c", ".network"} or path.stem in {"fetch", "initrd"}
    )
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in made_by)).hexdigest()[:16]
    return cache() / digest


def cache() -> Path:
    """Return the folder of what is fetched, which may not be there yet."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        (base / "podwire").mkdir(parents=True, exist_ok=True)
    except OSError:
        return CHECKOUT / ".cache" / "guests"
    usable = os.access(base / "podwire", os.W_OK)
    return base / "podwire" / "guests" if usable else CHECKOUT / ".cache" / "guests"


def main() -> int:
    """Fetch unless everything is there; return the exit status."""
    wanted = folder()
    if wanted.exists():
        return 0
    wanted.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (wanted.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # several checkouts may want the same
            if not wanted.exists():
                _make(wanted)
    except FetchError as error:
        sys.stderr.write(f"guests: {error}\n")
        return 1
    return 0


def _make(wanted: Path) -> None:
    with tempfile.TemporaryDirectory(dir=wanted.parent) as name:
        work = Path(name)
        for package in _downloaded(work / "packages"):
            run("dpkg", "-x", str(package), str(work / "root"))
        made = work / "made"
        made.mkdir()
        _prepare(work / "root", made)
        made.rename(wanted)


def _downloaded(where: Path) -> list[Path]:
    """Download the packages; if the lists are older than what the archive has, after reading those again."""
    where.mkdir(mode=0o755)
    try:
        _download(where)
    except FetchError:
        if os.geteuid() != 0:
            raise
        run("apt-get", "update")
        _download(where)
    return sorted(where.glob("*.deb"))


def _download(where: Path) -> None:
    depends = re.findall(r"Depends: (linux-image-\S+-cloud-amd64)$", run("apt-cache", "depends", _KERNEL), re.MULTILINE)
    if not depends:
        raise FetchError(f"apt-cache knows no kernel behind {_KERNEL}; as root: apt-get update")
    run("apt-get", "download", *_PACKAGES, *_CLIENTS, *_READERS, *_CLOUD_INIT, depends[0], cwd=where)


def _prepare(root: Path, made: Path) -> None:
    """Put the kernels and the RAM disks of their guests into `made`."""
    shutil.copy(root / "usr/bin/linux.uml", made / "linux.uml")
    shutil.copy(root / "bin/busybox", made / "busybox")  # for the other end: it has a ping
    shutil.copy(only(root / "boot", "vmlinuz-*"), made / "vmlinuz")
    _compile(root, HERE / "xstate.c", made / "xstate.so")
    shutil.copytree(root / "usr/lib/python3/dist-packages", made / "cloud-init")
    common = {
        "/init": (HERE / "init.sh").read_bytes(),
        "/udhcpc.sh": (HERE / "udhcpc.sh").read_bytes(),
        "/bin/sh": (root / "bin/busybox").read_bytes(),
        "/bin/busybox": (root / "bin/busybox").read_bytes(),
    }
    programs = _with_libraries(root, {"/sbin/dhcpcd": only(root, "**/sbin/dhcpcd")})
    for guest, modules, where in (
        ("uml", _UML_MODULES, root / "usr/lib/uml/modules"),
        ("qemu", _QEMU_MODULES, root / "lib/modules"),
    ):
        order = {"/modules/order": "\n".join(modules).encode()}
        inserted = {f"/modules/{name}": only(where, f"**/{name}.ko").read_bytes() for name in modules}
        (made / f"{guest}.cpio").write_bytes(archive(common | order | inserted | programs))
    (made / "clients.cpio").write_bytes((made / "uml.cpio").read_bytes() + archive(_clients(root)))
    _readers(root, made)


def _clients(root: Path) -> dict[str, bytes]:
    """Return what a guest has besides if it is to try further clients: they come with their own scripts."""
    programs = {
        "/sbin/dhclient": only(root, "**/sbin/dhclient"),
        "/sbin/systemd-networkd": only(root, "lib/systemd/systemd-networkd"),
        # The scripts want more of these than busybox has, and its shell would take its own.
        "/bin/sh": Path("/bin/dash"),
        "/sbin/ip": Path("/sbin/ip"),
        "/sbin/run-parts": Path("/bin/run-parts"),
    }
    plain = [root / "sbin/dhclient-script", *(path for path in (root / "etc/dhcp").rglob("*") if path.is_file())]
    files = {f"/{path.relative_to(root)}": path.read_bytes() for path in plain}
    files["/etc/systemd/network/eth.network"] = (HERE / "eth.network").read_bytes()
    return files | _with_libraries(root, programs)


def _readers(root: Path, made: Path) -> None:
    """Put what reads what podwire writes into `made`: tcpdump and xmllint, with libraries, and libvirt's schemas."""
    programs = {"bin/tcpdump": only(root, "usr/bin/tcpdump"), "bin/xmllint": only(root, "usr/bin/xmllint")}
    for name, data in _with_libraries(root, programs).items():
        path = made / "readers" / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755)
    shutil.copytree(root / "usr/share/libvirt/schemas", made / "readers/schemas")


def _with_libraries(root: Path, programs: dict[str, Path]) -> dict[str, bytes]:
    """Return programs and their libraries, which lie where Debian's loader looks for them."""
    files = {name: path.read_bytes() for name, path in programs.items()}
    for library in {library for path in programs.values() for library in _libraries(root, path)}:
        is_loader = "/ld-linux" in library
        files[library if is_loader else f"/lib/x86_64-linux-gnu/{Path(library).name}"] = Path(library).read_bytes()
    return files


def _compile(root: Path, source: Path, library: Path) -> None:
    """Compile with a compiler of 300 kB; the sources need no headers."""
    compiler = (str(root / "usr/bin/tcc"), f"-B{root / 'usr/lib/x86_64-linux-gnu/tcc'}")
    run(*compiler, "-nostdlib", "-nostdinc", "-shared", "-o", str(library), str(source))


def _libraries(root: Path, program: Path) -> set[str]:
    """Return the libraries of a program, and what loads them; what no package has is this machine's."""
    where = ":".join(str(root / folder) for folder in _LIBRARIES)
    return set(re.findall(r"(/\S+) \(0x", run("env", f"LD_LIBRARY_PATH={where}", "ldd", str(program))))


def only(where: Path, pattern: str) -> Path:
    """Return the file below a folder that a pattern finds, the first of several. Raises FetchError if there is none."""
    found = sorted(where.glob(pattern))
    if not found:
        raise FetchError(f"the packages have no {pattern}")
    return found[0]


def run(*argv: str, cwd: Path | None = None) -> str:
    """Run a program and return what it printed. Raises FetchError if it fails or is missing."""
    try:
        finished = subprocess.run(argv, cwd=cwd, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise FetchError(f"{argv[0]} is missing: guests are made of Debian packages") from None
    if finished.returncode != 0:
        raise FetchError(f"{' '.join(argv)} failed: {(finished.stderr or finished.stdout).strip()}")
    return finished.stdout


if __name__ == "__main__":
    sys.exit(main())
