"""facts: what is in a namespace."""

from __future__ import annotations

import argparse

from executor.cli.options import add_common, add_limits, add_netns

EXAMPLES = """\
podwire facts --netns pod1 > facts.json
podwire facts --netns /proc/4242/ns/net"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_netns(parser, required=True)
    add_common(parser, ("json",))
    add_limits(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the facts of a namespace as JSON."""
    from itertools import chain

    from executor.cli.output import put_pieces
    from executor.netns.naming import resolve_netns
    from executor.observe.elsewhere import with_functions
    from executor.observe.observe import observe_netns
    from executor.trust.privileges import require_privileges
    from planner.text.codec import to_document
    from planner.text.pieces import indented

    require_privileges()
    facts = observe_netns(resolve_netns(arguments.netns), timeout=arguments.timeout)
    put_pieces(chain(indented(to_document(with_functions(facts, timeout=arguments.timeout))), "\n"))
    return 0
