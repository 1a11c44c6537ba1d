"""A link as ``ip -j -d link show`` tells it, to a fact."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from attrs import evolve

from planner.errors import InvalidInput
from planner.facts.model import LinkFact
from planner.kinds.link import BridgeDevice, TapDevice
from planner.text.document import Node
from planner.text.values import InterfaceName, Keyword, MacAddress

# Flags that follow the other end or the driver, not anybody's setting (netdevice(7)).
_MOVING_FLAGS = {"LOWER_UP", "NO-CARRIER", "DORMANT", "RUNNING", "M-DOWN", "ECHO"}
_PCI = "pci"
# Links that take their parent's frames for themselves.
_STACKED = {"macvlan", "macvtap", "ipvlan", "ipvtap"}
# How a port of a bridge begins (ip-link(8), "bridge_slave"); its cost follows the speed of the link (br_if.c).
_PORT_DEFAULTS = {
    "priority": 32,
    "hairpin": False,
    "guard": False,
    "root_block": False,
    "fastleave": False,
    "learning": True,
    "flood": True,
    "proxy_arp": False,
    "proxy_arp_wifi": False,
    "multicast_router": 1,
    "mcast_flood": True,
    "bcast_flood": True,
    "mcast_to_unicast": False,
    "neigh_suppress": False,
    "group_fwd_mask": "0",
    "vlan_tunnel": False,
    "isolated": False,
    "locked": False,
}
# XDP_ATTACHED_SKB and XDP_ATTACHED_HW of <linux/if_link.h>; others are attached to the driver.
_XDP_MODES = {2: Keyword("xdpgeneric"), 3: Keyword("xdpoffload")}
_PORT_COSTS = (0, 1, 2, 4, 19, 100)


def read_link(node: Node) -> LinkFact:
    """Return the link in an object of the answer. Raises InvalidInput for what ``ip`` never prints."""
    info = node.optional("linkinfo", lambda found: found, Node({}, node.path))
    kind = info.optional("info_kind", _keyword, None) or node.field("link_type").parse(Keyword)
    flags = node.field("flags").each(_keyword)
    is_ether = node.field("link_type").value == "ether"
    return LinkFact(
        name=node.field("ifname").parse(InterfaceName),
        type=kind,
        mtu=node.field("mtu").integer(),
        flags=tuple(flag for flag in flags if flag not in _MOVING_FLAGS),
        mac=node.maybe("address", lambda mac: mac.parse(MacAddress)) if is_ether else None,
        master=node.maybe("master", _other_link),
        port_settings=_port_settings(info),
        parent=node.maybe("link", _other_link) if kind in _STACKED else None,
        alias=node.maybe("ifalias", Node.text),
        group=node.optional("group", _keyword, Keyword("default")),
        addrgenmode=node.maybe("inet6_addr_gen_mode", _keyword),
        altnames=node.maybe("altnames", Node.texts) or (),
        parent_bus=node.maybe("parentbus", _keyword),
        parent_device=node.maybe("parentdev", _keyword),
        device=_device(kind, info.optional("info_data", lambda found: found, Node({}, info.path))),
        carrier="LOWER_UP" in flags,
        index=node.optional("ifindex", Node.integer, 0),
        other_end=node.optional("link_index", Node.integer, 0),
        xdp=node.maybe("xdp", _xdp_mode),
        queue_length=node.optional("txqlen", Node.integer, 0),  # left out if it is 0
    )


def with_ipv6_mtus(links: tuple[LinkFact, ...], mtus: Mapping[str, str]) -> tuple[LinkFact, ...]:
    """Return the links, those that are down with the MTU of IPv6 (``net.ipv6.conf.X.mtu``) where it is another one."""
    if not mtus:
        return links
    own = {name: int(mtu) for name, mtu in mtus.items()}
    return tuple(
        link if link.up or own.get(link.name, link.mtu) == link.mtu else evolve(link, ipv6_mtu=own[link.name])
        for link in links
    )


def _xdp_mode(node: Node) -> Keyword:
    """Return the word by which ``ip link set`` names the way in which an XDP program is attached."""
    return _XDP_MODES.get(node.optional("mode", Node.integer, 0), Keyword("xdp"))


def _other_link(node: Node) -> InterfaceName | None:
    """Return a link that another one names, None for one of an odd name: the other is there all the same."""
    with suppress(InvalidInput):
        return node.parse(InterfaceName)
    return None


def odd_master(node: Node) -> None:
    """Raise InvalidInput for a link that is a port of one of an odd name."""
    node.maybe("master", lambda master: master.parse(InterfaceName))


def _port_settings(info: Node) -> tuple[Keyword, ...]:
    """Return the settings of a bridge's port that somebody made: they are lost when the link leaves the bridge."""
    data = info.optional("info_slave_data", lambda found: found, Node({}, info.path))
    if info.optional("info_slave_kind", Node.text, "") != "bridge":
        return ()
    changed = (key for key, value in _PORT_DEFAULTS.items() if data.has(key) and data.field(key).value != value)
    cost = data.optional("cost", Node.integer, 0)
    others = (("cost", cost not in _PORT_COSTS), ("backup_port", data.has("backup_port")))
    return tuple(map(Keyword, (*changed, *(key for key, is_set in others if is_set))))


def _device(kind: str, data: Node) -> BridgeDevice | TapDevice | None:
    """Return how a bridge or a persistent tap was made; other links podwire never creates."""
    if kind == "bridge":
        return BridgeDevice(
            ageing_time=data.optional("ageing_time", Node.integer, 0),
            mcast_snooping=bool(data.optional("mcast_snooping", Node.integer, 0)),
        )
    if kind == "tun" and data.optional("type", Node.text, "") == "tap" and bool(data.maybe("persist", Node.boolean)):
        return TapDevice(
            owner=data.maybe("user", _number),
            owner_group=data.maybe("group", _number),
            multi_queue=bool(data.maybe("multi_queue", Node.boolean)),
            vnet_hdr=bool(data.maybe("vnet_hdr", Node.boolean)),
        )
    return None


def _number(node: Node) -> int:
    """Return a number that ``ip`` prints as a string, such as a user id without a name."""
    return node.parse(int) if isinstance(node.value, str) else node.integer()


def _keyword(node: Node) -> Keyword:
    return node.parse(Keyword)
