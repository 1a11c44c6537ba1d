"""What podwire-cni refuses, with the codes of the specification, and changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.cni.helpers_cni import PLUGIN, Attached
from tests.support.agent import Agent
from tests.support.running import run


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        pytest.param({"tapnmae": "x"}, 2, ["tapnmae", '"x"'], id="unknown key, with its value"),
        pytest.param({"queues": 0}, 7, ["configuration.queues"], id="no queues"),
        pytest.param({"queues": "2"}, 7, ["configuration.queues"], id="queues as text"),
        pytest.param({"tapOwner": -1}, 7, ["configuration.tapOwner"], id="negative owner"),
        pytest.param({"wiring": "magic"}, 7, ["configuration.wiring", "bridge"], id="unknown wiring"),
        pytest.param({"vnetHdr": 1}, 7, ["configuration.vnetHdr"], id="number for a boolean"),
        pytest.param({"stateDir": "relative"}, 7, ["configuration.stateDir"], id="relative directory"),
        pytest.param({"logLevel": "loud"}, 7, ["configuration.logLevel", "debug"], id="unknown level"),
        pytest.param({"name": "../x"}, 7, ["configuration.name"], id="bad network"),
        pytest.param({"cniVersion": "2.0.0"}, 1, ["2.0.0"], id="later version"),
        pytest.param({"cniVersion": "0.2.0"}, 1, ["0.2.0"], id="earlier version"),
        pytest.param({"prevResult": None}, 7, ["prevResult"], id="not chained"),
        pytest.param({"prevResult": {"ips": 3}}, 7, ["ips"], id="no result"),
        pytest.param(
            {"prevResult": {"cniVersion": "1.0.0", "interfaces": [{"name": "a b"}]}}, 7, ["name"], id="bad name"
        ),
    ],
)
def test_a_bad_configuration_is_refused(
    pod: Attached, agent: Agent, changed: dict[str, Any], code: int, words: list[str]
) -> None:
    """With the path of what is wrong; by the agent in the same words."""
    answer = pod.trial.call("ADD", pod.conf() | changed)
    assert pod.trial.call("ADD", pod.conf() | changed, env=agent.env).outcome == answer.outcome
    error = answer.document()
    assert (answer.ok, error["code"]) == (False, code), error
    for word in words:
        assert word in error["msg"], error
    assert pod.left() == ""


@pytest.mark.parametrize(
    ("env", "code", "word"),
    [
        ({"CNI_NETNS": "/proc/self/ns/net"}, 8, "runs in"),
        ({"CNI_NETNS": "/run/netns/none"}, 4, "CNI_NETNS"),
        ({"CNI_NETNS": "relative"}, 4, "CNI_NETNS"),
        ({"CNI_NETNS": "/etc/passwd"}, 101, "not a network namespace"),
        ({"CNI_ARGS": "no-pair"}, 4, "CNI_ARGS"),
        ({"CNI_ARGS": "TC_REDIRECT_TAP_UID=root"}, 4, "TC_REDIRECT_TAP_UID"),
        ({"CNI_ARGS": "TC_REDIRECT_TAP_NAME=a/b"}, 4, "TC_REDIRECT_TAP_NAME"),
        ({"CNI_IFNAME": "a/b"}, 4, "CNI_IFNAME"),
        ({"CNI_CONTAINERID": "../x"}, 4, "CNI_CONTAINERID"),
        ({"CNI_COMMAND": "add"}, 4, "CNI_COMMAND"),
    ],
)
def test_a_bad_variable_is_refused(pod: Attached, agent: Agent, env: dict[str, str], code: int, word: str) -> None:
    """By its name; by the agent in the same words."""
    answer = pod.trial.call("ADD", pod.conf(), env=env)
    assert pod.trial.call("ADD", pod.conf(), env=env | agent.env).outcome == answer.outcome
    error = answer.document()
    assert (error["code"], answer.outcome.rc) == (code, 1), error
    assert word in error["msg"]
    assert pod.left() == ""


@pytest.mark.parametrize(("verb", "version"), [("CHECK", "0.3.1"), ("GC", "1.0.0"), ("STATUS", "1.0.0")])
def test_a_verb_that_the_version_does_not_know_is_incompatible(verb: str, version: str) -> None:
    """As CNI's own skeleton has it."""
    conf = {"cniVersion": version, "name": "pods", "type": "podwire-cni"}
    env = {"CNI_COMMAND": verb, "CNI_CONTAINERID": "a", "CNI_IFNAME": "eth0", "CNI_NETNS": "/run/netns/a"}
    error = json.loads(run([PLUGIN], stdin=json.dumps(conf), env=env, check=False).out)
    assert (error["code"], error["cniVersion"]) == (1, version)


def test_what_is_not_wired_says_why(pod: Attached) -> None:
    """A refusal of podwire's own has a code of its own."""
    error = pod.trial.call("ADD", pod.conf(tapName="eth0")).document()
    assert error["code"] == 100
    assert "eth0" in error["msg"]
    assert pod.left() == ""


@pytest.mark.parametrize(
    ("stdin", "code"), [("", 6), ("{", 6), ("[]", 7), ("{}", 1), ('{"cniVersion": "1.0.0", "name": "pods"}', 7)]
)
def test_what_is_no_configuration_is_said(pod: Attached, stdin: str, code: int) -> None:
    """Undecodable (6), invalid (7), or of 0.1.0 (1), which is meant if nothing is said."""
    error = pod.trial.call("ADD", stdin).document()
    assert error["code"] == code, error
    assert pod.left() == ""


def test_a_configuration_that_cannot_be_read_is_a_failure_of_io() -> None:
    """Code 5. Standard input can only be written to."""
    unreadable = os.open(os.devnull, os.O_WRONLY)
    env = {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "a", "CNI_IFNAME": "eth0"}
    try:
        said = subprocess.run([PLUGIN], stdin=unreadable, env=env, capture_output=True, text=True, check=False)
    finally:
        os.close(unreadable)
    assert (said.returncode, json.loads(said.stdout)["code"]) == (1, 5)


@pytest.mark.parametrize(("verb", "code"), [("ADD", 101), ("DEL", 101), ("CHECK", 101), ("GC", 101), ("STATUS", 50)])
def test_without_root_it_says_so(pod: Attached, verb: str, code: int) -> None:
    """And not what of root's it met first."""
    conf = pod.conf(cniVersion="1.1.0") | {"cni.dev/valid-attachments": []}
    env = {"CNI_COMMAND": verb, **pod.trial.identity(), "PATH": os.environ["PATH"]}
    words = ["setpriv", "--reuid=65534", "--clear-groups", str(PLUGIN)]
    said = run(words, stdin=json.dumps(conf), env=env, check=False)
    error = json.loads(said.out)
    assert (said.rc, error["code"]) == (1, code)
    assert error["msg"].startswith("this needs root: ")
    assert pod.left() == ""
