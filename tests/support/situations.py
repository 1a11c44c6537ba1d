"""Namespaces as they are in the field, each with a name that says what is in it.

build = SITUATIONS["routes: onlink"]
pod = build(host, inside)
"""

from __future__ import annotations

from tests.support.pods import (
    Build,
    also,
    aws,
    calico,
    carrier_lost,
    carrier_never_there,
    dual_stack,
    lo_never_up,
    on_host,
    one_link,
    only,
    plain,
    ptp_style,
    two_links,
)

PLUGINS: dict[str, Build] = {
    "flannel and bridge: a /24 and a default route": plain,
    "dual stack": dual_stack,
    "ptp: no connected route, of either family": ptp_style,
    "Calico: a /32 behind a link-scope gateway": calico,
    "AWS: a /32, its gateway known to a permanent neighbour, rules": aws,
}

ADDRESSES: dict[str, Build] = {
    "secondary addresses, in their order": also(
        dual_stack,
        "ip addr add 10.1.90.7/24 dev eth0",
        "ip addr add 10.1.90.6/24 dev eth0",
        "ip addr add 10.2.0.1/16 dev eth0",
        "ip addr add fd00:1:90::7/64 dev eth0 nodad",
        "ip addr add fd00:1:90::6/64 dev eth0",
    ),
    "overlapping subnets": also(
        plain,
        "ip addr add 10.1.90.6/25 dev eth0",
        "ip addr add 10.1.0.1/16 dev eth0",
        "ip addr add 10.5.0.1/0 dev eth0",
    ),
    "labels": also(
        plain,
        "ip addr add 10.1.90.6/24 dev eth0 label eth0:six",
        "ip addr add 10.3.0.1/24 dev eth0 label another",
    ),
    "peer addresses": also(
        plain,
        "ip addr add 10.5.0.1 peer 10.5.0.2/32 dev eth0",
        "ip addr add 10.5.0.1 peer 10.5.0.3/32 dev eth0",
        "ip addr add 10.6.0.1 peer 10.7.0.2/24 dev eth0",
    ),
    "IPv6 peer addresses": also(
        plain,
        "ip addr add fd00:5::1 peer fd00:5::2 dev eth0",
        "ip addr add fd00:6::1 peer fd00:7::2/64 dev eth0 nodad",
    ),
    "broadcast addresses": also(
        plain,
        "ip addr add 10.5.0.1/24 broadcast + dev eth0",
        "ip addr add 10.6.0.1/24 broadcast 10.6.0.77 dev eth0",
        "ip addr add 10.8.0.1/32 broadcast 10.8.0.1 dev eth0",
    ),
    "scopes": also(
        plain,
        "ip addr add 10.5.0.1/24 scope link dev eth0",
        "ip addr add 10.6.0.1/24 scope host dev eth0",
        "ip addr add 10.7.0.1/24 scope site dev eth0",
        "ip addr add 10.8.0.1/24 scope 77 dev eth0",
        "ip addr add 127.1.2.3/32 dev eth0",
    ),
    "lifetimes that end": also(
        plain,
        "ip addr add 10.5.0.1/24 valid_lft 600 preferred_lft 300 dev eth0",
        "ip addr add fd00:5::1/64 valid_lft 600 preferred_lft 300 dev eth0",
        "ip addr add fd00:6::1/64 valid_lft forever preferred_lft 300 dev eth0",
    ),
    "deprecated": also(
        plain,
        "ip addr add 10.5.0.1/24 preferred_lft 0 dev eth0",
        "ip addr add fd00:5::1/64 preferred_lft 0 dev eth0",
        "ip addr add fd00:6::1/64 valid_lft 500 preferred_lft 0 dev eth0",
    ),
    "nodad": also(plain, "ip addr add fd00:5::1/64 dev eth0 nodad"),
    "noprefixroute": also(
        plain,
        "ip addr add fd00:5::1/64 dev eth0 noprefixroute",
        "ip addr add 10.5.0.1/24 noprefixroute dev eth0",
        "ip addr add 10.5.0.2/24 dev eth0",
        "ip addr add 10.1.90.9/24 noprefixroute dev eth0",
    ),
    "home, autojoin, mngtmpaddr": also(
        plain,
        "ip addr add fd00:5::1/64 dev eth0 home",
        "ip addr add fd00:6::1/64 dev eth0 mngtmpaddr",
        "ip addr add 239.5.5.5/32 dev eth0 autojoin",
    ),
    "optimistic": also(
        plain, "sysctl -qw net/ipv6/conf/eth0/optimistic_dad=1", "ip addr add fd00:5::1/64 dev eth0 optimistic"
    ),
    "metrics of the connected routes": also(
        plain, "ip addr add 10.5.0.1/24 metric 50 dev eth0", "ip addr add fd00:5::1/64 metric 77 dev eth0"
    ),
    "a hand-set link-local address beside the kernel's": also(plain, "ip addr add fe80::1/64 dev eth0"),
    "a hand-set link-local address instead of the kernel's": also(
        plain, "ip addr flush dev eth0 scope link", "ip addr add fe80::77/64 dev eth0"
    ),
    "no link-local address": also(plain, "ip addr flush dev eth0 scope link"),
    "address generation: none, and no link-local address": also(
        plain, "ip link set eth0 addrgenmode none", "ip addr flush dev eth0 scope link"
    ),
    "address generation: none, with the link-local address": also(plain, "ip link set eth0 addrgenmode none"),
    "address generation: random": also(plain, "ip link set eth0 addrgenmode random"),
    "address generation: stable_secret": also(
        plain,
        "sysctl -qw net/ipv6/conf/eth0/stable_secret=fd00::1",
        "ip link set eth0 addrgenmode stable_secret",
    ),
    "promote_secondaries": also(
        plain, "sysctl -qw net/ipv4/conf/all/promote_secondaries=1", "ip addr add 10.1.90.6/24 dev eth0"
    ),
    "the connected route of primary and secondary taken away": also(
        plain, "ip addr add 10.1.90.6/24 dev eth0", "ip route del default", "ip route del 10.1.90.0/24"
    ),
}

