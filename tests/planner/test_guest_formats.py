"""What guests, their servers and VMMs are told, in the formats that they read."""

from __future__ import annotations

import json

import pytest
import yaml
from attrs import evolve

from planner.cni.result import CniDns
from planner.errors import InvalidInput
from planner.facts.model import NamespaceFacts
from planner.guest.formats import guest_nics, guest_text
from planner.guest.nic import GuestText
from planner.options import PlanOptions
from planner.text.values import DomainName, parse_address
from tests.planner.builders import address, namespace, neighbour, plan_of, result_of, route, veth

DEVICE = "virtio-net-pci"
MAC = "0a:58:0a:01:5a:05"
DUAL_STACK = namespace(
    veth(mtu=1450),
    address("10.1.90.5/24"),
    address("fd00:1:90::5/64"),
    route("default via 10.1.90.1 dev eth0"),
    route("10.5.0.0/16 via 10.1.90.9 dev eth0"),
    route("default via fd00:1:90::1 dev eth0"),
)
AWS = namespace(
    veth(),
    address("192.168.7.9/32"),
    route("default via 169.254.1.1 dev eth0"),
    route("169.254.1.1/32 dev eth0 scope link"),
    neighbour("169.254.1.1"),
)
TWO = namespace(
    veth(),
    veth("net1"),
    address("10.1.90.5/24"),
    address("10.2.0.5/16", "net1"),
    route("default via 10.1.90.1 dev eth0"),
)
DNS = CniDns(
    (parse_address("10.96.0.10"), parse_address("fd00:10::a")),
    DomainName("svc.example"),
    (DomainName("a.svc.example"), DomainName("svc.example"), DomainName(".")),
    ("ndots:5",),
)


def told(facts: NamespaceFacts, form: str, options: PlanOptions | None = None, only: str | None = None) -> GuestText:
    """Return what is told in a format."""
    plan = plan_of(facts, evolve(result_of(facts), dns=DNS), options)
    return guest_text(guest_nics(plan, only), form)


class TestDnsmasq:
    """dnsmasq(8)."""

    def test_a_dual_stack_pod(self) -> None:
        """One lease a family, which never ends, by MAC; routes with the default among them, in both options."""
        routes = "169.254.254.2/32,0.0.0.0,0.0.0.0/0,10.1.90.1,10.5.0.0/16,10.1.90.9"
        option = "dhcp-option=tag:nic0"
        text = told(DUAL_STACK, "dnsmasq").text
        assert text.splitlines() == [
            "port=0",
            "bind-interfaces",
            "except-interface=lo",
            "leasefile-ro",
            "dhcp-authoritative",
            "dhcp-ignore-clid",
            "dhcp-ignore=tag:!known",
            "# eth0",
            "interface=br0",
            "dhcp-range=10.1.90.5,static,255.255.255.0,infinite",
            "shared-network=br0,10.1.90.5",
            "dhcp-range=fd00:1:90::5,static,64,infinite",
            "shared-network=br0,fd00:1:90::5",
            f"dhcp-host={MAC},set:nic0,10.1.90.5,[fd00:1:90::5],infinite",
            f"{option},option:netmask,255.255.255.0",
            f"{option},option:router,10.1.90.1",
            f"{option},option:mtu,1450",
            f"{option},option:domain-name,svc.example",
            f"{option},option:classless-static-route,{routes}",
            f"{option},249,{routes}",
            f"{option},option:dns-server,10.96.0.10",
            f"{option},option:domain-search,a.svc.example,svc.example",
            f"{option},option6:dns-server,[fd00:10::a]",
            f"{option},option6:domain-search,a.svc.example,svc.example",
        ]

    def test_a_gateway_outside_of_the_subnet_is_no_router(self) -> None:
        """Clients that read classless routes ignore the router; others could not reach it."""
        lines = told(AWS, "dnsmasq").text.splitlines()
        assert "dhcp-option=tag:nic0,option:router" in lines
        assert "dhcp-option=tag:nic0,option:netmask,255.255.255.255" in lines
        assert any(line.endswith("169.254.1.1/32,0.0.0.0,0.0.0.0/0,169.254.1.1") for line in lines)

    def test_what_dhcp_cannot_say_is_said(self) -> None:
        """Neighbours, and the resolver's options."""
        neighbour_note, dns_note = told(AWS, "dnsmasq").notes
        assert "ip neigh replace 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent" in neighbour_note
        assert "ndots:5" in dns_note

    def test_a_wire_is_not_served(self) -> None:
        """A link without an address has no lease."""
        (nic,) = guest_nics(plan_of(DUAL_STACK))
        told_of_wire = guest_text([evolve(nic, guest=evolve(nic.guest, addresses=(), routes=()))], "dnsmasq")
        assert not any(line.startswith("interface=") for line in told_of_wire.text.splitlines())
        assert told_of_wire.notes == ("eth0 has no address, so nothing is leased to it",)

    @pytest.mark.parametrize("many", [30, 31, 200])
    def test_routes_that_have_no_room_are_counted(self, many: int) -> None:
        """An option holds 255 octets; what the guest needs most is in it."""
        gateways = ("10.1.90.9", "10.1.90.8")
        routes = [route(f"20.{number}.0.0/16 via {gateways[number % 2]} dev eth0") for number in range(many)]
        default = route("default via 169.254.1.1 dev eth0")
        on_link = route("169.254.1.1/32 dev eth0 scope link")
        found = told(namespace(veth(), address("10.1.90.5/24"), *routes, default, on_link), "dnsmasq")
        (option,) = (line for line in found.text.splitlines() if "classless" in line)
        assert "169.254.254.2/32,0.0.0.0,169.254.1.1/32,0.0.0.0,0.0.0.0/0,169.254.1.1,20.0.0.0/16," in option
        carried = option.count(",10.1.90.")
        assert carried == min(many, 33)  # and (255 - 9 - 9 - 5) // 7
        lack = f"the {many + 3} routes of eth0: the first left out is 20.{carried}.0.0/16"
        notes = [note for note in found.notes if "left out" in note]
        assert notes == ([f"DHCP carries {carried + 3} of {lack}"] if carried < many else [])


