"""Try a CNI plugin: ``./dev sandbox .venv/bin/python -m tests.conformance PLUGIN CONF [--before CONF]… [--path DIRS]``.

PLUGIN is its file, CONF a file with its part of a network configuration; plugins of ``--before`` are called before it,
with the result of each handed on. One line a rule; the status is 1 if one is broken.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tests import sandbox
from tests.conformance.rules import RULES, Rule, supported_versions
from tests.conformance.trial import DIRECTORIES, Broken, NotApplicable, Subject


def cases(versions: tuple[str, ...]) -> Iterator[tuple[Rule, str]]:
    """Yield each rule with the versions that it is tried in: all that it holds for, or the latest."""
    for rule in RULES:
        holds = [version for version in versions if version >= rule.since]
        yield from ((rule, version) for version in (holds if rule.each_version else holds[-1:]))


def verdict(rule: Rule, subject: Subject, version: str) -> str:
    """Return ``kept``, ``broken: …`` or ``not applicable: …``."""
    try:
        rule.try_on(subject, version)
    except Broken as broken:
        return f"broken: {broken}"
    except NotApplicable as why:
        return f"not applicable: {why}"
    return "kept"


def main() -> int:
    """Try all rules and say how each ended; return the exit status."""
    parser = argparse.ArgumentParser(prog="tests.conformance", description=__doc__)
    parser.add_argument("plugin", type=Path)
    parser.add_argument("conf", type=Path)
    parser.add_argument("--before", type=Path, action="append", default=[])
    parser.add_argument("--path", default=DIRECTORIES)
    arguments = parser.parse_args()
    if not sandbox.inside():
        sys.exit("plugins change the network: run this by ./dev sandbox")
    before = tuple(json.loads(file.read_text()) for file in arguments.before)
    subject = Subject(arguments.plugin.resolve(), json.loads(arguments.conf.read_text()), before, arguments.path)
    broken = 0
    for rule, version in cases(supported_versions(subject)):
        said = verdict(rule, subject, version)
        broken += said.startswith("broken")
        print(f"{version}  {rule.section}: {rule.sentence}\n       {said}")
    print(f"{broken} broken" if broken else "all that apply are kept")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
