"""Requests to the agent that come slowly, or after others: each is bounded, and none is taken for another."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

from tests.cni.helpers_cni import PLUGIN, Attached
from tests.cni.test_agent import connected
from tests.support import eventually
from tests.support.agent import agent_running
from tests.support.running import run


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


def test_a_program_is_looked_for_where_its_caller_is(pod: Attached, tmp_path: Path) -> None:
    """What was found, and found to be safe, in the files of one caller says nothing of those of another."""
    folder = tmp_path / "programs"
    folder.mkdir()
    path = {"PATH": f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin"}
    (tmp_path / "conf").write_text(json.dumps(pod.conf()))
    script = (
        'mount -t tmpfs -o mode=0755 none "$0"; printf "#!/bin/sh\\nexit 4\\n" >"$0/ip"; chmod 755 "$0/ip";'
        f' exec nsenter --net={pod.trial.host.path} "$1" <"$2"'
    )
    elsewhere: list[str | Path] = ["unshare", "--mount", "sh", "-c", script, folder, PLUGIN, tmp_path / "conf"]
    with agent_running() as agent:
        env = {"CNI_COMMAND": "ADD", **pod.trial.identity(), **agent.env, **path}
        assert pod.trial.call("ADD", pod.conf(), env=env).ok
        assert pod.trial.delete(env=agent.env | path).ok
        assert json.loads(run(elsewhere, env=env, check=False).out)["code"] >= 100
        assert "'ADD" in agent.log().splitlines()[-1]
        assert pod.trial.call("ADD", pod.conf(), env=env).ok
