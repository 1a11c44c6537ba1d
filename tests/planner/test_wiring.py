"""Bridge wiring: what is refused by name, how names and addresses are chosen, and the order of the phases."""

from __future__ import annotations

import re
from ipaddress import ip_interface

import pytest
from attrs import evolve

from planner.errors import InvalidInput, Refused
from planner.facts.model import LinkFact, NamespaceFacts
from planner.kinds.address import Address
from planner.kinds.ebtables import EBTABLES, EbtablesFacts, EbtablesRules
from planner.kinds.link import Link, LinkState, TapDevice
from planner.kinds.link_attributes import AddrGenMode, Admin, Mac, Master
from planner.kinds.neighbour import Neighbour
from planner.kinds.route import Route
from planner.kinds.sysctl import Sysctl
from planner.options import PlanOptions
from planner.text.values import InterfaceName, Keyword, MacAddress
from planner.wiring.bridge import _UNBRIDGEABLE
from tests.planner.builders import (
    ID,
    POD_MAC,
    address,
    namespace,
    neighbour,
    of_type,
    plan_of,
    result,
    route,
    setting,
    veth,
)
from tests.planner.situations import SITUATIONS

ADDRESS = address("10.1.90.5/24")


def refusal(facts: NamespaceFacts, *, kind: type[Exception] = Refused) -> str:
    """Return the sentence with which wiring eth0 is refused."""
    with pytest.raises(kind) as refused:
        plan_of(facts, result({"eth0": ["10.1.90.5/24"]}, routes=["0.0.0.0/0"]))
    return str(refused.value)


class TestRefusals:
    """What cannot be wired is refused before anything is planned, by name, with the reason and what would work."""

    @pytest.mark.parametrize("kind", _UNBRIDGEABLE)
    def test_a_link_that_cannot_be_bridged(self, kind: str) -> None:
        """A macvlan would swallow the VM's frames, ipvlan shares a MAC, and so on: each has its reason."""
        said = refusal(namespace(of_type(kind), ADDRESS))
        why, instead = _UNBRIDGEABLE[kind].why, _UNBRIDGEABLE[kind].instead
        instead = "use --wiring tc" if kind == "macvlan" else instead
        assert said == f"eth0 is of type {kind}: {why}{instead and f': {instead}'}"

    def test_says_which_wiring_would_work(self) -> None:
        """Somebody with a macvlan has to know that tc serves it; nothing serves an ipvlan."""
        assert refusal(namespace(of_type("macvlan"), ADDRESS)).endswith("is the host's NIC): use --wiring tc")
        assert refusal(namespace(of_type("ipvlan"), ADDRESS)).endswith(": use a bridge or ptp plugin")

    def test_a_link_without_ethernet(self) -> None:
        """A tun has no MAC address."""
        assert refusal(namespace(evolve(of_type("tun"), mac=None), ADDRESS)) == (
            "eth0 is of type tun, which is no Ethernet: it cannot be a port of a bridge"
        )

    @pytest.mark.parametrize("kind", ["veth", "vlan", "ether", "vxlan", "bond"])
    def test_other_ethernet_links_are_wired(self, kind: str) -> None:
        """Whatever carries any frame can be a port."""
        assert plan_of(namespace(of_type(kind), ADDRESS)).interfaces[0].link == "eth0"

    def test_a_missing_link(self) -> None:
        """The result names it, the namespace has not got it."""
        facts = namespace(veth("net1"), veth("net2"), address("10.1.90.5/24", "net1"))
        with pytest.raises(InvalidInput, match=r"^result\.interfaces: eth0 is not in the namespace$"):
            plan_of(facts, result({"eth0": [], "net1": ["10.1.90.5/24"]}))

    def test_a_result_with_nothing_in_the_sandbox(self) -> None:
        """With two veths nothing tells which one is meant, unless an address does."""
        given = result({}, host=["cni0"])
        with pytest.raises(InvalidInput, match="it has no IP address"):
            plan_of(namespace(veth()), given)

    def test_a_link_of_ours_without_a_record(self) -> None:
        """The alias says that podwire made it; the sentence says what to do."""
        facts = namespace(veth(), evolve(of_type("bridge", "br0"), alias="podwire:pod7"), ADDRESS)
        assert refusal(facts) == (
            "br0 was created by podwire ('podwire:pod7'), but that wiring is not recorded here: "
            "name its state directory with --state-dir, or remove the link by hand"
        )

    def test_an_ebtables_table_that_cannot_be_read(self) -> None:
        """Nothing is changed if the rules could not be."""
        facts = namespace(veth(), ADDRESS, EbtablesFacts(problem="ebtables is not installed"))
        assert refusal(facts) == "ebtables is not installed"

    def test_a_route_that_could_not_be_brought_back(self) -> None:
        """It is named, with what it has; a route of another link does not matter."""
        lost = route("10.9.0.0/16 via 10.1.90.1 dev eth0", unsupported="an encapsulation")
        assert refusal(namespace(veth(), ADDRESS, lost)) == (
            "route 10.9.0.0/16 via 10.1.90.1 dev eth0 has an encapsulation, which podwire could not restore: "
            "remove it first"
        )
        other = route("10.9.0.0/16 dev net1", unsupported="an encapsulation")
        given = result({"eth0": ["10.1.90.5/24"]})
        assert plan_of(namespace(veth(), veth("net1"), ADDRESS, other), given).changes

    def test_two_routes_that_only_their_metrics_tell_apart(self) -> None:
        """They would be one resource in two changes."""
        twins = (route("10.9.0.0/16 dev eth0 mtu 1400"), route("10.9.0.0/16 dev eth0 mtu 1300"))
        assert refusal(namespace(veth(), ADDRESS, *twins)).startswith("route 10.9.0.0/16 dev eth0 exists twice")


