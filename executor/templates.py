"""Finding the templates: the same from a checkout, an editable install, a wheel and a zipapp."""

from __future__ import annotations

from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from executor.errors import Unusable
from planner.render import Templates

_SUFFIX = ".j2"


@cache
def load_templates() -> Templates:
    """Return the templates that came with this podwire. Raises Unusable where its installation lacks them."""
    files = [file for file in _directory().iterdir() if file.name.endswith(_SUFFIX)]
    return Templates({file.name: file.read_text(encoding="utf-8") for file in files})


def _directory() -> Traversable:
    """Return where they are: inside the planner package of a wheel or a zipapp, beside it in a checkout."""
    inside = resources.files("planner").joinpath("templates")
    beside = Path(__file__).resolve().parent.parent / "templates"
    for directory in (inside, beside):
        if directory.is_dir():
            return directory
    raise Unusable("podwire's templates are not where it is installed: install it again")
