"""A pod that Debian's bridge plugin has made, ready for podwire-cni; and an agent for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cni.helpers_cni import Attached, attached
from tests.support.agent import Agent, agent_running
from tests.support.processes import running_on


@pytest.fixture(scope="session")
def agent() -> Iterator[Agent]:
    """Return an agent that no test may harm."""
    with agent_running() as found, running_on(found.process.pid):
        yield found


@pytest.fixture(params=["by itself", "by the agent"])
def way(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the variables of calls: podwire-cni does the work itself, or the agent does."""
    if request.param == "by itself":
        return {}
    agent: Agent = request.getfixturevalue("agent")
    return agent.env


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Attached]:
    """Return a pod behind the bridge plugin."""
    with attached(tmp_path / "state") as found:
        yield found
