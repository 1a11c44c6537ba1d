"""A virtual function in the answer of ADD: it has no tap, and is named by its PCI address."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from executor.cni.call import Attachment, Call
from executor.cni.conf import parse_conf
from executor.cni.result import result_of
from planner.options import PlanOptions
from planner.text.document import Node
from tests.planner.builders import NETNS, plan_of
from tests.planner.test_functions import ADDRESS, SRIOV, pod


def call(version: str) -> Call:
    """Return a call of ADD that asks for virtual functions to be handed over."""
    previous: dict[str, Any] = {
        "cniVersion": version,
        "interfaces": [{"name": "eth0", "sandbox": str(NETNS)}],
        "ips": [{"version": "4", "address": "192.168.7.5/24", "interface": 0}],
    }
    document = {"cniVersion": version, "name": "net", "type": "podwire-cni", "sriov": True, "prevResult": previous}
    conf = parse_conf(Node(json.loads(json.dumps(document)), "configuration"), "ADD")
    return Call("ADD", Attachment("container1", "eth0"), NETNS, {}, conf)


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_it_is_named_by_its_pci_address(version: str) -> None:
    """CNI specification 1.1.0, "ADD Success": pciID."""
    asked = call(version)
    assert asked.conf.options == evolve(PlanOptions(), sriov=True)
    interfaces = result_of(asked, plan_of(pod(), options=SRIOV))["interfaces"]
    assert [one["sandbox"] for one in interfaces] == [NETNS, "container1"]
    assert interfaces[1].get("pciID") == (ADDRESS if version == "1.1.0" else None)
