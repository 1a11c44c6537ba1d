"""Text becomes a validated type at the border, or it goes no further: never a second word, option or line."""

from __future__ import annotations

import shlex
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.text.values import (
    Alias,
    InterfaceName,
    Keyword,
    Label,
    MacAddress,
    NetnsPath,
    PlanId,
    SysctlKey,
    SysctlValue,
    Token,
    is_ipv6_link_local,
    parse_address,
    parse_interface,
    parse_network,
    shown,
)

GOOD: list[tuple[type[Token], str]] = [
    (InterfaceName, "eth0"),
    (InterfaceName, "eth0.100"),
    (InterfaceName, "a23456789012345"),
    (InterfaceName, "x@y"),
    (InterfaceName, "a-b_c+d=e,f~g%h"),
    (InterfaceName, "..."),
    (MacAddress, "0a:58:0a:01:5a:05"),
    (PlanId, "cni-92bc92ba-0c59_x.1"),
    (NetnsPath, "/run/netns/pod1"),
    (NetnsPath, "/proc/4242/ns/net"),
    (NetnsPath, "/run/netns/..."),
    (SysctlKey, "net/ipv6/conf/eth0.100/accept_dad"),
    (SysctlKey, "net/bridge/bridge-nf-call-ip6tables"),
    (SysctlValue, "-1"),
    (Keyword, "fe80"),
    (Label, "eth0:two"),
    (Alias, "podwire:pod1"),
]
KINDS = sorted({kind for kind, _ in GOOD}, key=lambda kind: kind.__name__)
HOSTILE = [
    "",
    " ",
    "a b",
    "a\nb",
    "eth0\n",
    "\x00",
    "a\x00",
    "\x1b[2J",
    "-f",
    "--netns",
    "a'b",
    'a"b',
    "a\\b",
    "$(id)",
    "`id`",
    "a;b",
    "a|b",
    "a&b",
    "#a",
    "a*",
    "ä",
    "\u202e",
    "a\u2028b",
    "a\x85b",
    "\ud800",
    "a" * 5000,
]


class TestTokens:
    """Every small type takes what it is for, and nothing that could be read as something else."""

    @pytest.mark.parametrize(("kind", "text"), GOOD, ids=[f"{kind.__name__}-{text}" for kind, text in GOOD])
    def test_takes_what_it_is_for(self, kind: type[Token], text: str) -> None:
        """A good text is kept as it is."""
        assert kind(text) == text

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
    @pytest.mark.parametrize("text", HOSTILE, ids=ascii)
    def test_refuses_what_could_be_read_otherwise(self, kind: type[Token], text: str) -> None:
        """Hostile text is refused in a printable sentence that says what was wanted."""
        with pytest.raises(ValueError, match="is not") as refused:
            kind(text)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 250

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
    @pytest.mark.parametrize("tail", ["\n", "\r", "\x00", " ", "\u2028", "'"], ids=ascii)
    def test_refuses_a_good_text_with_something_behind(self, kind: type[Token], tail: str) -> None:
        """A good beginning makes nothing good: the pattern holds for all of the text."""
        good = next(text for found, text in GOOD if found is kind)
        with pytest.raises(ValueError, match="is not"):
            kind(good + tail)

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.sampled_from(KINDS), st.text(max_size=20))
    def test_what_passes_is_one_word_and_no_option(self, kind: type[Token], text: str) -> None:
        """Whatever passes is one word to a shell, begins with no dash (a number apart), and is plain ASCII."""
        try:
            value = kind(text)
        except ValueError:
            return
        assert shlex.split(shlex.quote(value)) == [value]
        assert value.isascii()
        assert value.isprintable()
        assert not any(char in value for char in " #\"'\\")
        assert not value.startswith("-") or kind is SysctlValue

    @pytest.mark.parametrize("name", [".", "..", "a/b", "a:b", "a23456789012345x", "-eth0"])
    def test_an_interface_name_is_one_that_the_kernel_takes(self, name: str) -> None:
        """What dev_valid_name refuses (too long, `.`, `..`, a slash, a colon) is refused, and so is a leading dash."""
        with pytest.raises(ValueError, match="is not an interface name"):
            InterfaceName(name)

    @pytest.mark.parametrize(
        "path",
        ["run/netns/a", "/run/../etc/shadow", "/run/./a", "/run/netns/..", "/", "//a", "/run/netns/", "/a" * 65, "~/x"],
    )
    def test_a_namespace_path_is_absolute_and_plain(self, path: str) -> None:
        """A path is absolute, has no empty, `.` or `..` step, and ends in a file."""
        with pytest.raises(ValueError, match="is not an absolute path of a network namespace"):
            NetnsPath(path)

    @pytest.mark.parametrize("name", ["../x", "a/b", ".x", "-x", "x" * 101])
    def test_an_id_is_a_file_name(self, name: str) -> None:
        """An id becomes a file's name: it holds no slash, and does not begin with a dot or a dash."""
        with pytest.raises(ValueError, match="is not an id"):
            PlanId(name)

    @pytest.mark.parametrize(
        "key",
        [
            "kernel/core_pattern",
            "net/ipv4/ip_forward",
            "net/ipv6/conf/../../../kernel/core_pattern",
            "net/ipv6/conf/../accept_dad",
            "net/ipv6/conf/./accept_dad",
            "net/ipv6/conf/-w/accept_dad",
            "net/ipv6/conf/eth0/forwarding",
            "net.ipv6.conf.eth0.accept_dad",
            "net/bridge/bridge-nf-call-iptables=1",
        ],
    )
    def test_the_list_of_sysctls_is_closed(self, key: str) -> None:
        """An edited plan cannot name a sysctl that podwire does not know."""
        with pytest.raises(ValueError, match="is not a sysctl that podwire knows"):
            SysctlKey(key)

    @pytest.mark.parametrize("text", ["0A:58:0A:01:5A:05", "0a:58:0A:01:5a:05"])
    def test_a_mac_address_is_kept_in_lower_case(self, text: str) -> None:
        """Two ways of writing a MAC are one MAC."""
        assert MacAddress(text) == "0a:58:0a:01:5a:05"

    @pytest.mark.parametrize(
        "text", ["0", "0a-58-0a-01-5a-05", "0a:58:0a:01:5a", "0a:58:0a:01:5a:05:06", "0a:58:0a:1:5a:5"]
    )
    def test_a_mac_address_has_six_octets(self, text: str) -> None:
        """Other forms, and other lengths, are none."""
        with pytest.raises(ValueError, match="is not a MAC address"):
            MacAddress(text)


