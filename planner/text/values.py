"""The small validated types: text becomes one of these at the border, or it goes no further.

Each is a ``str`` whose constructor raises ``ValueError`` with the end of a sentence ("… is not an interface name").
What passed can become neither a second word, nor an option, nor a second line of a batch stream.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes as long to load as all else here, and some commands need nothing else of it
    from typing import Self, TypeVar

    T = TypeVar("T")
    _Kind = TypeVar("_Kind", bound="Token")

IpAddress = IPv4Address | IPv6Address
IpInterface = IPv4Interface | IPv6Interface
IpNetwork = IPv4Network | IPv6Network

# IFNAMSIZ is 16 with the terminating zero (netdevice(7)).
_MAX_INTERFACE_NAME = 15
_SHOWN, _LONGEST_PATH = 60, 200
_OCTETS = {str(octet): octet for octet in range(256)}
# How many words, addresses and so on are remembered: looking again at a namespace is mostly meeting the same again.
_REMEMBERED = 4096


def shown(value: object, limit: int = _SHOWN) -> str:
    """Return ``value`` quoted for a message: printable ASCII, on one line, at most ``limit`` characters long."""
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    quoted = ascii(value[: limit + 1] if isinstance(value, str) else value)
    end = quoted[0] if isinstance(value, str) else ""
    return quoted if len(quoted) <= limit else quoted[: limit - 1 - len(end)] + "…" + end


def shown_path(path: object) -> str:
    """Return a path quoted for a message as ``shown`` does: whole, if nobody chose it to fill the screen."""
    return shown(str(path), _LONGEST_PATH)


class Token(str):
    """Text that is one harmless word: the subclass's pattern holds for all of it.

    A pattern is compiled when it is first asked for: no command meets all the words that there are.
    """

    __slots__ = ()
    pattern: str
    what: str

    def __new__(cls, text: str) -> Self:
        """Return ``text`` as this type; ValueError if it is not one."""
        found: Self = _checked(cls, text)
        return found


@functools.lru_cache(_REMEMBERED)
def _checked(kind: type[_Kind], text: str) -> _Kind:
    if not re.fullmatch(kind.pattern, text):
        raise ValueError(f"{shown(text)} is not {kind.what}")
    return str.__new__(kind, text)


class InterfaceName(Token):
    """The name of a link, as the kernel takes it (dev_valid_name) less what would need quoting anywhere.

    At most 15 bytes; letters, digits and ``. _ + = , ~ @ % -``, no leading dash, not ``.`` or ``..``.
    """

    __slots__ = ()
    pattern = rf"(?!\.\.?\Z)(?!-)[A-Za-z0-9._+=,~@%-]{{1,{_MAX_INTERFACE_NAME}}}"
    what = "an interface name (1 to 15 letters, digits or ._+=,~@%-, not starting with a dash)"


LOOPBACK = InterfaceName("lo")


class MacAddress(Token):
    """An Ethernet hardware address, six octets in lower-case hexadecimal."""

    __slots__ = ()
    pattern = r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}"
    what = "a MAC address"

    def __new__(cls, text: str) -> Self:
        """Return ``text`` in lower case; ValueError if it is no MAC address."""
        return super().__new__(cls, text.lower())


class PciAddress(Token):
    """The address of a PCI function, with its domain (``/sys/bus/pci/devices``)."""

    __slots__ = ()
    pattern = r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]"
    what = "the address of a PCI device (such as 0000:3b:02.1)"


class PlanId(Token):
    """The id under which a wiring is known: it becomes a file name and part of a link's alias."""

    __slots__ = ()
    pattern = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
    what = "an id (1 to 100 letters, digits or ._-, starting with a letter or digit)"


class NetnsPath(Token):
    """The absolute path of a network namespace file, without ``..``, control characters or anything to quote."""

    __slots__ = ()
    pattern = r"(?!.*/\.\.?(?:/|\Z))(?:/[A-Za-z0-9._+=,~@%:-]{1,255}){1,64}"
    what = "an absolute path of a network namespace (such as /run/netns/pod1 or /proc/4242/ns/net)"


class SysctlKey(Token):
    """A sysctl that podwire reads or sets, with slashes, since a link's name may hold dots (sysctl(8)).

    The list is closed, so that an edited plan cannot name another one.
    """

    __slots__ = ()
    pattern = (
        r"net/ipv6/conf/(?!\.\.?/)(?!-)[A-Za-z0-9._+=,~@%-]{1,15}/(?:accept_dad|accept_ra|keep_addr_on_down)"
        r"|net/ipv4/conf/(?!\.\.?/)(?!-)[A-Za-z0-9._+=,~@%-]{1,15}/(?:accept_local|rp_filter)"
        r"|net/bridge/bridge-nf-call-(?:iptables|ip6tables|arptables)"
    )
    what = "a sysctl that podwire knows"


