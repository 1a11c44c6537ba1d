"""A pod with very many routes: what is made piece by piece is what it would be as a whole, and neither is kept."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.changes.change import Inverse, inverse
from planner.errors import InvalidInput
from planner.facts import model
from planner.facts.answer import each_object
from planner.facts.model import NamespaceFacts
from planner.facts.parse import ProbeOutput, read_probes
from planner.formats import render_text
from planner.formats.plan_format import plan_pieces
from planner.plan import render
from planner.plan.plan import Plan, parse_plan, plan_document, plan_to_json
from planner.plan.render import Templates
from planner.text.codec import to_document, to_json
from planner.text.pieces import FEW, Compact, Items, indented
from planner.text.values import parse_network
from tests.planner.builders import address, namespace, plan_of, result, route, veth
from tests.planner.situations import SITUATIONS

COUNT = 2 * FEW + 1
GATEWAY = "10.1.90.1"

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Return the plan of a pod that has more routes than a list that is written as a whole."""
    routes = [route(f"20.{at // 256}.{at % 256}.0/24 via {GATEWAY} dev eth0") for at in range(COUNT)]
    facts = namespace(veth("eth0"), address("10.1.90.5/24", "eth0"), *routes)
    return plan_of(facts, result({"eth0": ["10.1.90.5/24"]}))


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take even one change for so many that its commands are not kept."""
    monkeypatch.setattr(render, "_KEPT", 0)


def route_answer(count: int) -> Iterator[dict[str, object]]:
    """Yield what ``ip -j -d route show`` prints of very many routes."""
    for at in range(count):
        dst = f"20.{at // 256}.{at % 256}.0/24"
        yield {"type": "unicast", "dst": dst, "gateway": GATEWAY, "dev": "eth0", "protocol": "boot", "flags": []}


def facts_with(routes4: str) -> NamespaceFacts:
    """Return the facts of a namespace that has only these IPv4 routes."""
    return read_probes(ProbeOutput("", "", routes4, "", "", "", None, "", None, None, {}, 0.0))


class TestAnswers:
    """A list is read object by object."""

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.dictionaries(st.text(), SCALARS, max_size=3)), st.sampled_from([None, 1, "\t", "\r\n"]))
    def test_are_read_as_a_whole_would_be(self, objects: list[dict[str, object]], indent: str | int | None) -> None:
        """Whatever blanks are between them, and with the place of each in its path."""
        text = json.dumps(objects, indent=indent)
        found = [(node.path, node.value) for node in each_object(f" {text}\n", "it")]
        assert found == [(f"it[{at}]", value) for at, value in enumerate(objects) if value]

    @pytest.mark.parametrize(
        "text",
        [
            " ", "[", "[{}", "[{},", "[,]", "[{},]", "[{} {}]", "[{}}", "[{}]]", "[{}] x", "[]x", "[] []", "]", "{}{}",
            "[{}:{}]", '[{"a": 1}, {"a": ]', "\ufeff[]", "[" * 100_000, '[{"a": ' + "[" * 100_000,
        ],
    )  # fmt: skip
    def test_that_are_no_json_are_refused_in_one_sentence(self, text: str) -> None:
        """Wherever they stop being JSON."""
        with pytest.raises(InvalidInput, match=r"^ip route did not answer in JSON: "):
            list(each_object(text, "ip route"))

    def test_that_end_too_early_are_refused_wherever_they_end(self) -> None:
        """A list that was cut anywhere is no shorter list."""
        whole = json.dumps(list(route_answer(2)))
        assert len(facts_with(whole).routes) == 2
        for end in range(1, len(whole)):
            with pytest.raises(InvalidInput, match="did not answer in JSON"):
                facts_with(whole[:end])

    def test_of_an_object_that_repeats_a_key_the_first_counts(self) -> None:
        """The first ``dst`` of an encapsulated route is the route's own."""
        (node,) = each_object('[{"dst": "10.0.0.0/8", "dst": "10.9.0.0/16"}]', "ip route")
        assert node.value == {"dst": "10.0.0.0/8"}

    def test_are_read_without_the_tree_that_they_are(self) -> None:
        """Beside the text there is one object at a time."""
        text = json.dumps(list(route_answer(5000)))
        list(each_object(text, "ip route"))  # what it loads the first time is not counted
        tracemalloc.start()
        try:
            count = sum(1 for _ in each_object(text, "ip route"))
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert count == 5000
        assert most < len(text) / 10


