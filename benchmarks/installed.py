"""podwire as its Debian package installs it: so it is called where a whole process is measured, by Debian's Python."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.package import Package

_BUILD = Path(__file__).resolve().parent.parent / "deploy/build.py"
PYTHON = "/usr/bin/python3"
# What everything is compared with that is a whole process.
BARE = [PYTHON, "-I", "-c", "pass"]


@contextmanager
def installed() -> Iterator[Package]:
    """Build the package and unpack it, compiled as its postinst does that; remove it in the end."""
    with tempfile.TemporaryDirectory(prefix="podwire-package-") as name:
        folder = Path(name)
        subprocess.run([sys.executable, _BUILD, folder / "dist"], check=True, capture_output=True)
        package = Package.unpack(next((folder / "dist").glob("*.deb")), folder / "root")
        subprocess.run([PYTHON, "-m", "compileall", "-q", package.modules], check=True, capture_output=True)
        yield package
