"""The kinds of resources: one file each, which registers its kind when it is loaded.

Those of what hardly any pod has are loaded by who finds or makes such a resource, or when a document names one: each
file costs 0.3 ms of a cold start.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from importlib import import_module

# The files of these kinds. None of them has a reader (planner.kinds.kind.Kind.read), which would have to be asked.
SELDOM = {"bpf", "driver", "qdisc", "tc_filter", "veth_end", "vf_link"}


def load_all() -> None:
    """Load every kind, also those that are seldom needed."""
    _load()


def _load(*, but: Collection[str] = ()) -> None:
    for name in _names():
        if name not in but:
            import_module(f"{__name__}.{name}")


def _names() -> Iterator[str]:
    """Yield the names of the files here: of a folder without pkgutil, which takes as long to load as two of them."""
    try:
        names = os.listdir(__path__[0])  # noqa: PTH208  pathlib takes its time, too
    except OSError:  # a zip file
        from pkgutil import iter_modules  # noqa: PLC0415

        yield from (module.name for module in iter_modules(__path__))
        return
    yield from (name.removesuffix(".py") for name in sorted(names) if name.endswith(".py") and name != "__init__.py")


_load(but=SELDOM)
