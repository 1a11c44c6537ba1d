"""A CNI result of any version is read into one shape, written back in any other, and refused if it is anything else."""

from __future__ import annotations

import copy
import json
import re
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.cni.result import VERSIONS, CniDns, CniInterface, CniIp, CniResult, CniRoute, parse_result
from planner.errors import InvalidInput, Refused
from planner.text.document import Node
from planner.text.values import DomainName, InterfaceName, MacAddress

Json = dict[str, Any]
Place = tuple[str | int, ...]

NETNS = "/var/run/netns/cni-92bc92ba-0c59-ee33-a6d0-88dd3a0be305"

PTP_0_2_0: Json = {
    "cniVersion": "0.2.0",
    "ip4": {"ip": "10.1.90.2/24", "gateway": "10.1.90.1", "routes": [{"dst": "0.0.0.0/0"}]},
    "ip6": {"ip": "fd00:90::2/64", "gateway": "fd00:90::1", "routes": [{"dst": "::/0"}]},
    "dns": {},
}
WEAVE: Json = {"ip4": {"ip": "10.32.0.4/12", "gateway": "10.32.0.1"}, "dns": {}}
BRIDGE: Json = {
    "cniVersion": "0.3.1",
    "interfaces": [
        {"name": "cni0", "mac": "0a:58:0a:f4:01:01"},
        {"name": "veth7c5a44d1", "mac": "ae:4b:be:d5:7e:88"},
        {"name": "eth0", "mac": "0A:58:0A:F4:01:06", "sandbox": "/var/run/netns/a"},
    ],
    "ips": [{"version": "4", "interface": 2, "address": "10.244.1.6/24", "gateway": "10.244.1.1"}],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.9.3.7/16", "gw": "10.244.1.1"}],
    "dns": {
        "nameservers": ["10.96.0.10", "fe80::1%eth0"],
        "search": ["a.svc.cluster.local", "."],
        "options": ["ndots:5"],
    },
}
CALICO: Json = {
    "cniVersion": "0.3.1",
    "interfaces": [{"name": "cali05f4a1849c5"}],
    "ips": [{"address": "10.244.196.152/32", "version": "4"}, {"address": "fd10:244::c497/128", "version": "6"}],
    "dns": {},
}
AWS: Json = {
    "cniVersion": "0.4.0",
    "interfaces": [
        {"name": "dummy7240c55beb0", "mac": "0", "sandbox": "0"},
        {"name": "pod7240c55beb0"},
        {"name": "eth0", "sandbox": NETNS},
    ],
    "ips": [{"version": "4", "interface": 2, "address": "10.24.136.194/32"}],
    "dns": {},
}
PTP_1_0_0: Json = {
    "cniVersion": "1.0.0",
    "interfaces": [
        {"name": "veth12093a4b", "mac": "7e:e7:b1:f2:d4:12"},
        {"name": "eth0", "mac": "8e:16:73:5a:0e:6e", "sandbox": "/run/netns/pod1"},
    ],
    "ips": [
        {"interface": 1, "address": "10.1.90.4/24", "gateway": "10.1.90.1"},
        {"interface": 1, "address": "fd00:90::4/64", "gateway": "fd00:90::1"},
    ],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    "dns": {},
}
SRIOV_1_1_0: Json = {
    "cniVersion": "1.1.0",
    "interfaces": [
        {
            "name": "net1",
            "mac": "02:76:0d:56:3b:49",
            "mtu": 9000,
            "sandbox": "vm-4711",
            "socketPath": "/run/vhost/net1.sock",
            "pciID": "0000:3b:02.5",
        },
    ],
    "ips": [{"interface": 0, "address": "10.56.217.2/24", "gateway": ""}],
    "routes": [
        {"dst": "0.0.0.0/0", "gw": "10.56.217.1", "mtu": 1400, "advmss": 1360, "priority": 100},
        {"dst": "169.254.1.1/32", "table": 0, "scope": 253},
    ],
    "dns": {"domain": "example.org"},
}
MANY: Json = {
    "cniVersion": "1.0.0",
    "interfaces": [
        {"name": "eth0", "sandbox": NETNS},
        {"name": "net1", "sandbox": NETNS},
        {"name": "cni0", "sandbox": ""},
        {"name": "net2.100", "sandbox": NETNS},
    ],
    "ips": [
        {"interface": 3, "address": "192.168.7.5/24"},
        {"interface": 0, "address": "10.0.0.5/24", "gateway": "10.0.0.1"},
        {"interface": -1, "address": "10.0.1.5/24"},
        {"address": "fd00::5/64"},
    ],
}

