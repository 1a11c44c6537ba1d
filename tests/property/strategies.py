"""Random namespaces and random CNI results on them, for hypothesis.

A namespace is drawn as a `Script`: links first, then steps, each a command line that can go while the others stay, so
that a failing example shrinks to the few lines that matter. Names, addresses and gateways come from small pools, so
that lines meet. The kernel refuses some of the lines; that is part of the game.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from attrs import frozen
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.property.scripts import HOST, HOSTS_NAME, SETTLE, Line, Script

NAMES = ("eth0", "net1", "eth0.100", "a23456789012345")
BYSTANDERS = ("sw0", "ifb7", "mv0", "vx0", "br1", "tap1")
TAKEN_NAMES = ("br1", "tap1")
MTUS = (1500, 1400, 1280, 9000, 1200)
TABLES = ("main", "100", "default", "4000000000")
LENGTHS4 = (24, 32, 25, 16, 31, 30, 8)
LENGTHS6 = (64, 128, 56, 127)
# None is the broadcast address of another one's network: the kernel makes no routes for such an address, or does.
HOSTS4 = ("10.1.90.5", "10.1.90.6", "10.1.90.9", "10.1.91.5", "10.2.0.5", "192.0.2.7", "169.254.254.7", "169.254.1.9")
HOSTS6 = ("fd00:1:90::5", "fd00:1:90::6", "fd00:1:90::7", "fd00:2::5", "2001:db8::5", "fe80::5", "fe80::6")
GATEWAYS4 = ("10.1.90.1", "10.1.91.1", "10.2.0.1", "169.254.1.1", "192.0.2.1")
GATEWAYS6 = ("fd00:1:90::1", "fe80::1", "fd00:2::1", "2001:db8::1")
# No gateway is among them: the route to an IPv6 peer comes some time after its address.
PEERS6 = ("fd00:7::1", "fe80::7:1")
DESTINATIONS4 = (
    "0.0.0.0/0", "10.8.0.0/16", "169.254.1.1/32", "10.1.90.0/24", "10.1.90.128/25", "198.51.100.7/32", "10.0.0.0/8"
)  # fmt: skip
FAR4, FAR6 = ("10.8.0.0/16", "198.51.100.7/32", "10.1.90.1/32"), ("fd08::/16", "2001:db8:1::7/128", "fd00:2::1/128")
GROUPS = ("224.0.0.5", "ff02::5")
DESTINATIONS6 = ("::/0", "fd08::/16", "fd00:1:90::/64", "2001:db8:1::7/128", "fd00::/8")
VERSIONS = ("1.0.0", "0.3.1", "0.4.0", "1.1.0", "0.3.0", "0.2.0", "0.1.0")
LIES = ("an address that nobody has", "a link that is not there", "a wrong index", "a wrong MAC", "another length")


@frozen
class Wish:
    """What the CNI result is to say; its addresses are those that the kernel took, so that most results are true."""

    links: tuple[str, ...]
    version: str
    knows_interfaces: bool
    host_side: bool
    backwards: bool
    routes: bool
    lie: str | None

    def result(self, script: Script, sandbox: str) -> dict[str, Any]:
        """Return the result for what was built, as JSON."""
        addresses: list[tuple[str | None, str]] = [
            (line.link, line.address)
            for line in (script.lines[::-1] if self.backwards else script.lines)
            if line.link in self.links and line.address
        ]
        if self.lie == "an address that nobody has":
            addresses.insert(0, (self.links[0], "10.77.0.7/24"))
        if self.lie == "another length":
            addresses = [(link, f"{address.partition('/')[0]}/29") for link, address in addresses]
        if self.version in ("0.1.0", "0.2.0"):
            return self._by_family([address for _, address in addresses])
        return self._with_lists(addresses, sandbox)

    def _by_family(self, addresses: list[str]) -> dict[str, Any]:
        found: dict[str, Any] = {"cniVersion": self.version}
        for address in addresses:
            found.setdefault("ip6" if ":" in address else "ip4", {"ip": address, "routes": []})
        return found

    def _with_lists(self, addresses: list[tuple[str | None, str]], sandbox: str) -> dict[str, Any]:
        interfaces: list[dict[str, str]] = [{"name": "h-eth0"}] if self.host_side else []
        first = len(interfaces)
        if self.knows_interfaces:
            interfaces += [{"name": link, "sandbox": sandbox} for link in self.links]
        if self.lie == "a link that is not there":
            interfaces.append({"name": "gone7", "sandbox": sandbox})
        if self.lie == "a wrong MAC":
            interfaces = [interface | {"mac": "02:00:00:00:00:99"} for interface in interfaces]
        ips = []
        for link, address in addresses:
            ip: dict[str, Any] = {"address": address}
            if self.version in ("0.3.0", "0.3.1", "0.4.0"):
                ip["version"] = str(ipaddress.ip_interface(address).version)
            if self.knows_interfaces and self.lie != "a wrong index":
                ip["interface"] = first + self.links.index(link or "")
            elif interfaces:
                ip["interface"] = 0
            ips.append(ip)
        routes = [{"dst": "0.0.0.0/0", "gw": "10.1.90.1"}] if self.routes else []
        return {"cniVersion": self.version, "interfaces": interfaces, "ips": ips, "routes": routes}


@frozen(repr=False)
class Case:
    """A namespace and a result on it; `by_hand`: whether the preview is run by hand in a twin as well."""

    script: Script
    wish: Wish
    by_hand: bool

    def __repr__(self) -> str:
        return f"a script of {len(self.script.lines)} lines"  # what counts of it is printed as a script


def rarely(draw: DrawFn, one_in: int = 6) -> bool:
    """Say yes once in so many times; shrinks to no."""
    return draw(st.integers(0, one_in - 1)) == one_in - 1


def pick(draw: DrawFn, *choices: str, one_in: int = 6) -> str:
    """Return one of the choices, or mostly nothing."""
    return draw(st.sampled_from(choices)) if rarely(draw, one_in) else ""


@st.composite
def cases(draw: DrawFn) -> Case:
    """Draw a namespace and a result on it."""
    count = draw(st.integers(1, 4))
    names = NAMES[:count]
    lines = [*_prologue(draw), *(line for position, name in enumerate(names) for line in _link(draw, position, name))]
    others = _bystanders(draw, names)
    lines += others
    if any("accept_dad=" in line.text and not line.text.endswith("=0") for line in lines):
        lines = [part for line in lines for part in _probing_fast(line)]
    lines += [SETTLE, *(_first_address(draw, name) for name in names)]
    everything = (*names, "lo")
    lines += [*draw(st.lists(addresses(names), max_size=6)), SETTLE]
    lines += draw(st.lists(removed_prefixes(names), max_size=2)) if rarely(draw, 3) else []
    lines += draw(
        st.lists(st.one_of(routes(names), routes(names), neighbours(names), odd_lines(everything)), max_size=10)
    )
    lines += draw(st.lists(st.one_of(removals(names), link_lines(everything), routes(names)), max_size=3))
    lines += draw(st.lists(ebtables_lines(names), max_size=3)) if rarely(draw, 5) else []
    lines += draw(st.lists(sysctl_lines(names), max_size=3)) if rarely(draw, 3) else []
    lines.append(SETTLE)
    if any(line.program == "sysctl" and "disable_ipv6" in line.text for line in lines):
        # The kernel takes no route through an IPv6 gateway any more, so one that is there already could not come back.
        lines = [line for line in lines if "inet6" not in line.text]
    # A twin would make other random addresses.
    is_alike = not any(line.text.endswith("addr_gen_mode=3") for line in lines)
    return Case(Script(tuple(lines)), draw(wishes(names, others)), by_hand=rarely(draw, 3) and is_alike)


def _probing_fast(line: Line) -> list[Line]:
    """Return the line, and if it makes links of the pod those that let address detection take 20 ms for a second."""
    pattern = r"link add (\S+)|tuntap add dev (\S+)" + ("" if HOSTS_NAME in line.text else r"|peer name (\S+)")
    names = [name for found in re.findall(pattern, line.text) for name in found if name]
    texts = [f"net/ipv6/neigh/{name}/retrans_time_ms=20" for name in names]
    return [line, *(Line(text, program="sysctl") for text in texts)]


def _prologue(draw: DrawFn) -> list[Line]:
    """Mostly turn address detection off: nothing here is about waiting."""
    detecting = rarely(draw, 5)
    lines = []
    for where in ("pod", HOST):
        settings = {
            "net/ipv6/conf/default/router_solicitations": 0,
            "net/ipv6/conf/default/router_solicitation_delay": 0,
            "net/ipv6/conf/default/accept_dad": int(detecting and where == "pod"),
        }
        lines += [Line(f"{key}={value}", program="sysctl", where=where) for key, value in settings.items()]
    if rarely(draw, 4):
        lines.append(draw(early_sysctls()))
    if not rarely(draw, 5):
        lines.append(Line("link set lo up"))
    return lines


def early_sysctls() -> SearchStrategy[Line]:
    """Draw a setting that is for what comes after it."""
    settings = (
        "net/ipv4/conf/all/promote_secondaries=1", "net/ipv4/conf/default/promote_secondaries=1",
        "net/ipv6/conf/default/accept_dad=2", "net/ipv6/conf/default/addr_gen_mode=3",
        "net/ipv6/conf/default/disable_ipv6=1", "net/ipv6/conf/default/addr_gen_mode=1",
        "net/ipv6/conf/all/forwarding=1", "net/ipv4/ip_forward=1",
        "net/ipv6/conf/default/keep_addr_on_down=1", "net/ipv6/conf/default/use_tempaddr=2",
        "net/ipv4/conf/all/ignore_routes_with_linkdown=1", "net/ipv6/conf/default/accept_ra=0",
        "net/ipv4/fib_sync_mem=65536", "net/ipv4/nexthop_compat_mode=0", "net/ipv6/route/skip_notify_on_dev_down=1",
    )  # fmt: skip
    return st.sampled_from(settings).map(lambda text: Line(text, program="sysctl"))


def _link(draw: DrawFn, position: int, name: str) -> list[Line]:
    """Draw a link to wire: a veth whose peer is on the host or beside it, or a tap.

    One that is down has its peer on the host, since the first carrier gives a peer IPv6 routes for good; and a tap has
    been up once, since the first up gives it a queueing discipline for good.
    """
    mac, mtu = f"0a:58:0a:01:5a:{position:02x}", draw(st.sampled_from(MTUS))
    up = draw(st.sampled_from(("up", "up", "up", "up", "down")))
    kind = draw(st.sampled_from(("veth", "veth", "veth", "tap", "beside" if up == "up" else "veth")))
    index, peer = 11 + position, f"h-{name[-13:]}"
    if kind == "tap":
        options = " ".join([pick(draw, "user 4711"), pick(draw, "multi_queue"), pick(draw, "vnet_hdr")])
        made = [Line(f"tuntap add dev {name} mode tap {options}", link=name)]
        made += [Line(f"link set {name} address {mac} mtu {mtu}"), Line(f"link set {name} up")]
        return made if up == "up" else [*made, Line(f"link set {name} down")]
    where = HOST if kind == "veth" else "pod"
    end = f"index {index + 100} address 06{mac[2:]} mtu {mtu}" + (f" netns {HOSTS_NAME}" if kind == "veth" else "")
    made = [Line(f"link add {name} index {index} address {mac} mtu {mtu} type veth peer name {peer} {end}", link=name)]
    carrier = [] if rarely(draw, 8) else [Line(f"link set {peer} up", where=where)]
    silent = [Line(f"link set {name} arp off")] if rarely(draw, 20) else []
    return [*made, *carrier, Line(f"link set {name} {up}"), *silent]


def _bystanders(draw: DrawFn, names: tuple[str, ...]) -> list[Line]:
    """Draw links that are there as well, and may be in the way; a tap of them has been up once too (`_link`)."""
    if not rarely(draw, 3):
        return []
    name = draw(st.sampled_from(BYSTANDERS))
    mac = "02:00:00:00:07:07"
    parent = draw(st.sampled_from(names))
    mode = draw(st.sampled_from(("bridge", "private", "passthru")))
    made = {
        "sw0": [Line("link add sw0 address 02:00:00:00:07:07 type bridge"), Line("link set sw0 mtu 1500")],
        "ifb7": [Line(f"link add ifb7 address {mac} type ifb")],
        "mv0": [Line(f"link add mv0 link {parent} address {mac} type macvlan mode {mode}")],
        "vx0": [Line(f"link add vx0 address {mac} type vxlan id 7 dstport 4789")],
        "br1": [Line(f"link add br1 address {mac} type bridge")],
        "tap1": [
            Line("tuntap add dev tap1 mode tap"),
            Line(f"link set tap1 address {mac} up"),
            Line("link set tap1 down"),
        ],
    }[name]
    lines = [*made, *([Line(f"link set {name} up")] if draw(st.booleans()) else [])]
    if name in ("sw0", "br1") and rarely(draw, 2):
        lines.append(Line(f"link set {parent} master {name}"))
    if rarely(draw, 3):
        lines.append(Line(f"addr add 10.66.0.5/24 dev {name}", link=name, address="10.66.0.5/24"))
    return lines


def _first_address(draw: DrawFn, link: str) -> Line:
    """Draw the address without which most results would say nothing."""
    position = NAMES.index(link)
    address = f"10.{position + 1}.90.5/{draw(st.sampled_from((24, 24, 32, 16)))}"
    return Line(f"addr add {address} dev {link}", link=link, address=address)


def addresses(names: tuple[str, ...]) -> SearchStrategy[Line]:
    """Draw an address of either family, with any attributes."""
    return st.one_of(_address4(names), _address4(names), _address6(names), _address6(names))


def _lifetimes(draw: DrawFn) -> str:
    choices = ("valid_lft 50000 preferred_lft 40000", "preferred_lft 0", "valid_lft 50000 preferred_lft 0",
               "preferred_lft 40000", "valid_lft 50000 preferred_lft 50000")  # fmt: skip
    return pick(draw, *choices)


@st.composite
def _address4(draw: DrawFn, names: tuple[str, ...]) -> Line:
    link, host = draw(st.sampled_from((*names, "lo") if rarely(draw, 8) else names)), draw(st.sampled_from(HOSTS4))
    length = draw(st.sampled_from(LENGTHS4))
    peer = pick(draw, *GATEWAYS4, one_in=8) if link != "lo" else ""
    options = [
        pick(draw, "broadcast +", "broadcast 10.1.90.255", "broadcast 10.9.9.9"),
        pick(draw, f"label {link[:10]}:1", f"label {link[:10]}"),
        pick(draw, "scope link", "scope host", "scope site", "scope 50"),
        pick(draw, "metric 77", "metric 4000000000", one_in=9),
        _lifetimes(draw),
        pick(draw, "noprefixroute"),
    ]
    what = f"{host} peer {peer}/{length}" if peer else f"{host}/{length}"
    return Line(f"addr add {what} dev {link} {' '.join(options)}", link=link, address=f"{host}/{length}")


@st.composite
def _address6(draw: DrawFn, names: tuple[str, ...]) -> Line:
    link, host = draw(st.sampled_from((*names, "lo") if rarely(draw, 8) else names)), draw(st.sampled_from(HOSTS6))
    length = draw(st.sampled_from(LENGTHS6))
    peer = pick(draw, *PEERS6, one_in=8)
    options = [
        pick(draw, "nodad", one_in=2),
        pick(draw, "home"),
        pick(draw, "metric 77", "metric 4000000000", one_in=9),
        _lifetimes(draw),
        pick(draw, "noprefixroute"),
    ]
    what = f"{host} peer {peer}/{length}" if peer else f"{host}/{length}"
    return Line(f"addr add {what} dev {link} {' '.join(options)}", link=link, address=f"{host}/{length}")


def routes(names: tuple[str, ...]) -> SearchStrategy[Line]:
    """Draw a route of either family."""
    kinds = _route(names, 4), _route(names, 6), _route(names, 4), _unusual_route(names)
    return st.one_of(*kinds)


def _hop(draw: DrawFn, names: tuple[str, ...], family: int) -> str:
    via = draw(st.sampled_from(GATEWAYS4 if family == 4 else GATEWAYS6)) if draw(st.booleans()) else ""
    if family == 4 and rarely(draw, 10):
        via = "inet6 fe80::1"
    dev = draw(st.sampled_from(names)) if not via or draw(st.booleans()) else ""
    words = [f"via {via}" if via else "", f"dev {dev}" if dev else "", pick(draw, "onlink") if via and dev else ""]
    return " ".join(filter(None, words))


@st.composite
def _route(draw: DrawFn, names: tuple[str, ...], family: int) -> Line:
    dst = draw(st.sampled_from(DESTINATIONS4 if family == 4 else DESTINATIONS6))
    sources = HOSTS4 if family == 4 else HOSTS6
    if rarely(draw, 8):
        hops = [f"nexthop {_hop(draw, names, family)}{draw(st.sampled_from(('', ' weight 3')))}" for _ in range(2)]
    else:
        hops = [_hop(draw, names, family)]
    metric = pick(draw, "metric 0", "metric 100", "metric 256", "metric 1024", "metric 4000000000")
    protocol = pick(draw, "proto static", "proto kernel", "proto ra", "proto bird", "proto 42", "proto boot")
    words = [
        "route",
        draw(st.sampled_from(("add", "append", "append", "prepend"))),
        dst,
        pick(draw, "tos 0x10") if family == 4 else "",
        pick(draw, *(f"table {table}" for table in TABLES)),
        metric,
        protocol,
        pick(draw, "scope link", "scope host", "scope global", "scope 50") if family == 4 else "",
        pick(draw, *(f"src {source}" for source in sources), one_in=4),
        pick(draw, "pref high", "pref low") if family == 6 else "",
        pick(draw, "expires 5000", one_in=10) if family == 6 else "",
        *_metrics(draw),
    ]
    return Line(" ".join(filter(None, [*words, *hops])))


def _metrics(draw: DrawFn) -> list[str]:
    if not rarely(draw, 5):
        return []
    choices = (
        "mtu 1300", "mtu lock 1300", "advmss 1200", "window 5000", "hoplimit 32", "initcwnd 20", "initrwnd 30",
        "rto_min 250ms", "rtt 90ms", "rttvar 40ms", "features ecn", "quickack 1", "congctl reno", "congctl lock cubic",
        "ssthresh 30", "cwnd lock 9", "reordering 5", "fastopen_no_cookie 1", "rto_min lock 1s", "mtu 9000",
    )  # fmt: skip
    return draw(st.lists(st.sampled_from(choices), min_size=1, max_size=3, unique_by=lambda words: words.split()[0]))


@st.composite
def _unusual_route(draw: DrawFn, names: tuple[str, ...]) -> Line:
    """Draw a route that leads nowhere, or through a nexthop object, or one of the kernel's kinds."""
    family = draw(st.sampled_from((4, 6)))
    dst = draw(st.sampled_from(DESTINATIONS4 if family == 4 else DESTINATIONS6))
    kinds = "blackhole", "unreachable", "prohibit", "throw", "nhid", "local", "anycast"
    kind = "encap" if rarely(draw, 30) else draw(st.sampled_from(kinds))  # one that is refused is enough
    link = draw(st.sampled_from(names))
    verb = draw(st.sampled_from(("add", "append")))
    table = pick(draw, "table 100", "metric 50", "proto static")
    if kind == "nhid":
        return Line(f"route {verb} {dst} {table} nhid {draw(st.sampled_from((7, 8, 9, 6)))}")
    if kind == "encap":
        segments = "encap seg6 mode encap segs fd00:1:90::1" if family == 6 else "encap ip id 5 dst 10.1.90.1"
        return Line(f"route {verb} {dst} {segments} dev {link}")
    if kind in ("local", "anycast"):
        far = draw(st.sampled_from(FAR4 if family == 4 else FAR6))
        how = pick(draw, "proto kernel", "metric 0")
        return Line(f"route {verb} {draw(st.sampled_from((kind, 'table local')))} {far} dev {link} {how}")
    return Line(f"route {verb} {kind} {dst} {table} {pick(draw, 'dev ' + link)}")


