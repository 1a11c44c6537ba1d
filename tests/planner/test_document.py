"""JSON that somebody else wrote: refused in one sentence that says where, or walked without surprises."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InvalidInput
from planner.text import document
from planner.text.document import Node, load_json
from planner.text.values import MacAddress


def refusal(text: bytes | str) -> str:
    """Return the message with which ``text`` is refused."""
    with pytest.raises(InvalidInput) as refused:
        load_json(text, "facts")
    message = str(refused.value)
    assert message.isprintable()
    assert len(message) < 250
    return message


class TestLoading:
    """Stricter than RFC 8259 asks, since two readers of one text must not see two documents."""

    @pytest.mark.parametrize("text", ['{"a": [1, "b", null, true, 1.5]}', b'{"a": [1, "b", null, true, 1.5]}'])
    def test_bytes_and_text_give_plain_values(self, text: bytes | str) -> None:
        """A document is its plain values, and has its name as path."""
        assert load_json(text, "facts") == Node({"a": [1, "b", None, True, 1.5]}, "facts")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            pytest.param("", "facts is not JSON: Expecting value in line 1", id="empty"),
            pytest.param('{\n"a":\n}', "facts is not JSON: Expecting value in line 3", id="broken"),
            pytest.param("{} {}", "facts is not JSON: Extra data in line 1", id="two-documents"),
            pytest.param(b"\xff\xfe{}", "facts is not valid UTF-8 text", id="no-utf8"),
            pytest.param('"\\ud800"', "facts is not valid UTF-8 text", id="lone-surrogate"),
            pytest.param(
                '{"a": 1, "b": {"x": 1, "x": 1}}',
                "facts is not JSON that podwire reads: duplicate key 'x' in one object",
                id="duplicate-key",
            ),
            pytest.param('{"a": NaN}', "facts is not JSON that podwire reads: NaN is not a number", id="nan"),
            pytest.param(
                "[-Infinity]", "facts is not JSON that podwire reads: -Infinity is not a number", id="infinity"
            ),
            pytest.param(
                "9" * 5000, "facts is not JSON that podwire reads: a number has too many digits", id="huge-number"
            ),
        ],
    )
    def test_anything_else_is_refused_in_a_sentence(self, text: bytes | str, message: str) -> None:
        """What is no JSON, or reads in two ways, is refused with its name."""
        assert refusal(text) == message

    def test_a_hostile_key_is_quoted(self) -> None:
        """What is quoted from a document cannot move a cursor."""
        assert refusal('{"\\u001b[2J": 1, "\\u001b[2J": 1}').endswith(r"duplicate key '\x1b[2J' in one object")

    @pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")], ids=["lists", "objects"])
    @pytest.mark.parametrize("depth", [201, 1_000, 10_000, 1_000_000])
    def test_deep_nesting_is_refused(self, opening: str, closing: str, depth: int) -> None:
        """Nesting that would exhaust the stack is refused, not crashed into."""
        assert refusal(opening * depth + "1" + closing * depth) == "facts is nested too deeply"

    def test_nesting_is_no_question_of_the_python(self) -> None:
        """What is as deep as may be is read by each version alike, also beside much that is not deep."""
        deep = "[" * 199 + "1" + "]" * 199
        assert load_json(f"[{deep}, {json.dumps([[]] * 300)}]", "facts").value
        assert load_json(f"[{deep.replace('1', '')}]", "facts").value
        assert refusal(f"[[{deep}], {json.dumps([[]] * 300)}]") == "facts is nested too deeply"

    def test_a_document_has_a_size_that_is_not_honest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """More than the limit is refused before it is parsed; the limit itself is not."""
        assert document.MAX_BYTES == 32 * 2**20
        monkeypatch.setattr(document, "MAX_BYTES", 2**20)
        fits = json.dumps("x" * (2**20 - 2))
        assert load_json(fits, "facts").value == "x" * (2**20 - 2)
        assert refusal(fits + " ") == refusal((fits + " ").encode()) == "facts is larger than 1 MiB"

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.text() | st.binary())
    def test_anything_at_all_is_read_or_refused(self, text: bytes | str) -> None:
        """No text raises anything but InvalidInput."""
        said = ""
        try:
            load_json(text, "facts")
        except InvalidInput as error:
            said = str(error)
        assert said == "" or said.isprintable()


class TestWalking:
    """A node knows its path, so every error says where."""

    NODE = Node({"name": "eth0", "ips": [{"mtu": -1}], "none": None, "flag": True, "ratio": 1.5}, "plan")

    def test_reads_what_is_there(self) -> None:
        """Fields, lists and plain values."""
        assert self.NODE.field("name").text() == "eth0"
        assert self.NODE.field("flag").boolean() is True
        assert self.NODE.field("ratio").number() == 1.5
        assert Node(7, "x").number() == 7.0
        assert Node(["a", "b"], "x").texts() == ("a", "b")
        assert [key for key, _ in self.NODE.members()] == ["name", "ips", "none", "flag", "ratio"]
        assert Node(2**32 - 1, "x").integer() == 2**32 - 1

    def test_null_counts_as_missing(self) -> None:
        """A key with null is not there."""
        assert not self.NODE.has("none")
        assert self.NODE.maybe("none", Node.text) is None
        assert self.NODE.optional("none", Node.text, "x") == "x"
        assert self.NODE.optional("name", Node.text, "x") == "eth0"

    @pytest.mark.parametrize(
        ("walk", "message"),
        [
            pytest.param(lambda node: node.field("mac"), "plan: 'mac' is missing", id="missing"),
            pytest.param(lambda node: node.field("none"), "plan: 'none' is missing", id="null"),
            pytest.param(
                lambda node: next(node.field("ips").items()).field("mtu").integer(),
                "plan.ips[0].mtu: -1 is not between 0 and 4294967295",
                id="range",
            ),
            pytest.param(lambda node: node.only("name"), "plan: the key 'ips' is unknown", id="unknown-key"),
            pytest.param(
                lambda node: node.field("name").items(), "plan.name: expected a list, not 'eth0'", id="no-list"
            ),
            pytest.param(
                lambda node: node.field("name").field("x"), "plan.name: expected an object, not 'eth0'", id="no-object"
            ),
            pytest.param(
                lambda node: node.field("ips").text(), "plan.ips: expected a string, not a list", id="no-text"
            ),
            pytest.param(
                lambda node: node.field("flag").integer(),
                "plan.flag: expected a whole number, not true",
                id="true-is-no-1",
            ),
            pytest.param(
                lambda node: node.field("ratio").integer(),
                "plan.ratio: expected a whole number, not 1.5",
                id="fraction",
            ),
            pytest.param(
                lambda node: node.field("flag").number(),
                "plan.flag: expected a number, not true",
                id="true-is-no-number",
            ),
            pytest.param(
                lambda node: node.field("name").boolean(),
                "plan.name: expected true or false, not 'eth0'",
                id="no-boolean",
            ),
            pytest.param(
                lambda node: node.field("name").parse(MacAddress), "plan.name: 'eth0' is not a MAC address", id="parser"
            ),
            pytest.param(lambda _: Node(10**400, "x").number(), "x: the number is too large", id="too-large"),
            pytest.param(
                lambda _: load_json("[1e999]", "x").each(Node.number), "x[0]: the number is too large", id="inf"
            ),
        ],
    )
    def test_says_where_and_what(self, walk: Callable[[Node], object], message: str) -> None:
        """The message begins with the path of the element and says what was wanted."""
        with pytest.raises(InvalidInput) as refused:
            walk(self.NODE)
        assert str(refused.value) == message
