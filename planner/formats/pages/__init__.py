"""Pages of HTML: the templates beside this file. Text from anywhere is escaped in them, and never becomes markup."""

from __future__ import annotations

from collections.abc import Mapping

import jinja2
from markupsafe import Markup

from planner.formats.markup import clean
from planner.formats.picture.palette import DARK, LIGHT, MONO, SANS, SIGN_NAMES


class Pages:
    """The loaded templates: ``sources`` maps a file's name to its text; reading files is the caller's work."""

    def __init__(self, sources: Mapping[str, str], *, compiled: jinja2.BytecodeCache | None = None) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.DictLoader(sources),
            bytecode_cache=compiled,
            undefined=jinja2.StrictUndefined,
            finalize=_printable,
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        look = {"light": LIGHT, "dark": DARK, "sans": SANS, "mono": MONO, "sign_names": SIGN_NAMES, "zip": zip}
        self._environment.globals.update(look)

    def compile(self) -> None:
        """Compile all of them, so that what comes of it is kept."""
        for name in self._environment.list_templates():
            self._environment.get_template(name)

    def render(self, name: str, **values: object) -> str:
        """Return the page of the template ``name`` with ``values``; only what is Markup is taken as markup."""
        return self._environment.get_template(name).render(values)


def _printable(value: object) -> object:
    """Return a template's value with nothing in it that could not be seen (jinja2's finalize)."""
    return value if isinstance(value, Markup) else clean(str(value))