@st.composite
def neighbours(draw: DrawFn, names: tuple[str, ...]) -> Line:
    """Draw a neighbour entry that somebody sets."""
    link = draw(st.sampled_from(names))
    address = draw(st.sampled_from(GATEWAYS4 + GATEWAYS6 + GROUPS))
    if rarely(draw, 4):
        return Line(f"neigh add proxy {address} dev {link} {pick(draw, 'router', 'extern_learn')}")
    state = draw(st.sampled_from(("permanent", "noarp", "stale", "reachable")))
    mac = draw(st.sampled_from(("ee:ee:ee:ee:ee:ee", "02:00:00:00:00:31")))
    flags = [pick(draw, "router"), pick(draw, "extern_learn"), pick(draw, "managed", "use", one_in=20)]
    if rarely(draw, 8):
        return Line(f"neigh add {address} dev {link} managed")
    return Line(f"neigh add {address} lladdr {mac} dev {link} nud {state} {' '.join(flags)}")


@st.composite
def odd_lines(draw: DrawFn, names: tuple[str, ...]) -> Line:
    """Draw a rule or a nexthop object."""
    link = draw(st.sampled_from(names))
    choices = (
        f"nexthop add id 7 via {draw(st.sampled_from(GATEWAYS4))} dev {link}",
        f"nexthop add id 8 dev {link}",
        "nexthop add id 9 group 7/8",
        f"nexthop add id 6 via {draw(st.sampled_from(GATEWAYS6))} dev {link}",
        "rule add from 10.1.90.5 lookup 100 pref 1000",
        f"rule add iif {link} lookup 100 pref 1001",
        "rule add to fd00:1:90::/64 lookup 100 pref 1002",
        "rule add fwmark 7 blackhole pref 1003",
        "rule del pref 32767",
    )
    return Line(draw(st.sampled_from(choices)))