class TestKernel:
    """ip=CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTOCONF:DNS0:DNS1 (nfsroot.rst)."""

    def test_one_interface(self) -> None:
        """Needs no name."""
        assert told(DUAL_STACK, "kernel").text == "ip=10.1.90.5::10.1.90.1:255.255.255.0:::off:10.96.0.10\n"

    def test_several_interfaces_are_numbered(self) -> None:
        """As the kernel numbers them; only one has the default route."""
        assert told(TWO, "kernel").text.split() == [
            "ip=10.1.90.5::10.1.90.1:255.255.255.0::eth0:off:10.96.0.10",
            "ip=10.2.0.5:::255.255.0.0::eth1:off:10.96.0.10",
        ]

    @pytest.mark.parametrize(
        "unsaid",
        [
            "fd00:1:90::5/64",
            "10.5.0.0/16 via 10.1.90.9",
            "default via fd00:1:90::1",
            "1450",
            "fd00:10::a",
            "a.svc.example",
            "ndots:5",
        ],
    )
    def test_what_it_cannot_say_is_said(self, unsaid: str) -> None:
        """Each thing in a sentence of its own."""
        assert len([note for note in told(DUAL_STACK, "kernel").notes if unsaid in note]) == 1

    def test_a_gateway_that_it_cannot_reach(self) -> None:
        """ip= has no route on the link."""
        assert any("cannot reach 169.254.1.1" in note for note in told(AWS, "kernel").notes)


class TestVmms:
    """The VMMs' own words."""

    def test_qemu(self) -> None:
        """A backend and a device for each interface."""
        macs = [nic.guest.mac for nic in guest_nics(plan_of(TWO))]
        assert told(TWO, "qemu").text.splitlines() == [
            f"-netdev tap,id=net{x},ifname=tap{x},script=no,downscript=no -device {DEVICE},netdev=net{x},mac={macs[x]},"
            "host_mtu=1500"
            for x in (0, 1)
        ]

    def test_qemu_with_queues(self) -> None:
        """Two vectors a queue, and two more (QEMU's documentation of multiqueue)."""
        text = told(DUAL_STACK, "qemu", PlanOptions(tap_queues=4)).text
        assert ",queues=4 " in text
        assert text.rstrip().endswith(",mq=on,vectors=10")

    def test_firecracker(self) -> None:
        """NetworkInterface of its API."""
        assert json.loads(told(DUAL_STACK, "firecracker").text) == {
            "network-interfaces": [{"iface_id": "eth0", "host_dev_name": "tap0", "guest_mac": MAC}]
        }

    def test_cloud_hypervisor(self) -> None:
        """NetConfig of its API: a queue each way."""
        assert json.loads(told(DUAL_STACK, "cloud-hypervisor", PlanOptions(tap_queues=2)).text) == {
            "net": [{"id": "eth0", "tap": "tap0", "mac": MAC, "mtu": 1450, "num_queues": 4}]
        }

    def test_libvirt(self) -> None:
        """Its generic Ethernet connection, to a tap that is there already."""
        assert told(DUAL_STACK, "libvirt", PlanOptions(tap_queues=2)).text == (
            "<devices>\n"
            '  <interface type="ethernet">\n'
            f'    <mac address="{MAC}" />\n'
            '    <target dev="tap0" managed="no" />\n'
            '    <model type="virtio" />\n'
            '    <driver queues="2" />\n'
            '    <mtu size="1450" />\n'
            "  </interface>\n"
            "</devices>\n"
        )


