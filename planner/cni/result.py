"""What a CNI plugin's ADD answered: a result of any spec version, read into one shape and written back in a wanted one.

The shape is that of 1.1.0, the richest. What it is made of is in the CNI specification: "ADD Success" for 1.1.0,
"Section 5: Result Types" for 1.0.0, "Result" before (https://github.com/containernetworking/cni, SPEC.md of each
tag). What an older version can't express is lost as in CNI's own converters (there, pkg/types/020, 040 and 100).

Values are checked more strictly than CNI does, because they go on into commands, plans and guests. Keys that are
unknown are left aside: plugins and runtimes may have their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address
from typing import TypeVar

from planner.cni.documents import FAMILY_KEYS, LIST_KEYS, refuse_other_documents
from planner.errors import InvalidInput, Refused
from planner.text.document import Node, load_json
from planner.text.frozen import frozen
from planner.text.values import (
    DomainName,
    InterfaceName,
    IpAddress,
    IpInterface,
    IpNetwork,
    MacAddress,
    parse_address,
    parse_interface,
    shown,
)

T = TypeVar("T")

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")

# Three generations: `ip4` and `ip6`; lists, each address tagged with its family; lists without the tag. 1.0.0 is
# written with the interface keys of 1.1.0, and 0.3.0 and later with its route keys, because CNI's converters do.
_BY_FAMILY = ("0.1.0", "0.2.0")
_TAGGED = ("0.3.0", "0.3.1", "0.4.0")
_UNTAGGED = ("1.0.0", "1.1.0")

_CACHE = "cniCacheV1"

_LABEL = 4096  # PATH_MAX


@frozen
class CniInterface:
    """A link that the plugin made or moved; ``sandbox`` None means that it stays on the host.

    ``sandbox`` is the path of a namespace or a runtime's own id, ``pci_id`` whatever the plugin calls the device (the
    AWS plugin puts a route table there): both are for people to read, never a path or an address to use.
    """

    name: InterfaceName
    mac: MacAddress | None = None
    sandbox: str | None = None
    mtu: int | None = None
    socket_path: str | None = None
    pci_id: str | None = None


@frozen
class CniIp:
    """An address that the plugin assigned; ``interface`` is an index into the result's interfaces, if it says."""

    address: IpInterface
    gateway: IpAddress | None = None
    interface: int | None = None


@frozen
class CniRoute:
    """A route that the plugin made; its numbers are the kernel's (ip-route(8); scope 0 global, 253 link, 254 host).

    A route without a gateway may use that of an address (CNI specification, ADD Success).
    """

    dst: IpNetwork
    gateway: IpAddress | None = None
    mtu: int | None = None
    advmss: int | None = None
    priority: int | None = None
    table: int | None = None
    scope: int | None = None


@frozen
class CniDns:
    """The configuration of a resolver in the sandbox, as in resolv.conf(5)."""

    nameservers: tuple[IpAddress, ...] = ()
    domain: DomainName | None = None
    search: tuple[DomainName, ...] = ()
    options: tuple[str, ...] = ()


@frozen
class CniResult:
    """The result of ADD. ``version`` is the one it was read from, and written back in unless another is wanted.

    Code that adds what an old version can't express (interfaces to a 0.2.0 result) sets ``version`` as well.
    """

    version: str
    interfaces: tuple[CniInterface, ...] = ()
    ips: tuple[CniIp, ...] = ()
    routes: tuple[CniRoute, ...] = ()
    dns: CniDns = CniDns()

    @classmethod
    def parse(cls, node: Node) -> CniResult:
        """Return the result in ``node``; InvalidInput if it is none."""
        refuse_other_documents(node)
        version = _read_version(node)
        _refuse_other_generation(node, version)
        return _read_by_family(node, version) if version in _BY_FAMILY else _read_lists(node, version)

    def to_json(self, version: str | None = None) -> dict[str, object]:
        """Return the result as a JSON object of ``version`` (default: its own), less what that can't express.

        Raises Refused if nothing would be left (CNI's converters: "no valid IP addresses"), and InvalidInput for a
        version that is not in ``VERSIONS``.
        """
        wanted = self.version if version is None else version
        if wanted not in VERSIONS:
            raise InvalidInput(f"cniVersion: {_unsupported(wanted)}")
        return _write_by_family(self, wanted) if wanted in _BY_FAMILY else _write_lists(self, wanted)

    def sandboxed_interfaces(self) -> tuple[CniInterface, ...]:
        """Return the interfaces that are in a sandbox, in the result's order; host-side ones are left out."""
        return tuple(interface for interface in self.interfaces if interface.sandbox is not None)