@st.composite
def link_lines(draw: DrawFn, names: tuple[str, ...]) -> Line:
    """Draw a setting of a link."""
    link = draw(st.sampled_from(names))
    choices = (
        "addrgenmode none", "addrgenmode eui64", "arp off", "promisc on", "allmulticast on",
        "multicast off", "txqueuelen 77", "alias hand-made", "group 77", "down", "up", "mtu 1400", "mtu 1500",
        "address 02:00:00:00:00:55", "nomaster", "trailers on",
    )  # fmt: skip
    if rarely(draw, 10):
        return Line(f"link property add dev {link} altname {draw(st.sampled_from(('second-name-of-it', 'tap0')))}")
    return Line(f"link set {link} {draw(st.sampled_from(choices))}")


@st.composite
def removals(draw: DrawFn, names: tuple[str, ...]) -> Line:
    """Draw the removal of something that the kernel made by itself, or of a drawn address."""
    link = draw(st.sampled_from(names))
    position = NAMES.index(link)
    own = f"fe80::858:aff:fe01:5a{position:02x}/64"
    choices = (
        f"addr del {own} dev {link}",
        f"addr del {draw(st.sampled_from(HOSTS4))}/24 dev {link}",
        f"addr flush dev {link} scope link",
        "addr del 127.0.0.1/8 dev lo",
        "addr del ::1/128 dev lo",
        f"route del table local broadcast 10.{position + 1}.90.255 dev {link}",
        f"route del table local local 10.{position + 1}.90.5 dev {link}",
        f"route del table local local {draw(st.sampled_from(HOSTS6))} dev {link}",
        f"route del table local multicast ff00::/8 dev {link}",
        f"addr change {draw(st.sampled_from(HOSTS6))}/64 dev {link} metric 77",
    )
    return Line(draw(st.sampled_from(choices)))


