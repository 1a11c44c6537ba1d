"""containerd with folders, mounts and a network of its own, and podwire-cni chained in its network configuration."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.cni.helpers_cni import BRIDGE, PLUGIN
from tests.support.running import Outcome, eventually, run

IMAGE = "local/pause:1"
BUSYBOX = Path("/bin/busybox")
MISSING = "no containerd here: the Debian packages are containerd, runc and busybox-static"

# What containerd finds is its own: /opt/cni/bin, /etc/cni/net.d, /var/lib/cni. All of it goes with its namespaces.
_START = """
set -e
mount -t tmpfs tmpfs /opt; mount -t tmpfs tmpfs /mnt; mount -t tmpfs tmpfs /var/lib/cni
mkdir -p /opt/cni/bin /mnt/up /mnt/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/up,workdir=/mnt/work /etc
mkdir -p /etc/cni/net.d; cp "$0/pods.conflist" /etc/cni/net.d/10-pods.conflist
ln -s /usr/lib/cni/* /opt/cni/bin/; ln -s "$1" /opt/cni/bin/podwire-cni
ip link set lo up
exec containerd --config "$0/config.toml" --root "$0/root" --state "$0/state" --address "$0/sock" >"$0/log" 2>&1
"""
_CONFIG = f"""
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE}"
  disable_tcp_service = true
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


@frozen
class Containerd:
    """A containerd that is running."""

    folder: Path
    pid: int

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / "sock"

    @property
    def state(self) -> Path:
        """Podwire's state directory."""
        return self.folder / "podwire"

    def inside(self, *argv: str | Path, check: bool = True) -> Outcome:
        """Run a program with its mounts, in its network."""
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--net"]
        return run([*enter, *argv], env=dict(os.environ), timeout=120, check=check)

    def ctr(self, *words: str | Path, check: bool = True) -> Outcome:
        """Run its client."""
        return self.inside("ctr", "--address", self.socket, *words, check=check)

    def answers(self) -> bool:
        """Whether it is there by now."""
        return self.socket.exists() and self.ctr("version", check=False).rc == 0

    def import_pause_image(self) -> None:
        """Give it an image that does nothing, for sandboxes."""
        archive = self.folder / "pause.tar"
        archive.write_bytes(_pause_image())
        self.ctr("--namespace", "k8s.io", "image", "import", "--snapshotter", "native", archive)

    def left(self) -> list[str]:
        """Return what podwire has recorded."""
        folders = (self.state / name for name in ("wirings", "attachments", "dummies"))
        return [path.name for folder in folders if folder.exists() for path in folder.iterdir()]


def missing() -> bool:
    """Say whether what it takes is not installed."""
    return not all(map(shutil.which, ("containerd", "runc", "ctr"))) or not BUSYBOX.exists()


@contextmanager
def containerd(**own: Any) -> Iterator[Containerd]:
    """Yield a containerd whose network is Debian's bridge and podwire-cni, whose configuration has ``own`` too."""
    folder = Path(tempfile.mkdtemp(prefix="ctrd-"))  # a socket's path is short
    plugin = {"type": "podwire-cni", "stateDir": str(folder / "podwire"), **own}
    conflist = {"cniVersion": "1.0.0", "name": "pods", "plugins": [BRIDGE, plugin]}
    (folder / "pods.conflist").write_text(json.dumps(conflist))
    (folder / "config.toml").write_text(_CONFIG)
    argv = ["unshare", "--mount", "--net", "--propagation", "private", "bash", "-c", _START, str(folder), str(PLUGIN)]
    process = subprocess.Popen(argv)
    found = Containerd(folder, process.pid)
    try:
        eventually(found.answers, "containerd", seconds=60)
        yield found
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def rootfs(folder: Path) -> Path:
    """Return a root file system with a static busybox."""
    for name in ("bin", "proc", "sys", "dev", "etc", "tmp"):
        (folder / name).mkdir(parents=True)
    shutil.copy2(BUSYBOX, folder / "bin/busybox")
    return folder


def _pause_image() -> bytes:
    """Return an image as `docker save` writes one; its only process sleeps."""
    folders: dict[str, bytes | None] = dict.fromkeys(("bin", "proc", "sys", "dev", "etc"))
    layer = _tar(folders | {"bin/busybox": BUSYBOX.read_bytes()})
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    config = json.dumps(
        {
            "architecture": os.uname().machine.replace("x86_64", "amd64").replace("aarch64", "arm64"),
            "os": "linux",
            "config": {"Entrypoint": ["/bin/busybox", "sleep", "100000"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [digest]},
            "history": [{"created_by": "test"}],
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]).encode()
    return _tar({name: config, "layer.tar": layer, "manifest.json": manifest})


def _tar(files: dict[str, bytes | None]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755
            entry.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            entry.size = len(content or b"")
            archive.addfile(entry, io.BytesIO(content or b""))
    return packed.getvalue()