class SysctlValue(Token):
    """The value of one of those sysctls: a small integer."""

    __slots__ = ()
    pattern = r"-?[0-9]{1,10}"
    what = "the value of a sysctl (an integer)"


class Keyword(Token):
    """A word of the ``ip`` language: a scope, protocol, table, state, type or metric name."""

    __slots__ = ()
    pattern = r"[A-Za-z0-9][A-Za-z0-9_./:+-]{0,63}"
    what = "a plain word"


class DomainName(Token):
    """The name of a domain, as resolv.conf(5) has it."""

    __slots__ = ()
    pattern = r"(?!-)[A-Za-z0-9._-]{1,255}"
    what = "a domain name"


class Label(Token):
    """The label of an IPv4 address (ip-address(8)): the link's name, perhaps with a colon and a suffix."""

    __slots__ = ()
    pattern = r"(?!-)[A-Za-z0-9._+=,~@%:-]{1,15}"
    what = "the label of an address"


_ALIAS_PREFIX = "podwire:"


class LinkAlias(Token):
    """The alias of a link that podwire did not make: a line of text, of which every character can be shown."""

    __slots__ = ()
    pattern = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,255}"
    what = "an alias of one line (1 to 255 characters without controls)"


class Alias(LinkAlias):
    """The alias that podwire gives to the links it creates: ``podwire:ID``."""

    __slots__ = ()
    pattern = _ALIAS_PREFIX + PlanId.pattern
    what = "an alias of podwire's (podwire:ID)"

    @classmethod
    def of(cls, plan_id: PlanId) -> Self:
        """Return the alias of the links of a wiring."""
        return cls(_ALIAS_PREFIX + plan_id)

    @staticmethod
    def is_ours(text: str | None) -> bool:
        """Say whether the alias of a link, which may be anything, is one that podwire gives."""
        return text is not None and text.startswith(_ALIAS_PREFIX)

    @property
    def owner(self) -> PlanId:
        """Return the id of the wiring."""
        return PlanId(self.removeprefix(_ALIAS_PREFIX))

    @classmethod
    def owner_in(cls, text: str | None) -> PlanId | None:
        """Return the id of the wiring that gave a link its alias, which may be anything; None if it is none of ours."""
        try:
            return cls(text).owner if text is not None and cls.is_ours(text) else None
        except ValueError:
            return None


@functools.lru_cache(_REMEMBERED)
def parse_address(text: str) -> IpAddress:
    """Return the address in ``text``; ValueError if it is none, or has a zone (``%eth0``)."""
    found = _without_zone(text, r"[^/]+", ip_address)
    if found is None:
        raise ValueError(f"{shown(text)} is not an IP address")
    return found


@functools.lru_cache(_REMEMBERED)
def parse_interface(text: str) -> IpInterface:
    """Return the address with its prefix length; ValueError if the length is missing or not a number."""
    found = _without_zone(text, r"[^/]+/[0-9]{1,3}", ip_interface)
    if found is None:
        raise ValueError(f"{shown(text)} is not an address with a prefix length (such as 10.1.90.5/24)")
    return found


@functools.lru_cache(_REMEMBERED)
def parse_network(text: str) -> IpNetwork:
    """Return the network in ``text`` (host bits refused; a bare address is a network of one)."""
    found = _ipv4_network(text) or _without_zone(text, r"[^/]+(?:/[0-9]{1,3})?", ip_network)
    if found is None:
        raise ValueError(f"{shown(text)} is not a network (such as 10.1.0.0/16)")
    return found


def _ipv4_network(text: str) -> IpNetwork | None:
    """Return what most of very many routes lead to, in half the time; None for what may be anything else."""
    try:
        address, length = text.split("/")
        first, second, third, fourth = (_OCTETS[octet] for octet in address.split("."))
        return IPv4Network((first << 24 | second << 16 | third << 8 | fourth, _OCTETS[length]))
    except (ValueError, KeyError):
        return None


def _without_zone(text: str, shape: str, parser: Callable[[str], T]) -> T | None:
    """Return what ``parser`` makes of ``text``, None if it is not of that shape or the parser refuses it."""
    if "%" in text or not re.fullmatch(shape, text):
        return None
    try:
        return parser(text)
    except ValueError:
        return None


def is_ipv6_link_local(address: IpAddress | IpInterface) -> bool:
    """Say whether an address is in fe80::/10 (RFC 4291, section 2.5.6)."""
    return address.version == 6 and address.is_link_local


def mac_of_link_local(address: IpAddress) -> MacAddress | None:
    """Return the MAC that a link-local address was made from (RFC 4291, appendix A), None if from none."""
    octets = address.packed[8:]
    if octets[3:5] != b"\xff\xfe":
        return None
    return MacAddress(bytes((octets[0] ^ 2, *octets[1:3], *octets[5:])).hex(":"))
