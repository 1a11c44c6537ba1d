"""Programs that read what podwire writes, and know nothing of it: tcpdump and xmllint, with libvirt's schemas."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.guests.fetch import folder
from tests.support import run

_PCAP = struct.Struct("<IHHiIII")  # pcap-savefile(5)
_ETHERNET, _LARGEST = 1, 65535


def tcpdump(frame: bytes, work: Path) -> str:
    """Return what tcpdump says of a frame, as fully as it can."""
    file = work / "frame.pcap"
    head = _PCAP.pack(0xA1B2C3D4, 2, 4, 0, 0, _LARGEST, _ETHERNET)
    file.write_bytes(head + struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)
    return _run("tcpdump", "-n", "-vv", "-Z", "root", "-r", file)


def domain_is_valid(xml: str, work: Path) -> None:
    """See that libvirt would take the description of a machine: as virt-xml-validate(1) does it."""
    file = work / "domain.xml"
    file.write_text(xml)
    schema = folder() / "readers/schemas/domain.rng"
    _run("xmllint", "--noout", "--relaxng", schema, file)


def _run(program: str, *words: str | Path) -> str:
    """Run a program with the libraries that came with it."""
    place = folder() / "readers"
    loader = next((place / "lib64").glob("ld-linux*"))
    return run([loader, "--library-path", place / "lib/x86_64-linux-gnu", place / "bin" / program, *words]).out
