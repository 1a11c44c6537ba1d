"""The JSON that ``ip``, ``bridge`` and ``nft`` print, read as it is: hostile until a reader has taken what it knows.

They print what controls a terminal raw (in an alias), and repeat keys: the first ``dst`` of an encapsulated route is
the route's own.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator

from planner.errors import InvalidInput
from planner.text.document import Node
from planner.text.values import shown

# The beginning of a list, or all of an empty one; what is between its elements, or its end and the text's.
_BEGIN = re.compile(r"[ \t\n\r]*\[[ \t\n\r]*(\][ \t\n\r]*\Z)?")
_FURTHER = re.compile(r"[ \t\n\r]*(?:,[ \t\n\r]*|(\])[ \t\n\r]*\Z)")


def _first_of_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return dict(reversed(pairs))


_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_first_of_each)


def read_answer(text: str, what: str) -> Node:
    """Return the answer ``text`` of ``what``. Raises InvalidInput for what is no JSON."""
    try:
        return Node(_DECODER.decode(text), what)
    except (ValueError, RecursionError):
        raise _not_json(text, what) from None


def each_object(text: str, what: str) -> Iterator[Node]:
    """Yield the objects in the list that ``what`` answered, empty ones left out; no answer is an empty list.

    One after the other: there may be very many routes. Raises InvalidInput, perhaps only after the first of them.
    """
    begin = _BEGIN.match(text)
    if begin is None:
        yield from (node for node in read_answer(text or "[]", what).items() if node.value)
        return
    answer, at, is_over = Node([], what), begin.end(), begin[1]
    for index in itertools.count():
        if is_over:
            return
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            raise _not_json(text, what) from None
        if value:
            yield answer.element(index, value)
        further = _FURTHER.match(text, at)
        if further is None:
            raise _not_json(text, what)
        at, is_over = further.end(), further[1]


def _not_json(text: str, what: str) -> InvalidInput:
    return InvalidInput(f"{what} did not answer in JSON: {shown(text)}")
