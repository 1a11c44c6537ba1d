"""Virtual functions: what is planned for them, and what is refused, from facts alone."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve

from planner.changes.change import inverse, lost_devices, without_lost_links
from planner.errors import Refused
from planner.facts.functions import read_functions
from planner.facts.model import FACTS_VERSION, Elsewhere, FunctionFact, NamespaceFacts
from planner.formats import render_text
from planner.formats.picture.scene import picture_of
from planner.guest.formats import guest_nics, guest_text
from planner.kinds.kind import kind_of
from planner.kinds.vf_setting import VfSettingState
from planner.options import PlanOptions
from planner.plan.plan import Plan, parse_plan, plan_to_json
from planner.text.document import Node
from planner.text.values import InterfaceName, Keyword, MacAddress, PciAddress
from planner.wiring.vf import reconstruct_vfs
from tests.planner.builders import (
    NETNS,
    POD_MAC,
    address,
    namespace,
    neighbour,
    of_type,
    plan_of,
    route,
    templates,
    veth,
)

SRIOV = PlanOptions(sriov=True)
ADDRESS, OTHER = PciAddress("0000:3b:02.1"), PciAddress("0000:3b:02.2")
FUNCTION = FunctionFact(
    address=ADDRESS,
    physfn=PciAddress("0000:3b:00.0"),
    number=9,
    pf=InterfaceName("ens1f0"),
    pf_carrier=True,
    setting=VfSettingState(MacAddress("00:00:00:00:00:00"), vlan=42, spoof_check=True, trust=False),
    driver=Keyword("iavf"),
    group=77,
    vfio=True,
)


def with_function(facts: NamespaceFacts, name: str, function: FunctionFact) -> NamespaceFacts:
    """Return the facts when a link is that of a function, as the host knows it."""
    links = tuple(
        evolve(link, parent_bus=Keyword("pci"), parent_device=Keyword(str(function.address)), queue_length=1000)
        if link.name == name
        else link
        for link in facts.links
    )
    host = NamespaceFacts(FACTS_VERSION, functions=(function,))
    return evolve(facts, links=links, elsewhere=(Elsewhere(None, 1, host),))


def pod(function: FunctionFact = FUNCTION) -> NamespaceFacts:
    """Return a pod whose only link is a function."""
    parts = (
        of_type("ether"),
        address("192.168.7.5/24"),
        address("fd00:7::5/64"),
        route("default via 192.168.7.1 dev eth0"),
    )
    return with_function(namespace(*parts), "eth0", function)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Return the plan that hands the function over."""
    return plan_of(pod(), options=SRIOV)


def lines(plan: Plan) -> list[str]:
    """Return the commands of the host's part, with their input behind them."""
    return [
        f"{command.line} < {command.stdin.strip()}" if command.stdin else command.line
        for command in plan.commands
        if command.netns is None
    ]


def test_its_mac_is_pinned_and_its_device_is_bound_to_vfio(plan: Plan) -> None:
    """The VLAN is not touched: the physical function has it already."""
    device = f"/sys/bus/pci/devices/{ADDRESS}"
    assert lines(plan) == [
        f"ip link set dev ens1f0 vf 9 mac {POD_MAC}",
        f"tee {device}/driver_override < vfio-pci",
        f"tee {device}/driver/unbind < {ADDRESS}",
        f"tee /sys/bus/pci/drivers_probe < {ADDRESS}",
    ]


def test_it_never_gets_another_mac_and_is_no_port_of_a_bridge(plan: Plan) -> None:
    """What goes is removed, and nothing is made in the pod."""
    assert {kind_of(change.resource).name for change in plan.changes} == {
        "route", "addrgenmode", "address", "vf_setting", "vf_link", "driver",
    }  # fmt: skip
    assert all(change.after is None for change in plan.changes if change.netns == NETNS)


def test_the_way_back_clears_the_override_and_unpins_the_mac_when_it_has_come(plan: Plan) -> None:
    """An empty line clears it; the pin goes after the probe, which needs it."""
    device = f"/sys/bus/pci/devices/{ADDRESS}"
    back = plan.reverse()
    assert lines(back) == [
        f"tee {device}/driver_override < ",
        f"tee {device}/driver/unbind < {ADDRESS}",
        f"tee /sys/bus/pci/drivers_probe < {ADDRESS}",
        "ip link set dev ens1f0 vf 9 mac 00:00:00:00:00:00",
    ]
    said = [command.line for command in back.commands if command.netns == NETNS]
    assert said[0].startswith("sh -c ")
    assert said[0].endswith(f"sh {device}/net pw00003b021")
    assert said[1:4] == [
        "ip link set dev pw00003b021 name eth0",
        "ip link set dev eth0 mtu 1500 txqueuelen 1000 addrgenmode none",
        "ip link set dev eth0 up",
    ]


