"""Attrs classes to JSON and back, led by their annotations."""

from __future__ import annotations

import json
from ipaddress import ip_interface, ip_network
from typing import Any

import pytest

from planner.errors import InvalidInput
from planner.kinds.address import Address
from planner.kinds.kind import resource_from_json
from planner.kinds.link import BridgeDevice, LinkState, TapDevice, VethDevice
from planner.kinds.link_attributes import Mac
from planner.kinds.route import NextHop, Route, RouteMetric, RouteState
from planner.options import PlanOptions
from planner.text.codec import from_json, to_json
from planner.text.document import Node
from planner.text.values import InterfaceName, Keyword, MacAddress, NetnsPath
from planner.wiring.allocate import Allocation

ETH0 = InterfaceName("eth0")
MAC = MacAddress("02:00:00:00:00:01")
TAP = TapDevice(owner=None, owner_group=0, multi_queue=False, vnet_hdr=True)
SAMPLES: list[Any] = [
    Mac(ETH0),
    Address(ETH0, ip_interface("fd00::5/64")),
    Route(ip_network("10.0.0.0/8"), (NextHop(ETH0, weight=3), NextHop(onlink=True)), metric=0, tos=Keyword("0x10")),
    RouteState(metrics=(RouteMetric(Keyword("mtu"), Keyword("1280"), locked=True),)),
    LinkState(device=BridgeDevice(ageing_time=0, mcast_snooping=False), mac=MAC, mtu=1500, up=True),
    LinkState(device=TAP, mac=MAC, mtu=1500, up=False, addresses=(ip_interface("10.0.0.1/8"),)),
    LinkState(device=VethDevice(ETH0, MAC, NetnsPath("/run/netns/a")), mac=MAC, mtu=1, up=True),
    PlanOptions(),
    PlanOptions(tap_owner=0, tap_queues=4),
    Allocation(macs=(MAC,), group=7),
]


def refusal(kind: Any, value: object) -> str:
    """Return the message with which ``value`` is refused as a ``kind``: a class, or the function that reads it."""
    with pytest.raises(InvalidInput) as refused:
        from_json(kind, Node(value, "it")) if isinstance(kind, type) else kind(Node(value, "it"))
    return str(refused.value)


class TestThereAndBack:
    """A value is written and read back the same."""

    @pytest.mark.parametrize("value", SAMPLES, ids=lambda value: type(value).__name__)
    def test_reads_back_as_it_was_written(self, value: Any) -> None:
        """JSON on the way changes nothing, types included."""
        read: Any = from_json(type(value), Node(json.loads(json.dumps(to_json(value))), "it"))
        assert read == value
        assert repr(read) == repr(value)

    def test_what_equals_its_default_is_left_out(self) -> None:
        """A document says what is said, not what goes without saying."""
        assert to_json(PlanOptions()) == {}
        assert to_json(Route(ip_network("10.0.0.0/8"))) == {"kind": "route", "dst": "10.0.0.0/8"}
        assert to_json(PlanOptions(tap_owner=0)) == {"tap_owner": 0}

    def test_a_union_is_told_apart_by_its_tag(self) -> None:
        """A resource is read as what its kind says."""
        read: Any = resource_from_json(Node({"kind": "mac", "link": "eth0"}, "it"))
        assert read == Mac(ETH0)

    def test_null_and_missing_are_none_where_none_is_allowed(self) -> None:
        """A required value that may be None may be left out as well."""
        shape = {"type": "tap", "multi_queue": False, "vnet_hdr": False}
        none = TapDevice(owner=None, owner_group=None, multi_queue=False, vnet_hdr=False)
        assert from_json(TapDevice, Node(shape, "it")) == none
        assert from_json(TapDevice, Node(shape | {"owner": None}, "it")) == none


class TestRefusal:
    """What does not fit the annotations is refused with its path."""

    @pytest.mark.parametrize(
        ("kind", "value", "message"),
        [
            (Mac, {"kind": "mac"}, "it: 'link' is missing"),
            (Mac, {"kind": "mac", "link": None}, "it: 'link' is missing"),
            (Mac, {"kind": "mac", "link": "eth0", "x": 1}, "it: the key 'x' is unknown"),
            (Mac, {"kind": "mac", "link": 7}, "it.link: expected a string, not 7"),
            (Mac, [], "it: expected an object, not a list"),
            (PlanOptions, {"tap_queues": "4"}, "it.tap_queues: expected a whole number, not '4'"),
            (PlanOptions, {"tap_vnet_hdr": 1}, "it.tap_vnet_hdr: expected true or false, not 1"),
            (PlanOptions, {"dhcp_addresses": "10.0.0.1/8"}, "it.dhcp_addresses: expected a list, not '10.0.0.1/8'"),
            (Allocation, {"macs": ["x"], "group": 1}, "it.macs[0]: 'x' is not a MAC address"),
            (Allocation, {"macs": [], "group": 2**32}, "it.group: 4294967296 is not between 0 and 4294967295"),
            (resource_from_json, {"link": "eth0"}, "it: 'kind' is missing"),
        ],
    )
    def test_says_where_and_what(self, kind: Any, value: object, message: str) -> None:
        """Missing, unknown and ill-typed values each have their sentence."""
        assert refusal(kind, value) == message

    def test_an_unknown_tag_lists_those_that_there_are(self) -> None:
        """Of a kind that nobody knows it is said which ones somebody does."""
        said = refusal(resource_from_json, {"kind": "policer"})
        assert said.startswith(
            "it.kind: expected one of address, addrgenmode, admin, driver, ebtables, filter, link, mac, "
        )
        assert said.endswith(", not 'policer'")
