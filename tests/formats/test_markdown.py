"""The comment of a review: its table, its diagram and its blocks of commands stay what they are."""

from __future__ import annotations

import re

import pytest

from planner.formats.commands import render_commands
from planner.formats.markdown import code, fenced, prose, render_markdown
from planner.formats.mermaid import label, render_mermaid
from planner.formats.picture.scene import picture_of
from planner.formats.undo import totals
from planner.plan.plan import Plan
from tests.formats.plans import HOSTILE, every_plan, plan_of

PLANS = every_plan()
_TAGS = {"<code>", "</code>", "<br/>", "<!-- -->", "<details>", "</details>", "<summary>", "</summary>"}
_WORDS = r"[A-Za-z0-9 .,:/_+#;-]+"
_NODE = rf'    (before|after)\d+[a-z]+\["{_WORDS}(<br/>{_WORDS})*"\](:::(added|removed|changed))?'
_LINK = r"    (before|after)\d+[a-z]+( (---|===|-\.-) (before|after)\d+[a-z]+)+"


def parts_of(plan: Plan) -> tuple[str, list[str]]:
    """Return a comment without its fenced blocks, and these blocks, as a parser of CommonMark takes them apart."""
    outside, blocks, fence = [], [], ""
    for line in render_markdown(plan).splitlines():
        mark = re.match(r"`{3,}", line)
        if not fence and mark:
            fence = mark[0]
            blocks.append("")
        elif fence and line == fence:
            fence = ""
        elif fence:
            blocks[-1] += f"{line}\n"
        else:
            outside.append(line)
    assert not fence
    return "\n".join(outside), blocks


@pytest.mark.parametrize("name", PLANS)
def test_the_table_has_a_row_for_each_change(name: str) -> None:
    """Four cells in each, whatever is in them."""
    plan = PLANS[name]
    outside, _ = parts_of(plan)
    rows = [line for line in outside.splitlines() if line.startswith("|")]
    assert len(rows) == (len(plan.changes) + 2 if plan.changes else 0)
    assert {row.count("|") for row in rows} <= {5}


@pytest.mark.parametrize("name", PLANS)
def test_there_are_no_tags_but_podwires_own(name: str) -> None:
    """What is folded is folded, and nothing else."""
    plan = PLANS[name]
    outside, _ = parts_of(plan)
    assert set(re.findall(r"<[^>]*>?", outside)) <= _TAGS
    assert outside.count("<details>") == outside.count("</details>") == (2 if plan.changes else 0)


@pytest.mark.parametrize("name", PLANS)
def test_the_commands_are_those_that_are_run(name: str) -> None:
    """As they can be copied, and the rollback."""
    plan = PLANS[name]
    _, blocks = parts_of(plan)
    if plan.changes:
        assert blocks[1:] == [render_commands(plan), render_commands(plan.reverse())]


@pytest.mark.parametrize("name", PLANS)
def test_the_diagram_has_nothing_but_nodes_and_links(name: str) -> None:
    """A label cannot end, click, or be code."""
    plan = PLANS[name]
    for line in render_mermaid(picture_of(plan)).splitlines():
        known = re.match(r"flowchart TB|  (subgraph|end|before ~~~ after|classDef) ?|    direction LR", line)
        assert known or re.fullmatch(_NODE, line) or re.fullmatch(_LINK, line), line


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12])
def test_hostile_text_means_nothing(text: str) -> None:
    """Neither as prose nor as code nor in a label: each character that could mean something is a number."""
    assert not set(prose(text).replace("<!-- -->", "")) & set("<>`|*[]!$\\~")
    assert not set(code(text).removeprefix("<code>").removesuffix("</code>")) & set("<>`|*[]!$\\~")
    assert not set(label(text)) & set("<>`|*[]\"'&(){}")


def test_nobody_is_mentioned_and_nothing_becomes_a_link() -> None:
    """An empty comment parts what GitHub would join."""
    assert prose("@anna #12 https://a.b www.a.b") == (
        "@<!-- -->anna &#35;<!-- -->12 https://<!-- -->a.b www.<!-- -->a.b"
    )


def test_a_fence_is_longer_than_any_in_it() -> None:
    """So that nothing in it ends it."""
    assert fenced("a\n`````\nb", "sh") == "``````sh\na\n`````\nb\n``````"


def test_it_begins_with_a_heading_and_two_lines() -> None:
    """What is planned, where, how much, and what the VM opens."""
    plan = plan_of("plain")
    lines = [line for line in render_markdown(plan).splitlines() if line]
    assert lines[0] == "### podwire plan pod1: bridge wiring"
    assert lines[1] == f"In <code>/run/netns/pod1</code>: {totals(plan)}."
    assert lines[2].startswith("The VM opens <code>tap0</code> for <code>eth0</code>, with MAC")


def test_nothing_to_do_is_one_sentence() -> None:
    """Without a table, a diagram or commands."""
    text = render_markdown(PLANS["nothing"])
    assert text.endswith("In <code>/run/netns/pod1</code>: nothing to do: the namespace is already as requested.\n")
