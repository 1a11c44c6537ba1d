"""A plan is data, not code: a stored one that was edited, cut off or made up is refused, whatever was done to it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.changes.change import inverse
from planner.errors import InvalidInput
from planner.kinds.ebtables import EbtablesFacts
from planner.kinds.sysctl import Sysctl
from planner.options import PlanOptions
from planner.plan.plan import PLAN_VERSION, Plan, parse_plan, plan_from_json, plan_to_json
from planner.plan.render import Templates
from planner.text.document import Node
from tests.planner import builders
from tests.planner.builders import address, loopback, namespace, neighbour, plan_of, route, setting, veth
from tests.planner.situations import SITUATIONS

Json = dict[str, Any]
Place = tuple[str | int, ...]

# Small, since it is read a thousand times, but with something of most kinds.
PLAN = plan_of(
    namespace(
        evolve(veth(mtu=1200), altnames=("pod",), alias="x"),
        address("10.1.90.5/24 brd 10.1.90.255 valid_lft 900 preferred_lft 600"),
        route("default via 10.1.90.1 dev eth0 metric 7 mtu lock 1400"),
        neighbour("10.1.90.1"),
        EbtablesFacts(table=True),
        setting("net/bridge/bridge-nf-call-iptables", 1),
        lo=evolve(loopback(), mtu=1200),
        bridge_netfilter=False,
    ),
    options=PlanOptions(tap_owner=1000, tap_queues=2),
)
FIRST_SYSCTL = next(n for n, change in enumerate(PLAN.changes) if isinstance(change.resource, Sysctl))
DOCUMENT: Json = json.loads(json.dumps(plan_to_json(PLAN)))


def places(value: object, here: Place = ()) -> Iterator[Place]:
    """Yield the way to everything in ``value``, whole lists and objects too."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in inner:
        yield (*here, step)
        yield from places(item, (*here, step))


def at(document: object, place: Place) -> Any:
    """Return what is at ``place``."""
    found: Any = document
    for step in place:
        found = found[step]
    return found


def edited(place: Place, value: object) -> Json:
    """Return a copy of the document with ``value`` at ``place``; ``...`` removes what is there."""
    changed = copy.deepcopy(DOCUMENT)
    parent = at(changed, place[:-1])
    if value is ...:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    return changed


