"""What a user calls a namespace, and what a wiring is called that was given no name."""

from __future__ import annotations

import re

from planner.errors import InvalidInput
from planner.text.values import NetnsPath, PlanId, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# Of a container's id, as crictl and nerdctl take it.
_FEWEST_DIGITS = 6
_HEXADECIMAL = frozenset("0123456789abcdef")
_CONTAINER = re.compile("[0-9a-f]{32}")
_WHOEVER_LOOKS = ("/proc/self/", "/proc/thread-self/")


def resolve_netns(text: str) -> NetnsPath:
    """Return the path that ``text`` means: an absolute path, or a name under /run/netns (ip-netns(8)).

    Raises InvalidInput. Nothing is looked up: the path need not exist.
    """
    try:
        return NetnsPath(text if "/" in text else f"/run/netns/{text}")
    except ValueError:
        raise InvalidInput(
            f"netns: {shown(text)} is neither a name under /run/netns nor an absolute path of a network namespace"
            " (such as /run/netns/pod1 or /proc/4242/ns/net)"
        ) from None


def default_id(path: NetnsPath) -> PlanId:
    """Return the id of a wiring that was given none: the base name of the namespace's path.

    Raises InvalidInput if that says nothing (``/proc/4242/ns/net``) or cannot be an id.
    """
    if path.startswith("/proc/"):
        raise InvalidInput(f"id: {path} has no name of its own: give the wiring one with --id")
    try:
        return PlanId(path.rsplit("/", 1)[-1])
    except ValueError as error:
        raise InvalidInput(f"id: {error}: give the wiring one with --id") from None


def parse_id(text: str) -> PlanId:
    """Return the id in ``text``; InvalidInput if it is none."""
    try:
        return PlanId(text)
    except ValueError as error:
        raise InvalidInput(f"id: {error}") from None


def id_among(text: str, known: Iterable[PlanId]) -> PlanId:
    """Return the id in ``text``, or the only one of ``known`` that begins with it, if both are a container's.

    Such ids are long, and every runtime's tool takes the first digits. Names that people give are never guessed: what
    is meant by ``worker1`` is not ``worker10``. Raises InvalidInput for what is no id, or could be several.
    """
    plan_id = parse_id(text)
    if len(text) < _FEWEST_DIGITS or not set(text) <= _HEXADECIMAL:
        return plan_id
    found = [one for one in known if one.startswith(text)]
    if plan_id in found or not found or not all(_CONTAINER.match(one) for one in found):
        return plan_id
    if len(found) > 1:
        raise InvalidInput(f"id: {text} could be {' or '.join(found)}")
    return found[0]


def netns_and_id(netns: str, plan_id: str | None) -> tuple[NetnsPath, PlanId]:
    """Return the namespace that is to be wired, and under which id. Raises InvalidInput."""
    path = resolve_netns(netns)
    if path.startswith(_WHOEVER_LOOKS):
        raise InvalidInput(
            f"netns: {path} means a different namespace to each process: give a number (/proc/4242/ns/net)"
        )
    return path, default_id(path) if plan_id is None else parse_id(plan_id)
