"""Fixtures for the command line: the command itself, and a pod that it can wire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.helpers_cli import Cli
from tests.cli.preloaded import Preloaded
from tests.support import MakeNamespace
from tests.support.pods import Pod, plain


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Name a folder for compiled modules, so that the checkout stays clean."""
    return tmp_path_factory.mktemp("bytecode")


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preloaded]:
    """Have podwire loaded, ready to be forked."""
    with Preloaded.start(tmp_path_factory.mktemp("preloaded")) as process:
        yield process


@pytest.fixture
def cli(tmp_path: Path, bytecode: Path, preloaded: Preloaded) -> Cli:
    """Make the command ready, with a folder of its own and nothing in its state directory."""
    return Cli(tmp_path, bytecode, preloaded)


@pytest.fixture
def pod(netns: MakeNamespace) -> Pod:
    """Make a pod with one interface, 10.1.90.5/24 on eth0."""
    return plain(netns("host"), netns("pod"))


@pytest.fixture
def result(cli: Cli, pod: Pod) -> Path:
    """Write down the pod's CNI result, and return the file."""
    return cli.result_of(pod)