ROUTES: dict[str, Build] = {
    "metric": also(
        dual_stack,
        "ip route add 10.9.0.0/16 via 10.1.90.1 metric 7",
        "ip route add default via 10.1.90.2 metric 100",
        "ip route add fd00:99::/48 via fd00:1:90::1 metric 7",
        "ip route add ::/0 via fd00:1:90::2 metric 99",
    ),
    "src": also(
        dual_stack,
        "ip addr add 10.1.90.6/24 dev eth0",
        "ip route add 10.9.0.0/16 via 10.1.90.1 src 10.1.90.6",
        "ip route add 10.10.0.0/16 dev lo src 10.1.90.5",
        "ip route add fd00:99::/48 via fd00:1:90::1 src fd00:1:90::5",
        "ip route add fd00:98::/48 dev lo src fd00:1:90::5",
    ),
    "onlink": also(
        dual_stack,
        "ip route add 10.9.0.0/16 via 172.16.0.1 dev eth0 onlink",
        "ip route add fd00:99::/48 via fd00:77::1 dev eth0 onlink",
    ),
    "scope": also(
        plain,
        "ip route add 10.9.0.0/16 dev eth0 scope link",
        "ip route add 10.10.0.0/16 dev eth0 scope global",
        "ip route add 10.11.0.0/16 dev eth0 scope host",
        "ip route add 10.12.0.0/16 dev eth0 scope 50",
        "ip route add 10.13.0.0/16 via 10.1.90.1 scope 50",
    ),
    "other tables, and types that the kernel makes itself": also(
        dual_stack,
        "ip route add default via 10.1.90.1 table 100",
        "ip route add 10.9.0.0/16 dev eth0 table 100",
        "ip route add 10.10.0.0/16 dev eth0 table default",
        "ip route add 10.77.0.0/16 dev eth0 table local",
        "ip route add local 10.78.0.0/16 dev eth0 table 50",
        "ip route add local 10.79.0.1 dev eth0",
        "ip route add broadcast 10.79.0.255 dev eth0",
        "ip route add multicast 239.1.1.0/24 dev eth0",
        "ip route add ::/0 via fd00:1:90::1 table 1234567",
        "ip route add local fd00:77::/64 dev eth0",
        "ip route add anycast fd00:1:90::77 dev eth0",
        "ip route add multicast ff05::/16 dev eth0 table local",
    ),
    "blackhole, unreachable, prohibit, throw": also(
        dual_stack,
        "ip route add blackhole 10.9.0.0/16",
        "ip route add unreachable 10.10.0.0/16 metric 5",
        "ip route add prohibit 10.11.0.0/16 table 7",
        "ip route add throw 10.12.0.0/16",
        "ip route add blackhole 10.13.0.0/16 src 10.1.90.5",
        "ip route add blackhole fd00:99::/48",
        "ip route add unreachable fd00:98::/48",
        "ip route add prohibit fd00:97::/48 metric 5",
        "ip route add throw fd00:96::/48 table 7",
    ),
    "multipath": also(
        dual_stack,
        "ip route add 10.9.0.0/16 nexthop via 10.1.90.1 weight 3 nexthop via 10.1.90.2",
        "ip route add 10.10.0.0/16 nexthop dev eth0 nexthop dev eth0 weight 5",
        "ip route add 10.11.0.0/16 mtu lock 1333 nexthop via 172.16.0.1 dev eth0 onlink nexthop via 10.1.90.2",
        "ip route add fd00:99::/48 nexthop via fd00:1:90::1 weight 3 nexthop via fd00:1:90::2 weight 2",
        "ip route add fd00:98::/48 nexthop via fd00:55::1 dev eth0 onlink nexthop via fd00:1:90::2",
    ),
    "MTU, also locked": also(
        dual_stack,
        "ip route add 10.9.0.0/16 via 10.1.90.1 mtu 1400",
        "ip route add 10.10.0.0/16 via 10.1.90.1 mtu lock 1280",
        "ip route add fd00:99::/48 via fd00:1:90::1 mtu 1400",
        "ip route add fd00:98::/48 via fd00:1:90::1 mtu lock 1290",
    ),
    "every other metric": also(
        dual_stack,
        "ip route add 10.9.0.0/16 via 10.1.90.1 advmss 1300 window 5000 rtt 100ms rttvar 20ms rto_min 30ms initcwnd 20"
        " initrwnd 30 quickack 1 hoplimit 33 reordering 5 ssthresh 77 cwnd 88 fastopen_no_cookie 1",
        "ip route add 10.10.0.0/16 via 10.1.90.1 features ecn",
        "ip route add 10.11.0.0/16 via 10.1.90.1 congctl reno",
        "ip route add 10.12.0.0/16 via 10.1.90.1 congctl lock cubic cwnd lock 5 rtt lock 100ms advmss lock 1300",
        "ip route add fd00:99::/48 via fd00:1:90::1 hoplimit 12 features ecn congctl reno rto_min 2s",
    ),
    "several of one destination, in their order": also(
        dual_stack,
        "ip route add 10.9.0.0/16 via 10.1.90.2",
        "ip route append 10.9.0.0/16 via 10.1.90.1",
        "ip route append 10.9.0.0/16 via 10.1.90.3",
        "ip route add fd00:99::/48 via fd00:1:90::2",
        "ip route append fd00:99::/48 via fd00:1:90::1",
        "ip route append fd00:99::/48 dev eth0",
    ),
    "several of one destination, a link-scope one behind a gateway": also(
        plain,
        "ip route add 10.9.0.0/16 via 10.1.90.1",
        "ip route append 10.9.0.0/16 dev eth0",
        "ip route append 10.9.0.0/16 via 10.1.90.2",
    ),
    "several of one destination that differ in protocol, source or tos only": also(
        plain,
        "ip route add 10.9.0.0/16 via 10.1.90.1 proto static",
        "ip route append 10.9.0.0/16 via 10.1.90.1",
        "ip route append 10.9.0.0/16 via 10.1.90.1 proto 77",
        "ip addr add 10.1.90.6/24 dev eth0",
        "ip route add 10.10.0.0/16 via 10.1.90.1 src 10.1.90.6",
        "ip route append 10.10.0.0/16 via 10.1.90.1",
        "ip route append 10.10.0.0/16 via 10.1.90.1 src 10.1.90.5",
        "ip route add 10.11.0.0/16 via 10.1.90.1",
        "ip route add 10.11.0.0/16 via 10.1.90.1 tos 0x10",
    ),
    "an IPv4 route through an IPv6 gateway": also(
        dual_stack,
        "ip route add 10.9.0.0/16 via inet6 fd00:1:90::1 dev eth0",
        "ip route add 10.10.0.0/16 via inet6 fe80::1 dev eth0",
    ),
    "a link-local gateway": also(dual_stack, "ip route add fd00:98::/48 via fe80::1 dev eth0"),
    "a gateway that another route makes reachable": also(
        dual_stack,
        "ip route add 10.50.0.0/24 dev eth0",
        "ip route add 10.40.0.0/16 via 10.50.0.1",
        "ip route add fd00:50::/64 dev eth0",
        "ip route add fd00:40::/64 via fd00:50::1",
    ),
    "nexthop objects": also(
        dual_stack,
        "ip nexthop add id 5 via 10.1.90.1 dev eth0",
        "ip nexthop add id 6 via 10.1.90.2 dev eth0",
        "ip nexthop add id 7 dev eth0",
        "ip nexthop add id 8 blackhole",
        "ip nexthop add id 9 via fd00:1:90::1 dev eth0",
        "ip nexthop add id 50 group 5,2/6,3",
        "ip route add 10.9.0.0/16 nhid 5",
        "ip route add 10.10.0.0/16 nhid 7",
        "ip route add 10.11.0.0/16 nhid 8",
        "ip route add 10.12.0.0/16 nhid 50",
        "ip route add fd00:99::/48 nhid 9",
    ),
    "the preference of IPv6 routers": also(
        dual_stack,
        "ip route add fd00:99::/48 via fd00:1:90::1 pref high",
        "ip route add fd00:98::/48 via fd00:1:90::1 pref low",
        "ip route add fd00:97::/48 via fd00:1:90::1 pref medium",
    ),
    "protocols": also(
        dual_stack,
        "ip route add 10.9.0.0/16 via 10.1.90.1 proto static",
        "ip route add 10.10.0.0/16 via 10.1.90.1 proto bird",
        "ip route add 10.11.0.0/16 via 10.1.90.1 proto 201",
        "ip route add 10.12.0.0/16 dev eth0 proto kernel",
        "ip route add fd00:99::/48 via fd00:1:90::1 proto ra",
        "ip route add fd00:98::/48 dev eth0 proto kernel",
        "ip route add fd00:97::/48 via fd00:1:90::1 proto dhcp",
    ),
    "IPv6 routes that expire": also(dual_stack, "ip route add fd00:98::/48 via fd00:1:90::1 expires 500"),
    "an MTU on the connected routes": also(
        dual_stack,
        "ip route change 10.1.90.0/24 dev eth0 proto kernel scope link src 10.1.90.5 mtu 1400",
        "ip route change fd00:1:90::/64 dev eth0 proto kernel metric 256 mtu 1400",
    ),
    "the connected route by hand, with a metric": also(
        plain,
        "ip route del default",
        "ip route del 10.1.90.0/24",
        "ip route add 10.1.90.0/24 dev eth0 proto kernel scope link src 10.1.90.5 metric 100",
        "ip route add default via 10.1.90.1",
    ),
}

