"""What all pages have in common: one file, no script, nothing fetched; type, colours, light and dark."""

from __future__ import annotations

from planner.formats.markup import Element, Node, element
from planner.formats.picture.palette import DARK, LIGHT, MONO, SANS, SIGN_NAMES, mark

_STYLE = (
    f"body{{margin:0;font:14px/1.5 {SANS};background:var(--page);color:var(--text);overflow-wrap:anywhere}}"
    "main{max-width:1440px;margin:0 auto;padding:32px 24px 64px}"
    "h1{font-size:20px;line-height:1.3;margin:0 0 4px}h2{font-size:16px;margin:48px 0 8px}"
    "p{margin:0 0 4px}.quiet{color:var(--faint)}"
    f"code,pre{{font:13px/1.55 {MONO};margin:0;white-space:pre-wrap}}"
    "figure{margin:24px 0 0;overflow-x:auto}figure svg{display:block;min-width:1000px;max-width:100%;height:auto}"
    "table{border-collapse:collapse;width:100%}"
    "th{text-align:left;font-weight:600;color:var(--faint);padding:8px 24px 8px 0}"
    "td{vertical-align:top;padding:10px 24px 10px 0;border-top:1px solid var(--rule)}"
    "ol{margin:0;padding:0 0 0 30px}li::marker{color:var(--faint);font-size:12px}"
    ".signed{padding-left:20px}.signed b{display:inline-block;width:20px;margin-left:-20px}"
    "details{border-top:1px solid var(--rule)}summary{padding:8px 0;cursor:pointer}"
    + "".join(f".sign-{name}{{color:var(--{name})}}" for name in SIGN_NAMES.values())
)


def page(title: str, style: str, *content: Node) -> str:
    """Return a page of HTML with ``content`` in it; ``style`` is what it needs beside the common style."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", _variables() + _STYLE + style),
    )
    body = element("body", element("main", *content))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def signed(sign: str, text: str) -> Element:
    """Return text with the mark of its sign before it."""
    shown = element("b", mark(sign), class_=f"sign-{SIGN_NAMES[sign]}")
    return element("div", shown, text, class_="signed")


def code(text: str) -> Element:
    """Return a command or a value as such."""
    return element("code", text)


def _variables() -> str:
    light, dark = ("".join(f"--{name}:{value};" for name, value in palette.items()) for palette in (LIGHT, DARK))
    return f":root{{color-scheme:light dark;{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