def test_alias_and_switches_come_back_with_the_link() -> None:
    """Those that are not as usual; an alias may be any line of text, and is one word of a command."""
    facts = pod()
    flags = tuple(map(Keyword, ("BROADCAST", "NOARP", "PROMISC", "ALLMULTI", "UP")))
    links = tuple(evolve(link, alias='it\'s "mine" # $(reboot)', flags=flags) for link in facts.links)
    back = plan_of(evolve(facts, links=links), options=SRIOV).reverse()
    said = [command for command in back.commands if command.netns == NETNS]
    switches = "promisc on allmulticast on arp off multicast off"
    assert said[2].line == f"ip link set dev eth0 mtu 1500 txqueuelen 1000 {switches} addrgenmode none"
    assert said[3].argv[-2:] == ("eth0", 'it\'s "mine" # $(reboot)')


@pytest.mark.parametrize("alias", ["two\nlines", "a bell\a"])
def test_an_alias_that_is_no_line_of_text_is_refused(alias: str) -> None:
    """It could not be shown."""
    facts = pod()
    links = tuple(evolve(link, alias=alias) for link in facts.links)
    with pytest.raises(Refused, match=r"^eth0, an SR-IOV virtual function, has the alias "):
        plan_of(evolve(facts, links=links), options=SRIOV)


def test_functions_are_reconstructed_driver_first(plan: Plan) -> None:
    """Then the link that comes of it, then what the physical function enforces."""
    back = reconstruct_vfs(plan.changes)
    assert [kind_of(change.resource).name for change in back] == ["driver", "vf_link", "vf_setting"]
    assert set(back) <= set(inverse(plan.changes))


def test_the_vm_is_told_its_pci_address_and_vlan(plan: Plan) -> None:
    """In every format that is for a VMM."""
    (interface,) = plan.interfaces
    assert (interface.type, interface.pci_address, interface.vlan) == ("vf", ADDRESS, 42)
    assert interface.mac == POD_MAC
    nics = guest_nics(plan)
    assert guest_text(nics, "qemu").text == f"-device vfio-pci,host={ADDRESS}\n"
    assert json.loads(guest_text(nics, "cloud-hypervisor").text)["devices"] == [
        {"id": "eth0", "path": f"/sys/bus/pci/devices/{ADDRESS}"}
    ]
    hostdev = ET.fromstring(guest_text(nics, "libvirt").text).find("hostdev")  # noqa: S314  podwire's own
    assert hostdev is not None
    assert hostdev.attrib == {"mode": "subsystem", "type": "pci", "managed": "no"}
    (address,) = hostdev.iter("address")
    assert address.attrib == {"domain": "0x0000", "bus": "0x3b", "slot": "0x02", "function": "0x1"}
    assert guest_text(nics, "firecracker").notes == ("Firecracker takes no PCI device: eth0 cannot be given to it",)


def test_the_preview_names_it(plan: Plan) -> None:
    """By its PCI address and VLAN."""
    said = render_text(plan)
    assert f"the VM is given {ADDRESS} (eth0) with mac {POD_MAC}, mtu 1500, vlan 42" in said


def test_a_stored_plan_is_read_as_it_was_written(plan: Plan) -> None:
    """With what the host knows of the function."""
    assert parse_plan(json.dumps(plan_to_json(plan)), templates()) == plan


def test_links_of_both_kinds_are_wired_in_one_plan() -> None:
    """The bridge wiring has the other one; what both would remove is removed once."""
    parts = (
        veth("eth0"), of_type("ether", "net1"), address("10.1.90.5/24", "eth0"), address("192.168.7.5/24", "net1"),
        route("default via 10.1.90.1 dev eth0 src 192.168.7.5"), neighbour("192.168.7.9", "net1"),
    )  # fmt: skip
    facts = with_function(namespace(*parts), "net1", FUNCTION)
    plan = plan_of(facts, options=SRIOV)
    assert [(one.type, one.name) for one in plan.interfaces] == [("tap", "tap0"), ("vf", "net1")]
    resources = [(change.netns, change.resource) for change in plan.changes]
    assert len(set(resources)) == len(resources)


