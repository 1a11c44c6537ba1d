"""Making a CNI result say what is true."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from attrs import evolve

from planner.cni.fix import passed_over, validate_and_fix_cni_result
from planner.cni.result import CniDns, CniInterface, CniResult, parse_result
from planner.errors import InvalidInput
from planner.facts.model import NamespaceFacts
from planner.text.values import InterfaceName
from tests.planner.builders import NETNS, POD_MAC, address, namespace, of_type, result, route, veth

ONE_VETH = namespace(
    veth(),
    address("10.32.0.4/12"),
    address("fd00:1:90::5/64"),
    route("default via 10.32.0.1 dev eth0"),
)
WEAVE = '{"ip4": {"ip": "10.32.0.4/12", "gateway": "10.32.0.1"}, "dns": {"nameservers": ["10.32.0.9"]}}'


def fixed(given: CniResult, facts: NamespaceFacts = ONE_VETH) -> CniResult:
    """Return the result as it is fixed."""
    return validate_and_fix_cni_result(given, facts, NETNS)


class TestReplaced:
    """(a) One IP and no link that is named, and exactly one veth, which carries it: what that veth really has."""

    def test_weave_without_interfaces(self) -> None:
        """A 0.2.0 result becomes one of 1.1.0 with interface, all addresses and routes; its DNS is kept."""
        found = fixed(parse_result(WEAVE))
        assert found.version == "1.1.0"
        assert [(i.name, i.mac, i.sandbox) for i in found.interfaces] == [("eth0", POD_MAC, NETNS)]
        assert [str(ip.address) for ip in found.ips] == ["10.32.0.4/12", "fd00:1:90::5/64"]
        assert [str(r.dst) for r in found.routes] == ["0.0.0.0/0"]
        assert found.dns == CniDns(nameservers=(ip_address("10.32.0.9"),))

    def test_an_ip_on_a_host_side_interface(self) -> None:
        """Calico names only its host-side link."""
        given = result({}, host=["cali05f4a1849c5"], routes=["0.0.0.0/0"])
        ip = evolve(result({"eth0": ["10.32.0.4/12"]}).ips[0], interface=0)
        assert [i.name for i in fixed(evolve(given, ips=(ip,))).interfaces] == ["eth0"]

    @pytest.mark.parametrize("routes", [["10.0.0.0/8 via 10.32.0.1"], []], ids=["routes", "no-routes"])
    def test_one_that_names_a_link_is_kept(self, routes: list[str]) -> None:
        """It is obeyed; what else the link has the guest is told from the facts."""
        given = result({"eth0": ["10.32.0.4/12"]}, routes=routes)
        assert fixed(given) == given

    def test_one_that_names_another_link_than_the_veth_is_kept(self) -> None:
        """A secondary network's result has one address and no routes, and means its own link."""
        facts = namespace(
            veth(), of_type("macvlan", "net1"), address("10.1.90.5/24"), address("192.168.1.200/24", "net1")
        )
        given = result({"net1": ["192.168.1.200/24"]})
        assert fixed(given, facts) == given

    @pytest.mark.parametrize("facts", [namespace(veth()), ONE_VETH], ids=["no-address", "another-address"])
    def test_a_veth_that_does_not_carry_the_address_is_another_pods(self, facts: NamespaceFacts) -> None:
        """The result is not of this namespace."""
        given = parse_result(
            '{"cniVersion":"0.3.1","interfaces":[{"name":"cali9"}],"ips":[{"version":"4","address":"192.168.77.33/32"}]}'
        )
        sentence = r"no link of the namespace carries 192\.168\.77\.33/32: is this another pod's result\?$"
        with pytest.raises(InvalidInput, match=rf"^result\.ips\[0\]\.address: {sentence}"):
            fixed(given, facts)

    @pytest.mark.parametrize("links", [[veth(), veth("net1")], [of_type("ipvlan")]], ids=["two-veths", "no-veth"])
    def test_without_exactly_one_veth_the_address_is_looked_for(self, links: list[object]) -> None:
        """With several veths (or none) the IP is matched to the link that carries it, and the version follows."""
        facts = namespace(*links, address("10.32.0.4/12"))  # type: ignore[arg-type]
        found = fixed(parse_result(WEAVE), facts)
        assert found.version == "1.1.0"
        assert [(i.name, i.sandbox) for i in found.interfaces] == [("eth0", NETNS)]
        assert [ip.interface for ip in found.ips] == [0]


