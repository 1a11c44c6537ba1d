"""Finding the templates, of commands and of pages: the same from a checkout, an editable install, a wheel and a zipapp.

Compiling them takes 30 ms. What comes of it is kept beside them in ``__pycache__``, as Python does with its modules:
if that can be written. It is code, so it is for nobody but its owner, and loaded only if it is ours. In a zipapp it is
what the person who built that has put there.
"""

from __future__ import annotations

import marshal
import os
import stat
import sys
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING

import jinja2

from executor.errors import HostError
from executor.trust.files import is_ours_alone
from planner.plan.render import COMPILED_FOR, Templates

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from planner.formats.pages import Pages


@cache
def load_templates() -> Templates:
    """Return the templates that came with this podwire. Raises HostError if its installation lacks them."""
    directory = _directory()
    parts = {f"parts/{name}": text for name, text in _sources(directory / "parts", ".j2").items()}
    return Templates(_sources(directory, ".j2") | parts, compiled=_compiled(directory))


@cache
def load_pages() -> Pages:
    """Return the templates of pages, which lie in the planner package."""
    from planner.formats.pages import Pages  # noqa: PLC0415  most commands show none

    directory = _folder("planner.formats", "pages")
    return Pages(_sources(directory, ".html"), compiled=_compiled(directory))


def compile_all() -> None:
    """Compile every template, and keep the result beside them: for building and installing podwire."""
    load_templates().compile()
    load_pages().compile()


def _sources(directory: Traversable, suffix: str) -> dict[str, str]:
    files = (file for file in directory.iterdir() if file.name.endswith(suffix))
    return {file.name: file.read_text(encoding="utf-8") for file in files}


def _compiled(directory: Traversable) -> jinja2.BytecodeCache:
    kept = directory / "__pycache__"
    return _Compiled(kept) if isinstance(kept, Path) else _Packed(kept)


def _directory() -> Traversable:
    """Return where they are: inside the planner package of a wheel or a zipapp, beside it in a checkout."""
    beside = Path(__file__).resolve().parent.parent / "templates"
    found = _folder("planner", "templates", beside)
    if not found.is_dir():
        raise HostError("podwire's templates are missing from its installation: reinstall it")
    return found


def _folder(package: str, name: str, *others: Path) -> Traversable:
    """Return a folder of a package, or another one that is there in its place.

    What finds it in a zipapp takes some milliseconds to load, so the file system is asked first.
    """
    inside = Path(import_module(package).__file__ or "").parent / name
    for folder in (inside, *others):
        if folder.is_dir():
            return folder
    from importlib import resources  # noqa: PLC0415

    return resources.files(package) / name


def _code_in(kept: bytes, checksum: str) -> CodeType | None:
    """Return what a template was compiled to, None if that was another text. Raises ValueError, EOFError, TypeError."""
    of, _, code = kept.partition(b"\n")
    found: CodeType | None = marshal.loads(code) if of == checksum.encode() else None  # noqa: S302  we have written it
    return found


class _Compiled(jinja2.BytecodeCache):
    """Compiled templates in files, each with the checksum of the text that it belongs to in front.

    What jinja2 would write of itself it reads piece by piece, which takes five times as long.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Read what was kept of a template, if anything was and only we can have done that (called by jinja2)."""
        with suppress(OSError, ValueError, EOFError, TypeError):  # not there, or damaged: it is compiled again
            if not self._is_safe():
                return
            fd = os.open(self._path(bucket), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            with open(fd, "rb") as file:
                found = os.fstat(fd)
                if stat.S_ISREG(found.st_mode) and is_ours_alone(found):
                    bucket.code = _code_in(file.read(), bucket.checksum)

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Keep a template that was compiled, for nobody but us, if that is possible (called by jinja2)."""
        if sys.dont_write_bytecode:
            return
        path = self._path(bucket)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        with suppress(OSError):
            self._directory.mkdir(mode=0o700, exist_ok=True)
            if not self._is_safe():
                return
            temporary.unlink(missing_ok=True)
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(bucket.checksum.encode() + b"\n" + marshal.dumps(bucket.code))
            temporary.replace(path)

    def _is_safe(self) -> bool:
        """Say whether only we can write to the folder; one that an earlier podwire left open is closed first."""
        found = os.lstat(self._directory)
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and found.st_mode & 0o077:
            was_open = found.st_mode & 0o022
            os.chmod(self._directory, 0o700)
            if was_open:  # whatever is in it may be anybody's
                for name in os.listdir(self._directory):
                    os.unlink(self._directory / name)
            found = os.lstat(self._directory)
        return stat.S_ISDIR(found.st_mode) and is_ours_alone(found)

    def _path(self, bucket: jinja2.bccache.Bucket) -> Path:
        return self._directory / _name(bucket)


class _Packed(jinja2.BytecodeCache):
    """Compiled templates in a zip file, where they are as much to be trusted as the modules beside them."""

    def __init__(self, directory: Traversable) -> None:
        self._directory = directory

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Read what is there of a template (called by jinja2); of another Python it is not there."""
        with suppress(OSError, ValueError, EOFError, TypeError):
            bucket.code = _code_in((self._directory / _name(bucket)).read_bytes(), bucket.checksum)

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Keep nothing (called by jinja2)."""


def _name(bucket: jinja2.bccache.Bucket) -> str:
    return f"{bucket.key}.{sys.implementation.cache_tag}.{COMPILED_FOR}"