@st.composite
def removed_prefixes(draw: DrawFn, names: tuple[str, ...]) -> Line:
    """Draw the removal of a connected route, as ptp does it; routes through gateways there are then not taken."""
    link = draw(st.sampled_from(names))
    choices = (
        f"route del 10.{NAMES.index(link) + 1}.90.0/24 dev {link}",
        f"route del 10.1.90.0/24 dev {link}",
        f"route del fd00:1:90::/64 dev {link} proto kernel",
        f"route del fe80::/64 dev {link} proto kernel",
    )
    return Line(draw(st.sampled_from(choices)))


@st.composite
def ebtables_lines(draw: DrawFn, names: tuple[str, ...]) -> Line:
    """Draw a rule, a chain or a policy of somebody else's."""
    link = draw(st.sampled_from(names))
    choices = (
        "-A FORWARD -j ACCEPT", "-P FORWARD DROP", "-P INPUT DROP", "-N TENANT", "-A FORWARD -j TENANT",
        f"-A TENANT -i {link} -j DROP", f"-A INPUT -i {link} -j DROP", f"-I OUTPUT -o {link} -j DROP",
        "-A FORWARD -p IPv4 --ip-proto udp --ip-dport 53 -j DROP", "-A FORWARD -p ARP -j ACCEPT", "-N TENANT -P DROP",
        "-t nat -A POSTROUTING -j ACCEPT", "-A INPUT -s 02:00:00:00:00:09 -j DROP", "-L",
        f"-A FORWARD -p IPv4 -o {link} --ip-proto udp --ip-dport 67 -j DROP", "-A INPUT --log -j CONTINUE",
    )  # fmt: skip
    return Line(draw(st.sampled_from(choices)), program="ebtables")


