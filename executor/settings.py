"""How operations are to work, as the caller wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field

from executor.state.store import StateStore
from planner.text.frozen import frozen

if TYPE_CHECKING:  # code that only reads the state needs no template engine
    from executor.operations.ownership import Owned
    from executor.state.events import Listener
    from planner.plan.render import Templates


def _load_templates() -> Templates:
    from executor.templates import load_templates  # noqa: PLC0415  it loads the template engine

    return load_templates()


@frozen
class Settings:
    """Where the state is, the templates, limits in seconds, what was asked for (for the journal), and who listens.

    ``owned`` is the id that the caller has locked already (``executor.operations.ownership.own``).
    """

    store: StateStore = field(factory=StateStore)
    templates: Templates = field(factory=_load_templates)
    timeout: float = 30.0
    lock_timeout: float = 10.0
    requested_by: str = ""
    allow_host_netns: bool = False
    force: bool = False
    listeners: tuple[Listener, ...] = ()
    owned: Owned | None = None
