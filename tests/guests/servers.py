"""A DHCP server that a test starts: dnsmasq with a configuration of podwire's, or of a stranger's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import Namespace


@contextmanager
def dnsmasq(where: Namespace, folder: Path, configuration: str) -> Iterator[None]:
    """Serve in a namespace until the block is left; the server listens when it is entered."""
    file = folder / f"{where.name}.conf"
    file.write_text(configuration)
    options = ["-C", str(file), "--keep-in-foreground", "--log-facility=-", "--user=root", "--pid-file"]
    argv = ["nsenter", f"--net={where.path}", "dnsmasq", *options]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr
            said = []
            for line in process.stderr:
                said.append(line)
                if "DHCP, " in line:  # what it says of its sockets, which are bound by then
                    break
            assert process.poll() is None, "".join(said)
            yield
        finally:
            process.kill()
