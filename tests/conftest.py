"""Fixtures for all tests. What needs namespaces gets them only in the sandbox (`tests/sandbox.py`, `./dev test`)."""

from __future__ import annotations

import itertools
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests import sandbox
from tests.support import MakeNamespace, Namespace
from tests.support.running import OUTSIDE

PURE = Path(__file__).parent / "planner"

_numbers = itertools.count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse every test that could touch the machine, before it does anything: those of the pure planner can't."""
    if PURE not in item.path.parents and not sandbox.inside():
        pytest.fail(OUTSIDE, pytrace=False)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Start each worker in a sandbox of its own: none meets another's namespaces, processes or state."""
    for spec in specs:
        spec.python = shlex.join([sys.executable, sandbox.__file__, sys.executable])


@pytest.fixture
def netns() -> Iterator[MakeNamespace]:
    """Make namespaces with `netns()` or `netns("pod")`; however the test ends, they go."""
    with ExitStack() as stack:

        def make(hint: str = "ns") -> Namespace:
            namespace = Namespace.create(f"{hint}{next(_numbers)}")
            stack.callback(namespace.delete)
            return namespace

        yield make


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """Name a state directory that doesn't exist yet."""
    return tmp_path / "state"