def sealed(document: Json) -> Json:
    """Return the document with the checksum that belongs to it now, as somebody with malice would make it."""
    rest = {key: value for key, value in document.items() if key != "checksum"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return rest | {"checksum": f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"}


def others(place: Place) -> list[object]:
    """Return two things that somebody might write at ``place``, others at the next; 1 and true count as the same."""
    value = at(DOCUMENT, place)
    found = [other for other in _other_values(value) if other is ... or other != value]
    first = ALL_PLACES.index(place)
    return [found[(first + turn) % len(found)] for turn in range(min(2, len(found)))]


def _other_values(value: object) -> list[object]:
    if isinstance(value, bool):
        return [not value, None, 7, ...]
    if isinstance(value, int | float):
        return [value + 1, -1, str(value), None, True, ...]
    if isinstance(value, str):
        return [f"{value}x", f"{value}\n", "-x", "", "10.99.0.1/8", 7, None, [value], ...]
    if isinstance(value, list):
        return [[], [*value, *value[:1]], {}, None, ...]
    return [{}, [], None, *([value | {"x": 1}] if isinstance(value, dict) else ["x", 1, True, []]), ...]


def refusal(document: Json) -> str:
    """Return the sentence with which a document is refused, which has to be an InvalidInput."""
    with pytest.raises(InvalidInput) as refused:
        parse_plan(json.dumps(document), builders.templates())
    said = str(refused.value)
    assert said.isprintable()
    assert said.startswith("plan")
    return said


def tried(document: Json) -> Plan | None:
    """Return the plan in a document, None if it is refused as everything should be."""
    try:
        return parse_plan(json.dumps(document), builders.templates())
    except InvalidInput as refused:
        said = str(refused)
    assert said.isprintable()
    assert said.startswith("plan")
    return None


ALL_PLACES = list(places(DOCUMENT))
TOP = sorted(DOCUMENT)


class TestEdited:
    """The checksum is against accidents: whatever is changed, the plan is refused."""

    def test_unedited_it_is_the_plan(self) -> None:
        """The document that the others are made from is a good one."""
        assert tried(DOCUMENT) == PLAN
        assert sealed(DOCUMENT) == DOCUMENT

    @pytest.mark.parametrize("top", TOP)
    def test_in_any_field_it_is_refused(self, top: str) -> None:
        """Every leaf, list and object under a key, changed in every way that its type suggests, gives one sentence."""
        count = 0
        for place in ALL_PLACES:
            if place[0] == top:
                for value in others(place):
                    count += 1
                    refusal(edited(place, value))
        assert count >= 2

    @pytest.mark.parametrize("cut", [1, 100, -1, -2, -100])
    def test_cut_off_it_is_refused(self, cut: int) -> None:
        """A file that was written only in part is no plan."""
        with pytest.raises(InvalidInput):
            parse_plan(json.dumps(DOCUMENT)[:cut], builders.templates())

    def test_another_version_is_said(self) -> None:
        """A plan of a later podwire may mean something else by the same words."""
        assert refusal(edited(("version",), PLAN_VERSION + 1)) == (
            f"plan.version: this podwire reads plans of version {PLAN_VERSION} only"
        )

    def test_an_unknown_key_is_said(self) -> None:
        """What is unknown might matter."""
        assert refusal(sealed(edited(("comment",), "hello"))) == "plan: the key 'comment' is unknown"
        assert (
            refusal(sealed(edited(("changes", 0, "comment"), "x"))) == "plan.changes[0]: the key 'comment' is unknown"
        )
        inner = ("changes", 0, "resource", "comment")
        assert refusal(sealed(edited(inner, "x"))) == "plan.changes[0].resource: the key 'comment' is unknown"

    def test_the_sentence_says_what_to_do(self) -> None:
        """An edited plan is planned again, not repaired."""
        assert refusal(edited(("id",), "pod2")) == (
            "plan: checksum mismatch: the file was edited or truncated; create a new plan"
        )


class TestMalice:
    """The rendering is against malice: with the checksum made again, no command can be smuggled in."""

    @pytest.mark.parametrize("key", ["commands", "reverse_commands"])
    def test_no_command_can_be_edited(self, key: str) -> None:
        """Words, namespaces, standard input, indexes: they are what the changes render to, or the plan is refused."""
        for place in ALL_PLACES:
            if place[0] == key and len(place) > 1:
                for value in others(place):
                    refusal(sealed(edited(place, value)))

    @pytest.mark.parametrize("key", ["commands", "reverse_commands"])
    def test_no_command_can_be_added_left_out_or_moved(self, key: str) -> None:
        """The list is as it is."""
        commands = DOCUMENT[key]
        added = {"argv": ["rm", "-rf", "/"], "netns": None, "stdin": None, "changes": [0]}
        for value in ([*commands, added], [added, *commands], commands[1:], commands[::-1], []):
            assert refusal(sealed(edited((key,), value))) == (
                f"plan.{key}: they do not match the plan's changes; create a new plan"
            )

    def test_no_change_can_be_edited_alone(self) -> None:
        """What the changes say is what the commands do, both ways; a reason is for people and does nothing."""
        for place in ALL_PLACES:
            if place[0] == "changes" and len(place) > 2 and place[2] != "reason":
                for value in others(place):
                    plan = tried(sealed(edited(place, value)))
                    assert plan is None or plan.changes == PLAN.changes or _renders_the_same(plan), (place, value)

    def test_nothing_else_can_be_made_of_it_than_a_plan_or_a_refusal(self) -> None:
        """Whatever is in the other fields, reading gives a plan or one sentence, never anything else."""
        for place in ALL_PLACES:
            if place[0] not in ("commands", "reverse_commands", "changes"):
                for value in others(place):
                    plan = tried(sealed(edited(place, value)))
                    assert plan is None or plan.commands == PLAN.commands

    def test_facts_and_digest_belong_together(self) -> None:
        """Facts that are not those of the digest, or a digest that is not of the facts, are refused."""
        assert refusal(sealed(edited(("facts_digest",), "0" * 64))) == (
            "plan.facts_digest: it is not the digest of the plan's facts; create a new plan"
        )
        index = next(n for n, link in enumerate(DOCUMENT["facts"]["links"]) if link["name"] == "eth0")
        assert "plan.facts_digest" in refusal(sealed(edited(("facts", "links", index, "mtu"), 1400)))

    def test_a_resource_in_two_changes_is_refused(self, templates: Templates) -> None:
        """Its `after` would not be true at the end."""
        twice = (*PLAN.changes, PLAN.changes[-1])
        document = plan_to_json(
            evolve(
                PLAN,
                changes=twice,
                commands=templates.commands(twice),
                reverse_commands=templates.commands(inverse(twice)),
            )
        )
        assert refusal(document) == (
            f"plan.changes[{len(twice) - 1}].resource: {PLAN.changes[-1].resource} is in two changes of the plan"
        )

    def test_a_change_elsewhere_is_refused(self, templates: Templates) -> None:
        """A plan changes its own namespace."""
        moved = (evolve(PLAN.changes[0], netns=builders.NETNS.__class__("/proc/1/ns/net")), *PLAN.changes[1:])
        document = plan_to_json(
            evolve(
                PLAN,
                changes=moved,
                commands=templates.commands(moved),
                reverse_commands=templates.commands(inverse(moved)),
            )
        )
        assert refusal(document) == "plan.changes[0].netns: it is not the plan's namespace"

    @pytest.mark.parametrize(
        ("place", "value", "path"),
        [
            (("changes", FIRST_SYSCTL, "before"), None, "plan"),
            (("changes", FIRST_SYSCTL, "after"), None, "plan"),
            (("changes", 0, "resource"), {"kind": "mac", "link": "eth0"}, "plan.changes[0].before"),
            (("changes", 0, "resource"), {"kind": "shell", "command": "id"}, "plan.changes[0].resource.kind"),
            (
                ("changes", FIRST_SYSCTL, "resource", "key"),
                "kernel/core_pattern",
                f"plan.changes[{FIRST_SYSCTL}].resource.key",
            ),
            (("changes", 0, "reason"), "a\nb", "plan.changes[0].reason"),
            (("changes", 0, "reason"), "\x1b[2J", "plan.changes[0].reason"),
            (("facts", "observed_at"), 10**400, "plan.facts.observed_at"),
        ],
    )
    def test_what_no_plan_can_hold_has_its_path(self, place: Place, value: object, path: str) -> None:
        """The sentence says where."""
        assert refusal(sealed(edited(place, value))).startswith(path)

    def test_no_observation_is_at_infinity(self) -> None:
        """1e999 is read as an infinite number; it would break the counting down of lifetimes at teardown."""
        text = json.dumps(sealed(DOCUMENT)).replace(str(builders.OBSERVED_AT), "1e999")
        document = json.loads(text)
        with pytest.raises(InvalidInput, match=r"^plan\.facts\.observed_at: the number is too large$"):
            parse_plan(json.dumps(sealed(document)).replace("Infinity", "1e999"), builders.templates())


class TestAnything:
    """Text that is no plan at all."""

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.text() | st.binary())
    def test_is_refused(self, text: str | bytes) -> None:
        """In a sentence, as every document is."""
        with pytest.raises(InvalidInput):
            parse_plan(text, builders.templates())

    @pytest.mark.parametrize("value", [None, [], 7, "x", {}, {"version": 1}, {"version": PLAN_VERSION, "checksum": ""}])
    def test_json_that_is_no_plan_is_refused(self, value: Any) -> None:
        """A result, a list, or nothing."""
        refusal(value)

    @pytest.mark.parametrize("where", ["id", "checksum", "result", "changes", "facts", "commands"])
    def test_nesting_is_refused_at_every_depth(self, where: str) -> None:
        """Just short of what is too deep for JSON, nothing behind it runs out of stack either."""
        for depth in range(860, 1010, 5):
            text = json.dumps(DOCUMENT | {where: "HERE"}).replace('"HERE"', "[" * depth + "1" + "]" * depth)
            with pytest.raises(InvalidInput):
                parse_plan(text, builders.templates())

    def test_it_is_called_what_the_caller_calls_it(self) -> None:
        """The message begins with the name of the file, or whatever was read."""
        with pytest.raises(InvalidInput, match=r"^the state of pod1: this is not a plan that podwire wrote$"):
            parse_plan("{}", builders.templates(), "the state of pod1")


class TestDocument:
    """What a stored plan holds is part of the contract."""

    def test_has_the_keys_of_the_contract(self) -> None:
        """Others may be added, these stay."""
        assert set(DOCUMENT) >= {
            "version",
            "id",
            "netns",
            "result",
            "options",
            "facts_digest",
            "interfaces",
            "changes",
            "commands",
            "reverse_commands",
            "checksum",
        }
        assert all(set(change) == {"resource", "before", "after", "reason", "netns"} for change in DOCUMENT["changes"])
        assert all(set(command) == {"argv", "netns", "stdin", "changes"} for command in DOCUMENT["commands"])
        assert DOCUMENT["facts_digest"] == PLAN.facts_digest

    @pytest.mark.parametrize("name", SITUATIONS)
    def test_is_plain_ascii_json(self, name: str) -> None:
        """It can be pasted, mailed and diffed."""
        text = json.dumps(plan_to_json(SITUATIONS[name].plan()))
        assert text.isascii()
        assert json.loads(text) == plan_to_json(SITUATIONS[name].plan())


def _renders_the_same(plan: Plan) -> bool:
    """Say whether another plan runs the very same commands, both ways: what differs is only looked at."""
    return plan.commands == PLAN.commands and plan.reverse_commands == PLAN.reverse_commands


def test_a_recorded_plan_is_rendered_again(templates: Templates) -> None:
    """A wiring that an earlier version recorded comes back with this version's commands, whatever is there."""
    document = sealed(DOCUMENT | {"commands": [], "reverse_commands": [], "facts_digest": "of an earlier form"})
    assert plan_from_json(Node(document, "plan"), templates) == PLAN
    with pytest.raises(InvalidInput, match="they do not match the plan's changes"):
        parse_plan(json.dumps(document), templates)