NEIGHBOURS: dict[str, Build] = {
    "permanent, noarp, router": also(
        dual_stack,
        "ip neigh add 10.1.90.9 lladdr 02:00:00:00:00:09 dev eth0",
        "ip neigh add 10.1.90.8 lladdr 02:00:00:00:00:08 nud noarp dev eth0",
        "ip neigh add 10.1.90.7 lladdr 02:00:00:00:00:07 dev eth0 extern_learn nud permanent",
        "ip neigh add fd00:1:90::9 lladdr 02:00:00:00:00:09 dev eth0 router nud permanent",
        "ip neigh add fd00:1:90::8 lladdr 02:00:00:00:00:09 dev eth0 nud noarp",
    ),
    "proxy": also(
        dual_stack,
        "ip neigh add proxy 10.1.90.9 dev eth0",
        "ip neigh add proxy fd00:1:90::9 dev eth0",
        "ip neigh add proxy fd00:1:90::8 dev eth0 router",
        "ip neigh add proxy fd00:1:90::7 dev eth0 extern_learn",
    ),
    "protocol": also(plain, "ip neigh add 10.1.90.9 lladdr 02:00:00:00:00:09 dev eth0 protocol static nud permanent"),
}

LINKS: dict[str, Build] = {
    "MTU 9000": one_link(mtu=9000),
    "MTU 1400": one_link(mtu=1400),
    "MTU 1280, the lowest of IPv6": one_link(mtu=1280),
    "MTU 1200, no IPv6": one_link(mtu=1200),
    "MTU 1200, lowered later": also(plain, "ip link set eth0 mtu 1200"),
    "disable_ipv6": also(plain, "sysctl -qw net/ipv6/conf/eth0/disable_ipv6=1"),
    "disable_ipv6 of all links": also(plain, "sysctl -qw net/ipv6/conf/all/disable_ipv6=1"),
    "down": also(
        plain,
        "ip link set eth0 down",
        "ip addr add fd00:8::1/64 dev eth0",
        "ip addr add fd00:8::2/64 dev eth0 nodad",
    ),
    "down, with keep_addr_on_down": also(
        dual_stack, "sysctl -qw net/ipv6/conf/eth0/keep_addr_on_down=1", "ip link set eth0 down"
    ),
    "a carrier that was lost": also(
        carrier_lost,
        "ip addr add fd00:8::2/64 dev eth0 nodad",
        "ip route add 10.9.0.0/16 via 10.1.90.1",
    ),
    "never a carrier": also(
        carrier_never_there,
        "ip addr add fd00:8::1/64 dev eth0",
        "ip addr add fd00:8::2/64 dev eth0 nodad",
        "ip route add 10.9.0.0/16 via 10.1.90.1",
    ),
    "an address that is somebody else's": also(
        on_host(plain, "ip addr add fd00:9::1/64 dev h-eth0 nodad"), "ip addr add fd00:9::1/64 dev eth0"
    ),
    "arp off": also(dual_stack, "ip link set eth0 arp off"),
    "promiscuous": also(dual_stack, "ip link set eth0 promisc on"),
    "allmulticast": also(dual_stack, "ip link set eth0 allmulticast on"),
    "multicast off": also(dual_stack, "ip link set eth0 multicast off"),
    "a name of 15 characters": one_link("abcdefghijklm15"),
    "a name with dots": also(
        one_link("eth0.100"),
        "ip addr add 10.4.0.1/24 dev eth0.100 label eth0.100:1",
        "ip addr add fd00:8::1/64 dev eth0.100",
    ),
    "altnames, alias, group, queue length": also(
        plain,
        "ip link property add dev eth0 altname other altname a-very-long-alternative-name-of-eth0",
        "ip link set eth0 alias 'of the pod'",
        "ip link set eth0 group 77",
        "ip link set eth0 txqueuelen 55",
    ),
    "a master already": also(
        plain,
        "ip link add cbr type bridge",
        "ip link set cbr addrgenmode none",
        "ip link set cbr up",
        "ip link set eth0 master cbr",
    ),
    "queueing disciplines": also(
        plain, "tc qdisc add dev eth0 root tbf rate 1mbit burst 32k latency 1ms", "tc qdisc add dev eth0 clsact"
    ),
    "lo down": also(dual_stack, "ip link set lo down"),
    "lo never up": lo_never_up,
    "lo down, with addresses and reject routes": also(
        dual_stack,
        "ip link set lo down",
        "ip addr add 10.99.0.1/32 dev lo",
        "ip addr add fd00:99::1/128 dev lo",
        "ip route add blackhole 10.9.0.0/16",
        "ip route add blackhole fd00:98::/48",
        "ip route add unreachable fd00:97::/48 metric 5",
    ),
}

