"""agent: a process that stays and does the work of podwire-cni."""

from __future__ import annotations

import argparse

from executor.cli.options import add_common

EXAMPLES = """\
podwire agent
systemctl enable --now podwire-agent.socket
PODWIRE_RUN_DIR=/run/other podwire agent"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command; each request says what is to be done."""
    parser.add_argument("-v", "--verbose", action="store_true", help="log the result of each request")
    add_common(parser, has_state=False)


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    from executor.agent.listen import listening
    from executor.agent.server import Server
    from executor.agent.warm import warm_up
    from executor.cli.output import put_done, say
    from executor.cli.printing import json_text
    from executor.trust.privileges import require_privileges

    def tell(sentence: str) -> None:
        say(f"podwire agent: {sentence}")

    def keep_quiet(_sentence: str) -> None:
        pass

    require_privileges()
    with listening() as (listener, private):
        warm_up()
        path = listener.getsockname()
        if arguments.format == "json":
            put_done(json_text({"listening": path}))
        else:
            tell(f"listening on {path}")
        Server(listener, private, tell, tell if arguments.verbose else keep_quiet).run()
    return 0
