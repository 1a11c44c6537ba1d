"""What is drawn at random can be had again: the seed is said, and taken."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

from tests.support import run
from tests.support.seed import HOW_MUCH, SEED, VARIABLE, generator, number

ROOT = Path(__file__).parents[1]


def test_the_same_seed_draws_the_same_and_another_does_not(rng: random.Random, request: pytest.FixtureRequest) -> None:
    """By name, so that a new test changes nothing for the others."""
    drawn = rng.random()
    assert drawn == generator(request.node.nodeid).random()
    assert drawn != generator(request.node.nodeid, seed=f"not {SEED}").random()
    assert number("a", 1) == number("a", 1) != number("a", 2)


def test_a_failure_says_how_to_have_it_again(tmp_path: Path) -> None:
    """With all that decides on it; and the header says the seed, which a process that was given one takes."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_configure, rng\n")
    (tmp_path / "test_x.py").write_text("def test_x(rng): assert 0, f'drew {rng.random()}'\n")
    options = ("-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir")
    others = {name: value for name, value in os.environ.items() if name not in HOW_MUCH}
    env = {**others, VARIABLE: "feed", "PODWIRE_EXAMPLES": "7", "PYTHONPATH": str(ROOT)}
    said = run([sys.executable, "-m", "pytest", *options, tmp_path, tmp_path], env=env, check=False).out
    assert f"seed: {VARIABLE}=feed" in said
    assert f"{VARIABLE}=feed PODWIRE_EXAMPLES=7 ./dev test 'test_x.py::test_x'" in said
    assert f"drew {generator('test_x.py::test_x', seed='feed').random()}" in said