SEVERAL: dict[str, Build] = {
    "two interfaces": two_links,
    "routes and sources that cross": also(
        two_links,
        "ip route add 10.9.0.0/16 via 10.1.91.1 dev net1 src 10.1.90.5",
        "ip route add 10.10.0.0/16 nexthop via 10.1.90.1 dev eth0 nexthop via 10.1.91.1 dev net1",
        "ip route add fd00:9::/48 via fd00:1:91::1 dev net1 src fd00:1:90::5",
        "ip route add fd00:10::/48 nexthop via fd00:1:90::1 dev eth0 nexthop via fd00:1:91::1 dev net1",
        "ip route append default via 10.1.91.1 metric 5",
        "ip route add default via 10.1.91.1 table 100",
        "ip rule add from 10.1.91.5 lookup 100",
        "ip -6 rule add from fd00:1:91::5 lookup 100",
    ),
    "routes and sources that cross to an interface that isn't wired": only(
        also(
            two_links,
            "ip route add 10.9.0.0/16 via 10.1.91.1 dev net1 src 10.1.90.5",
            "ip route add 10.10.0.0/16 nexthop via 10.1.90.1 dev eth0 nexthop via 10.1.91.1 dev net1",
            "ip route add fd00:9::/48 via fd00:1:91::1 dev net1 src fd00:1:90::5",
            "ip route add fd00:10::/48 nexthop via fd00:1:90::1 dev eth0 nexthop via fd00:1:91::1 dev net1",
        ),
        "eth0",
    ),
    "two interfaces in one subnet": also(
        two_links, "ip addr add 10.1.90.77/24 dev net1", "ip addr add fd00:1:90::77/64 dev net1"
    ),
    "rules that name the interface": also(
        plain, "ip rule add from 10.1.90.5 iif eth0 lookup 100", "ip rule add oif eth0 lookup 5"
    ),
}