@pytest.mark.parametrize(
    ("differs", "why"),
    [
        ({"group": None}, "no IOMMU in use"),
        ({"vfio": False}, "vfio-pci is not loaded: modprobe vfio-pci"),
        ({"pf_carrier": False}, "ens1f0 has no carrier"),
        ({"setting": None}, "its physical function 0000:3b:00.0 has no interface on the host"),
        ({"group_devices": (OTHER,)}, f"shares its IOMMU group 77 with {OTHER}, not handed over"),
    ],
    ids=["no-iommu", "no-vfio", "no-carrier", "no-pf", "shared-group"],
)
def test_what_the_host_is_not_ready_for_is_refused(differs: dict[str, Any], why: str) -> None:
    """In one sentence, which begins with the link and its function."""
    with pytest.raises(Refused, match=why) as caught:
        plan_of(pod(evolve(FUNCTION, **differs)), options=SRIOV)
    assert str(caught.value).startswith(f"eth0 is the SR-IOV virtual function {ADDRESS}, and ")


def test_without_the_option_it_is_refused() -> None:
    """It would get a random MAC, through a bridge."""
    with pytest.raises(Refused, match=rf"^eth0 is the SR-IOV virtual function {ADDRESS}, .* only with --sriov$"):
        plan_of(pod())


def test_one_that_was_given_to_another_is_lost(plan: Plan) -> None:
    """The MAC that the physical function has for it says so; nothing of it is brought back then."""
    given = evolve(FUNCTION, setting=VfSettingState(MacAddress("02:00:00:00:00:99")), driver=Keyword("vfio-pci"))
    facts = NamespaceFacts(FACTS_VERSION, elsewhere=pod(given).elsewhere)
    assert "was given to another pod in the meantime" in lost_devices(plan.changes, facts)[ADDRESS]
    assert without_lost_links(inverse(plan.changes), facts) == ()


def test_one_that_is_ours_brings_its_link_and_all_that_was_on_it(plan: Plan) -> None:
    """Although the link is not there while the function is at vfio-pci."""
    ours = evolve(FUNCTION, setting=VfSettingState(POD_MAC), driver=Keyword("vfio-pci"))
    facts = NamespaceFacts(FACTS_VERSION, elsewhere=pod(ours).elsewhere)
    back = inverse(plan.changes)
    assert without_lost_links(back, facts) == back


def test_what_sysfs_and_ip_say_is_read() -> None:
    """As an igb card's first function is printed by iproute2 6.1."""
    files = {
        "physfn": "0000:01:00.0", "number": "0", "pf": "eth0", "driver": "igbvf", "override": "", "group": "5",
        "group_devices": "", "interface": "eth1", "vfio": "1",
    }  # fmt: skip
    vf = {
        "vf": 0, "link_type": "ether", "address": "f2:c1:7b:93:76:a9", "vlan_list": [{"vlan": 42, "qos": 3}],
        "rate": {"max_tx": 100, "min_tx": 0}, "spoofchk": True, "link_state": "auto", "trust": False,
    }  # fmt: skip
    link = {"ifname": "eth0", "flags": ["UP", "LOWER_UP"], "vfinfo_list": [vf]}
    (found,) = read_functions({"0000:01:10.0": files}, [Node(link, "ip link")])
    assert (found.pf, found.pf_carrier, found.driver, found.override, found.group) == ("eth0", True, "igbvf", None, 5)
    assert found.setting == VfSettingState(
        MacAddress("f2:c1:7b:93:76:a9"), vlan=42, qos=3, spoof_check=True, trust=False, link_state=Keyword("auto"),
        max_rate=100,
    )  # fmt: skip


def test_a_picture_has_the_device_in_the_pod_and_then_in_the_vm(plan: Plan) -> None:
    """With its PCI address and VLAN, and no tap."""
    (lane,) = picture_of(plan).lanes
    assert [box.place for box in lane.before.boxes] == ["host", "link"]
    assert [box.place for box in lane.after.boxes] == ["host", "vm"]
    assert lane.after.boxes[1].kind == f"has {ADDRESS} · vlan 42 · mtu 1500"
