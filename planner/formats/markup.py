"""Elements of SVG. Here, and in the templates of pages, text becomes markup.

What a result, a namespace or a log holds is only ever a child or an attribute of an ``element``: it is escaped when the
document is written, so it cannot become one. The text is well-formed XML, and can be part of a page of HTML.
"""

from __future__ import annotations

import re

from planner.text.frozen import frozen

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9:-]*")
# What html.escape writes; loading that takes a millisecond, and most runs write no markup.
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


@frozen
class Element:
    """An element with its attributes and its content."""

    name: str
    attributes: tuple[tuple[str, str], ...]
    children: tuple[Node, ...]

    def __str__(self) -> str:
        return _written(self)


Node = Element | str


def element(_name: str, /, *children: Node | None, **attributes: object) -> Element:
    """Return an element; children and attributes that are None are left out.

    ``class_`` is the attribute ``class``, ``stroke_width`` is ``stroke-width``.
    """
    given = tuple((_attribute(key), _number(value)) for key, value in attributes.items() if value is not None)
    for name in (_name, *(key for key, _ in given)):
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of an element or attribute")
    return Element(_name, given, tuple(child for child in children if child is not None))


def clean(text: str) -> str:
    """Return ``text`` with what is not printable made visible; newlines and tabs stay.

    XML knows no control characters, and a character that turns the direction of writing would make a command read as
    another one.
    """
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def escaped(text: str) -> str:
    """Return ``text`` as it is written in a document."""
    return clean(text).translate(_ESCAPES)


def _attribute(key: str) -> str:
    return key.removesuffix("_").replace("_", "-")


def _number(value: object) -> str:
    """Return an attribute's value; a coordinate with one digit after the point at most."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def _written(node: Node) -> str:
    if isinstance(node, str):
        return escaped(node)
    if node.name == "style":
        return _style(node)
    attributes = "".join(f' {key}="{_in_attribute(value)}"' for key, value in node.attributes)
    space = "" if any(isinstance(child, str) for child in node.children) else "\n"
    inside = "".join(f"{space}{_written(child)}" for child in node.children)
    return f"<{node.name}{attributes}>{inside}{space if inside else ''}</{node.name}>"


def _in_attribute(value: str) -> str:
    return escaped(value).replace("\n", "&#10;").replace("\t", "&#9;")


def _style(node: Element) -> str:
    """Return a style sheet. HTML does not decode what is escaped in one, so nothing in it may need that."""
    text = "".join(map(str, node.children))
    if escaped(text) != text:
        raise ValueError("a style sheet may hold no quotes, angle brackets or ampersands")
    return f"<style>{text}</style>"
