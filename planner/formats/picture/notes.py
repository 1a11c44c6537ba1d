"""What is below the lanes of a picture: what else changes in the namespace."""

from __future__ import annotations

from collections.abc import Iterable

from planner.formats.picture.layout import LEADING, MARGIN, SIZE, Text, text_at
from planner.formats.picture.scene import Note, Picture
from planner.formats.text_width import width, wrapped


def placed_notes(picture: Picture, across: float, top: float) -> tuple[Text, ...]:
    """Return what changes in the namespace beside the lanes, from ``top`` on; nothing if that is nothing."""
    if not picture.notes:
        return ()
    y = top + LEADING
    texts = [text_at(MARGIN, y, "also in the namespace", "label")]
    columns = _note_columns(picture.notes, across)
    for note in picture.notes:
        found = _note(note, columns, y + 4)
        texts += found
        y = max(text.y for text in found)
    return tuple(texts)


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