class TestNames:
    """The first number from the link's position on with which all names are free; or what the user says."""

    @pytest.mark.parametrize(
        ("link", "number"),
        [
            pytest.param(of_type("bridge", "br0"), 1, id="bridge"),
            pytest.param(of_type("tun", "tap0"), 1, id="tap"),
            pytest.param(evolve(veth("net1"), altnames=("br0",)), 1, id="altname"),
            pytest.param(evolve(veth("net1"), altnames=("br1", "tap0")), 2, id="second-altname"),
            pytest.param(of_type("bridge", "br1"), 0, id="another-number"),
        ],
    )
    def test_a_number_that_is_taken_is_skipped(self, link: LinkFact, number: int) -> None:
        """By a link, or as another name of one; tap and bridge keep one number."""
        (interface,) = plan_of(namespace(veth(), link, ADDRESS), result({"eth0": ["10.1.90.5/24"]})).interfaces
        assert (interface.name, interface.bridge) == (f"tap{number}", f"br{number}")

    def test_the_pods_own_link_may_have_such_a_name(self) -> None:
        """slirp4netns and pasta call it tap0."""
        (interface,) = plan_of(namespace(of_type("tun", "tap0"), address("10.0.2.100/24", "tap0"))).interfaces
        assert (interface.link, interface.name, interface.bridge) == ("tap0", "tap1", "br1")

    def test_several_links_skip_what_was_just_allocated(self) -> None:
        """Position 0 takes the 1, so position 1 takes the 2."""
        facts = namespace(veth(), veth("net1", mac="02:42:0a:09:00:05"), of_type("bridge", "br0"), ADDRESS)
        given = result({"eth0": ["10.1.90.5/24"], "net1": []})
        assert [one.name for one in plan_of(facts, given).interfaces] == ["tap1", "tap2"]

    def test_given_ones_go_to_the_interfaces_in_their_order(self) -> None:
        """The others are numbered; a plan with them is planned again as it was."""
        facts = namespace(veth(), veth("net1", mac="02:42:0a:09:00:05"), ADDRESS)
        given = result({"net1": [], "eth0": ["10.1.90.5/24"]})
        options = PlanOptions(
            tap_names=(InterfaceName("vm0"),), bridge_names=(InterfaceName("lan0"), InterfaceName("x"))
        )
        plan = plan_of(facts, given, options)
        assert [(one.name, one.bridge) for one in plan.interfaces] == [("vm0", "lan0"), ("tap1", "x")]

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (PlanOptions(tap_names=(InterfaceName("eth0"),)), "--tap-name: eth0 is already the name of a link"),
            (
                PlanOptions(tap_names=(InterfaceName("a"),), bridge_names=(InterfaceName("a"),)),
                "--bridge-name: a is already the name of a link",
            ),
            (
                PlanOptions(guest_mtus=(1501,)),
                "--guest-mtu: 1501 is more than the 1500 of eth0",
            ),
            (
                PlanOptions(guest_macs=(MacAddress("02:42:0a:09:00:05"),)),
                "--guest-mac: 02:42:0a:09:00:05 is another link's",
            ),
        ],
        ids=["taken", "both", "mtu", "mac"],
    )
    def test_what_cannot_be_is_refused(self, options: PlanOptions, sentence: str) -> None:
        """With the option that is wrong."""
        facts = namespace(veth(), veth("net1", mac="02:42:0a:09:00:05"), ADDRESS)
        with pytest.raises(Refused, match=f"^{re.escape(sentence)}$"):
            plan_of(facts, result({"eth0": ["10.1.90.5/24"]}), options)

    @pytest.mark.parametrize(
        ("options", "name"),
        [
            (PlanOptions(tap_names=(InterfaceName("a"), InterfaceName("b"))), "--tap-name"),
            (PlanOptions(bridge_names=(InterfaceName("a"), InterfaceName("b"))), "--bridge-name"),
            (PlanOptions(guest_mtus=(1400, 1400)), "--guest-mtu"),
            (PlanOptions(guest_macs=(POD_MAC, POD_MAC)), "--guest-mac"),
        ],
    )
    def test_more_than_there_are_interfaces_are_refused(self, options: PlanOptions, name: str) -> None:
        """Somebody who gives two means something by it."""
        with pytest.raises(InvalidInput, match=f"^{name}: 2 are given, but only 1 interfaces are wired$"):
            plan_of(namespace(veth(), ADDRESS), options=options)

    def test_the_guests_hardware_is_what_the_user_says(self) -> None:
        """The tap keeps the link's MTU, so that no frame is lost; no reason says that the VM takes the link's MAC."""
        mac = MacAddress("02:00:5e:00:00:01")
        plan = plan_of(namespace(veth(), ADDRESS), options=PlanOptions(guest_macs=(mac,), guest_mtus=(1400,)))
        (interface,) = plan.interfaces
        assert interface.guest is not None
        assert (interface.mac, interface.mtu, interface.guest.mac, interface.guest.mtu) == (mac, 1400, mac, 1400)
        assert [change.after.mtu for change in plan.changes if isinstance(change.after, LinkState)] == [1500, 1500]
        assert "the VM takes over the old MAC" not in [change.reason for change in plan.changes]
        assert not any("the same" in change.reason for change in plan.changes)