EBTABLES: dict[str, Build] = {
    "an ACCEPT in FORWARD": also(plain, "ebtables -A FORWARD -j ACCEPT"),
    "a rule in OUTPUT only": also(plain, "ebtables -A OUTPUT -p IPv4 --ip-proto tcp -j ACCEPT"),
    "a policy": also(plain, "ebtables -P FORWARD DROP"),
    "chains of their own": also(
        plain,
        "ebtables -N mine",
        "ebtables -A mine -j RETURN",
        "ebtables -A FORWARD -j mine",
        "ebtables -N unused -P DROP",
    ),
    "an empty chain": also(plain, "ebtables -A FORWARD -j ACCEPT", "ebtables -D FORWARD -j ACCEPT"),
    "an empty table": also(plain, "nft add table bridge filter"),
    "marks, and the nat table": also(
        plain,
        "ebtables -A FORWARD -p IPv4 --ip-src 10.0.0.0/8 -j mark --mark-set 5 --mark-target CONTINUE",
        "ebtables -t nat -A PREROUTING -j ACCEPT",
    ),
    "a table of nftables' own": also(
        plain,
        "nft add table bridge other",
        "nft add chain bridge other c '{ type filter hook forward priority 0; }'",
        "nft add rule bridge other c counter",
    ),
}

