"""Pods that have a virtual function; however a test ends, the functions are at the host again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.sriov.inside.functions import Function, VfPod, make_pod
from tests.support import MakeNamespace


class MakeVfPod(Protocol):
    """The `vf_pod` fixture: makes a pod with a virtual function."""

    def __call__(self, number: int = 0) -> VfPod:
        """Return a pod with that function of the card."""


@pytest.fixture
def functions() -> Iterator[tuple[Function, ...]]:
    """Have all functions of the card, at the host's driver when the test ends."""
    found = tuple(map(Function, range(3)))
    yield found
    for function in found:
        if function.driver != "igbvf" or function.override != "(null)":
            function.reset()


@pytest.fixture
def vf_pod(netns: MakeNamespace, functions: tuple[Function, ...], tmp_path: Path) -> MakeVfPod:
    """Make pods with functions."""

    def make(number: int = 0) -> VfPod:
        return make_pod(netns("pod"), functions[number], tmp_path / "state")

    return make