class TestRefused:
    """(b) No IP at all, and an IP that nobody has."""

    def test_a_result_with_neither_an_address_nor_a_link(self) -> None:
        """There is nothing to give to the VM."""
        with pytest.raises(InvalidInput, match=r"^result: it has no IP address and names no link in the namespace, "):
            fixed(result({}, host=["cni0"]))

    def test_an_address_of_a_link_that_has_another(self) -> None:
        """A result that names net1 never wires eth0, whoever has the address."""
        facts = namespace(veth(), veth("net1"), address("10.1.90.5/24"), address("10.9.0.5/24", "net1"))
        with pytest.raises(
            InvalidInput,
            match=r"^result\.ips\[0\]\.address: net1 does not carry 10\.1\.90\.5/24, which is eth0's "
            r"\(net1 has 10\.9\.0\.5/24\)$",
        ):
            fixed(result({"net1": ["10.1.90.5/24"]}), facts)

    def test_an_address_that_no_link_carries(self) -> None:
        """It is named, with its place, and with what the link that was named has."""
        given = result({"eth0": ["10.32.0.4/12", "10.99.0.5/24"]})
        with pytest.raises(
            InvalidInput,
            match=r"^result\.ips\[1\]\.address: no link of the namespace carries 10\.99\.0\.5/24 "
            r"\(eth0 has 10\.32\.0\.4/12, fd00:1:90::5/64\)$",
        ):
            fixed(given)

    def test_an_address_with_another_prefix_length(self) -> None:
        """An address is carried with its prefix length or not at all."""
        given = result({"eth0": ["10.32.0.4/16", "fd00:1:90::5/64"]})
        with pytest.raises(InvalidInput, match=r"carries 10\.32\.0\.4/16 \(eth0 has 10\.32\.0\.4/12, "):
            fixed(given)


class TestMatched:
    """(c) Each IP is matched to the link that carries exactly that address."""

    FACTS = namespace(
        veth("eth0"),
        veth("net1", mac="02:42:0a:09:00:05"),
        address("10.1.90.5/24"),
        address("10.9.0.5/24", "net1"),
        address("fd00:9::5/64", "net1"),
    )

    def test_wrong_indexes_are_corrected(self) -> None:
        """Plugins number their interfaces wrongly, in chains above all."""
        given = result({"eth0": ["10.1.90.5/24"], "net1": ["10.9.0.5/24", "fd00:9::5/64"]})
        wrong = evolve(given, ips=tuple(evolve(ip, interface=0) for ip in given.ips))
        assert fixed(wrong, self.FACTS) == given

    def test_missing_interfaces_are_appended_with_their_real_mac(self) -> None:
        """What the result leaves out is there all the same, if it doesn't say that the address is another link's."""
        given = result({"eth0": ["10.1.90.5/24", "10.9.0.5/24", "fd00:9::5/64"]})
        found = fixed(evolve(given, ips=tuple(evolve(ip, interface=None) for ip in given.ips)), self.FACTS)
        assert found.interfaces[1:] == (CniInterface(InterfaceName("net1"), self.FACTS.links[2].mac, NETNS),)
        assert [ip.interface for ip in found.ips] == [0, 1, 1]

    def test_a_host_side_interface_of_the_same_name_is_another(self) -> None:
        """An address belongs to the link in the sandbox, which is appended if only the host's is named."""
        given = result({"net1": ["10.9.0.5/24"]}, host=["eth0"])
        address_of_eth0 = result({"eth0": ["10.1.90.5/24"]}).ips[0]
        found = fixed(evolve(given, ips=(*given.ips, address_of_eth0)), self.FACTS)
        assert [(i.name, i.sandbox) for i in found.interfaces] == [("eth0", None), ("net1", NETNS), ("eth0", NETNS)]
        assert [ip.interface for ip in found.ips] == [1, 2]

    def test_two_links_with_one_address_are_told_apart_by_the_index(self) -> None:
        """If the link that the result names carries the address, it is that one."""
        facts = namespace(
            veth("eth0"), veth("net1"), address("10.1.90.5/24"), address("fe80::5/64"), address("fe80::5/64", "net1")
        )
        given = result({"eth0": ["10.1.90.5/24"], "net1": ["fe80::5/64"]})
        assert fixed(given, facts) == given

    def test_is_the_same_when_done_twice(self) -> None:
        """A fixed result needs no fixing."""
        given = result({"eth0": ["10.1.90.5/24", "10.9.0.5/24"]})
        once = fixed(evolve(given, ips=tuple(evolve(ip, interface=None) for ip in given.ips)), self.FACTS)
        assert fixed(once, self.FACTS) == once


