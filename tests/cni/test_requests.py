"""Requests to the agent that come slowly, or after others: each is bounded, and none is taken for another."""

from __future__ import annotations

import time
from contextlib import suppress

from tests.cni.helpers_cni import Attached
from tests.cni.test_agent import connected
from tests.support import eventually
from tests.support.agent import agent_running


def test_a_request_that_trickles_in_is_given_up() -> None:
    """A byte now and then does not keep a child of the agent busy: all of a request has its time, not each byte."""
    patch = "import executor.agent.request as it; it.TRANSFER_WITHIN = 0.5"
    with agent_running(patch) as agent, connected(agent) as slow:
        began = time.monotonic()
        with suppress(BrokenPipeError, ConnectionResetError):
            slow.sendall(b"0 100\n")
            while time.monotonic() - began < 10:
                slow.sendall(b"x")
                time.sleep(0.1)
        assert time.monotonic() - began < 5
        assert "left to podwire-cni: " in eventually(agent.log, "what it says of the request")


def test_what_is_no_request_is_not_called_by_the_name_of_the_one_before(pod: Attached) -> None:
    """Whoever reads the agent's log would look for what went wrong with that."""
    with agent_running() as agent:
        assert pod.trial.call("ADD", pod.conf(), env=agent.env).ok
        with connected(agent) as connection:
            connection.sendall(b"nonsense\n")
            assert connection.recv(64) == b""
        last = eventually(lambda: [line for line in agent.log().splitlines() if "left to" in line], "what it says")
        assert "ADD" not in last[-1]
