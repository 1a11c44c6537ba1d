"""dhcp: the guest of a wiring is served its addresses and routes."""

from __future__ import annotations

import argparse

from executor.cli.options import add_common, add_limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from executor.guest.server import Served

EXAMPLES = """\
podwire dhcp pod1
podwire dhcp pod1 --daemon"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("id", metavar="ID", help="a wiring that was made with --serve-dhcp")
    text = "run in the background until teardown; podwire recover restarts it"
    parser.add_argument("--daemon", action="store_true", help=text)
    add_common(parser)
    add_limits(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until the wiring is gone or a signal comes, or see that it is served and return."""
    from executor.cli.settings import id_meant, settings_of
    from executor.guest.daemon import serve, start_server
    from executor.trust.privileges import require_privileges

    require_privileges()
    settings = settings_of(arguments)
    plan_id = id_meant(arguments.id, settings.store)

    def say(sentences: tuple[str, ...]) -> None:
        from executor.cli.output import put_done
        from executor.cli.printing import json_text

        if arguments.format == "json":
            put_done(json_text({"id": str(plan_id), "served": list(sentences)}))
        else:
            put_done("".join(f"{plan_id}: {sentence}\n" for sentence in sentences))

    def ready(served: tuple[Served, ...]) -> None:
        say(tuple(line for one in served for line in one.sentences))

    if arguments.daemon:
        say(start_server(plan_id, settings))
    else:
        serve(plan_id, settings, ready, log=2)
    return 0