class TestPassedOver:
    """What a result names beside the pod's links is none to wire, and is said."""

    def over(self, *others: CniInterface, netns: str = NETNS) -> tuple[list[str], list[str]]:
        """Return the names that are left of a result with eth0 and ``others``, and what is said of the rest."""
        given = result({"eth0": ["10.32.0.4/12"]})
        ips = (*given.ips, *(evolve(given.ips[0], interface=number) for number in range(1, len(others) + 1)))
        whole = evolve(given, interfaces=(*given.interfaces, *others), ips=ips)
        found = validate_and_fix_cni_result(whole, ONE_VETH, netns)
        assert len(found.ips) == 1
        return [interface.name for interface in found.interfaces], list(passed_over(whole, ONE_VETH, netns).values())

    def test_lo(self) -> None:
        """The loopback plugin's result has it, with 127.0.0.1."""
        assert self.over(CniInterface(InterfaceName("lo"), sandbox=NETNS)) == (
            ["eth0"],
            ["ignoring lo from the CNI result: it belongs to the namespace itself"],
        )

    def test_a_socket_and_a_device_without_a_link(self) -> None:
        """vhost-user, and a VF that is bound to a driver for user space: the VMM opens them."""
        socket = CniInterface(InterfaceName("net1"), sandbox=NETNS, socket_path="/var/run/vhost.sock")
        device = CniInterface(InterfaceName("net2"), sandbox=NETNS, pci_id="0000:3b:02.0")
        assert self.over(socket, device) == (
            ["eth0"],
            [
                "ignoring net1 from the CNI result: it is a socket, which the VMM opens itself",
                "ignoring net2 from the CNI result: it is a device without a link",
            ],
        )

    @pytest.mark.parametrize("netns", [NETNS, "/var/run/netns/pod1", "/proc/42/ns/net"])
    def test_another_sandbox(self, netns: str) -> None:
        """Firecracker's convention: the interface in the VM is in a sandbox that is an id. Paths have several names."""
        said = ["ignoring tap0 from the CNI result: it is in another sandbox"]
        vm = CniInterface(InterfaceName("tap0"), sandbox="fc-1234")
        assert self.over(vm, netns=netns) == (["eth0"], said)

    def test_a_result_of_one_sandbox_that_is_an_id_means_the_namespace(self) -> None:
        """Some runtimes write nothing else."""
        given = result({"eth0": ["10.32.0.4/12"]})
        named = evolve(given, interfaces=tuple(evolve(one, sandbox="pod-7") for one in given.interfaces))
        assert fixed(named) == named