def parse_result(text: bytes | str, what: str = "result", *, called: str = "") -> CniResult:
    """Return the CNI result in ``text``, which may be anything; InvalidInput, with the path, if it is none.

    An entry of libcni's cache (libcni, api.go: cachedInfo) holds one. ``what`` is what messages call it, ``called``
    what they call the document that it is in.
    """
    try:
        node = load_json(text, what, called=called)
        is_cached = isinstance(node.value, dict) and node.value.get("kind") == _CACHE and node.has("result")
        return CniResult.parse(node.field("result") if is_cached else node)
    except RecursionError:
        # Just short of what load_json takes for too deep, quoting the element in a message is one level too many.
        raise InvalidInput(f"{what} is nested too deeply") from None


def _read_version(node: Node) -> str:
    """Return ``cniVersion``, or what the result must be if it is missing.

    That is 0.1.0 by the specification, but not with the lists of later versions: host-local 0.5.2 left the version
    out, and the specification's own examples do (1.0.0, "Add example").
    """
    version = _given(node, "cniVersion", str)
    if version is None:
        return "1.0.0" if any(node.has(key) for key in LIST_KEYS) else "0.1.0"
    if version not in VERSIONS:
        raise node.field("cniVersion").error(_unsupported(version))
    return version


def _unsupported(version: str) -> str:
    return f"{shown(version)} is not a CNI version that podwire knows ({', '.join(VERSIONS)})"


def _refuse_other_generation(node: Node, version: str) -> None:
    """Refuse a result whose keys are only those of another generation: it would be read as an empty one."""
    own, other = (FAMILY_KEYS, LIST_KEYS) if version in _BY_FAMILY else (LIST_KEYS, FAMILY_KEYS)
    strange = [key for key in other if node.has(key)]
    if strange and not any(node.has(key) for key in own):
        raise node.error(f"CNI {version} has {' and '.join(own)}, not {' and '.join(strange)}: a wrong cniVersion?")


# Reading


def _read_by_family(node: Node, version: str) -> CniResult:
    ips: list[CniIp] = []
    routes: list[CniRoute] = []
    for family, key in zip((4, 6), FAMILY_KEYS, strict=True):
        if node.has(key):
            ip = node.field(key)
            ips.append(CniIp(_read_address(ip, "ip", family), _given(ip, "gateway", parse_address)))
            routes.extend(_read_old_route(route, family) for route in _list(ip, "routes"))
    return CniResult(version, (), tuple(ips), tuple(routes), _read_dns(node))


def _read_lists(node: Node, version: str) -> CniResult:
    interfaces, places = _read_interfaces(node, version)
    ips = tuple(_read_ip(ip, version, places) for ip in _list(node, "ips"))
    routes = tuple(_read_route(route) for route in _list(node, "routes"))
    return CniResult(version, interfaces, ips, routes, _read_dns(node))


def _read_interfaces(node: Node, version: str) -> tuple[tuple[CniInterface, ...], list[int | None]]:
    """Return the interfaces and, for each entry of the list, which of them it is (None if it is none)."""
    interfaces: list[CniInterface] = []
    places: list[int | None] = []
    for entry in _list(node, "interfaces"):
        if _is_aws_note(entry):
            places.append(None)
        else:
            places.append(len(interfaces))
            interfaces.append(_read_interface(entry, version))
    return tuple(interfaces), places


