"""Initial RAM disks: archives of the format "newc".

Source: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import PurePosixPath

_FILE, _FOLDER = stat.S_IFREG | 0o755, stat.S_IFDIR | 0o755
_BLOCK = 512


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return an archive of files, by their absolute paths, all of them executable, and of the folders that they are in.

    The kernel unpacks several archives one after the other, so this can be appended to another one.
    """
    folders = {folder for name in files for folder in PurePosixPath(name.lstrip("/")).parents}
    entries = [(str(folder), _FOLDER, b"") for folder in sorted(folders) if folder.name]
    entries += [(name.lstrip("/"), _FILE, data) for name, data in files.items()]
    parts = [_entry(number, *entry) for number, entry in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1)]
    return _padded(b"".join(parts), _BLOCK)


def _entry(number: int, name: str, mode: int, data: bytes) -> bytes:
    label = name.encode() + b"\0"
    values = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(label), 0)
    head = b"070701" + b"".join(b"%08X" % value for value in values)
    return _padded(head + label, 4) + _padded(data, 4)


def _padded(data: bytes, size: int) -> bytes:
    return data + bytes(-len(data) % size)