class TestCloudInit:
    """Its network configurations; the real renderers read them in tests/guests."""

    def test_version_2(self) -> None:
        """Default routes are gateways; a MAC is quoted."""
        text = told(DUAL_STACK, "cloud-init").text
        assert f'macaddress: "{MAC}"' in text
        assert yaml.safe_load(text) == {
            "version": 2,
            "ethernets": {
                "eth0": {
                    "match": {"macaddress": MAC},
                    "set-name": "eth0",
                    "mtu": 1450,
                    "addresses": ["10.1.90.5/24", "fd00:1:90::5/64"],
                    "gateway4": "10.1.90.1",
                    "gateway6": "fd00:1:90::1",
                    "routes": [{"to": "10.5.0.0/16", "via": "10.1.90.9"}],
                    "nameservers": {
                        "addresses": ["10.96.0.10", "fd00:10::a"],
                        "search": ["a.svc.example", "svc.example"],
                    },
                }
            },
        }

    def test_version_1(self) -> None:
        """A subnet for each address; the first has all that is to be known of DNS."""
        (interface,) = yaml.safe_load(told(AWS, "cloud-init-v1").text)["config"]
        assert interface == {
            "type": "physical",
            "name": "eth0",
            "mac_address": MAC,
            "mtu": 1500,
            "subnets": [
                {
                    "type": "static",
                    "address": "192.168.7.9/32",
                    "gateway": "169.254.1.1",
                    "routes": [{"destination": "169.254.1.1/32", "gateway": "0.0.0.0"}],  # noqa: S104
                    "dns_nameservers": ["10.96.0.10", "fd00:10::a"],
                    "dns_search": ["a.svc.example", "svc.example"],
                }
            ],
        }

    @pytest.mark.parametrize("form", ["cloud-init", "cloud-init-v1"])
    def test_numbers_that_it_cannot_carry_are_said(self, form: str) -> None:
        """MTUs of routes, and the metric of a default route, which is only a gateway there."""
        routes = "default via 10.1.90.1 dev eth0 metric 7", "10.5.0.0/16 via 10.1.90.9 dev eth0 metric 8 mtu 1400"
        found = told(namespace(veth(), address("10.1.90.5/24"), *map(route, routes)), form)
        assert [note for note in found.notes if "does not get" in note] == [
            "cloud-init has no MTU for a route: eth0 does not get that of 10.5.0.0/16 via 10.1.90.9 metric 8 mtu 1400",
            "cloud-init has no metric for a default route: eth0 does not get that of default via 10.1.90.1 metric 7",
        ]
        assert "8" in found.text

    def test_neighbours_are_user_data(self) -> None:
        """Which runs at every boot."""
        text = told(AWS, "user-data").text
        assert text.startswith("#cloud-config\n")
        words = "ip neigh replace 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent"
        assert yaml.safe_load(text) == {"bootcmd": [words.split()]}
        assert yaml.safe_load(told(DUAL_STACK, "user-data").text) == {}


class TestJson:
    """As in a plan."""

    def test_the_interfaces_with_their_guest(self) -> None:
        """The same keys."""
        (interface,) = json.loads(told(DUAL_STACK, "json").text)
        assert (interface["name"], interface["link"]) == ("tap0", "eth0")
        assert interface["guest"]["addresses"] == ["10.1.90.5/24", "fd00:1:90::5/64"]


@pytest.mark.parametrize("only", ["net1", "tap1"])
def test_one_interface_may_be_chosen(only: str) -> None:
    """By the pod's link, or by the tap."""
    assert list(json.loads(told(TWO, "firecracker", only=only).text)["network-interfaces"][0].values())[1] == "tap1"


def test_an_unknown_interface_is_refused() -> None:
    """The sentence names those that there are."""
    with pytest.raises(InvalidInput, match=r"'eth7' is no interface of pod1, which has eth0 \(tap0\), net1 \(tap1\)"):
        told(TWO, "json", only="eth7")