class TestDhcpAddress:
    """Each bridge gets 169.254.(254-X).2/24, or the next that is free; or what the user says."""

    @pytest.mark.parametrize(
        ("used", "expected"),
        [
            pytest.param("169.254.254.0/24 dev eth0", "169.254.253.2/24", id="its-24-is-a-route"),
            pytest.param("169.254.254.77/32 dev eth0", "169.254.253.2/24", id="an-address-in-it"),
            pytest.param("169.254.254.128/25 dev eth0", "169.254.253.2/24", id="a-longer-prefix-in-it"),
            pytest.param("169.254.0.0/16 dev eth0", "169.254.254.2/24", id="a-shorter-prefix-that-covers-it"),
            pytest.param("169.254.254.0/23 dev eth0", "169.254.254.2/24", id="a-23-that-covers-it"),
            pytest.param("0.0.0.0/0 dev eth0", "169.254.254.2/24", id="a-default-route"),
            pytest.param("169.254.253.0/24 dev eth0", "169.254.254.2/24", id="another-24"),
            pytest.param("169.254.254.0/24 dev eth0 table 100", "169.254.253.2/24", id="in-another-table"),
            pytest.param("blackhole 169.254.254.0/24", "169.254.253.2/24", id="blackhole"),
        ],
    )
    def test_one_that_is_used_as_a_route_is_skipped(self, used: str, expected: str) -> None:
        """Its /24, or a longer prefix in it, counts; a shorter prefix that covers it does not."""
        plan = plan_of(namespace(veth(), ADDRESS, route(used)))
        assert str(plan.interfaces[0].dhcp_address) == expected

    @pytest.mark.parametrize("used", ["169.254.254.1/24", "169.254.254.9/32", "169.254.254.1/30"])
    def test_one_that_is_used_as_an_address_is_skipped(self, used: str) -> None:
        """Whoever has an address there would answer."""
        given = result({"eth0": ["10.1.90.5/24"]})
        facts = namespace(veth(), veth("net1"), ADDRESS, address(used, "net1"))
        assert str(plan_of(facts, given).interfaces[0].dhcp_address) == "169.254.253.2/24"

    def test_several_bridges_count_down(self) -> None:
        """One each, those that are used left out."""
        plan = SITUATIONS["several-interfaces"].plan()
        assert [str(interface.dhcp_address) for interface in plan.interfaces] == [
            f"169.254.{third}.2/24" for third in (254, 253, 252)
        ]

    def test_given_ones_go_to_the_bridges_in_their_order(self) -> None:
        """The others are chosen, and not in a subnet that was given."""
        situation = SITUATIONS["several-interfaces"]
        given = (ip_interface("192.0.2.1/30"), ip_interface("169.254.254.9/24"))
        plan = plan_of(situation.facts, situation.result, PlanOptions(dhcp_addresses=given))
        assert [str(interface.dhcp_address) for interface in plan.interfaces] == [
            "192.0.2.1/30",
            "169.254.254.9/24",
            "169.254.253.2/24",
        ]

    def test_more_than_there_are_interfaces_are_refused(self) -> None:
        """Somebody who gives three means something by it."""
        given = (ip_interface("192.0.2.1/30"),) * 3
        with pytest.raises(InvalidInput, match=r"^--dhcp-address: 3 are given, but only 1 interfaces? (is|are) wired$"):
            plan_of(namespace(veth(), ADDRESS), options=PlanOptions(dhcp_addresses=given))

    @pytest.mark.parametrize("wiring", ["bridge", "tc"])
    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ("10.1.90.1/24", "is a gateway of the pod"),
            ("10.1.90.5/24", "is an address of eth0"),
            ("10.1.90.9/29", "has 10.1.90.13 in its subnet, which is a gateway of the pod"),
            ("192.0.2.1/24", "has 192.0.2.9 in its subnet, which is the peer of eth0"),
            ("10.1.91.1/16", "has 10.1.90.1 in its subnet, which is a gateway of the pod"),
        ],
    )
    def test_the_guests_own_and_those_that_it_talks_to_are_refused(self, wiring: str, given: str, why: str) -> None:
        """The bridge would answer in their place, or hide them."""
        facts = namespace(
            *(veth(), address("10.1.90.5/24"), address("198.51.100.1/32 peer 192.0.2.9")),
            *(route("default via 10.1.90.1 dev eth0"), route("192.0.3.0/24 via 10.1.90.13 dev eth0")),
        )
        options = PlanOptions(dhcp_addresses=(ip_interface(given),), wiring=Keyword(wiring))
        with pytest.raises(Refused) as refused:
            plan_of(facts, options=options)
        assert str(refused.value) == f"--dhcp-address: {given} {why}"

    def test_where_none_is_left_the_option_is_named(self) -> None:
        """With all 254 in use the user has to say."""
        used = [route(f"169.254.{third}.0/24 dev eth0") for third in range(256)]
        assert refusal(namespace(veth(), ADDRESS, *used)).endswith("give --dhcp-address")


