"""list: what is wired here."""

from __future__ import annotations

import argparse

from executor.cli.options import OneOf, add_common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from executor.state.status import Wiring
    from executor.state.store import StateStore

EXAMPLES = """\
podwire list -o wide
podwire list --json"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    text = "wide: also show the kind of wiring, taps, links and guest MACs; json: same as --json"
    parser.add_argument("-o", "--output", type=OneOf(("wide", "json")), metavar="HOW", help=text)
    add_common(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what is wired here; an entry that cannot be read, or is lost, is reported, and hides no other."""
    from executor.cli.exit_status import exit_status
    from executor.cli.output import complain, put
    from executor.cli.printing import local_time, print_json, print_table
    from executor.cli.settings import require_owner, store_of

    require_owner(arguments)
    found = _wirings(store_of(arguments))
    whole = [wiring for wiring in found if wiring.problem is None]
    if "json" in (arguments.format, arguments.output):
        print_json([_row(wiring) for wiring in whole])
    elif whole:
        cells: list[tuple[str, ...]] = [
            (wiring.id, wiring.state, local_time(wiring.applied_at), str(wiring.netns)) for wiring in whole
        ]
        heads: tuple[str, ...] = ("ID", "STATE", "APPLIED", "NAMESPACE")
        if arguments.output == "wide":
            heads = (*heads, "WIRING", "VM")
            cells = [(*row, one.kind, ", ".join(one.taps)) for row, one in zip(cells, whole, strict=True)]
        print_table(heads, cells)
    elif not found:
        put("nothing is wired here\n")
    problems = (wiring.problem for wiring in found if wiring.problem is not None)
    return max((complain(error, exit_status(error)) for error in problems), default=0)


def _wirings(store: StateStore) -> tuple[Wiring, ...]:
    """Return what is wired; what looks at it is loaded only if there is something."""
    found: tuple[Wiring, ...] = ()
    if store.ids():
        from executor.state.status import wirings

        found = wirings(store)
    if store.unended_ids():
        from executor.operations.mend import lost_wirings

        found += lost_wirings(store)
    return found


def _row(wiring: Wiring) -> dict[str, Any]:
    return {
        "id": str(wiring.id),
        "netns": str(wiring.netns),
        "state": wiring.state,
        "applied_at": wiring.applied_at,
    }