# Each sample, and an older version that still expresses all of it.
SAMPLES = {
    "ptp-0.2.0": (PTP_0_2_0, "0.1.0"),
    "weave-without-version": (WEAVE, "0.1.0"),
    "bridge-0.3.1": (BRIDGE, "0.3.0"),
    "calico-0.3.1": (CALICO, "0.3.0"),
    "aws-0.4.0": (AWS, "0.3.0"),
    "ptp-1.0.0": (PTP_1_0_0, "0.3.0"),
    "sriov-1.1.0": (SRIOV_1_1_0, "1.0.0"),
    "many-1.0.0": (MANY, "0.3.0"),
}
ALL_SAMPLES = pytest.mark.parametrize("sample", [sample for sample, _ in SAMPLES.values()], ids=SAMPLES)
WITHOUT_LOSS = [
    pytest.param(sample, version, id=f"{name}-as-{version}")
    for name, (sample, lowest) in SAMPLES.items()
    for version in VERSIONS[VERSIONS.index(lowest) :]
]


def read(document: object) -> CniResult:
    """Return the result that ``document`` is."""
    return parse_result(json.dumps(document))


def with_value(sample: Json, path: str | Place, value: object) -> Json:
    """Return a copy of ``sample`` with ``value`` at ``path`` (in text: dots between keys and indexes)."""
    changed = copy.deepcopy(sample)
    steps = [int(step) if step.isdigit() else step for step in path.split(".")] if isinstance(path, str) else path
    place: Any = changed
    for step in steps[:-1]:
        place = place[step]
    place[steps[-1]] = value
    return changed


def refusal(document: object) -> str:
    """Return the message with which ``document`` is refused."""
    with pytest.raises(InvalidInput) as caught:
        read(document)
    return str(caught.value)