class TestPhases:
    """Phases go over all links before the next begins; the inverse order is then right by itself."""

    ORDER = (Route, Neighbour, AddrGenMode, Address, EbtablesRules, Mac, Sysctl, Link, Master, Admin)

    # "addresses" has a link-local address that was added later than the generated one (TestStripLink).
    @pytest.mark.parametrize("name", [name for name in SITUATIONS if name not in ("down", "addresses")])
    def test_are_in_order_over_all_links(self, name: str) -> None:
        """Routes, neighbours, address generation, addresses, rules, MACs, sysctls, links, masters, up."""
        phases = [self.ORDER.index(type(change.resource)) for change in SITUATIONS[name].plan().changes]
        assert phases == sorted(phases)

    def test_lo_comes_last(self) -> None:
        """And its address before it goes up, so that the inverse deletes it after it went down."""
        assert [str(change.resource) for change in SITUATIONS["down"].plan().changes][-2:] == [
            "address 127.0.0.1/8 on lo",
            "up or down of lo",
        ]

    def test_a_created_link_is_one_change(self) -> None:
        """MAC, MTU, master, sysctls, addresses and up are in its `after`: they die with it."""
        changes = {str(change.resource): change for change in SITUATIONS["plain"].plan().changes}
        made = [change for change in changes.values() if isinstance(change.resource, Link)]
        assert [str(change.resource) for change in made] == ["link br0", "link tap0"]
        bridge, tap = (change.after for change in made)
        assert isinstance(bridge, LinkState)
        assert isinstance(tap, LinkState)
        assert (tap.master, tap.up, tap.mtu, tap.alias) == ("br0", True, 1500, f"podwire:{ID}")
        assert [str(own) for own in bridge.addresses] == ["169.254.254.2/24"]
        assert [f"{item.key}={item.value}" for item in bridge.sysctls] == ["net/ipv6/conf/br0/accept_ra=0"]
        assert bridge.group == tap.group > 2**24

    def test_the_wiring_is_silent_and_deaf(self) -> None:
        """No learning, no snooping, no advertisements, no address of their own making."""
        plan = SITUATIONS["dual-stack"].plan()
        commands = "\n".join(f"{command.line}\n{command.stdin or ''}" for command in plan.commands)
        assert "type bridge ageing_time 0 mcast_snooping 0" in commands
        assert commands.count("addrgenmode none") == 3
        assert "net/ipv6/conf/br0/accept_ra=0" in commands.splitlines()

    def test_where_the_host_has_no_ipv6_nothing_of_it_is_set(self) -> None:
        """Booted with ipv6.disable=1 there is no conf/all: `addrgenmode` would fail, and apply with it."""
        facts = namespace(evolve(veth(), addrgenmode=None), ADDRESS)
        without = evolve(facts, sysctls=tuple(item for item in facts.sysctls if "/ipv6/" not in item.key))
        commands = "\n".join(f"{command.line}\n{command.stdin or ''}" for command in plan_of(without).commands)
        assert "addrgenmode" not in commands
        assert "ipv6" not in commands


