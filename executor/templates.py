"""Finding the templates, of commands and of pages: the same from a checkout, an editable install, a wheel and a zipapp.

Compiling them takes 30 ms. What comes of it is kept beside them in ``__pycache__``, as Python does with its modules:
if that can be written, and trusted as they are. A zipapp compiles at every start, its modules too.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from executor.errors import HostError
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


def _sources(directory: Traversable, suffix: str) -> dict[str, str]:
    files = (file for file in directory.iterdir() if file.name.endswith(suffix))
    return {file.name: file.read_text(encoding="utf-8") for file in files}


def _compiled(directory: Traversable) -> _Compiled | None:
    return _Compiled(directory / "__pycache__") if isinstance(directory, Path) else None


def _directory() -> Traversable:
    """Return where they are: inside the planner package of a wheel or a zipapp, beside it in a checkout."""
    beside = Path(__file__).resolve().parent.parent / "templates"
    found = _folder("planner", "templates", beside)
    if not found.is_dir():
        raise HostError("podwire's templates are not where it is installed: install it again")
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


class _Compiled(jinja2.BytecodeCache):
    """Compiled templates in files; jinja2 checks itself that one belongs to the text (a checksum in front)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Read what was kept of a template, if anything was (called by jinja2)."""
        with suppress(OSError, ValueError, EOFError, TypeError):  # not there, or damaged: it is compiled again
            bucket.bytecode_from_string(self._path(bucket).read_bytes())

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Keep a template that was compiled, if that is possible (called by jinja2)."""
        if sys.dont_write_bytecode:
            return
        path = self._path(bucket)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        with suppress(OSError):
            self._directory.mkdir(exist_ok=True)
            temporary.write_bytes(bucket.bytecode_to_string())
            temporary.replace(path)

    def _path(self, bucket: jinja2.bccache.Bucket) -> Path:
        return self._directory / f"{bucket.key}.{sys.implementation.cache_tag}.{COMPILED_FOR}"
