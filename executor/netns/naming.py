"""What a user calls a namespace, and what a wiring is called that was given no name."""

from __future__ import annotations

from planner.errors import InvalidInput
from planner.text.values import NetnsPath, PlanId, shown

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


def netns_and_id(netns: str, plan_id: str | None) -> tuple[NetnsPath, PlanId]:
    """Return the namespace that is to be wired, and under which id. Raises InvalidInput."""
    path = resolve_netns(netns)
    if path.startswith(_WHOEVER_LOOKS):
        raise InvalidInput(
            f"netns: {path} means a different namespace to each process: give a number (/proc/4242/ns/net)"
        )
    return path, default_id(path) if plan_id is None else parse_id(plan_id)
