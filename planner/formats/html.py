"""A plan as a page that is one file: the picture, what changes and why, each command with its inverse beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from planner.changes.change import Change
from planner.formats.markup import Element, Node, element
from planner.formats.page import code, page, signed
from planner.formats.picture.scene import picture_of
from planner.formats.plan_words import NOTHING, input_lines, place_of, title_of, way_of
from planner.formats.svg import picture_element
from planner.formats.undo import Pair, Step, pairs_of, totals
from planner.formats.words import subject_of, words_of
from planner.network import VmInterface
from planner.plan.plan import Plan

_STYLE = (
    ".plan td{width:37%}.plan td:first-child{width:26%}.plan th,.plan td:last-child{padding-right:0}"
    ".more{padding-left:20px}.narrow{display:none}.scroll{overflow-x:auto}.scroll th,.scroll code{white-space:pre}"
    "@media(max-width:800px){.plan thead{display:none}.plan tr,.plan td,.plan td:first-child{display:block;width:auto}"
    ".plan td{border:0;padding:4px 0}.plan tr{border-top:1px solid var(--rule);padding:8px 0}"
    ".narrow{display:block}}"
)


def render_html(plan: Plan) -> str:
    """Return ``plan`` as an HTML document."""
    title = title_of(plan)
    content: list[Node] = [
        element("h1", title),
        element("p", "in ", code(plan.netns), class_="quiet"),
        element("p", totals(plan) if plan.changes else NOTHING),
    ]
    if plan.changes:
        picture = picture_of(plan)
        if picture.lanes:
            label = f"{title}: the namespace before and after"
            content.append(element("figure", picture_element(picture, label)))
        content += [element("h2", "Changes and commands"), _commands(plan)]
    if plan.interfaces and not plan.is_reverse:
        content += [element("h2", "What the VM opens"), _interfaces(plan.interfaces)]
    content.append(element("p", f"made from the facts {plan.facts_digest}", class_="quiet footer"))
    return page(title, _STYLE + ".footer{margin-top:48px;font-size:12px}", *content)


def _commands(plan: Plan) -> Element:
    way = way_of(plan)
    heads = ("what and why", "commands, in order", f"{way}, from the last")
    rows = [_row(pair, plan, way) for pair in pairs_of(plan)]
    return _table("plan", heads, rows)


def _table(kind: str, heads: Iterable[str], rows: Iterable[Element]) -> Element:
    head = element("tr", *(element("th", text, scope="col") for text in heads))
    return element("table", element("thead", head), element("tbody", *rows), class_=kind)


def _row(pair: Pair, plan: Plan, way: str) -> Element:
    what: list[Node] = [line for change in pair.changes for line in _change(change)]
    if pair.reason:
        what.append(element("div", pair.reason, class_="quiet more"))
    back: list[Node] = [element("div", way, class_="narrow quiet")] if pair.back or pair.also_back else []
    if pair.back:
        back.append(_steps(pair.back[::-1], plan))
    if pair.also_back:
        back.append(element("div", f"together, by {', '.join(map(str, pair.also_back))}", class_="quiet"))
    there = _steps(pair.steps, plan) if pair.steps else element("div", "nothing is run", class_="quiet")
    return element("tr", element("td", *what), element("td", there), element("td", *back))


def _change(change: Change) -> list[Element]:
    first, *more = words_of(change)
    lines = [element("div", line, class_="more") for line in more]
    return [signed(change.sign, f"{subject_of(change)}: {first}"), *lines]


def _steps(steps: Iterable[Step], plan: Plan) -> Element:
    items = []
    for step in steps:
        lines = [step.command.line, *input_lines(step.command)]
        place = place_of(step.command, plan)
        where = element("div", place, class_="quiet") if place else None
        items.append(element("li", code("\n".join(lines)), where, value=step.number))
    return element("ol", *items)


def _interfaces(interfaces: Iterable[VmInterface]) -> Element:
    """Return the table of the VM's interfaces, less the columns that nothing stands in."""
    columns = [(head, [cell(one) for one in interfaces]) for head, cell in _COLUMNS.items()]
    columns = [(head, cells) for head, cells in columns if any(cells)]
    rows = zip(*(cells for _, cells in columns), strict=True)
    table = _table("interfaces", [head for head, _ in columns], [_cells(row) for row in rows])
    return element("div", table, class_="scroll")


def _cells(texts: Iterable[str]) -> Element:
    return element("tr", *(element("td", code(text) if text else None) for text in texts))


def _server(interface: VmInterface) -> str:
    return f"{interface.dhcp_address.ip} on {interface.bridge}" if interface.dhcp_address else ""


_COLUMNS: dict[str, Callable[[VmInterface], str]] = {
    "device": lambda one: one.name,
    "for": lambda one: one.link,
    "MAC": lambda one: one.mac,
    "MTU": lambda one: str(one.mtu),
    "queues": lambda one: str(one.queues) if one.queues > 1 else "",
    "vnet header": lambda one: "yes" if one.vnet_hdr else "",
    "a DHCP server listens on": _server,
    "the guest needs the neighbours": lambda one: "\n".join(f"{n.address} is {n.lladdr}" for n in one.neighbours),
}