PEER = address("fd00::5/64 peer fd00::1")


class TestSysctls:
    """Only what has to be changed is, so that only that is changed back."""

    @pytest.mark.parametrize(
        ("all_links", "own", "expected"),
        [
            (0, 1, ["net/ipv6/conf/eth0/accept_dad"]),
            (1, 1, ["net/ipv6/conf/all/accept_dad", "net/ipv6/conf/eth0/accept_dad"]),
            (2, 0, ["net/ipv6/conf/all/accept_dad"]),
            (0, 0, []),
        ],
    )
    def test_dad_is_quietened_where_nodad_is_no_help(self, all_links: int, own: int, expected: list[str]) -> None:
        """That is for a peer with a prefix. Of all links' and the link's own the larger wins (ip-sysctl.rst)."""
        facts = namespace(
            veth(),
            ADDRESS,
            address("fd00::5/64 peer fd00::1"),
            setting("net/ipv6/conf/all/accept_dad", all_links),
            setting("net/ipv6/conf/eth0/accept_dad", own),
            bridge_netfilter=False,
        )
        changed = [c.resource.key for c in plan_of(facts).changes if isinstance(c.resource, Sysctl)]
        assert changed == expected

    @pytest.mark.parametrize(
        "facts",
        [
            pytest.param(namespace(veth(up=False), PEER, bridge_netfilter=False), id="down"),
            pytest.param(namespace(veth(carrier=False), PEER, bridge_netfilter=False), id="no-carrier"),
            pytest.param(namespace(veth(), address("fd00::5/64"), bridge_netfilter=False), id="nodad-helps"),
            pytest.param(namespace(veth(), ADDRESS, bridge_netfilter=False), id="no-ipv6-address"),
        ],
    )
    def test_dad_is_left_alone_otherwise(self, facts: NamespaceFacts) -> None:
        """Down or without a carrier addresses are tentative before and after."""
        assert not any(isinstance(change.resource, Sysctl) for change in plan_of(facts).changes)

    def test_bridge_netfilter_is_switched_off_where_it_is_on(self) -> None:
        """The pod's iptables could drop the VM's frames."""
        facts = namespace(veth(), ADDRESS, setting("net/bridge/bridge-nf-call-iptables", 0))
        assert [c.resource.key for c in plan_of(facts).changes if isinstance(c.resource, Sysctl)] == [
            "net/bridge/bridge-nf-call-ip6tables",
            "net/bridge/bridge-nf-call-arptables",
        ]


