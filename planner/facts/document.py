"""Facts as the document that ``podwire facts`` prints, read again: a plan can be made from them on another machine."""

from __future__ import annotations

from planner.facts.model import FACTS_VERSION, NamespaceFacts
from planner.text.codec import from_json
from planner.text.document import load_json


def parse_facts(text: bytes | str, *, called: str = "") -> NamespaceFacts:
    """Return the facts in a document that is ``called`` so. Raises InvalidInput for one that podwire did not write."""
    node = load_json(text, "facts", called=called)
    if not (isinstance(node.value, dict) and {"version", "links"} <= node.value.keys()):
        raise node.error("this is not what podwire facts prints")
    version = node.field("version")
    if version.integer() != FACTS_VERSION:
        raise version.error(f"this podwire reads facts of version {FACTS_VERSION} only")
    return from_json(NamespaceFacts, node)
