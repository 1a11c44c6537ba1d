"""Several results for one namespace say together what each says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from planner.cni.merge import merge_results
from planner.cni.result import CniResult, parse_result
from planner.errors import InvalidInput

BRIDGE = {
    "cniVersion": "0.4.0",
    "interfaces": [{"name": "cni0"}, {"name": "eth0", "sandbox": "/run/netns/pod1"}],
    "ips": [{"version": "4", "interface": 1, "address": "10.1.90.5/24", "gateway": "10.1.90.1"}],
    "routes": [{"dst": "0.0.0.0/0"}],
    "dns": {"nameservers": ["10.1.90.9"], "search": ["one.example"]},
}
SECOND = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "cni1"}, {"name": "net1", "sandbox": "/run/netns/pod1"}],
    "ips": [{"interface": 1, "address": "10.2.0.5/24", "gateway": "10.2.0.1"}],
    "routes": [{"dst": "10.3.0.0/16"}, {"dst": "10.4.0.0/16", "gw": "10.2.0.7"}],
    "dns": {"nameservers": ["10.1.90.9", "10.2.0.9"], "domain": "two.example"},
}
WEAVE = {"cniVersion": "0.2.0", "ip4": {"ip": "10.5.0.5/24"}}


def merged(*documents: dict[str, Any]) -> CniResult:
    """Return what these documents say together."""
    return merge_results([parse_result(json.dumps(document)) for document in documents])


def test_each_address_stays_on_its_own_link() -> None:
    """Whose number is another one now."""
    found = merged(BRIDGE, SECOND)
    assert found.version == "1.0.0"
    carried = [(str(ip.address), found.interfaces[ip.interface or 0].name) for ip in found.ips]
    assert carried == [("10.1.90.5/24", "eth0"), ("10.2.0.5/24", "net1")]


def test_a_route_goes_by_the_gateway_of_its_own_network() -> None:
    """A result leaves it out where its address has one."""
    found = {str(route.dst): str(route.gateway) for route in merged(BRIDGE, SECOND).routes}
    assert found == {"0.0.0.0/0": "10.1.90.1", "10.3.0.0/16": "10.2.0.1", "10.4.0.0/16": "10.2.0.7"}


def test_names_are_looked_up_by_all_servers() -> None:
    """Each once, in their order."""
    dns = merged(BRIDGE, SECOND).dns
    assert [str(server) for server in dns.nameservers] == ["10.1.90.9", "10.2.0.9"]
    assert (dns.domain, dns.search) == ("two.example", ("one.example",))


def test_one_result_is_itself() -> None:
    """Nothing is filled in."""
    assert merged(BRIDGE) == parse_result(json.dumps(BRIDGE))


def test_a_result_that_names_no_link_may_be_among_them() -> None:
    """Its link is found by the address, as alone."""
    found = merged(BRIDGE, WEAVE)
    assert [(str(ip.address), ip.interface) for ip in found.ips] == [("10.1.90.5/24", 1), ("10.5.0.5/24", None)]


def test_one_link_in_two_results_is_refused() -> None:
    """They are not of one pod, or one was given twice."""
    with pytest.raises(InvalidInput, match="result: eth0 appears in several results"):
        merged(BRIDGE, BRIDGE)


def test_a_cached_result_is_one() -> None:
    """What libcni keeps in /var/lib/cni/results."""
    cached = {"kind": "cniCacheV1", "containerId": "x", "ifName": "eth0", "result": BRIDGE}
    assert merged(cached) == merged(BRIDGE)
