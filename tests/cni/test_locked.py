"""Code 11, "try again later": what another podwire is changing right now is left to it."""

from __future__ import annotations

import io
import json

import pytest

from executor.cni import verbs
from executor.cni.call import read_call
from executor.cni.errors import TRY_AGAIN_LATER, CniError
from executor.cni.verbs import carry_out
from executor.netns.namespace import Namespace
from planner.text.values import NetnsPath
from tests.cni.helpers_cni import Attached


def code(pod: Attached, verb: str) -> int:
    """Call the plugin as a function; return the code of what it answers, 0 for success."""
    variables = {"CNI_COMMAND": verb, **pod.trial.identity()}
    try:
        carry_out(read_call(variables, io.BytesIO(json.dumps(pod.conf()).encode())))
    except CniError as error:
        return error.code
    return 0


def test_a_namespace_that_is_being_changed_is_left_alone(pod: Attached, monkeypatch: pytest.MonkeyPatch) -> None:
    """By ADD and by DEL; they succeed once it is free."""
    monkeypatch.setattr(verbs, "LOCK_TIMEOUT", 0.0)
    with Namespace.open(NetnsPath(str(pod.trial.pod.path))) as namespace:
        with namespace.lock(0):
            assert code(pod, "ADD") == TRY_AGAIN_LATER
        assert pod.left() == ""
        assert code(pod, "ADD") == 0
        with namespace.lock(0):
            assert code(pod, "DEL") == TRY_AGAIN_LATER
        assert not pod.is_untouched()
        assert code(pod, "DEL") == 0
    assert pod.left() == ""
