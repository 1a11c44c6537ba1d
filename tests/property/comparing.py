"""Comparing a namespace before and after, with the one allowance that the kernel forces: a place in a queue."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from tests.support.dumps import Dump, difference


def found_difference(before: Dump, after: Dump, wired: Collection[str]) -> str:
    """Return what differs as a diff, "" if nothing does; `wired` are the links that were wired in between.

    Of IPv4 routes alike in table, destination, tos and metric the kernel takes the first. One that it makes itself
    comes behind the others when its address comes back, and one of a plan in front of them (``prepend``): to put it
    between two that stay, one of these would have to go. So the order is compared only among routes that all come back
    in one of these ways: not if some are of a link that is not wired, not if the kernel's and others' are mixed,
    and not in the local table.
    """
    return difference(_as_unordered(before, wired), _as_unordered(after, wired))


def _as_unordered(dump: Dump, wired: Collection[str]) -> Dump:
    lines = dump.sections["route4"].splitlines()
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, line in enumerate(lines):
        groups.setdefault(_rank(line), []).append(place)
    for rank, places in groups.items():
        some = [lines[place] for place in places]
        is_one_kind = len({_is_kernels(line) for line in some}) == 1
        if "local" in rank or not is_one_kind or not all(_device(line) in wired for line in some):
            for place, line in zip(places, sorted(some), strict=True):
                lines[place] = line
    return Dump(dump.sections | {"route4": "\n".join(lines)})


def _is_kernels(route: str) -> bool:
    return " proto kernel " in route and " via " not in route


def _rank(route: str) -> tuple[str, ...]:
    """Return what the kernel finds a route by: table, tos, metric and destination."""
    return (*(_behind(word, route) for word in ("table", "tos", "metric")), route.split()[1])


def _device(route: str) -> str:
    return _behind("dev", route)


def _behind(word: str, route: str) -> str:
    found: Sequence[str] = re.findall(rf" {word} (\S+)", route)
    return found[0] if found else ""
