"""Fixtures for the command line: the CNI result of the pod."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Cli
from tests.support.pods import Pod


@pytest.fixture
def result(cli: Cli, pod: Pod) -> Path:
    """Write down the pod's CNI result, and return the file."""
    return cli.result_of(pod)
