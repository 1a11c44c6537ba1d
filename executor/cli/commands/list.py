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
    from executor.cli.printing import print_json
    from executor.cli.settings import nothing_there, require_owner, store_of

    require_owner(arguments)
    found = _wirings(store_of(arguments))
    if "json" in (arguments.format, arguments.output):
        print_json([_row(wiring) for wiring in found])
    elif not found:
        put(nothing_there("nothing is wired here", arguments) + "\n")
    else:
        _print_whole([wiring for wiring in found if wiring.problem is None], arguments)
    problems = (wiring.problem for wiring in found if wiring.problem is not None)
    return max((complain(error, exit_status(error)) for error in problems), default=0)


def _print_whole(wirings: list[Wiring], arguments: argparse.Namespace) -> None:
    """Print the table of those that can be read, if there are any, and which of them are still to be confirmed."""
    from executor.cli.printing import local_time, print_table

    if not wirings:
        return
    cells: list[tuple[str, ...]] = [(one.id, one.state, local_time(one.applied_at), str(one.netns)) for one in wirings]
    heads: tuple[str, ...] = ("ID", "STATE", "APPLIED", "NAMESPACE")
    if arguments.output == "wide":
        heads = (*heads, "WIRING", "VM")
        cells = [(*row, one.kind, ", ".join(one.taps)) for row, one in zip(cells, wirings, strict=True)]
    print_table(heads, cells, arguments, marked=[one.state != "wired" for one in wirings])
    for one in wirings:
        if one.confirm_by is not None:
            _print_unless_confirmed(one.id, one.confirm_by, arguments)


def _print_unless_confirmed(plan_id: str, confirm_by: float, arguments: argparse.Namespace) -> None:
    from executor.cli.errors import pasteable
    from executor.cli.output import put
    from executor.cli.printing import unless_confirmed

    put(f"{plan_id}: {pasteable(unless_confirmed(plan_id, confirm_by), arguments)}\n")


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
        "netns": None if wiring.netns is None else str(wiring.netns),
        "state": wiring.state,
        "applied_at": wiring.applied_at or None,
        "wiring": wiring.kind or None,
        "taps": [{"tap": one.device, "link": one.link, "mac": one.mac} for one in wiring.interfaces],
        "confirm_by": wiring.confirm_by,
        "problem": None if wiring.problem is None else str(wiring.problem),
    }
