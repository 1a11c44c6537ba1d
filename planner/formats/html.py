"""A plan as a page that is one file: the picture, what changes and why, each command with its inverse beside it."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from planner.formats.guest import guest_words
from planner.formats.pages import Pages
from planner.formats.picture.palette import mark
from planner.formats.picture.scene import picture_of
from planner.formats.plan_words import NOTHING, input_lines, title_of, way_of
from planner.formats.svg import picture_element
from planner.formats.undo import pairs_of, totals
from planner.formats.words import place_of, subject_of, words_of
from planner.network import VmInterface
from planner.plan.plan import Plan, guests


def render_html(plan: Plan, pages: Pages) -> str:
    """Return ``plan`` as an HTML document."""
    return pages.render(
        "plan.html",
        plan=plan,
        title=title_of(plan),
        said=totals(plan) if plan.changes else NOTHING,
        picture=_picture(plan),
        pairs=pairs_of(plan),
        way=way_of(plan),
        opens={} if plan.is_reverse else _opens(plan),
        notes=() if plan.is_reverse else plan.notes,
        subject_of=subject_of,
        words_of=words_of,
        mark=mark,
        input_lines=input_lines,
        place_of=place_of,
    )


def _picture(plan: Plan) -> Markup | None:
    picture = picture_of(plan)
    if not picture.lanes:
        return None
    # All text in it is escaped when it is written (planner.formats.markup).
    return Markup(str(picture_element(picture, f"{title_of(plan)}: the namespace before and after")))  # noqa: S704


def _opens(plan: Plan) -> dict[str, list[str]]:
    """Return the columns of the table of the VM's interfaces, less the empty ones."""
    columns = {head: [cell(one) for one in plan.interfaces] for head, cell in _COLUMNS.items()}
    told = [guest_words(guest) for guest in guests(plan)]
    for what in ("addresses", "routes", "neighbours", "DNS"):
        columns[f"the guest's {what}"] = ["\n".join(words.get(what, ())) for words in told]
    return {head: cells for head, cells in columns.items() if any(cells)}


def _server(interface: VmInterface) -> str:
    return f"{interface.dhcp_address.ip} on {interface.bridge or interface.name}" if interface.dhcp_address else ""


_COLUMNS: dict[str, Callable[[VmInterface], str]] = {
    "device": lambda one: one.device,
    "for": lambda one: one.link,
    "MAC": lambda one: one.mac,
    "MTU": lambda one: str(one.mtu),
    "VLAN": lambda one: str(one.vlan) if one.vlan else "",
    "queues": lambda one: str(one.queues) if one.queues > 1 else "",
    "vnet header": lambda one: "yes" if one.vnet_hdr else "",
    "a DHCP server listens on": _server,
}
