"""Fixtures for what breaks: a pod with a desk, and the proof that no process is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.reliability.helpers_desk import Desk, processes, see_them_end
from tests.reliability.helpers_faults import Faults
from tests.support import MakeNamespace
from tests.support.pods import Build, plain

MakeDesk = Callable[[Build], Desk]


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """See that everything that a test started, or that podwire did, has ended."""
    before = processes()
    yield
    see_them_end(before)


@pytest.fixture
def make_desk(netns: MakeNamespace, tmp_path: Path) -> MakeDesk:
    """Make pods with podwire's desk: `make_desk(dual_stack)`."""

    def make(build: Build) -> Desk:
        inside = netns("pod")
        return Desk.on(build(netns("host"), inside), tmp_path / inside.name)

    return make


@pytest.fixture
def desk(make_desk: MakeDesk) -> Desk:
    """Make a pod with one interface, 10.1.90.5/24 on eth0, with podwire's desk."""
    return make_desk(plain)


@pytest.fixture
def faults(tmp_path: Path) -> Faults:
    """Put programs in front of ip, ebtables and sysctl that do as told."""
    return Faults.at(tmp_path / "faults")
