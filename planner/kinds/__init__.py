"""The kinds of resources: one file each, which registers its kind when it is loaded.

Those of what hardly any pod has are loaded by who finds or makes such a resource, or when a document names one: each
file costs 0.3 ms of a cold start.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Collection
from importlib import import_module

# None of them has a reader (planner.kinds.kind.Kind.read): that is asked whether there is such a resource.
_SELDOM = {"driver", "qdisc", "veth_end", "vf_link"}


def load_all() -> None:
    """Load every kind, also those that are seldom needed."""
    _load()


def _load(*, but: Collection[str] = ()) -> None:
    for module in pkgutil.iter_modules(__path__):
        if module.name not in but:
            import_module(f"{__name__}.{module.name}")


_load(but=_SELDOM)