class TestRoutes:
    """Routes that are alike but for their destination."""

    def test_have_their_own_destination_and_share_the_rest(self) -> None:
        """Each is where it was, and what they have in common is there once."""
        found = facts_with(json.dumps(list(route_answer(3)))).routes
        assert [str(fact.resource.dst) for fact in found] == ["20.0.0.0/24", "20.0.1.0/24", "20.0.2.0/24"]
        assert len({id(fact.resource.nexthops) for fact in found}) == len({id(fact.state) for fact in found}) == 1

    def test_are_told_apart_by_whatever_else_they_have(self) -> None:
        """A number, a flag or a way of its own is never taken for another's."""
        alike = next(route_answer(1))
        ways: list[dict[str, object]] = [{"flags": ["onlink"]}, {"gateway": "10.1.90.2"}, {"gateway": None}]
        others: list[dict[str, object]] = [*ways, {"metric": 1}, {"metric": 2}, {}]
        found = facts_with(json.dumps([{**alike, **other} for other in others] + [alike])).routes
        assert len({(fact.resource, fact.state) for fact in found}) == len(others)

    @pytest.mark.parametrize("dst", [None, 7, "20.0.0.1/24", "20.0.0.0/33", "20.00.0.0/24", "20.0.0.0/24 via 10.0.0.1"])
    def test_that_cannot_be_read_are_said_where_they_are(self, dst: object) -> None:
        """Also behind one that is like them, and those behind are read."""
        first, second = route_answer(2)
        facts = facts_with(json.dumps([first, {**first, "dst": dst}, second]))
        assert [str(fact.resource.dst) for fact in facts.routes] == ["20.0.0.0/24", "20.0.1.0/24"]
        assert [thing.why.partition(":")[0] for thing in facts.opaque] == ["ip route[1]" + (".dst" if dst else "")]

    @settings(deadline=None)
    @given(st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){2,4}(/[0-9]{1,3})?", fullmatch=True) | st.text(max_size=8))
    def test_lead_to_the_network_that_python_reads(self, text: str) -> None:
        """IPv4 networks are read by podwire itself: the same ones, and no others."""
        try:
            expected = ip_network(text) if "%" not in text else None
        except ValueError:
            expected = None
        try:
            assert parse_network(text) == expected
        except ValueError:
            assert expected is None


class TestDocuments:
    """JSON that is written piece by piece."""

    @settings(max_examples=50, deadline=None)
    @given(DOCUMENTS)
    def test_is_what_the_standard_library_writes(self, document: object) -> None:
        """As a whole, and if lists in it are only made when they are written."""
        pieces = {"b": [document, {"c": Items(str, range(FEW + 1))}], "a": Items(lambda each: each, [document] * 3)}
        whole = {"b": [document, {"c": [str(at) for at in range(FEW + 1)]}], "a": [document] * 3}
        for value, plain in ((document, document), (pieces, whole)):
            assert "".join(indented(value)) == json.dumps(plain, indent=1)
            for ascii_only in (True, False):
                canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=ascii_only)
                assert "".join(Compact(ensure_ascii=ascii_only).pieces(value)) == canonical

    def test_of_a_plan_is_the_plan(self, plan: Plan, templates: Templates) -> None:
        """With its checksum, and it is read again."""
        text = "".join(indented(plan_document(plan)))
        assert text == json.dumps(plan_to_json(plan), indent=1)
        assert parse_plan(text, templates) == plan

    def test_of_facts_is_what_they_are(self, plan: Plan) -> None:
        """As `podwire facts` prints them."""
        assert "".join(indented(to_document(plan.facts))) == json.dumps(to_json(plan.facts), indent=1)

    @pytest.mark.parametrize("at_once", [1, 7, COUNT])
    def test_has_the_digest_that_it_always_had(self, plan: Plan, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """A plan that an earlier version stored is not stale for having been made by that."""
        canonical = json.dumps(model._canonical(plan.facts), sort_keys=True, separators=(",", ":"))  # noqa: SLF001
        monkeypatch.setattr(model, "_AT_ONCE", at_once)
        assert plan.facts_digest == hashlib.sha256(canonical.encode()).hexdigest()


@pytest.mark.usefixtures("few_are_many")
class TestCommands:
    """Commands of very many changes are rendered when they are looked at."""

    @pytest.mark.parametrize("name", SITUATIONS)
    def test_are_those_that_would_be_kept(
        self, name: str, templates: Templates, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both ways, as often as one looks, and by their places."""
        changes = SITUATIONS[name].plan().changes
        for each in (changes, Inverse(changes)):
            found = templates.commands(each)
            with monkeypatch.context() as patched:
                patched.setattr(render, "_KEPT", len(changes))
                kept = templates.commands(each)
            assert isinstance(kept, tuple)
            assert not isinstance(found, tuple)
            assert (len(found), tuple(found), tuple(found)) == (len(kept), kept, kept)
            assert found == kept
            assert (found[0], found[-1], found[1:]) == (kept[0], kept[-1], kept[1:])
            assert found != kept[1:]

    def test_of_a_plan_are_read_again_and_previewed(self, plan: Plan, templates: Templates) -> None:
        """Nobody who has the plan can tell."""
        many = parse_plan(json.dumps(plan_to_json(plan)), templates)
        assert not isinstance(many.commands, tuple)
        assert many == plan
        assert render_text(many) == render_text(plan)


def test_an_inverse_is_made_change_by_change(plan: Plan) -> None:
    """It has the length, the order and the places of the whole one."""
    whole, found = inverse(plan.changes), Inverse(plan.changes)
    assert (len(found), tuple(found), tuple(Inverse(found))) == (len(whole), whole, plan.changes)
    assert (found[0], found[-1], found[2:5]) == (whole[0], whole[-1], whole[2:5])


@pytest.mark.parametrize("form", ["text", "json", "commands", "script"])
@pytest.mark.usefixtures("few_are_many")
def test_a_plan_is_shown_in_pieces_that_are_short(plan: Plan, form: str, templates: Templates) -> None:
    """None of the formats that say all of it holds a great part at once."""

    def no_pages() -> None:
        raise AssertionError

    pieces = plan_pieces(plan, form, templates, no_pages)  # type: ignore[arg-type]
    sizes = [len(piece) for piece in pieces]
    assert max(sizes) < sum(sizes) / 4
