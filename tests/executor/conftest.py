"""Fixtures for the executor's lowest parts: a scratch namespace, as a path and opened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from executor.netns.namespace import Namespace
from planner.text.values import NetnsPath
from tests.executor.helpers_netns import scratch_namespace


@pytest.fixture
def scratch_ns() -> Iterator[NetnsPath]:
    """Return the path of a fresh namespace, which is deleted in the end."""
    with scratch_namespace() as path:
        yield path


@pytest.fixture
def namespace(scratch_ns: NetnsPath) -> Iterator[Namespace]:
    """Return a fresh namespace, opened."""
    with Namespace.open(scratch_ns) as opened:
        yield opened


@pytest.fixture
def busy_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let podwire wait longer than usual for what the kernel does from a work queue, which all workers share."""
    monkeypatch.setattr("executor.observe.late._LONGEST", 20.0)