def _is_aws_note(node: Node) -> bool:
    """Say whether this is no interface, but what the AWS VPC plugin notes down for its DEL.

    Such as ``{"name": "dummy7240c55beb0", "mac": "0", "sandbox": "0"}``: a VLAN as MAC, a device number as sandbox,
    a name too long for a link (amazon-vpc-cni-k8s, cmd/routed-eni-cni-plugin/cni.go, and its issue 2961).
    """
    name, mac = (node.optional(key, Node.text, "") for key in ("name", "mac"))
    return bool(re.fullmatch(r"dummy[0-9a-f]{11}", name) and re.fullmatch(r"[0-9]{1,4}", mac))


def _read_interface(node: Node, version: str) -> CniInterface:
    name = node.field("name").parse(InterfaceName)
    mac = _given(node, "mac", MacAddress)
    sandbox = _given(node, "sandbox", _label)
    if version not in _UNTAGGED:
        return CniInterface(name, mac, sandbox)
    socket_path, pci_id = _given(node, "socketPath", _label), _given(node, "pciID", _label)
    return CniInterface(name, mac, sandbox, _positive(node, "mtu"), socket_path, pci_id)


def _read_ip(node: Node, version: str, places: list[int | None]) -> CniIp:
    address = _read_address(node, "address")
    if version in _TAGGED and node.maybe("version", Node.text) not in (None, "", str(address.version)):
        tag = node.field("version")
        raise tag.error(f"{shown(tag.value)} is not the IP version of {address}, which is '{address.version}'")
    interface = node.maybe("interface", lambda index: _read_place(index, places))
    return CniIp(address, _given(node, "gateway", parse_address), interface)


def _read_place(node: Node, places: list[int | None]) -> int | None:
    """Return the index in ``node``; -1 is what CNI's early converters wrote for none."""
    index = node.integer(low=-1)
    if index == -1:
        return None
    if index >= len(places):
        raise node.error(
            f"interface index {index} is out of range: the result has {len(places)} "
            f"interface{'' if len(places) == 1 else 's'}"
        )
    if places[index] is None:
        raise node.error(f"index {index} refers to an AWS plugin bookkeeping entry, not an interface")
    return places[index]


def _read_old_route(node: Node, family: int) -> CniRoute:
    return CniRoute(_read_destination(node, family), _given(node, "gw", parse_address))


def _read_route(node: Node) -> CniRoute:
    """Return the route; in its first three numbers zero is none (Go's omitempty), a table or scope of zero is one."""
    return CniRoute(
        dst=_read_destination(node),
        gateway=_given(node, "gw", parse_address),
        mtu=_positive(node, "mtu"),
        advmss=_positive(node, "advmss"),
        priority=_positive(node, "priority"),
        table=node.maybe("table", Node.integer),
        scope=node.maybe("scope", lambda scope: scope.integer(high=255)),
    )


def _read_address(node: Node, key: str, family: int | None = None) -> IpInterface:
    address = node.field(key).parse(parse_interface)
    if family not in (None, address.version):
        raise node.field(key).error(f"{shown(str(address))} is not an IPv{family} address")
    return address


def _read_destination(node: Node, family: int | None = None) -> IpNetwork:
    """Return the network; host bits are masked, since host-local hands on whatever its configuration says."""
    return _read_address(node, "dst", family).network


def _read_dns(node: Node) -> CniDns:
    if not node.has("dns"):
        return CniDns()
    dns = node.field("dns")
    return CniDns(
        nameservers=tuple(server.parse(_nameserver) for server in _list(dns, "nameservers")),
        domain=_given(dns, "domain", DomainName),
        search=tuple(domain.parse(DomainName) for domain in _list(dns, "search")),
        options=tuple(option.parse(_dns_option) for option in _list(dns, "options")),
    )


