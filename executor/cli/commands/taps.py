"""taps: the open taps are handed to a runtime over a socket."""

from __future__ import annotations

import argparse

from executor.cli.options import add_common

EXAMPLES = "podwire taps pod1 --socket /run/vm1/taps.sock"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("id", metavar="ID", help="the wiring")
    text = "socket to listen on; only root and the --tap-owner user may connect"
    parser.add_argument("--socket", required=True, metavar="PATH", help=text)
    add_common(parser)


def run(arguments: argparse.Namespace) -> int:
    """Pass the taps to the first process that connects, and say which that was."""
    from executor.cli.output import put_done
    from executor.cli.printing import json_text
    from executor.cli.settings import id_meant, store_of
    from executor.guest.handover import hand_over
    from executor.settings import Settings
    from executor.trust.privileges import require_privileges

    require_privileges()
    store = store_of(arguments)
    plan_id = id_meant(arguments.id, store)
    pid = hand_over(plan_id, arguments.socket, Settings(store))
    if arguments.format == "json":
        put_done(json_text({"id": str(plan_id), "pid": pid}))
    else:
        put_done(f"{plan_id}: process {pid} has the taps\n")
    return 0
