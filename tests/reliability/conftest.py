"""Fixtures for what breaks: a pod with a trial, and the proof that no process is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import evolve

from tests.reliability.helpers_faults import Faults
from tests.reliability.helpers_trial import Trial
from tests.support import MakeNamespace
from tests.support.cli import Cli
from tests.support.pods import Build, plain
from tests.support.preloaded import Preloaded
from tests.support.processes import processes, see_them_end

MakeTrial = Callable[[Build], Trial]


@pytest.fixture(autouse=True)
def no_process_is_left(preloaded: Preloaded) -> Iterator[None]:  # noqa: ARG001 -- it runs on
    """See that everything that a test started, or that podwire did, has ended."""
    before = processes()
    yield
    see_them_end(before)


@pytest.fixture
def make_trial(netns: MakeNamespace, cli: Cli) -> MakeTrial:
    """Make pods to try podwire on: `make_trial(dual_stack)`."""

    def make(build: Build) -> Trial:
        inside = netns("pod")
        return Trial.on(build(netns("host"), inside), evolve(cli, folder=cli.folder / inside.name))

    return make


@pytest.fixture
def trial(make_trial: MakeTrial) -> Trial:
    """Make a pod with one interface, 10.1.90.5/24 on eth0, to try podwire on."""
    return make_trial(plain)


@pytest.fixture
def faults(tmp_path: Path) -> Faults:
    """Put programs in front of ip, ebtables and sysctl that do as told."""
    return Faults.at(tmp_path / "faults")