class TestReading:
    def test_bridge_gives_its_interfaces_address_routes_and_resolver(self) -> None:
        assert read(BRIDGE) == CniResult(
            version="0.3.1",
            interfaces=(
                CniInterface(InterfaceName("cni0"), MacAddress("0a:58:0a:f4:01:01")),
                CniInterface(InterfaceName("veth7c5a44d1"), MacAddress("ae:4b:be:d5:7e:88")),
                CniInterface(InterfaceName("eth0"), MacAddress("0a:58:0a:f4:01:06"), "/var/run/netns/a"),
            ),
            ips=(CniIp(ip_interface("10.244.1.6/24"), ip_address("10.244.1.1"), 2),),
            routes=(
                CniRoute(ip_network("0.0.0.0/0")),
                CniRoute(ip_network("10.9.0.0/16"), ip_address("10.244.1.1")),
            ),
            dns=CniDns(
                nameservers=(ip_address("10.96.0.10"), ip_address("fe80::1%eth0")),
                search=(DomainName("a.svc.cluster.local"), DomainName(".")),
                options=("ndots:5",),
            ),
        )

    def test_0_2_0_gives_both_families_without_interfaces(self) -> None:
        result = read(PTP_0_2_0)
        assert result.interfaces == ()
        assert [(str(ip.address), str(ip.gateway), ip.interface) for ip in result.ips] == [
            ("10.1.90.2/24", "10.1.90.1", None),
            ("fd00:90::2/64", "fd00:90::1", None),
        ]
        assert [str(route.dst) for route in result.routes] == ["0.0.0.0/0", "::/0"]

    def test_1_1_0_gives_what_is_new_in_it(self) -> None:
        result = read(SRIOV_1_1_0)
        assert result.interfaces == (
            CniInterface(
                name=InterfaceName("net1"),
                mac=MacAddress("02:76:0d:56:3b:49"),
                sandbox="vm-4711",
                mtu=9000,
                socket_path="/run/vhost/net1.sock",
                pci_id="0000:3b:02.5",
            ),
        )
        assert result.routes == (
            CniRoute(ip_network("0.0.0.0/0"), ip_address("10.56.217.1"), mtu=1400, advmss=1360, priority=100),
            CniRoute(ip_network("169.254.1.1/32"), table=0, scope=253),
        )
        assert result.ips[0].gateway is None

    def test_an_aws_note_is_no_interface_and_indexes_skip_it(self) -> None:
        result = read(AWS)
        assert [interface.name for interface in result.interfaces] == ["pod7240c55beb0", "eth0"]
        assert result.ips[0].interface == 1

    def test_an_address_on_an_aws_note_is_refused(self) -> None:
        assert refusal(with_value(AWS, "ips.0.interface", 0)).startswith(
            "result.ips[0].interface: index 0 refers to an AWS plugin bookkeeping entry"
        )

    def test_no_index_and_minus_one_are_no_interface(self) -> None:
        assert [ip.interface for ip in read(MANY).ips] == [3, 0, None, None]

    def test_sandboxed_interfaces_leaves_the_host_side_out(self) -> None:
        assert [interface.name for interface in read(MANY).sandboxed_interfaces()] == ["eth0", "net1", "net2.100"]

    @pytest.mark.parametrize("empty", ["", None])
    @pytest.mark.parametrize("key", ["mac", "sandbox", "socketPath", "pciID"])
    def test_an_empty_text_of_an_interface_is_none(self, key: str, empty: str | None) -> None:
        without = copy.deepcopy(SRIOV_1_1_0)
        del without["interfaces"][0][key]
        assert read(with_value(SRIOV_1_1_0, f"interfaces.0.{key}", empty)) == read(without)

    @pytest.mark.parametrize("key", ["mtu", "advmss", "priority"])
    def test_zero_is_no_metric(self, key: str) -> None:
        assert getattr(read(with_value(SRIOV_1_1_0, f"routes.0.{key}", 0)).routes[0], key) is None

    @pytest.mark.parametrize("key", ["interfaces", "ips", "routes", "dns"])
    def test_null_is_an_empty_list(self, key: str) -> None:
        sample: Json = {"cniVersion": "1.0.0", "interfaces": [], "ips": [], "routes": [], "dns": {}, key: None}
        assert read(sample) == CniResult("1.0.0")

    def test_unknown_keys_are_left_aside(self) -> None:
        sample = with_value(BRIDGE, "interfaces.2.metadata", {"a": "b"})
        sample["example.org/type"] = sample["type"] = ["anything"]
        assert read(sample) == read(BRIDGE)

    def test_a_tag_from_before_1_0_0_is_an_unknown_key_later(self) -> None:
        assert read(with_value(PTP_1_0_0, "ips.0.version", "nonsense")) == read(PTP_1_0_0)

    def test_a_plan_can_hold_a_result_anywhere(self) -> None:
        with pytest.raises(InvalidInput, match=r"^plan\.result\.ips\[0\]\.address: "):
            CniResult.parse(Node({"ips": [{"address": "x"}]}, "plan.result"))


class TestVersion:
    @pytest.mark.parametrize(
        ("document", "version"),
        [
            pytest.param(WEAVE, "0.1.0", id="family-keys"),
            pytest.param({**WEAVE, "cniVersion": ""}, "0.1.0", id="family-keys-empty-version"),
            pytest.param(
                {"ips": [{"version": "4", "address": "10.1.2.13/24"}], "dns": {}}, "1.0.0", id="host-local-0.5.2"
            ),
            pytest.param({"interfaces": [], "ips": []}, "1.0.0", id="empty-lists"),
        ],
    )
    def test_without_a_version_the_keys_decide(self, document: Json, version: str) -> None:
        assert read(document).version == version

    @pytest.mark.parametrize("version", ["0.4", "0.5.0", "1.2.0", "v1.0.0", "1.0.0\n", "latest"])
    def test_an_unknown_one_is_refused_with_the_list(self, version: str) -> None:
        message = refusal({**BRIDGE, "cniVersion": version})
        assert message == (
            f"result.cniVersion: {version!r} is not a CNI version that podwire knows "
            "(0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0)"
        )

    def test_keys_of_another_generation_are_refused_instead_of_read_as_nothing(self) -> None:
        assert refusal({**BRIDGE, "cniVersion": "0.2.0"}) == (
            "result: CNI 0.2.0 has ip4 and ip6, not ips and interfaces: a wrong cniVersion?"
        )
        assert refusal({**WEAVE, "cniVersion": "0.3.1"}) == (
            "result: CNI 0.3.1 has ips and interfaces, not ip4: a wrong cniVersion?"
        )

    def test_a_result_for_both_generations_is_read_as_its_version_says(self) -> None:
        assert read({**PTP_0_2_0, **BRIDGE}) == read(BRIDGE)