def _nameserver(text: str) -> IpAddress:
    """Return the address, with its zone if it has one: host-local copies ``fe80::1%eth0`` out of resolv.conf(5)."""
    address, percent, zone = text.partition("%")
    if not percent:
        return parse_address(text)
    try:
        return IPv6Address(f"{address}%{InterfaceName(zone)}")
    except ValueError:
        raise ValueError(f"{shown(text)} is not an IP address") from None


def _dns_option(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", text):
        raise ValueError(f"{shown(text)} is not a resolver option")
    return text


def _label(text: str) -> str:
    """Return text that is for people: a path or an id on one line, nothing in it that moves a cursor."""
    if len(text) > _LABEL or not text.isprintable():
        raise ValueError(f"{shown(text)} is not a path or an id of at most {_LABEL} printable characters")
    return text


def _given(node: Node, key: str, parser: Callable[[str], T]) -> T | None:
    """Return ``parser`` of the string under ``key``; an empty one counts as missing, as in Go's omitempty."""
    return node.field(key).parse(parser) if node.maybe(key, Node.text) else None


def _positive(node: Node, key: str) -> int | None:
    return node.maybe(key, Node.integer) or None


def _list(node: Node, key: str) -> Iterator[Node]:
    return node.field(key).items() if node.has(key) else iter(())


# Writing


def _write_by_family(result: CniResult, version: str) -> dict[str, object]:
    """Write the first address of each family, with the routes of that family."""
    if result.interfaces and not result.ips:
        raise Refused(f"a result without addresses can't be written as CNI {version}, which knows no interfaces")
    written: dict[str, object] = {"cniVersion": version}
    for family, key in zip((4, 6), FAMILY_KEYS, strict=True):
        ip = next((ip for ip in result.ips if ip.address.version == family), None)
        if ip is not None:
            routes = [_some(dst=route.dst, gw=route.gateway) for route in result.routes if route.dst.version == family]
            written[key] = {**_some(ip=ip.address, gateway=ip.gateway), "routes": routes}
    return {**written, "dns": _write_dns(result.dns)}


def _write_lists(result: CniResult, version: str) -> dict[str, object]:
    return {
        "cniVersion": version,
        "interfaces": [_write_interface(interface, version) for interface in result.interfaces],
        "ips": [_write_ip(ip, version) for ip in result.ips],
        "routes": [_write_route(route) for route in result.routes],
        "dns": _write_dns(result.dns),
    }


def _write_interface(interface: CniInterface, version: str) -> dict[str, object]:
    written = _some(name=interface.name, mac=interface.mac, sandbox=interface.sandbox)
    if version in _UNTAGGED:
        written |= _some(mtu=interface.mtu, socketPath=interface.socket_path, pciID=interface.pci_id)
    return written


def _write_ip(ip: CniIp, version: str) -> dict[str, object]:
    tag = str(ip.address.version) if version in _TAGGED else None
    return _some(version=tag, address=ip.address, gateway=ip.gateway, interface=ip.interface)


def _write_route(route: CniRoute) -> dict[str, object]:
    return _some(
        dst=route.dst,
        gw=route.gateway,
        mtu=route.mtu,
        advmss=route.advmss,
        priority=route.priority,
        table=route.table,
        scope=route.scope,
    )


def _write_dns(dns: CniDns) -> dict[str, object]:
    lists = {"nameservers": dns.nameservers, "search": dns.search, "options": dns.options}
    domain = None if dns.domain is None else str(dns.domain)
    return _some(domain=domain) | {key: [str(word) for word in words] for key, words in lists.items() if words}


def _some(**values: object) -> dict[str, object]:
    """Return the values that are there, as JSON has them: numbers as they are, all else as plain text."""
    return {key: value if isinstance(value, int) else str(value) for key, value in values.items() if value is not None}
