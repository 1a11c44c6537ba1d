"""What stands below the lanes of a picture: what else changes, and the commands, each with its inverse beside it."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from planner.formats.picture.layout import GAP, LEADING, MARGIN, SIZE, Text, text_at
from planner.formats.picture.scene import Note, Picture
from planner.formats.plan_words import input_lines, place_of, way_of
from planner.formats.text_width import width, wrapped
from planner.formats.undo import Pair, Step
from planner.plan.plan import Plan

_NUMBER = 30.0
_SPACE = 10.0


@frozen
class ListLayout:
    """Texts, the y of lines across the page, and where it ends."""

    texts: tuple[Text, ...]
    rules: tuple[float, ...]
    bottom: float


def note_list(picture: Picture, across: float, top: float) -> ListLayout:
    """Return what changes in the namespace beside the lanes."""
    if not picture.notes:
        return ListLayout((), (), top)
    y = top + LEADING
    texts = [text_at(MARGIN, y, "also in the namespace", "label")]
    columns = _note_columns(picture.notes, across)
    for note in picture.notes:
        found = _note(note, columns, y + 4)
        texts += found
        y = max(text.y for text in found)
    return ListLayout(tuple(texts), (), y + GAP / 2)


def _note_columns(notes: Iterable[Note], across: float) -> tuple[float, float, float]:
    """Return where the words of the notes begin, where their reasons do, and where these end."""
    subject = max(width(note.subject, SIZE, "mono") for note in notes)
    begin = MARGIN + 18 + subject + 18
    words = max(width(words, SIZE, "mono") for note in notes for words in note.words)
    return begin, min(begin + words, begin + (across - begin) * 0.6) + 24, across - MARGIN


def _note(note: Note, columns: tuple[float, float, float], y: float) -> list[Text]:
    begin, reasons, end = columns
    texts = [text_at(MARGIN, y + LEADING, note.sign, "mark", note.sign)]
    texts.append(text_at(MARGIN + 18, y + LEADING, note.subject, "value", note.sign))
    words = [part for words in note.words for part in wrapped(words, reasons - begin - 24, SIZE, "mono")]
    texts += _column(words, begin, y, "value", note.sign)
    texts += _column(wrapped(note.reason, end - reasons, SIZE, "sans"), reasons, y, "reason")
    return texts


def _column(lines: Iterable[str], x: float, y: float, face: str, sign: str = "") -> list[Text]:
    """Return texts below each other, the first a line below ``y``."""
    return [text_at(x, y + LEADING * number, line, face, sign) for number, line in enumerate(lines, 1) if line]


def command_list(plan: Plan, pairs: Iterable[Pair], across: float, top: float) -> ListLayout:
    """Return the commands with their reasons at the left, what takes them back at the right."""
    middle = MARGIN + (across - 2 * MARGIN) * 0.56
    y = top + GAP / 2 + LEADING
    way = f"{way_of(plan).capitalize()}, from the last"
    texts = [text_at(MARGIN, y, "Commands, in order", "head"), text_at(middle, y, way, "head")]
    y += _SPACE
    rules = []
    for pair in pairs:
        rules.append(y)
        there = _there(pair, plan, y + 4, middle - GAP / 2)
        back = _back(pair, plan, y + 4, middle, across - MARGIN)
        texts += [*there, *back]
        y = max([text.y for text in (*there, *back)], default=y) + _SPACE
    return ListLayout(tuple(texts), tuple(rules), y)


def _there(pair: Pair, plan: Plan, y: float, end: float) -> list[Text]:
    texts = _steps(pair.steps, plan, y, MARGIN, end)
    below = texts[-1].y if texts else y
    reason = wrapped(pair.reason, end - MARGIN - _NUMBER, SIZE, "sans") if pair.reason else []
    return texts + _column(reason, MARGIN + _NUMBER, below, "reason")


def _back(pair: Pair, plan: Plan, y: float, x: float, end: float) -> list[Text]:
    texts = _steps(pair.back[::-1], plan, y, x, end)
    if pair.also_back:
        numbers = ", ".join(map(str, pair.also_back))
        texts += _column([f"together, by {numbers}"], x + _NUMBER, texts[-1].y if texts else y, "reason")
    return texts


def _steps(steps: Iterable[Step], plan: Plan, y: float, x: float, end: float) -> list[Text]:
    texts: list[Text] = []
    for step in steps:
        number = str(step.number)
        texts.append(text_at(x + 20 - width(number, SIZE, "sans"), y + LEADING, number, "faint"))
        lines = [step.command.line, *input_lines(step.command), place_of(step.command, plan)]
        parts = [part for line in lines if line for part in wrapped(line, end - x - _NUMBER, SIZE, "mono")]
        texts += _column(parts, x + _NUMBER, y, "command")
        y = texts[-1].y
    return texts
