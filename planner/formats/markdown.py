"""A plan as a comment for a review: what changes as a table and a diagram, the commands folded away."""

from __future__ import annotations

import re
from collections.abc import Sequence

from planner.changes.change import Change
from planner.formats.commands import shell_lines
from planner.formats.guest import guest_words
from planner.formats.markup import clean
from planner.formats.mermaid import render_mermaid
from planner.formats.picture.scene import picture_of
from planner.formats.plan_words import NOTHING, title_of, way_of
from planner.formats.text import reason_of
from planner.formats.undo import totals
from planner.formats.words import subject_of, words_of
from planner.guest.model import Guest
from planner.kinds.shown import counted
from planner.network import VmInterface
from planner.plan.plan import Plan, guests
from planner.plan.render import Command

# After these GitHub would see a mention, a reference or a link. An empty comment is not seen, and parts them.
_LIVELY = re.compile(r"[@#]|://|\bwww\.", re.IGNORECASE)
_MEANS_SOMETHING = re.compile(r"[&<>\\`*_\[\]!#|~$]")


def render_markdown(plan: Plan) -> str:
    """Return ``plan`` as a comment in GitHub's markdown."""
    parts = [f"### {prose(title_of(plan))}"]
    if not plan.changes:
        return "\n\n".join([*parts, f"In {code(plan.netns)}: {NOTHING}."]) + "\n"
    parts.append(f"In {code(plan.netns)}: {prose(totals(plan))}.")
    if plan.interfaces and not plan.is_reverse:
        parts.append(f"The VM opens {'; '.join(map(_interface, plan.interfaces))}.")
        told = (_guest(one, guest) for one, guest in zip(plan.interfaces, guests(plan), strict=True))
        parts += [words for words in told if words]
        parts += [f"{prose(note)}." for note in plan.notes]
    parts.append(_table(plan))
    picture = picture_of(plan)
    if picture.lanes:
        parts.append(fenced(render_mermaid(picture), "mermaid"))
    parts.append(_folded(plan.commands, "in order"))
    parts.append(_folded(plan.reverse_commands, way_of(plan)))
    return "\n\n".join(parts) + "\n"


def prose(text: str) -> str:
    """Return text as plain text, in a sentence or a cell of a table, whatever is in it."""
    line = " ".join(clean(text).split())
    parts, last = [], 0
    for found in _LIVELY.finditer(line):
        parts.append(line[last : found.end()])
        last = found.end()
    return "<!-- -->".join(map(_numbered, [*parts, line[last:]]))


def code(text: str) -> str:
    """Return text as code, in a sentence or a cell of a table. No backticks: those end at the next ones."""
    return f"<code>{_numbered(' '.join(clean(text).split()))}</code>"


def fenced(text: str, language: str) -> str:
    """Return lines of text as a block of code, between fences that are longer than any in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{clean(text).rstrip()}\n{fence}"


def _numbered(text: str) -> str:
    """Return text with all that means something to markdown or HTML as character references."""
    return _MEANS_SOMETHING.sub(lambda found: f"&#{ord(found[0])};", text)


def _interface(interface: VmInterface) -> str:
    return f"{code(interface.name)} for {code(interface.link)}, with MAC {code(interface.mac)}, MTU {interface.mtu}"


def _guest(interface: VmInterface, guest: Guest) -> str:
    """Return the guest's configuration of an interface, as a list."""
    told = [f"- {what}: {code(', '.join(words))}" for what, words in guest_words(guest).items()]
    return "\n".join([f"The guest of {code(interface.name)} gets:", *told]) if told else ""


def _table(plan: Plan) -> str:
    rows = ["| | | what | why |", "| --- | --- | --- | --- |"]
    for change in plan.changes:
        subject, why = code(subject_of(change)), prose(reason_of(change, plan))
        what = _words(change, plan.netns)
        rows.append(f"| {code(change.sign)} | {subject} | {what} | {why} |".replace("|  |", "| |"))
    return "\n".join(rows)


def _words(change: Change, netns: str) -> str:
    return "<br/>".join(prose(line) for line in words_of(change, netns))


def _folded(commands: Sequence[Command], how: str) -> str:
    lines = shell_lines(commands)
    summary = f"<summary>{counted(len(commands), 'command')}, {how}</summary>"
    return f"<details>\n{summary}\n\n{fenced(lines, 'sh')}\n\n</details>"