@st.composite
def sysctl_lines(draw: DrawFn, names: tuple[str, ...]) -> Line:
    """Draw a setting of the namespace or of a link that is there."""
    link = draw(st.sampled_from(names))
    choices = (
        f"net/ipv6/conf/{link}/accept_dad=0", f"net/ipv6/conf/{link}/disable_ipv6=1",
        "net/ipv6/conf/all/disable_ipv6=1",
        "net/bridge/bridge-nf-call-iptables=0", "net/bridge/bridge-nf-call-ip6tables=0",
        f"net/ipv4/conf/{link}/promote_secondaries=1", f"net/ipv6/conf/{link}/forwarding=1",
        f"net/ipv6/conf/{link}/keep_addr_on_down=1", f"net/ipv6/conf/{link}/addr_gen_mode=1",
        f"net/ipv4/conf/{link}/rp_filter=1", f"net/ipv6/conf/{link}/accept_ra=0", "net/ipv4/ip_forward=1",
        f"net/ipv4/conf/{link}/ignore_routes_with_linkdown=1",
    )  # fmt: skip
    return Line(draw(st.sampled_from(choices)), program="sysctl")


@st.composite
def wishes(draw: DrawFn, names: tuple[str, ...], others: list[Line]) -> Wish:
    """Draw a result on some of the links, in any order, and perhaps on one that the lines of ``others`` make."""
    chosen = draw(st.permutations(names))[: draw(st.integers(1, len(names)))]
    if others and rarely(draw, 8):
        chosen = [*chosen, *(name for name in BYSTANDERS if name in others[0].text.split())]
    return Wish(
        links=tuple(chosen),
        version=draw(st.sampled_from(VERSIONS)),
        knows_interfaces=not rarely(draw, 4),
        host_side=draw(st.booleans()),
        backwards=draw(st.booleans()),
        routes=draw(st.booleans()),
        lie=draw(st.sampled_from(LIES)) if rarely(draw, 10) else None,
    )