SYSCTLS: dict[str, Build] = {
    "bridge-nf-call off": also(
        plain,
        "sysctl -qw net/bridge/bridge-nf-call-iptables=0 net/bridge/bridge-nf-call-ip6tables=0"
        " net/bridge/bridge-nf-call-arptables=0",
    ),
    "bridge-nf-call on, for iptables only": also(
        plain,
        "sysctl -qw net/bridge/bridge-nf-call-iptables=1 net/bridge/bridge-nf-call-ip6tables=0"
        " net/bridge/bridge-nf-call-arptables=0",
    ),
    "forwarding": also(dual_stack, "sysctl -qw net/ipv6/conf/all/forwarding=1 net/ipv4/ip_forward=1"),
    "accept_dad 2 here": also(dual_stack, "sysctl -qw net/ipv6/conf/eth0/accept_dad=2"),
    "accept_dad 0 here and 1 for all": also(
        dual_stack, "sysctl -qw net/ipv6/conf/eth0/accept_dad=0 net/ipv6/conf/all/accept_dad=1"
    ),
    "accept_dad negative": also(dual_stack, "sysctl -qw net/ipv6/conf/eth0/accept_dad=-1"),
}

GROUPS: dict[str, dict[str, Build]] = {
    "plugins": PLUGINS,
    "addresses": ADDRESSES,
    "routes": ROUTES,
    "neighbours": NEIGHBOURS,
    "links": LINKS,
    "several": SEVERAL,
    "ebtables": EBTABLES,
    "sysctls": SYSCTLS,
}
SITUATIONS = {f"{group}: {name}": build for group, table in GROUPS.items() for name, build in table.items()}
