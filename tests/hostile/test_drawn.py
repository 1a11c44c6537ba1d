"""Documents that are spoilt at random, each run others, are refused as those in the tables are, or read."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve

from tests.hostile.test_hostile import Target, glance, place, see_that_it_is_refused, target
from tests.property.mutations import as_text, noise, spoil, spoil_bytes

__all__ = ["place", "target"]  # fixtures

TIMES = 24
# What is spoilt, and the commands that read it: none of them changes anything.
DOCUMENTS: dict[str, tuple[Callable[[Target], Any], tuple[str, ...]]] = {
    "result": (
        lambda target: json.loads((target.folder / "result").read_text()),
        ("plan", "--netns", "pod", "--result"),
    ),
    "facts": (lambda target: target.facts, ("plan", "--netns", "pod", "--result", "{result}", "--facts")),
    "plan": (lambda target: target.plan, ("show",)),
    "entry": (lambda target: target.entry, ("check", "pod")),
}


def drawn(rng: random.Random, document: Any) -> bytes:
    """Spoil a document as a tree, or as bytes."""
    how = rng.random()
    if how < 0.1:
        return noise(rng)
    if how < 0.3:
        return spoil_bytes(rng, json.dumps(document).encode())
    return as_text(rng, spoil(rng, document)[0])


def test_documents_that_are_spoilt_at_random(target: Target, place: Path, rng: random.Random) -> None:
    """Each is read, or refused in one sentence; nothing is changed by it."""
    for number in range(TIMES):
        what = rng.choice(sorted(DOCUMENTS))
        load, words = DOCUMENTS[what]
        folder = place / str(number)
        wirings = folder / "state" / "wirings"
        wirings.mkdir(parents=True, mode=0o700)
        wirings.parent.chmod(0o700)
        file = wirings / "pod.json" if what == "entry" else folder / "f"
        file.write_bytes(drawn(rng, load(target)))
        argv = [word.replace("{result}", str(target.folder / "result")) for word in words]
        outcome = evolve(target.cli, folder=folder).run(*argv, *(() if what == "entry" else (str(file),)))
        if outcome.rc not in (0, 2):
            see_that_it_is_refused(outcome)
        assert glance(target.inside) == target.glance, (what, outcome)
