"""Fixtures for the situations: the command, and a plain pod."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import MakeNamespace
from tests.support.pods import Pod, plain

pytest.register_assert_rewrite("tests.situations.commands")

from tests.situations.commands import Commands  # noqa: E402 -- its assertions are to say what differs


@pytest.fixture
def podwire(tmp_path: Path) -> Commands:
    """Make the command ready, with nothing in its state directory."""
    return Commands(tmp_path)


@pytest.fixture
def pod(netns: MakeNamespace) -> Pod:
    """Make a pod with one interface, 10.1.90.5/24 on eth0, default route via 10.1.90.1."""
    return plain(netns("host"), netns("pod"))
