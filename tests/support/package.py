"""The Debian package, unpacked elsewhere than in `/`."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from tests.support.running import run

_MODULES = "/usr/lib/podwire"
_SCRIPTS = ("usr/bin/podwire", "usr/lib/cni/podwire-cni", "DEBIAN/postinst", "DEBIAN/prerm")


@frozen
class Package:
    """What was unpacked in a folder."""

    folder: Path

    @classmethod
    def unpack(cls, package: Path, folder: Path) -> Package:
        """Extract a package, and have its scripts find there what they find in `/` if it is installed."""
        run(["dpkg-deb", "--extract", package, folder])
        run(["dpkg-deb", "--control", package, folder / "DEBIAN"])
        for script in _SCRIPTS:
            text = (folder / script).read_text()
            assert _MODULES in text
            (folder / script).write_text(text.replace(_MODULES, f"{folder}{_MODULES}"))
        return cls(folder)

    @property
    def podwire(self) -> Path:
        """The command."""
        return self.folder / "usr/bin/podwire"

    @property
    def plugin(self) -> Path:
        """The CNI plugin."""
        return self.folder / "usr/lib/cni/podwire-cni"

    @property
    def modules(self) -> Path:
        """The folder of what they import."""
        return self.folder / _MODULES.lstrip("/")