class TestAddresses:
    """Addresses become those of the standard library, without the zones and netmasks that it would take."""

    def test_are_parsed(self) -> None:
        """An address, one with its prefix length, and a network."""
        assert parse_address("fd00::5") == ip_address("fd00::5")
        assert parse_interface("10.1.90.5/24") == ip_interface("10.1.90.5/24")
        assert parse_network("10.1.0.0/16") == ip_network("10.1.0.0/16")
        assert parse_network("10.1.90.1") == ip_network("10.1.90.1/32")

    @pytest.mark.parametrize(
        "text", ["", "10.1.90", "010.1.90.5", "10.1.90.5/24", "fe80::1%eth0", "::g", "1", "\uff110.1.90.5"]
    )
    def test_what_is_no_address_is_refused(self, text: str) -> None:
        """Neither zones nor prefix lengths nor odd digits are part of an address."""
        with pytest.raises(ValueError, match="is not an IP address"):
            parse_address(text)

    @pytest.mark.parametrize(
        "text",
        [
            "10.1.90.5",
            "10.1.90.5/33",
            "10.1.90.5/",
            "10.1.90.5/255.255.255.0",
            "fe80::1%eth0/64",
            "10.1.90.5/24/8",
            "/24",
        ],
    )
    def test_what_has_no_prefix_length_is_refused(self, text: str) -> None:
        """A prefix length is a number, and has to be there."""
        with pytest.raises(ValueError, match="is not an address with a prefix length"):
            parse_interface(text)

    @pytest.mark.parametrize(
        "text", ["10.1.90.5/24", "default", "10.1.0.0/255.255.0.0", "fe80::%eth0/64", "10.1.0.0/-1"]
    )
    def test_what_is_no_network_is_refused(self, text: str) -> None:
        """Host bits, names and netmasks are refused."""
        with pytest.raises(ValueError, match="is not a network"):
            parse_network(text)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("fe80::1/64", True),
            ("febf::1/64", True),
            ("fec0::1/64", False),
            ("169.254.1.1/16", False),
            ("fd00::1/64", False),
        ],
    )
    def test_link_local_means_ipv6(self, text: str, expected: bool) -> None:  # noqa: FBT001
        """fe80::/10 is link-local; 169.254.0.0/16 is an address like others here."""
        assert is_ipv6_link_local(ip_interface(text)) is expected


class TestShown:
    """What is quoted in a message is short, on one line, and says no more than it must."""

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("eth0", "'eth0'"),
            ("a\n\x1b[2J\u202e", "'a\\n\\x1b[2J\\u202e'"),
            (["a"], "a list"),
            ({"a": 1}, "an object"),
            (7, "7"),
            (-7.5, "-7.5"),
        ],
    )
    def test_is_printable_ascii(self, value: Any, expected: str) -> None:
        """Text is quoted and escaped, numbers are not, and what holds others is only named."""
        assert shown(value) == expected

    def test_long_text_is_cut(self) -> None:
        """A long text is cut, and still ends with its quote."""
        assert shown("x" * 500) == f"'{'x' * 57}…'"
        assert shown("x" * 500, 10) == f"'{'x' * 7}…'"

    def test_a_long_number_is_cut_without_a_quote(self) -> None:
        """A number has no quotes, so none is put at its end."""
        assert shown(10**400) == "1" + "0" * 58 + "…"
        assert shown(-(10**400)) == "-1" + "0" * 57 + "…"