class TestOtherDocuments:
    @pytest.mark.parametrize(
        ("document", "message"),
        [
            pytest.param([], "a CNI result is a JSON object, this is a list", id="list"),
            pytest.param(7, "a CNI result is a JSON object, this is 7", id="number"),
            pytest.param(None, "a CNI result is a JSON object, this is null", id="null"),
            pytest.param(
                {}, "this is not a CNI result: it has none of ips, ip4, ip6 and interfaces", id="empty-object"
            ),
            pytest.param(
                {"cniVersion": "1.0.0"},
                "this is not a CNI result: it has none of ips, ip4, ip6 and interfaces",
                id="only-a-version",
            ),
            pytest.param(
                {"cniVersion": "1.0.0", "code": 7, "msg": "Invalid Configuration", "details": "too \x1b[2Jsmall\n"},
                "this is a plugin's error, not a result: code 7, 'Invalid Configuration', 'too \\x1b[2Jsmall\\n'",
                id="error-with-details",
            ),
            pytest.param(
                {"code": "\x1b[2J", "msg": "m" * 400, "ips": []},
                f"this is a plugin's error, not a result: code \\x1b[2J, '{'m' * 300}'…",
                id="error-that-is-hostile",
            ),
            pytest.param(
                {"cniVersion": "1.0.0", "name": "dbnet", "type": "tuning", "prevResult": BRIDGE},
                "this is a network configuration; pass the value of its 'prevResult'",
                id="previous-result",
            ),
            pytest.param(
                {"ifName": "eth0", "result": BRIDGE},
                "the result is in its 'result'; pass that",
                id="a-result-inside",
            ),
            pytest.param(
                {"cniVersion": "0.4.0", "name": "dbnet", "plugins": []},
                "this is a list of network configurations, not a plugin's answer to ADD",
                id="configuration-list",
            ),
            pytest.param(
                {"cniVersion": "0.4.0", "name": "dbnet", "type": "bridge", "dns": {}},
                "this is a network configuration, not a plugin's answer to ADD",
                id="configuration",
            ),
            pytest.param(
                {"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]},
                "this is a plugin's answer to VERSION, not to ADD",
                id="version-answer",
            ),
        ],
    )
    def test_is_refused_with_what_it_is(self, document: object, message: str) -> None:
        assert refusal(document) == f"result: {message}"

    @pytest.mark.parametrize("text", [b"", b"\xff", b"{", "nonsense", '{"ips":[],"ips":[]}', '{"ips":NaN}'])
    def test_text_that_is_not_json_is_refused(self, text: bytes | str) -> None:
        with pytest.raises(InvalidInput, match=r"^result is not "):
            parse_result(text)

    @pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")], ids=["lists", "objects"])
    def test_nesting_is_refused_at_every_depth(self, opening: str, closing: str) -> None:
        for depth in range(800, 1050):
            with pytest.raises(InvalidInput):
                parse_result('{"cniVersion":' + opening * depth + "1" + closing * depth + ',"dns":{}}')

    @pytest.mark.parametrize(
        "text", ['\ufeff{"cniVersion": "0.4.0", "dns": {}}', b'\xef\xbb\xbf{"cniVersion": "0.4.0", "dns": {}}']
    )
    def test_a_byte_order_mark_is_passed_over(self, text: bytes | str) -> None:
        """As a parser may (RFC 8259, section 8.1)."""
        assert parse_result(text) == CniResult("0.4.0")

    def test_an_empty_result_is_one(self) -> None:
        assert read({"cniVersion": "0.4.0", "dns": {}}) == CniResult("0.4.0")


class TestRefusal:
    @pytest.mark.parametrize(
        ("sample", "path", "value", "message"),
        [
            pytest.param(
                PTP_1_0_0,
                "ips.1.address",
                "10.1.90.300/24",
                "result.ips[1].address: '10.1.90.300/24' is not an address with a prefix length (such as 10.1.90.5/24)",
                id="octet",
            ),
            pytest.param(
                PTP_1_0_0,
                "ips.0.interface",
                2,
                "result.ips[0].interface: interface index 2 is out of range: the result has 2 interfaces",
                id="index-past-the-end",
            ),
            pytest.param(
                PTP_1_0_0,
                "ips.0.interface",
                -2,
                "result.ips[0].interface: -2 is not between -1 and 4294967295",
                id="index",
            ),
            pytest.param(
                BRIDGE,
                "ips.0.version",
                "6",
                "result.ips[0].version: '6' is not the IP version of 10.244.1.6/24, which is '4'",
                id="tag",
            ),
            pytest.param(
                PTP_0_2_0,
                "ip4.ip",
                "fd00::1/64",
                "result.ip4.ip: 'fd00::1/64' is not an IPv4 address",
                id="ip4-with-ipv6",
            ),
            pytest.param(
                PTP_0_2_0,
                "ip6.routes.0.dst",
                "0.0.0.0/0",
                "result.ip6.routes[0].dst: '0.0.0.0/0' is not an IPv6 address",
                id="ip6-with-ipv4-route",
            ),
            pytest.param(PTP_0_2_0, "ip4", {}, "result.ip4: 'ip' is missing", id="ip4-without-address"),
            pytest.param(PTP_1_0_0, "ips.0", {}, "result.ips[0]: 'address' is missing", id="without-address"),
            pytest.param(PTP_1_0_0, "interfaces.0", {}, "result.interfaces[0]: 'name' is missing", id="without-name"),
            pytest.param(
                SRIOV_1_1_0, "routes.0.scope", 256, "result.routes[0].scope: 256 is not between 0 and 255", id="scope"
            ),
            pytest.param(BRIDGE, "dns", [], "result.dns: expected an object, not a list", id="resolver-list"),
            pytest.param(BRIDGE, "interfaces", [None], "result.interfaces[0]: expected an object, not null", id="null"),
        ],
    )
    def test_says_where_and_what(self, sample: Json, path: str, value: object, message: str) -> None:
        assert refusal(with_value(sample, path, value)) == message

    @pytest.mark.parametrize(
        ("sample", "path"),
        [
            pytest.param(sample, path, id=path)
            for sample, paths in (
                (PTP_0_2_0, ["ip4.ip", "ip4.gateway", "ip4.routes.0.dst", "ip4.routes.0.gw", "ip6.ip"]),
                (BRIDGE, ["dns.domain", "dns.nameservers.1", "dns.search.0", "dns.options.0", "ips.0.version"]),
                (SRIOV_1_1_0, ["interfaces.0.name", "interfaces.0.mac", "interfaces.0.sandbox", "interfaces.0.pciID"]),
                (SRIOV_1_1_0, ["interfaces.0.socketPath", "interfaces.0.mtu", "ips.0.address", "ips.0.gateway"]),
                (SRIOV_1_1_0, ["ips.0.interface", "routes.0.dst", "routes.0.gw", "routes.0.mtu", "routes.0.advmss"]),
                (SRIOV_1_1_0, ["routes.0.priority", "routes.0.table", "routes.0.scope", "cniVersion"]),
            )
            for path in paths
        ],
    )
    @pytest.mark.parametrize("tail", ["\n", "\x00", "\x1b[2J", "\x7f", "\u2028", "\u202e", "\t"], ids=ascii)
    def test_control_characters_are_refused_in_every_field(self, sample: Json, path: str, tail: str) -> None:
        place: Any = sample
        for step in path.split("."):
            place = place[int(step)] if step.isdigit() else place.get(step, "")
        message = refusal(with_value(sample, path, f"{place}{tail}"))
        assert message.isprintable()
        where = re.sub(r"\.(\d+)", r"[\1]", path)
        assert message.startswith(f"result.{where}: ")

    @pytest.mark.parametrize("word", ["-o", "a b", "a;b", "a$(b)", "a'b", 'a"b', "a\\b", "a/b", "ä", "", "w" * 300])
    @pytest.mark.parametrize("path", ["dns.nameservers.0", "dns.search.0", "dns.options.0"])
    def test_a_resolver_is_told_plain_words_only(self, path: str, word: str) -> None:
        refusal(with_value(BRIDGE, path, word))

    @pytest.mark.parametrize(
        "server", ["fe80::1%", "fe80::1%a b", "fe80::1%%", "10.0.0.1%eth0", "fe80::1%eth0%1", "::1/64"]
    )
    def test_a_nameserver_has_at_most_a_zone(self, server: str) -> None:
        assert "is not an IP address" in refusal(with_value(BRIDGE, "dns.nameservers.0", server))

    @pytest.mark.parametrize("name", ["-a", "a b", "..", "a/b", "a\nb", "a" * 16, "dummy7240c55beb0", "", None, 7])
    def test_a_name_that_no_link_has(self, name: object) -> None:
        assert refusal(with_value(BRIDGE, "interfaces.0.name", name)).startswith("result.interfaces[0]")

    @pytest.mark.parametrize("destination", ["default", "10.0.0.0", "10.0.0.0/33", "fe80::1%eth0/64", "/8", ""])
    def test_a_destination_that_is_none(self, destination: str) -> None:
        assert refusal(with_value(BRIDGE, "routes.0.dst", destination)).startswith("result.routes[0].dst: ")


class TestWriting:
    @pytest.mark.parametrize(("sample", "version"), WITHOUT_LOSS)
    def test_reads_back_the_same_where_nothing_is_lost(self, sample: Json, version: str) -> None:
        result = read(sample)
        assert read(result.to_json(version)) == evolve(result, version=version)

    @ALL_SAMPLES
    def test_writes_its_own_version_unless_told_otherwise(self, sample: Json) -> None:
        result = read(sample)
        assert read(result.to_json()) == result

    def test_bridge_is_written_as_it_was_but_for_case_and_host_bits(self) -> None:
        expected = with_value(BRIDGE, "interfaces.2.mac", "0a:58:0a:f4:01:06")
        assert read(BRIDGE).to_json() == with_value(expected, "routes.1.dst", "10.9.0.0/16")

    def test_0_2_0_is_written_as_it_was(self) -> None:
        assert read(PTP_0_2_0).to_json() == PTP_0_2_0

    def test_1_1_0_is_written_as_it_was(self) -> None:
        expected = copy.deepcopy(SRIOV_1_1_0)
        del expected["ips"][0]["gateway"]
        assert read(SRIOV_1_1_0).to_json() == expected

    @pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0"])
    def test_the_tag_of_an_address_comes_back_where_it_is_wanted(self, version: str) -> None:
        written: Json = read(PTP_1_0_0).to_json(version)
        assert [ip["version"] for ip in written["ips"]] == ["4", "6"]

    @pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0"])
    def test_before_1_0_0_an_interface_is_a_name_a_mac_and_a_sandbox(self, version: str) -> None:
        written: Json = read(SRIOV_1_1_0).to_json(version)
        assert written["interfaces"] == [{"name": "net1", "mac": "02:76:0d:56:3b:49", "sandbox": "vm-4711"}]
        assert written["routes"] == SRIOV_1_1_0["routes"], "CNI's converters keep these"

    @pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
    def test_before_0_3_0_one_address_of_each_family_with_its_routes_is_left(self, version: str) -> None:
        assert read(MANY).to_json(version) == {
            "cniVersion": version,
            "ip4": {"ip": "192.168.7.5/24", "routes": []},
            "ip6": {"ip": "fd00::5/64", "routes": []},
            "dns": {},
        }
        assert read(SRIOV_1_1_0).to_json(version) == {
            "cniVersion": version,
            "ip4": {
                "ip": "10.56.217.2/24",
                "routes": [{"dst": "0.0.0.0/0", "gw": "10.56.217.1"}, {"dst": "169.254.1.1/32"}],
            },
            "dns": {"domain": "example.org"},
        }

    def test_before_0_3_0_routes_of_a_family_without_address_are_lost(self) -> None:
        result = read(PTP_1_0_0)
        written = evolve(result, ips=result.ips[:1]).to_json("0.2.0")
        assert written == {"cniVersion": "0.2.0", "ip4": PTP_0_2_0["ip4"] | {"ip": "10.1.90.4/24"}, "dns": {}}

    def test_a_result_of_interfaces_only_is_not_written_where_nothing_would_be_left(self) -> None:
        with pytest.raises(Refused, match=r"can't be written as CNI 0\.2\.0, which knows no interfaces"):
            evolve(read(BRIDGE), ips=()).to_json("0.2.0")

    @pytest.mark.parametrize("version", VERSIONS)
    def test_an_empty_result_is_read_back_as_one(self, version: str) -> None:
        assert read(CniResult(version).to_json()) == CniResult(version)

    @pytest.mark.parametrize("version", ["", "2.0.0", "1.0.0\n"])
    def test_an_unknown_version_is_refused(self, version: str) -> None:
        with pytest.raises(InvalidInput, match=r"^cniVersion: .* is not a CNI version that podwire knows \(0\.1\.0, "):
            read(BRIDGE).to_json(version)

    @ALL_SAMPLES
    def test_all_of_it_is_plain_json(self, sample: Json) -> None:
        def types(value: object) -> set[type]:
            inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
            return {type(value)}.union(*(types(item) for item in inner))

        assert types(read(sample).to_json("1.1.0")) <= {dict, list, str, int}


HOSTILE = st.sampled_from(
    [
        "",
        "-1",
        "a b",
        "\n",
        "\x00",
        "\ud7ff",
        "%",
        "fe80::1%x",
        "::ffff:1.2.3.4/99",
        "0",
        "1" * 20,
        "/",
        "eth0",
        "4",
        "6",
        "½",
    ]
)
HONEST = st.sampled_from([None, 0, 1, 1400, "", "10.0.0.1", "fd00::1", "10.0.0.1/8", "fd00::1/64", "eth1", "a.example"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | HOSTILE | st.sampled_from(VERSIONS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(["ip", "dst"]), inner, max_size=3)
    ),
    max_leaves=6,
)
FUZZ = settings(max_examples=300, deadline=None, derandomize=True)


def places(value: object, here: Place = ()) -> list[Place]:
    """Return the way to everything in ``value``."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [found for step, item in inner for found in places(item, (*here, step))]
    return [here, *below] if here else below


@st.composite
def mutated(draw: st.DrawFn) -> Json:
    """Draw a real result of any version with up to three of its values replaced by anything."""
    changed: Json = draw(st.sampled_from([sample for sample, _ in SAMPLES.values()]))
    for _ in range(draw(st.integers(0, 3))):
        changed = with_value(changed, draw(st.sampled_from(places(changed))), draw(HONEST | HOSTILE | VALUES))
    return changed


def result_or_refusal(text: bytes | str) -> CniResult | None:
    """Return the result in ``text``, or None if it is refused as everything should be."""
    try:
        return parse_result(text)
    except InvalidInput as refused:
        message = str(refused)
    assert message.startswith("result")
    assert message.isprintable()
    return None


class TestAnything:
    @FUZZ
    @given(st.binary())
    def test_bytes_give_a_result_or_a_refusal(self, text: bytes) -> None:
        result_or_refusal(text)

    @FUZZ
    @given(VALUES)
    def test_json_gives_a_result_or_a_refusal(self, value: object) -> None:
        result_or_refusal(json.dumps(value))

    @FUZZ
    @given(mutated())
    def test_a_mutated_result_is_refused_or_reads_back_as_it_was_written(self, document: Json) -> None:
        result = result_or_refusal(json.dumps(document))
        if result is not None:
            assert read(result.to_json()) == result
            assert read(result.to_json("1.1.0")) == evolve(result, version="1.1.0")
