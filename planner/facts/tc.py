"""Reading the answers of ``tc -j filter show``: what podwire does not make itself is kept as text."""

from __future__ import annotations

import json
from typing import Any

from planner.errors import InvalidInput
from planner.facts.model import ResourceFact
from planner.kinds.bpf import Bytecode
from planner.kinds.tc_filter import FilterRule, FilterState, TcFilter, U32Match
from planner.text.document import Node
from planner.text.values import InterfaceName, Keyword, shown

_MOST_WORDS = 120
_REDIRECT = "mirred redirect egress"


def read_filters(text: str, link: InterfaceName, direction: Keyword) -> tuple[ResourceFact, ...]:
    """Return the filters in an answer of ``tc -j filter show dev LINK DIRECTION``, one for each preference.

    Each rule is printed after lines that only announce its kind; u32 repeats the key ``match``. Raises InvalidInput if
    this is no answer of tc.
    """
    try:
        found = json.loads(text or "[]", strict=False, object_pairs_hook=_with_matches)
    except (ValueError, RecursionError):
        raise InvalidInput(f"tc filter did not answer in JSON: {shown(text)}") from None
    states: dict[TcFilter, FilterState] = {}
    for node in Node(found, f"tc filter of {link}").items():
        if _is_whole(node.value):
            resource = TcFilter(link, direction, node.field("pref").integer())
            kind, protocol = (node.field(key).parse(Keyword) for key in ("kind", "protocol"))
            before = states.get(resource, FilterState(protocol, kind))
            states[resource] = FilterState(before.protocol, before.kind, (*before.rules, _rule(node.value)))
    return tuple(ResourceFact(resource, state) for resource, state in states.items())


def _with_matches(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose repeated key ``match`` is a list, under ``matches``."""
    matches = [value for key, value in pairs if key == "match"]
    return {key: value for key, value in pairs if key != "match"} | ({"matches": matches} if matches else {})


def _is_whole(value: Any) -> bool:
    """Say whether an element is a rule and not the announcement of its kind or of a hash table."""
    options = value.get("options") if isinstance(value, dict) else None
    return isinstance(options, dict) and "ht_divisor" not in options


def _rule(value: Any) -> FilterRule:
    options: dict[str, Any] = value["options"]
    matches = [_match(match) for match in _listed(options.get("matches"))]
    actions = [_action(action) for action in _listed(options.get("actions"))]
    targets = [action for action in actions if isinstance(action, InterfaceName)]
    others = [str(part) for part in (*matches, *actions) if not isinstance(part, (U32Match, InterfaceName))]
    several = [f"{_REDIRECT} {link}" for link in targets] if len(targets) > 1 else []
    return FilterRule(
        matches=tuple(match for match in matches if isinstance(match, U32Match)),
        redirect=targets[0] if len(targets) == 1 else None,
        others=(*others, *several),
        program=_program(options),
    )


def _program(options: dict[str, Any]) -> Bytecode | None:
    """Return the program of a bpf filter that decides on its own, None if it is one of eBPF."""
    try:
        found = options["bytecode"]["insns"] if options.get("direct-action") else ()
        return Bytecode.of((one["code"], one["jt"], one["jf"], one["k"]) for one in found)
    except (TypeError, KeyError, ValueError):
        return None


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _match(match: Any) -> U32Match | str:
    try:
        if match["offmask"] or set(match) - {"value", "mask", "offmask", "off"}:
            return _words(f"match {match}")
        return U32Match(Keyword(match["value"]), Keyword(match["mask"]), int(match["off"]))
    except (TypeError, KeyError, ValueError):
        return _words(f"match {match}")


def _action(action: Any) -> InterfaceName | str:
    """Return the link to which an action redirects a frame on its way out, or what the action is in words."""
    if not isinstance(action, dict):
        return _words(action)
    if action.get("kind") != "mirred":
        control = action.get("control_action")
        verdict = f" {control.get('type')}" if isinstance(control, dict) else ""
        return _words(f"{action.get('kind')}{verdict}")
    what = f"mirred {action.get('mirred_action')} {action.get('direction')}"
    try:
        if what == _REDIRECT:
            return InterfaceName(str(action.get("to_dev")))
    except ValueError:  # "*" of a link that is gone
        pass
    return _words(f"{what} {action.get('to_dev')}")


def _words(text: object) -> str:
    return str(text)[:_MOST_WORDS]