class TestWhatTheRuntimeNeeds:
    """The ContainerSideNetwork: per interface what to open, and what the guest must be told."""

    def test_has_the_original_mac_and_mtu(self) -> None:
        """The guest gets the MAC that the pod's interface had."""
        (interface,) = SITUATIONS["tap-options"].plan().interfaces
        assert (interface.type, interface.name, interface.link, interface.bridge) == ("tap", "tap0", "eth0", "br0")
        assert (interface.mac, interface.mtu, interface.queues, interface.vnet_hdr) == (
            "0a:58:0a:01:5a:05",
            1500,
            4,
            True,
        )

    def test_a_guest_on_aws_is_told_its_neighbour(self) -> None:
        """Without it the guest says "no route to host"; proxy entries are not the guest's."""
        (interface,) = SITUATIONS["aws"].plan().interfaces
        assert [(str(n.address), n.lladdr) for n in interface.neighbours] == [("169.254.1.1", "4e:1f:a5:2c:70:01")]
        facts = namespace(veth(), ADDRESS, neighbour("10.1.90.9", proxy=True))
        assert plan_of(facts).interfaces[0].neighbours == ()

    @pytest.mark.parametrize(
        ("options", "device"),
        [
            (PlanOptions(), TapDevice(owner=None, owner_group=None, multi_queue=False, vnet_hdr=False)),
            (PlanOptions(tap_owner=0), TapDevice(owner=0, owner_group=None, multi_queue=False, vnet_hdr=False)),
            (PlanOptions(tap_queues=2), TapDevice(owner=None, owner_group=None, multi_queue=True, vnet_hdr=False)),
        ],
    )
    def test_the_tap_is_made_as_asked(self, options: PlanOptions, device: TapDevice) -> None:
        """WiringTag 0 is an owner, and more than one queue makes it a multi-queue tap."""
        plan = plan_of(namespace(veth(), ADDRESS), options=options)
        states = [change.after for change in plan.changes if isinstance(change.after, LinkState)]
        assert states[1].device == device


class TestServing:
    """--serve-dhcp: what podwire serves the guest, nobody else may."""

    SERVED = PlanOptions(serve_dhcp=True)

    @staticmethod
    def rules(facts: NamespaceFacts, options: PlanOptions | None = None) -> list[str]:
        """Return the rules of the wiring, in words."""
        (change,) = (c for c in plan_of(facts, options=options).changes if isinstance(c.resource, EbtablesRules))
        return EBTABLES.words(change)

    def test_answers_and_routers_are_kept_out(self) -> None:
        """Beside what every wiring drops."""
        facts = namespace(veth(), ADDRESS)
        assert [line for line in self.rules(facts, self.SERVED) if line not in self.rules(facts)] == [
            "drop DHCP answers arriving on eth0",
            "drop router advertisements arriving on eth0",
            "drop redirects arriving on eth0",
            "drop router solicitations leaving through eth0",
        ]

    def test_routers_that_the_pod_listened_to_are_the_guests_too(self) -> None:
        """It would have no IPv6 otherwise."""
        facts = namespace(veth(), ADDRESS, address("2001:db8::5/64", learnt=True))
        assert not any("router" in line for line in self.rules(facts, self.SERVED))

    def test_a_bridge_that_serves_ipv6_has_addresses_for_that(self) -> None:
        """A link-local one, and one in which dnsmasq finds a range."""
        facts = namespace(veth(), ADDRESS, address("fd00:1:90::5/64"))
        made = {change.resource: change.after for change in plan_of(facts, options=self.SERVED).changes}
        bridge = made[Link(InterfaceName("br0"))]
        assert isinstance(bridge, LinkState)
        assert [str(one) for one in bridge.addresses] == ["169.254.254.2/24", "fe80::5a54/64", "fd70:6f64:7769::1/64"]
